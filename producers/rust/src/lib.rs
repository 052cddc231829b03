//! The wire format of bt-monitoring: metrics, logs, health checks and business events as JSON, one object or an array
//! of objects to a Kafka record.
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
//! a sink can pass it through. Producers make events with [`Event::metric`], [`Event::log`], [`Event::health`] and
//! [`Event::business`] and write them with [`Event::to_json`]:
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

mod error;
mod event;
mod fields;
mod json;
mod pairs;
mod parse;
mod scan;
mod text;
mod time;

pub use error::EventError;
pub use event::{Body, Business, ErrorInfo, Event, Health, Kind, Log, Metric, Op, Status};
pub use json::{RawJson, raw_json};
pub use pairs::{Pairs, PairsIter};
pub use parse::{Element, Elements, parse};
pub use text::Text;
pub use time::Time;
