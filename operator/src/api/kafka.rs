use bt_kafka::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Kafka cluster, where it is not the operator's own. What is left out comes from the operator's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Comma-separated `host:port` pairs to find the cluster by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub bootstrap_servers: Option<String>,
}

impl KafkaSpec {
    /// The connection of a resource: what its `spec.kafka` gives, the operator's own for the rest.
    pub fn connection(given: Option<&Self>, default: &Connection) -> Connection {
        given
            .and_then(|kafka| kafka.bootstrap_servers.as_ref())
            .map_or_else(|| default.clone(), Connection::plaintext)
    }
}
