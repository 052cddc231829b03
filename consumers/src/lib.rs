//! The consumers: carry Kafka topics of events into Prometheus or Elasticsearch/OpenSearch.
//!
//! [`config`] is the configuration file, which the operator writes and whose sink types it also shows in its resource;
//! [`run`] is the whole program; [`replay()`] sends again what it could not deliver. [`tail()`], [`letters()`] and [`send()`] are
//! what `kubectl bt` runs in a pod.

pub mod config;

mod app;
mod letters;
mod memory;
mod own_metrics;
mod pipeline;
mod replay;
mod send;
mod server;
mod sink;
mod sink_state;
mod stats;
mod tail;

pub use app::{Ports, RunError, check, run};
pub use letters::{
    DeadLetter, Group as LetterGroup, Options as LettersOptions, Report as LettersReport, letters,
};
pub use own_metrics::{Described, OwnMetrics};
pub use replay::{
    Moment, Options as ReplayOptions, ReplayError, Summary as ReplaySummary, Which as WhichLetters,
    replay,
};
pub use send::{Hop, Options as SendOptions, SendError, SendKind, send};
pub use sink_state::{Notice, SinkCondition, SinkReport};
pub use tail::{Options as TailOptions, TailError, TailKind, TailLine, tail};

/// The consumers' own metrics, `bt_consumer_…`.
pub fn described_metrics() -> Vec<Described> {
    stats::Stats::new().described()
}
