//! Sinks at work: each with a group, and a state topic, of its own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bt_operator::STATE_TOPIC_CONFIG;
use tokio::time::sleep;

use super::PARTITIONS;
use super::events::Plan;
use super::figures::{Consumed, Figures};
use super::scrapes::{Meanwhile, Scraping};
use super::sink::{Setup, Sink};
use crate::preload::Topics;
use crate::words::{duration, mebibytes, progress};

/// Until memory is looked at, after the last commit.
const REST: Duration = Duration::from_secs(3);
/// Events a second that are written while a sink consumes.
const LIVE_RATE: f64 = 40_000.0;
/// Between two questions for what is committed, or assigned.
const LOOK: Duration = Duration::from_millis(100);

/// What all sinks of a run have in common, and what they leave in Kafka.
pub struct Work {
    kafka: String,
    binary: PathBuf,
    id: String,
    /// How long one run may take.
    pub deadline: Duration,
    topics: Topics,
    /// Topics that have to be deleted.
    made: Vec<String>,
    groups: Vec<String>,
}

/// A preloaded topic.
pub struct Loaded {
    /// Its name.
    pub topic: String,
    /// What is in it.
    pub plan: Plan,
    /// What that comes to, by series.
    pub sums: Vec<u64>,
}

impl Work {
    /// For sinks of this program.
    ///
    /// # Errors
    /// When librdkafka refuses the address.
    pub fn new(kafka: &str, id: String, binary: PathBuf, deadline: Duration) -> Result<Self> {
        Ok(Self {
            topics: Topics::new(kafka)?,
            kafka: kafka.into(),
            binary,
            id,
            deadline,
            made: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// Makes what all sinks need.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn begin(&mut self) -> Result<()> {
        let dead_letters = self.dead_letters();
        self.made.push(dead_letters.clone());
        self.topics.make(&dead_letters, PARTITIONS, &[]).await
    }

    /// Deletes what was made.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn end(&self) -> Result<()> {
        self.topics.delete(&self.made, &self.groups).await
    }

    /// Makes a topic, and fills it.
    ///
    /// # Errors
    /// When Kafka does not take it all.
    pub async fn preload(
        &mut self,
        what: &str,
        plan: Plan,
        figures: &mut Figures,
    ) -> Result<Loaded> {
        let topic = self.topic(what).await?;
        let preloaded = self.topics.write(&topic, plan, None).await?;
        figures.mean_bytes = preloaded.bytes as f64 / plan.events as f64;
        figures.preload_seconds = preloaded.took.as_secs_f64();
        progress(&format!(
            "{} events of {:.0} B, {} series: preloaded in {}",
            plan.events,
            figures.mean_bytes,
            plan.series,
            duration(preloaded.took)
        ));
        let sums = plan.sums();
        Ok(Loaded { topic, plan, sums })
    }

    /// Consumes a preloaded topic by a new group, until all is committed, and looks at the process then.
    ///
    /// # Errors
    /// When the sink ends, refuses an event, or is not done in time.
    pub async fn consumed(
        &mut self,
        what: &str,
        loaded: &Loaded,
        exactly_once: bool,
        meanwhile: Meanwhile,
    ) -> Result<(Sink, Consumed)> {
        let setup = self.setup(what, loaded, exactly_once);
        let mut sink = self.start(&setup).await?;
        let scraping = Scraping::begin(&sink, meanwhile, loaded.plan.events);
        let found = self.settled(&mut sink, &setup.group, loaded.plan.events);
        let mut consumed = found.await.with_context(|| what.to_owned())?;
        consumed.scrapes = scraping.end().await?;
        progress(&format!(
            "{what}: {:.2} CPU s a million, {:.0} events/s, {} resident",
            consumed.per_million(),
            consumed.rate,
            mebibytes(consumed.rss)
        ));
        Ok((sink, consumed))
    }

    /// The same with a topic of its own, whose events are written while it consumes, slowly.
    ///
    /// # Errors
    /// The same.
    pub async fn live(
        &mut self,
        what: &str,
        plan: Plan,
        exactly_once: bool,
    ) -> Result<(Sink, Consumed)> {
        let loaded = Loaded {
            topic: self.topic(what).await?,
            plan,
            sums: Vec::new(),
        };
        let setup = self.setup(what, &loaded, exactly_once);
        let mut sink = self.start(&setup).await?;
        while sink.assigned().1.is_none() {
            sink.alive(self.deadline, "get its partitions")?;
            sleep(LOOK).await;
        }
        let written = self.topics.write(&loaded.topic, plan, Some(LIVE_RATE));
        written.await?;
        let found = self.settled(&mut sink, &setup.group, plan.events);
        let consumed = found.await.with_context(|| what.to_owned())?;
        progress(&format!("{what}: {} resident", mebibytes(consumed.rss)));
        Ok((sink, consumed))
    }

    /// How the sink of this name is set up.
    pub fn setup(&self, what: &str, loaded: &Loaded, exactly_once: bool) -> Setup {
        Setup {
            binary: self.binary.clone(),
            kafka: self.kafka.clone(),
            topic: loaded.topic.clone(),
            group: format!("{}.{what}", self.id),
            dead_letters: self.dead_letters(),
            state: exactly_once.then(|| format!("{}.{what}.state", self.id)),
            // A pod has room for its partitions' share, and none here is to be refused.
            max_series: (loaded.plan.series * 2).max(1000),
        }
    }

    /// A group for something else than a sink.
    pub fn group(&mut self, what: &str) -> String {
        let group = format!("{}.{what}", self.id);
        self.groups.push(group.clone());
        group
    }

    async fn topic(&mut self, what: &str) -> Result<String> {
        let topic = format!("{}.{what}", self.id);
        self.made.push(topic.clone());
        let settings = [("compression.type", "snappy")];
        self.topics.make(&topic, PARTITIONS, &settings).await?;
        Ok(topic)
    }

    /// Starts a sink with a state topic of its own, where it has one.
    async fn start(&mut self, setup: &Setup) -> Result<Sink> {
        self.groups.push(setup.group.clone());
        if let Some(state) = &setup.state {
            self.made.push(state.clone());
            self.topics
                .make(state, PARTITIONS, &STATE_TOPIC_CONFIG)
                .await?;
        }
        Sink::start(setup)
    }

    /// Waits until a sink has taken and committed all events; what it needed for that, and needs at rest.
    async fn settled(&self, sink: &mut Sink, group: &str, events: u64) -> Result<Consumed> {
        let rate = sink.consume(events, self.deadline).await?;
        while self.topics.committed(group).await? < events {
            sink.alive(self.deadline, "commit all events")?;
            sleep(LOOK).await;
        }
        let cpu = sink.usage()?.cpu;
        sleep(REST).await;
        Ok(Consumed {
            events,
            rate,
            cpu,
            rss: sink.usage()?.rss,
            series_bytes: sink.samples().await?.sum("bt_consumer_series_bytes"),
            scrapes: 0,
        })
    }

    fn dead_letters(&self) -> String {
        format!("{}.dead-letters", self.id)
    }
}
