//! The consumers: carry Kafka topics of events into Prometheus or Elasticsearch/OpenSearch.
//!
//! [`config`] is the configuration file, which the operator writes and whose sink types it also shows in its resource;
//! [`run`] is the whole program; [`replay()`] sends again what it could not deliver.

pub mod config;

mod app;
mod memory;
mod own_metrics;
mod pipeline;
mod replay;
mod server;
mod sink;
mod sink_state;
mod stats;

pub use app::{Ports, RunError, check, run};
pub use own_metrics::{Described, OwnMetrics};
pub use replay::{Moment, Options as ReplayOptions, ReplayError, Summary as ReplaySummary, replay};
pub use sink_state::{Notice, SinkCondition, SinkReport};

/// The consumers' own metrics, `bt_consumer_…`.
pub fn described_metrics() -> Vec<Described> {
    stats::Stats::new().described()
}
