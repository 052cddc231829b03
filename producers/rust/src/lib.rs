//! The SDK of bt-monitoring for Rust: [`Producer`] sends a service's metrics, logs, health checks and business events to
//! Kafka, in the background (feature `producer`, on by default). See the README for settings, features, and what becomes of
//! what cannot be sent.
//!
//! With or without it there is the wire format: events as JSON, one object or an array of objects to a Kafka record.
//!
//! | kind | fields (those with `?` may be missing) |
//! |---|---|
//! | all | `ts` (RFC 3339 or milliseconds since the epoch), `service`, `instance?`, `id?` |
//! | metric | `name`, `kind` (`counter`, `gauge`, `histogram`), `value`, `op?` (`set`, `add`), `labels?`, `help?`, `unit?`, `buckets?`, `trace_id?` |
//! | log | `level`, `message`, `logger?`, `trace_id?`, `span_id?`, `error?` (`type`, `message`, `stack_trace`), `fields?` |
//! | health | `status` (`up`, `degraded`, `down`), `checks?`, `latency_ms?` |
//! | business | `type`, `payload?` |
//!
//! Consumers read with [`parse`], which borrows from the record and keeps what it can as the JSON text it was, so that
//! a sink can pass it through. Whoever writes records by other means makes events with [`Event::metric`], [`Event::log`],
//! [`Event::health`] and [`Event::business`] and writes them with [`Event::to_json`]:
//!
//! ```
//! use bt_events::{Event, Metric};
//!
//! let event = Event::metric("orders", Metric::counter("orders_total", 1.0).label("region", "eu"))
//!     .instance("orders-1");
//! let json = event.to_json();
//! let read = bt_events::parse(json.as_bytes()).unwrap().next().unwrap().event().unwrap();
//! assert_eq!(read.service.as_str(), "orders");
//! ```

#[cfg(feature = "producer")]
mod client;
mod compose;
#[cfg(feature = "producer")]
mod counts;
#[cfg(feature = "producer")]
mod default;
mod error;
mod event;
mod fields;
#[cfg(feature = "health")]
mod health;
#[cfg(feature = "tower")]
mod http_layer;
mod json;
#[cfg(feature = "tracing")]
mod log_layer;
mod pairs;
mod parse;
#[cfg(feature = "producer")]
mod producer;
#[cfg(feature = "producer")]
mod queue;
#[cfg(feature = "producer")]
mod report;
mod scan;
mod schema;
#[cfg(feature = "producer")]
mod settings;
#[cfg(feature = "signal")]
mod signals;
#[cfg(all(test, feature = "producer"))]
mod testing;
mod text;
mod time;
#[cfg(feature = "producer")]
mod valid;
#[cfg(feature = "producer")]
mod worker;

#[cfg(feature = "producer")]
pub use counts::Stats;
#[cfg(feature = "producer")]
pub use default::{
    default_producer, flush, init, send_event, send_health, send_log, send_metric, set_default,
    stats,
};
pub use error::EventError;
pub use event::{Body, Business, ErrorInfo, Event, Health, Kind, Log, Metric, Op, Status};
#[cfg(feature = "health")]
pub use health::{Answer, HealthChecks, RunningChecks};
#[cfg(feature = "tower")]
pub use http_layer::{HttpLayer, HttpService, ResponseFuture};
pub use json::{RawJson, raw_json};
#[cfg(feature = "tracing")]
pub use log_layer::LogLayer;
pub use pairs::{Pairs, PairsIter};
pub use parse::{Element, Elements, parse};
#[cfg(feature = "producer")]
pub use producer::{BuildError, Guard, Producer};
pub use schema::SCHEMA;
#[cfg(feature = "producer")]
pub use settings::Builder;
pub use text::Text;
pub use time::Time;
