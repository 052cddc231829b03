use std::fmt;

use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to reach a Kafka cluster, credentials included. Two that are equal can share one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Comma-separated `host:port` pairs to find the cluster by (Kafka's `bootstrap.servers`).
    pub bootstrap_servers: String,
    /// Encrypt; absent: plaintext.
    pub tls: Option<Tls>,
    /// Log in; absent: anonymous, or by the client certificate.
    pub sasl: Option<Sasl>,
}

/// TLS to the brokers, whose certificates must bear the names that they are reached by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The authorities that are trusted, as PEM. Absent: those of the system.
    pub ca: Option<String>,
    /// Mutual TLS: who we are.
    pub client: Option<ClientCertificate>,
}

/// A client's certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The certificate and its chain, as PEM.
    pub certificate: String,
    /// Its key, as PEM, without a passphrase.
    pub key: Secret,
}

/// SASL by name and password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: Mechanism,
    /// Who logs in.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// How a password is proven to the broker.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Mechanism {
    /// The password itself is sent (RFC 4616): use it over TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A salted proof (RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A salted proof (RFC 5802 with SHA-512).
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    /// The name by IANA's list of SASL mechanisms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Connection {
    /// A plaintext connection.
    pub fn plaintext(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            tls: None,
            sasl: None,
        }
    }

    /// The settings that every client of this cluster shares. Callers add what is particular to consumers or producers.
    pub fn client_config(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id)
            // A pod or a broker that comes back should be found in seconds, not in librdkafka's default of ten.
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true")
            // The address of a broker that was replaced does not answer at all: librdkafka would wait 30 s for it.
            .set("socket.connection.setup.timeout.ms", "5000")
            // Brokers in Kubernetes change address: resolve again rather than trust the cache.
            .set("broker.address.ttl", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            if let Some(ca) = &tls.ca {
                config.set("ssl.ca.pem", ca);
            }
            if let Some(client) = &tls.client {
                config
                    .set("ssl.certificate.pem", &client.certificate)
                    .set("ssl.key.pem", &client.key.0);
            }
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanism", sasl.mechanism.as_str())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password.0);
        }
        config
    }

    /// The settings of a producer of which Kafka has each record once, in order, whatever is sent again.
    pub fn writer_config(&self, client_id: &str) -> ClientConfig {
        let mut config = self.client_config(client_id);
        config
            .set("enable.idempotence", "true")
            // In a topic that was just made the broker can refuse the first batch and take the second: the first, sent
            // again, is then a duplicate to it, and acknowledged without being written.
            .set("max.in.flight.requests.per.connection", "1");
        config
    }

    /// The settings of a consumer that reads as fast as what it reads can be dealt with: the decided part of topics, by
    /// whoever says where to start, with nothing committed that it is not told to commit.
    pub fn reader_config(&self, client_id: &str, group_id: &str) -> ClientConfig {
        let mut config = self.client_config(client_id);
        config
            .set("group.id", group_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("queued.max.messages.kbytes", "8192")
            // One answer comes on top of what is queued, and takes several times as much when it is unpacked.
            .set("fetch.max.bytes", "4194304")
            .set("fetch.message.max.bytes", "262144")
            // A queue that was full is looked at again soon: the default of a second would leave the reader idle for most of it.
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.wait.max.ms", "100");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let connection = Connection {
            tls: Some(Tls {
                ca: None,
                client: Some(ClientCertificate {
                    certificate: "certificate".into(),
                    key: Secret::new("hush"),
                }),
            }),
            sasl: Some(Sasl {
                mechanism: Mechanism::ScramSha512,
                username: "bt".into(),
                password: Secret::new("hush"),
            }),
            ..Connection::plaintext("kafka:9092")
        };
        assert!(!format!("{connection:?}").contains("hush"));
        let config = connection.client_config("test");
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(config.get("sasl.password"), Some("hush"));
    }
}
