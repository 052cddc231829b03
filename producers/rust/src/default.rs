//! One producer for the whole program, with settings from the environment.

use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;

use crate::{Guard, Health, Log, Metric, Producer, Stats};

static DEFAULT: OnceLock<Producer> = OnceLock::new();

/// The producer behind this crate's functions, made from the environment on first use.
pub fn default_producer() -> &'static Producer {
    DEFAULT.get_or_init(Producer::from_env)
}

/// Makes `producer` the one behind this crate's functions. Its guard, kept until the end of `main`, delivers what still
/// waits then.
///
/// # Errors
/// When there is one already: gives `producer` back.
pub fn set_default(producer: Producer) -> Result<Guard, Producer> {
    let guard = producer.clone();
    DEFAULT.set(producer)?;
    Ok(guard.guard())
}

/// Makes the default producer from the environment. The guard, kept until the end of `main`, delivers what still waits then.
///
/// ```no_run
/// let _events = bt_events::init();
/// bt_events::send_event("order.created", &serde_json::json!({"order_id": 42}));
/// ```
pub fn init() -> Guard {
    default_producer().guard()
}

/// Publishes a metric; see [`Producer::send_metric`].
pub fn send_metric(metric: Metric<'static>) -> bool {
    default_producer().send_metric(metric)
}

/// Publishes a log line; see [`Producer::send_log`].
pub fn send_log(log: Log<'static>) -> bool {
    default_producer().send_log(log)
}

/// Publishes a business event; see [`Producer::send_event`].
pub fn send_event(r#type: impl Into<String>, payload: &impl Serialize) -> bool {
    default_producer().send_event(r#type, payload)
}

/// Publishes the service's health; see [`Producer::send_health`].
pub fn send_health(health: Health<'static>) -> bool {
    default_producer().send_health(health)
}

/// Waits until Kafka has everything that was sent; see [`Producer::flush`].
pub fn flush(timeout: Duration) -> bool {
    default_producer().flush(timeout)
}

/// What became of the events; see [`Producer::stats`].
pub fn stats() -> Stats {
    default_producer().stats()
}
