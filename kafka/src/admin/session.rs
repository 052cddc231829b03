//! One librdkafka client, and what it tells of its connections.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaType;
use rdkafka_sys as sys;

use super::native::{Owned, string};
use crate::Error;

/// How long a refusal must stand when no broker is left: librdkafka tries the other addresses of a name meanwhile.
const REFUSAL_STANDS: Duration = Duration::from_secs(1);

/// A client, with what it has told since its last answer.
pub(super) struct Session {
    client: Client<DefaultClientContext>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Of the reasons why brokers could not be used, the one that helps most.
    cause: Option<Error>,
    /// Since when no broker is left.
    lost: Option<Instant>,
}

impl Session {
    /// Makes a client. It connects when it is first used.
    pub(super) fn open(config: &ClientConfig) -> Result<Self, Error> {
        // librdkafka 2.12 ends the process (a null pointer in rd_kafka_handle_OffsetFetch) when a coordinator that has moved, or
        // is not ready, is asked for a group's offsets by a client that is no consumer. This one never joins its group.
        let mut config = config.clone();
        let group = config.get("client.id").unwrap_or("admin").to_owned();
        config.set("group.id", group);
        let native = config.create_native_config().map_err(not_made)?;
        // SAFETY: the configuration is ours and not yet given to a client.
        unsafe { sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_ERROR) };
        let kind = RDKafkaType::RD_KAFKA_CONSUMER;
        let client = Client::new(&config, native, kind, DefaultClientContext).map_err(not_made)?;
        Ok(Self {
            client,
            told: Mutex::default(),
        })
    }

    pub(super) fn native(&self) -> *mut sys::rd_kafka_t {
        self.client.native_ptr()
    }

    /// Whether all brokers were lost since the last answer.
    pub(super) fn is_lost(&self) -> bool {
        self.listen().lost.is_some()
    }

    /// Why brokers could not be used since the last answer.
    pub(super) fn cause(&self) -> Option<Error> {
        self.listen().cause.clone()
    }

    /// A cause that waiting does not mend: no broker is left, and one refused us or was not to be trusted.
    pub(super) fn refusal(&self) -> Option<Error> {
        let told = self.listen();
        let stands = told.lost?.elapsed() > REFUSAL_STANDS;
        told.cause.clone().filter(|cause| stands && refuses(cause))
    }

    /// A broker has answered: what was told before is history.
    pub(super) fn answered(&self) {
        *self.listen() = Told::default();
    }

    /// Empties the client's main queue, where librdkafka puts its connection errors and log lines.
    fn listen(&self) -> MutexGuard<'_, Told> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + Duration::from_millis(50);
        // SAFETY: the client is alive, and each call gives a reference of its own.
        let queue = unsafe { sys::rd_kafka_queue_get_main(self.native()) };
        let queue =
            Owned::new(queue, sys::rd_kafka_queue_destroy).expect("every client has a main queue");
        while Instant::now() < until {
            // SAFETY: the queue is alive, and the event is ours.
            let event = unsafe { sys::rd_kafka_queue_poll(queue.ptr(), 0) };
            let Some(event) = Owned::new(event, sys::rd_kafka_event_destroy) else {
                break;
            };
            told.take(&event);
        }
        told
    }
}

impl Told {
    fn take(&mut self, event: &Owned<sys::rd_kafka_event_t>) {
        // SAFETY: the event is alive, as it is below, where all that is read is copied.
        match unsafe { sys::rd_kafka_event_type(event.ptr()) } {
            sys::RD_KAFKA_EVENT_ERROR => {
                let (code, text) = unsafe {
                    let code = sys::rd_kafka_event_error(event.ptr());
                    let text = sys::rd_kafka_event_error_string(event.ptr());
                    (Code::from(code), string(text))
                };
                tracing::debug!(?code, "{text}");
                if code == Code::AllBrokersDown {
                    self.lost.get_or_insert_with(Instant::now);
                } else {
                    self.because(connection_error(code, &text));
                }
            }
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (std::ptr::null(), std::ptr::null(), 0);
                let (facility, line) = unsafe {
                    sys::rd_kafka_event_log(event.ptr(), &mut facility, &mut line, &mut level);
                    (string(facility), string(line))
                };
                tracing::debug!(facility, "{line}");
                // A connection that the broker closes is told in a log line only: "[thread]: broker: why".
                if facility == "FAIL" && self.cause.is_none() {
                    let text = line.split_once("]: ").map_or(&*line, |(_, text)| text);
                    self.because(connection_error(Code::BrokerTransportFailure, text));
                }
            }
            _ => {}
        }
    }

    /// Keeps what helps most: a refusal before anything else, then what came last; of several brokers' same trouble always
    /// that of the same one, so that the message does not change from one try to the next.
    fn because(&mut self, error: Error) {
        let better = self.cause.as_ref().is_none_or(|known| {
            if known.code == error.code {
                error.message < known.message
            } else {
                refuses(&error) || !refuses(known)
            }
        });
        if better {
            self.cause = Some(error);
        }
    }
}

fn refuses(error: &Error) -> bool {
    error.is_auth() || error.is_tls()
}

/// What librdkafka says of a broker's connection, with a code for TLS where it has none, without its changing numbers, and with
/// what it means.
fn connection_error(code: Code, text: &str) -> Error {
    let (text, state) = text.rsplit_once(" (after ").unwrap_or((text, ""));
    let shaking = state.contains("in state SSL_HANDSHAKE") && !text.contains("timed out");
    let text = text.replace("/bootstrap: ", ": ");
    let code = match code {
        Code::BrokerTransportFailure if shaking || text.contains(":SSL routines:") => Code::SSL,
        code => code,
    };
    let meaning = match code {
        Code::Resolve => "the host name cannot be resolved",
        Code::BadMessage => "what answers there is no Kafka broker",
        Code::SSL if text.contains("certificate verify failed") => {
            "the broker's certificate is not signed by a trusted authority, or is not for this host name"
        }
        Code::SSL if text.contains(" alert ") => {
            "the broker does not accept the client's certificate, or asks for one"
        }
        Code::SSL if text.contains("Disconnected") => {
            "the broker closed the connection in the handshake: its listener may expect no TLS"
        }
        Code::BrokerTransportFailure if text.contains(": Disconnected") => {
            "the broker closed the connection: its listener may expect TLS or SASL, or neither"
        }
        _ => return Error::new("connect", code, text),
    };
    // librdkafka's own advice follows, on settings of its own.
    let advice = [
        ": broker certificate could not be verified",
        ": connecting to a PLAINTEXT broker listener?",
        ": increase receive.message.max.bytes",
    ];
    let end = advice.iter().find_map(|advice| text.find(advice));
    let text = &text[..end.unwrap_or(text.len())];
    Error::new("connect", code, format!("{text}: {meaning}"))
}

/// Why librdkafka makes no client. The setting's value is left out: it may be a secret.
fn not_made(error: KafkaError) -> Error {
    let message = match error {
        KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
        KafkaError::ClientCreation(why) => why,
        other => other.to_string(),
    };
    // It knows one code for all; its settings of certificates and keys begin with "ssl.".
    let code = if message.contains("ssl.") || message.starts_with("Private key") {
        Code::SSL
    } else {
        Code::InvalidArgument
    };
    Error::new("connect", code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What librdkafka 2.12 said of a real Kafka 4.1.
    const CERTIFICATE: &str = "sasl_ssl://kafka:9095/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate \
        verify failed: broker certificate could not be verified, verify that ssl.ca.location is correctly configured or root \
        CA certificates are installed (install ca-certificates package) (after 8ms in state SSL_HANDSHAKE, 1 identical error(s) \
        suppressed)";
    const NO_CLIENT_CERTIFICATE: &str = "ssl://kafka:9096/bootstrap: Receive failed: error:0A00045C:SSL routines::tlsv13 alert \
        certificate required: SSL alert number 116 (after 1ms in state APIVERSION_QUERY)";
    const PLAINTEXT_LISTENER: &str = "ssl://kafka:9092/bootstrap: Disconnected: SSL connection closed by peer (after 1ms in \
        state SSL_HANDSHAKE)";
    const TLS_LISTENER: &str = "kafka:9095/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after \
        2ms in state APIVERSION_QUERY)";
    const SLOW_HANDSHAKE: &str = "ssl://kafka:9096/bootstrap: Connection setup timed out in state SSL_HANDSHAKE (after 5000ms \
        in state SSL_HANDSHAKE)";
    const PASSWORD: &str = "sasl_ssl://kafka:9095/bootstrap: SASL authentication error: Authentication failed: Invalid username \
        or password (after 302ms in state AUTH_REQ)";

    #[test]
    fn connection_errors_have_a_class_and_a_stable_message() {
        let transport = |text| connection_error(Code::BrokerTransportFailure, text);
        let untrusted = connection_error(Code::SSL, CERTIFICATE);
        assert!(untrusted.is_tls());
        assert_eq!(
            untrusted.message,
            "sasl_ssl://kafka:9095: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: the broker's \
             certificate is not signed by a trusted authority, or is not for this host name"
        );
        let asked = transport(NO_CLIENT_CERTIFICATE);
        assert!(asked.is_tls() && asked.message.contains("client's certificate"));
        let without = transport(PLAINTEXT_LISTENER);
        assert!(without.is_tls() && without.message.contains("may expect no TLS"));
        let with = transport(TLS_LISTENER);
        assert!(with.is_unreachable() && with.message.contains("may expect TLS"));
        assert!(transport(SLOW_HANDSHAKE).is_unreachable());
    }

    #[test]
    fn a_refusal_tells_more_than_what_comes_after_it() {
        let mut told = Told::default();
        told.because(connection_error(
            Code::BrokerTransportFailure,
            "kafka:1: refused",
        ));
        told.because(connection_error(Code::Authentication, PASSWORD));
        told.because(connection_error(Code::Resolve, "nosuch:1: unknown"));
        assert!(told.cause.is_some_and(|cause| cause.is_auth()));
    }
}
