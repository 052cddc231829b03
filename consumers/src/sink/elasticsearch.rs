//! The elasticsearch sink: documents by `_bulk` into Elasticsearch or OpenSearch.
//!
//! Events become documents on the poll thread and gather in a batch; batches are delivered by tasks that acknowledge each
//! document when the engine has it, or will never take it. Ids are stable, so delivering again does no harm.

mod answer;
mod backoff;
mod batch;
mod client;
mod credentials;
mod deliver;
mod document;
mod doubt;
mod engine;
mod failure;
mod find;
#[cfg(test)]
#[allow(dead_code, reason = "no test needs all of it")]
#[path = "../../../producers/rust/tests/fuzz/generate.rs"]
mod generate;
mod labels;
mod limit;
mod malformed;
mod mounted;
mod nodes;
mod payload;
mod settle;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_events::{Event, EventError};
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Rejection, Sink, SinkStatus, Taken};
use crate::config::{self, Malformed};
use crate::pipeline::{Acks, Assignment, Origin};
use crate::sink_state::SinkState;
use crate::stats::Stats;
use batch::{Batch, Gathering};
use deliver::{Deliverer, PROBE_INTERVAL};
pub(crate) use find::Finder;
pub(crate) use target::Target;

/// Why there can be no sink.
#[derive(Debug, Error)]
pub enum StartError {
    /// The name of the data stream.
    #[error("sink.elasticsearch.dataStream: {0}")]
    DataStream(String),
    /// The HTTP client.
    #[error("cannot make the HTTP client of the sink: {0}")]
    Http(#[from] reqwest::Error),
}

/// The sink's half on the poll thread.
pub(crate) struct ElasticsearchSink {
    target: Target,
    malformed: Malformed,
    gathering: Gathering,
    began: Instant,
    max_bytes: usize,
    max_docs: usize,
    flush_interval: Duration,
    batches: UnboundedSender<Batch>,
    deliverer: Arc<Deliverer>,
}

impl ElasticsearchSink {
    /// The sink of a consumer (`namespace/name`) that sets up its engine, and delivers, on `runtime`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made, or the data stream's name is none.
    pub fn new(
        config: &config::ElasticsearchSink,
        consumer: &str,
        runtime: &tokio::runtime::Handle,
        acks: Acks,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
    ) -> Result<Self, StartError> {
        let target = Target::parse(&config.data_stream).map_err(StartError::DataStream)?;
        let (batches, receiver) = unbounded_channel();
        let deliverer = Deliverer::new(
            config,
            consumer,
            &target,
            acks,
            stats,
            state,
            batches.clone(),
        )?;
        let deliverer = Arc::new(deliverer);
        runtime.spawn(deliverer.clone().probe(PROBE_INTERVAL));
        runtime.spawn(deliverer.clone().run(receiver));
        Ok(Self {
            target,
            malformed: config.malformed,
            gathering: Gathering::default(),
            began: Instant::now(),
            max_bytes: config.bulk.max_bytes as usize,
            max_docs: config.bulk.max_docs as usize,
            flush_interval: config.bulk.flush_interval.0,
            batches,
            deliverer,
        })
    }

    /// The most bytes that are worth having under way: a batch for each request at a time, with the originals that dead letters would
    /// be made of, and half of one that gathers.
    pub fn max_in_flight(bulk: &config::BulkSettings) -> usize {
        (2 * bulk.concurrency as usize + 1) * bulk.max_bytes as usize
    }

    /// Adds a document; `event_at` is the event's own time in milliseconds since the epoch.
    fn add(
        &mut self,
        origin: &Origin<'_>,
        event_at: i64,
        write: impl FnOnce(&mut Vec<u8>, &Target) -> Result<(), Rejection>,
    ) -> Taken {
        if self.gathering.is_empty() {
            self.began = Instant::now();
        }
        let target = &self.target;
        let added = self
            .gathering
            .add(origin, event_at, |out| write(out, target));
        let bytes = match added {
            Ok(bytes) => bytes,
            Err(why) => return Taken::Rejected(why),
        };
        if self.gathering.size() >= self.max_bytes || self.gathering.documents() >= self.max_docs {
            self.ship();
        }
        Taken::Later { bytes }
    }

    fn ship(&mut self) {
        if !self.gathering.is_empty() {
            let batch = self.gathering.ship(&self.deliverer.spare);
            // Only fails when the runtime is gone, and with it the process.
            let _ = self.batches.send(batch);
        }
    }
}

impl Sink for ElasticsearchSink {
    fn assigned(&mut self, _: &Arc<Assignment>) {}

    fn event(&mut self, event: &Event<'_>, origin: &Origin<'_>) -> Taken {
        let at = match event.ts.is_out_of_range() {
            true => origin.timestamp.unwrap_or_default(),
            false => event.ts.at().as_millisecond(),
        };
        self.add(origin, at, |out, target| {
            document::write(out, event, origin, target)
        })
    }

    fn malformed(&mut self, error: &EventError, origin: &Origin<'_>) -> Taken {
        match self.malformed {
            Malformed::DeadLetter => {
                Taken::Malformed(Rejection::new(error.reason(), error.to_string()))
            }
            Malformed::Index => {
                let at = origin.timestamp.unwrap_or_default();
                self.add(origin, at, |out, target| {
                    malformed::write(out, error, origin, target);
                    Ok(())
                })
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.began) >= self.flush_interval;
        if due && !self.gathering.is_empty() && self.deliverer.has_room() {
            self.ship();
        }
    }

    fn flush(&mut self) {
        self.ship();
    }

    fn revoked(&mut self, _: &[Arc<Assignment>]) {}

    fn status(&self) -> SinkStatus {
        self.deliverer.status()
    }
}
