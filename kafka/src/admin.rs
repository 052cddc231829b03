//! Kafka's Admin API (KIP-117, KIP-339 incremental alter, KIP-516 topic ids), in batches, with the broker's own messages.

mod configs;
mod offsets;
mod request;
mod topics;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::types::RDKafkaType;
use rdkafka_sys as sys;

use crate::{Connection, Error};
pub use configs::{ConfigEntry, ConfigOp, ConfigSource};
pub use offsets::Offsets;
pub use topics::{NewTopic, Topic};

/// One client of one cluster. Cheap to clone; calls run on Tokio's blocking threads, never on its workers.
#[derive(Clone)]
pub struct Admin {
    client: Arc<Client<DefaultClientContext>>,
    timeout: Duration,
    /// Why the cluster could not be reached when last tried: it is told once, and every later call just times out.
    cause: Arc<Mutex<Option<Error>>>,
}

impl Admin {
    /// A client that waits up to ten seconds for an answer. Connects when first used.
    ///
    /// # Errors
    /// When librdkafka refuses the connection's settings.
    pub fn new(connection: &Connection, client_id: &str) -> Result<Self, Error> {
        let config = connection.client_config(client_id);
        let refused = |error: rdkafka::error::KafkaError| {
            Error::new(
                "connect",
                rdkafka::error::RDKafkaErrorCode::InvalidArgument,
                error.to_string(),
            )
        };
        let native = config.create_native_config().map_err(refused)?;
        // SAFETY: the configuration is ours and not yet given to a client.
        unsafe { sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_ERROR) };
        let client = Client::new(
            &config,
            native,
            RDKafkaType::RD_KAFKA_PRODUCER,
            DefaultClientContext,
        )
        .map_err(refused)?;
        Ok(Self {
            client: Arc::new(client),
            timeout: Duration::from_secs(10),
            cause: Arc::default(),
        })
    }

    /// Waits up to `timeout` for each answer instead.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let admin = self.clone();
        tokio::task::spawn_blocking(move || call(&admin))
            .await
            .expect("an Admin call does not panic and is never aborted")
    }
}
