//! The producer's settings: by the builder, and what that leaves out from the environment.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::producer::{BuildError, Producer};
use crate::queue::{Source, Topics};

/// Puts a [`Producer`] together. What is not set comes from the environment.
///
/// | environment | default | |
/// |---|---|---|
/// | `KAFKA_BOOTSTRAP` | `localhost:9092` | Kafka's addresses |
/// | `BT_SERVICE`, `SERVICE_NAME` or `OTEL_SERVICE_NAME` | `unknown` | name of the service |
/// | `BT_INSTANCE` | the host's name (in Kubernetes the pod's) | which copy of the service |
/// | `BT_SERVICE_VERSION` or `SERVICE_VERSION` | none | its version |
/// | `BT_KAFKA_…` | | any setting of librdkafka: `BT_KAFKA_SECURITY_PROTOCOL` is `security.protocol` |
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    service: Option<String>,
    instance: Option<String>,
    version: Option<String>,
    bootstrap: Option<String>,
    topics: Topics,
    queue_events: usize,
    queue_bytes: usize,
    max_message_bytes: usize,
    linger: Duration,
    delivery_timeout: Duration,
    exit_timeout: Duration,
    config: Vec<(String, String)>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            service: None,
            instance: None,
            version: None,
            bootstrap: None,
            topics: Topics {
                metrics: "metrics.events".to_owned(),
                logs: "logs.events".to_owned(),
                health: "health.events".to_owned(),
            },
            queue_events: 100_000,
            queue_bytes: 64 << 20,
            max_message_bytes: 1_000_000,
            linger: Duration::from_millis(20),
            delivery_timeout: Duration::from_secs(900),
            exit_timeout: Duration::from_secs(10),
            config: Vec::new(),
        }
    }
}

impl Builder {
    /// Names the service.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Names which copy of the service this is; `""` for none.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// The service's version, mostly `env!("CARGO_PKG_VERSION")`: the gauge `bt_service_info{version}` says it every five
    /// minutes, and log lines carry it as the field `service.version`.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Kafka's addresses, `host:port,…`.
    pub fn bootstrap(mut self, servers: impl Into<String>) -> Self {
        self.bootstrap = Some(servers.into());
        self
    }

    /// Where metrics go, instead of `metrics.events`.
    pub fn metrics_topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.metrics = topic.into();
        self
    }

    /// Where logs go, instead of `logs.events`.
    pub fn logs_topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.logs = topic.into();
        self
    }

    /// Where health goes, instead of `health.events`.
    pub fn health_topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.health = topic.into();
        self
    }

    /// How many events may wait for Kafka: 100,000.
    pub fn queue_events(mut self, events: usize) -> Self {
        self.queue_events = events;
        self
    }

    /// How much memory, in bytes, they may take: 64 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// A larger event, in bytes, is dropped; at most what the broker takes. 1,000,000.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// How long to wait for a fuller batch: 20 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// An event that Kafka has not taken by then is given up: 15 minutes.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// How long dropping the producer, or its [`Guard`](crate::Guard), may wait for the queue to empty: 10 s.
    pub fn exit_timeout(mut self, timeout: Duration) -> Self {
        self.exit_timeout = timeout;
        self
    }

    /// Any setting of librdkafka (TLS, SASL, …); it wins over the above and over the environment.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// Makes the producer and starts its thread. Kafka need not be there.
    ///
    /// # Errors
    /// When librdkafka refuses a setting, or the system a thread.
    pub fn build(self) -> Result<Producer, BuildError> {
        Producer::start(self.resolve(std::env::vars_os()))
    }

    /// As [`Builder::build`]; where that fails, the log says why, and the producer drops all events as `misconfigured`.
    pub fn build_or_drop(self) -> Producer {
        let settings = self.resolve(std::env::vars_os());
        Producer::start(settings.clone()).unwrap_or_else(|error| {
            tracing::error!(target: "bt_events", "events cannot be sent, all will be dropped: {error}");
            Producer::misconfigured(settings, &error)
        })
    }

    fn resolve<S: Into<std::ffi::OsString>>(
        self,
        environment: impl IntoIterator<Item = (S, S)>,
    ) -> Settings {
        let text = |text: S| text.into().into_string().ok();
        let environment: Vec<(String, String)> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let env = |names: &[&str]| {
            let find = |name: &&str| environment.iter().find(|(key, _)| key == name);
            names.iter().find_map(find).map(|(_, value)| value.clone())
        };
        let service = self.service.filter(|service| !service.is_empty());
        let service = service.or_else(|| env(&["BT_SERVICE", "SERVICE_NAME", "OTEL_SERVICE_NAME"]));
        let service = service.unwrap_or_else(|| {
            tracing::warn!(
                target: "bt_events",
                "no service name: set BT_SERVICE, or Producer::builder().service(…); using 'unknown'"
            );
            "unknown".to_owned()
        });
        let instance = self.instance.or_else(|| env(&["BT_INSTANCE"]));
        let instance = instance.or_else(|| hostname::get().ok()?.into_string().ok());
        let version = self.version;
        let version = version.or_else(|| env(&["BT_SERVICE_VERSION", "SERVICE_VERSION"]));
        let bootstrap = self.bootstrap.or_else(|| env(&["KAFKA_BOOTSTRAP"]));
        let bootstrap = bootstrap.unwrap_or_else(|| "localhost:9092".to_owned());

        let mut kafka = ClientConfig::new();
        // What the SDK says about itself comes on top of what may wait.
        let queue_events = self.queue_events.saturating_add(1000);
        let queue_kbytes = (self.queue_bytes >> 10).saturating_add(1024);
        kafka
            .set("bootstrap.servers", bootstrap)
            .set("client.id", &service)
            .set("enable.idempotence", "true")
            // In a topic that was just made the broker can refuse the first batch and take the second: the first, sent
            // again, is then a duplicate to it, and acknowledged without being written.
            .set("max.in.flight.requests.per.connection", "1")
            .set("compression.type", "snappy")
            // Java's partitioner, so that one key goes to one partition whatever language produced it.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", self.linger.as_millis().to_string())
            .set(
                "queue.buffering.max.messages",
                queue_events.min(10_000_000).to_string(),
            )
            .set(
                "queue.buffering.max.kbytes",
                queue_kbytes.min(2_097_151).to_string(),
            )
            .set("message.max.bytes", self.max_message_bytes.to_string())
            .set(
                "message.timeout.ms",
                self.delivery_timeout.as_millis().to_string(),
            )
            // A service may start before its topics are made.
            .set("topic.metadata.propagation.max.ms", "120000")
            .set("reconnect.backoff.max.ms", "5000")
            // A broker's pod that has just gone swallows connections; librdkafka would wait for one for 30 s.
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("socket.keepalive.enable", "true");
        for (name, value) in &environment {
            if let Some(key) = name.strip_prefix("BT_KAFKA_") {
                kafka.set(key.to_ascii_lowercase().replace('_', "."), value);
            }
        }
        for (key, value) in self.config {
            kafka.set(key, value);
        }
        Settings {
            source: Source::new(service, instance, version),
            topics: self.topics,
            queue_events: self.queue_events,
            queue_bytes: self.queue_bytes,
            max_message_bytes: self.max_message_bytes,
            exit_timeout: self.exit_timeout,
            kafka,
        }
    }
}

/// All that a producer needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) source: Source,
    pub(crate) topics: Topics,
    pub(crate) queue_events: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) exit_timeout: Duration,
    pub(crate) kafka: ClientConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        owned.collect()
    }

    #[test]
    fn the_environment_fills_what_the_builder_leaves_out() {
        let environment = environment(&[
            ("KAFKA_BOOTSTRAP", "kafka:9092"),
            ("BT_SERVICE", ""),
            ("SERVICE_NAME", "orders"),
            ("OTEL_SERVICE_NAME", "other"),
            ("BT_INSTANCE", "orders-1"),
            ("SERVICE_VERSION", "1.2.3"),
            ("BT_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            ("BT_KAFKA_LINGER_MS", "7"),
        ]);
        let settings = Builder::default()
            .config("linger.ms", "5")
            .resolve(environment.clone());
        assert_eq!(settings.source.key, "orders/orders-1");
        assert_eq!(settings.source.version.as_deref(), Some("1.2.3"));
        assert_eq!(settings.kafka.get("bootstrap.servers"), Some("kafka:9092"));
        assert_eq!(settings.kafka.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(settings.kafka.get("linger.ms"), Some("5"));

        let builder = Builder::default()
            .service("a")
            .instance("")
            .bootstrap("b:1");
        let settings = builder.resolve(environment);
        assert_eq!(settings.source.key, "a");
        assert_eq!(settings.kafka.get("bootstrap.servers"), Some("b:1"));
    }

    #[test]
    fn without_any_setting_there_are_defaults() {
        let settings = Builder::default().resolve(environment(&[]));
        assert_eq!(settings.source.service, "unknown");
        assert!(settings.source.instance.is_some());
        assert_eq!(
            settings.kafka.get("bootstrap.servers"),
            Some("localhost:9092")
        );
    }
}
