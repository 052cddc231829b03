//! The elasticsearch sink: documents by `_bulk` into Elasticsearch or OpenSearch.
//!
//! Events become documents on the poll thread and gather in a batch; batches are delivered by tasks that acknowledge
//! each document when the engine has it, or the dead-letter topic. Ids are stable, so delivering again does no harm.

mod bulk;
mod client;
mod deliver;
mod document;
mod engine;
mod failure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_events::Event;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Sink, SinkStatus, Taken};
use crate::config;
use crate::pipeline::{Acks, Assignment, DeadLetters, Origin};
use crate::sink_state::SinkState;
use crate::stats::Stats;
use bulk::{Batch, Item};
use deliver::Deliverer;

/// Beside its document and original, what an event occupies.
const OVERHEAD: usize = 256;

/// The sink's half on the poll thread.
pub(crate) struct ElasticsearchSink {
    batch: Batch,
    began: Instant,
    max_bytes: usize,
    max_docs: usize,
    flush_interval: Duration,
    batches: UnboundedSender<Batch>,
    deliverer: Arc<Deliverer>,
}

impl ElasticsearchSink {
    /// A sink that sets up its engine, and delivers, on `runtime`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        config: &config::ElasticsearchSink,
        runtime: &tokio::runtime::Handle,
        acks: Acks,
        dead_letters: DeadLetters,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
    ) -> Result<Self, reqwest::Error> {
        let deliverer = Deliverer::new(config, acks, dead_letters, stats, state)?;
        let deliverer = Arc::new(deliverer);
        runtime.spawn(deliverer.clone().probe());
        let (batches, receiver) = unbounded_channel();
        runtime.spawn(deliverer.clone().run(receiver));
        Ok(Self {
            batch: Batch::default(),
            began: Instant::now(),
            max_bytes: config.bulk.max_bytes as usize,
            max_docs: config.bulk.max_docs as usize,
            flush_interval: config.bulk.flush_interval.0,
            batches,
            deliverer,
        })
    }

    /// The most bytes that are worth having under way: a batch for each request at a time and two in waiting, with the
    /// originals that dead letters would be made of.
    pub fn max_in_flight(bulk: &config::BulkSettings) -> usize {
        2 * (bulk.concurrency as usize + 2) * bulk.max_bytes as usize
    }

    fn ship(&mut self) {
        if !self.batch.is_empty() {
            // Only fails when the runtime is gone, and with it the process.
            let _ = self.batches.send(std::mem::take(&mut self.batch));
        }
    }
}

impl Sink for ElasticsearchSink {
    fn assigned(&mut self, _: &Arc<Assignment>) {}

    fn event(&mut self, event: &Event<'_>, origin: &Origin<'_>) -> Taken {
        if self.batch.is_empty() {
            self.began = Instant::now();
        }
        let start = self.batch.body.len();
        if let Err(why) = document::write(&mut self.batch.body, event, origin) {
            self.batch.body.truncate(start);
            return Taken::Rejected(why);
        }
        let end = self.batch.body.len();
        let original = origin.bytes.map_or(0, <[u8]>::len) + origin.key.map_or(0, <[u8]>::len);
        let bytes = end - start + original + OVERHEAD;
        self.batch.items.push(Item {
            range: start..end,
            original: origin.to_original(),
            bytes,
        });
        if end >= self.max_bytes || self.batch.items.len() >= self.max_docs {
            self.ship();
        }
        Taken::Later { bytes }
    }

    fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) >= self.flush_interval {
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
