//! The consumers: carry Kafka topics of events into Prometheus or Elasticsearch/OpenSearch.
//!
//! [`config`] is the configuration file, which the operator writes and whose sink types it also shows in its resource;
//! [`run`] is the whole program.

pub mod config;

mod app;
mod pipeline;
mod server;
mod sink;
mod sink_state;
mod stats;

pub use app::{Ports, RunError, check, run};
pub use sink_state::{Notice, SinkCondition, SinkReport};
