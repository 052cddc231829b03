//! Consumers at work, each with a group of its own, and what they leave in Kafka.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::documents::Logs;
use super::figures::{Consumed, Figures};
use super::null_engine::NullEngine;
use super::sink::{Setup, Sink};
use crate::child::Child;
use crate::preload::Topics;
use crate::spread::Spread;
use crate::words::{duration, mebibytes, progress};

/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);
/// Between two questions for what is committed.
const COMMITTED: Duration = Duration::from_millis(100);

/// What all consumers of a run have in common, and what they leave in Kafka.
pub struct Work {
    kafka: String,
    binary: PathBuf,
    id: String,
    partitions: i32,
    /// How long one run may take.
    pub deadline: Duration,
    /// The client of Kafka.
    pub topics: Topics,
    /// Topics that have to be deleted.
    made: Vec<String>,
    groups: Vec<String>,
}

/// From when on CPU time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The process' start.
    Start,
    /// When it first asked the engine for anything: what an interpreter needs to get going is left out.
    FirstRequest,
}

impl Work {
    /// For sinks of this program.
    ///
    /// # Errors
    /// When librdkafka refuses the address.
    pub fn new(
        kafka: &str,
        id: String,
        binary: PathBuf,
        partitions: i32,
        deadline: Duration,
    ) -> Result<Self> {
        Ok(Self {
            topics: Topics::new(kafka)?,
            kafka: kafka.into(),
            binary,
            id,
            partitions,
            deadline,
            made: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// Makes the topic for dead letters.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn begin(&mut self) -> Result<()> {
        let dead_letters = self.dead_letters();
        self.made.push(dead_letters.clone());
        self.topics.make(&dead_letters, self.partitions, &[]).await
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
        logs: u64,
        figures: &mut Figures,
    ) -> Result<String> {
        let topic = format!("{}.{what}", self.id);
        self.made.push(topic.clone());
        let settings = [("compression.type", "snappy")];
        self.topics.make(&topic, self.partitions, &settings).await?;
        let preloaded = self.topics.write(&topic, Logs(logs), None).await?;
        figures.mean_bytes = preloaded.bytes as f64 / logs as f64;
        figures.preload_seconds = preloaded.took.as_secs_f64();
        progress(&format!(
            "{logs} logs of {:.0} B: preloaded in {}",
            figures.mean_bytes,
            duration(preloaded.took)
        ));
        Ok(topic)
    }

    /// The group of a run.
    pub fn group_of(&self, what: &str) -> String {
        format!("{}.{what}", self.id)
    }

    /// The same, which is deleted at the end.
    pub fn group(&mut self, what: &str) -> String {
        let group = self.group_of(what);
        self.groups.push(group.clone());
        group
    }

    /// Starts a sink with a group of this name.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn sink(&mut self, what: &str, topic: &str, url: String, gzip: bool) -> Result<Sink> {
        Sink::start(&Setup {
            binary: self.binary.clone(),
            kafka: self.kafka.clone(),
            topic: topic.into(),
            group: self.group(what),
            dead_letters: self.dead_letters(),
            url,
            stream: self.stream(),
            gzip,
        })
    }

    /// The data stream of this run.
    pub fn stream(&self) -> String {
        self.id.clone()
    }

    /// Waits until the engine has so many documents and the group has committed as many; what the process needed for that.
    ///
    /// # Errors
    /// When the process ends, is not done in time, or the engine has other documents than there are logs.
    pub async fn consumed(
        &self,
        what: &str,
        child: &mut Child,
        engine: &NullEngine,
        logs: u64,
        since: Since,
    ) -> Result<Consumed> {
        let (mut before, mut resident) = (0.0, Vec::new());
        while engine.given().documents < logs {
            let usage = child.usage()?;
            if engine.given().documents > 0 {
                resident.push(usage.rss as f64);
            }
            if since == Since::FirstRequest && !engine.is_asked() {
                before = usage.cpu;
            }
            child
                .alive(self.deadline, "send all logs")
                .with_context(|| format!("{what}: {} of {logs}", engine.given().documents))?;
            sleep(LOOK).await;
        }
        let group = self.group_of(what);
        while self.topics.committed(&group).await? < logs {
            child.alive(self.deadline, "commit all logs")?;
            sleep(COMMITTED).await;
        }
        let (usage, given) = (child.usage()?, engine.given());
        let documents = given.documents;
        ensure!(
            documents == logs,
            "{what}: the engine was given {documents} documents of {logs} logs"
        );
        let steady = Spread::of(resident).map_or(usage.rss, |spread| spread.median as u64);
        let consumed = Consumed {
            logs,
            rate: logs as f64 / given.took.as_secs_f64().max(LOOK.as_secs_f64()),
            cpu: usage.cpu - before,
            peak: usage.peak,
            steady,
            sent: given.bytes,
        };
        progress(&format!(
            "{what}: {:.2} CPU s a million, {:.0} documents/s, {} resident, {} at most",
            consumed.per_million(),
            consumed.rate,
            mebibytes(consumed.steady),
            mebibytes(consumed.peak)
        ));
        Ok(consumed)
    }

    fn dead_letters(&self) -> String {
        format!("{}.dead-letters", self.id)
    }
}
