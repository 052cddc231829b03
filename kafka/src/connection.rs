use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to reach a Kafka cluster. The same block stands in the resources (`spec.kafka`) and in the consumers' configuration.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// Comma-separated `host:port` pairs to find the cluster by (Kafka's `bootstrap.servers`).
    pub bootstrap_servers: String,
}

impl Connection {
    /// A plaintext connection.
    pub fn plaintext(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
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
        config
    }
}
