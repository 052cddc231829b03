//! Kafka's Admin API (KIP-117, KIP-339 incremental alter, KIP-516 topic ids), in batches, with the broker's own messages.

mod cluster;
mod configs;
mod groups;
mod native;
mod offsets;
mod request;
mod session;
mod topics;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use self::session::Session;
use crate::{Connection, Error};
pub use configs::{ConfigEntry, ConfigOp, ConfigSource};
pub use groups::{Group, GroupState};
pub use offsets::Offsets;
pub use topics::{NewTopic, Topic};

/// One client of one cluster. Cheap to clone; calls run on Tokio's blocking threads, never on its workers.
#[derive(Clone)]
pub struct Admin {
    config: Arc<ClientConfig>,
    /// None is open after a failure.
    session: Arc<Mutex<Option<Arc<Session>>>>,
    timeout: Duration,
    on_call: Option<Arc<OnCall>>,
}

/// Told of each call: its name, whether it was answered without an error, and how long that took.
type OnCall = dyn Fn(&'static str, bool, Duration) + Send + Sync;

impl Admin {
    /// A client that waits up to ten seconds for an answer. Connects when first used.
    ///
    /// # Errors
    /// When librdkafka refuses the connection's settings.
    pub fn new(connection: &Connection, client_id: &str) -> Result<Self, Error> {
        let mut config = connection.client_config(client_id);
        config
            // That a broker closed the connection is told on this level only.
            .set_log_level(RDKafkaLogLevel::Info)
            // It would try some 20 times a second while all brokers are down; a new session begins anew by itself.
            .set("metadata.recovery.strategy", "none");
        let session = Session::open(&config)?;
        Ok(Self {
            config: Arc::new(config),
            session: Arc::new(Mutex::new(Some(Arc::new(session)))),
            timeout: Duration::from_secs(10),
            on_call: None,
        })
    }

    /// Waits up to `timeout` for each answer instead.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Calls `told` after each request, with its name, whether it succeeded, and how long it took.
    pub fn on_call(
        mut self,
        told: impl Fn(&'static str, bool, Duration) + Send + Sync + 'static,
    ) -> Self {
        self.on_call = Some(Arc::new(told));
        self
    }

    /// The session to send a request in: a new one after all brokers were lost, because librdkafka tells the same failure
    /// only once in 30 seconds, and of a new session's first attempt all is told.
    fn session(&self) -> Result<Arc<Session>, Error> {
        let mut open = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = open.as_ref().filter(|session| !session.is_lost()) {
            return Ok(session.clone());
        }
        let session = Arc::new(Session::open(&self.config)?);
        let lost = open.replace(session.clone());
        drop(open);
        drop(lost);
        Ok(session)
    }

    /// Closes a session that has lost all brokers, rather than let it try for ever.
    fn close_lost(&self, session: &Arc<Session>) {
        if session.is_lost() {
            let mut open = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let lost = open.take_if(|open| Arc::ptr_eq(open, session));
            drop(open);
            drop(lost);
        }
    }
}
