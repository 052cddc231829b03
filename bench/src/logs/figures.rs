//! All that was measured, as it is also written to a file: names there are these fields'.

use serde::Serialize;

use crate::told::Told;

/// The part of its processors that an engine at its limit uses at least: starting and the last commit are measured with it.
const SATURATED: f64 = 0.9;

/// All that was measured; what is absent was not.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The machine, in one line.
    pub machine: String,
    /// The versions, in one line.
    pub versions: String,
    /// Logs in the topic.
    pub logs: u64,
    /// Its partitions.
    pub partitions: i32,
    /// Mean bytes of a log.
    pub mean_bytes: f64,
    /// Seconds to preload the topic.
    pub preload_seconds: f64,
    /// librdkafka alone, by round.
    pub bare: Vec<Told>,
    /// librdkafka, and copies of the bytes, by round.
    pub floor: Vec<Told>,
    /// The sink without compression, by round.
    pub sink: Vec<Consumed>,
    /// The sink with gzip, by round.
    pub gzip: Vec<Consumed>,
    /// rsyslog, by round.
    pub rsyslog: Vec<Consumed>,
    /// The consumer in Python, by round.
    pub python: Vec<Consumed>,
    /// The engine that does not answer.
    pub stall: Option<Stall>,
    /// The real engine.
    pub engine: Option<WithEngine>,
    /// What could not be measured, and why.
    pub skipped: Vec<String>,
}

/// A process at work, until the engine had all documents and everything was committed.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumed {
    /// How many logs it took.
    pub logs: u64,
    /// Documents a second, between the engine's first answer and the last.
    pub rate: f64,
    /// CPU seconds, user and system.
    pub cpu: f64,
    /// The most bytes that were resident.
    pub peak: u64,
    /// Resident bytes while it was at work, the median.
    pub steady: u64,
    /// Bytes that it sent to the engine.
    pub sent: u64,
}

/// The sink while the engine did not answer.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stall {
    /// How long, in seconds.
    pub seconds: f64,
    /// Resident bytes before.
    pub before: u64,
    /// When its buffers had filled: after a sixth of the time, at most half a minute.
    pub filled: u64,
    /// At the end.
    pub end: u64,
    /// When everything was committed, at rest.
    pub after: u64,
    /// The most at any time.
    pub peak: u64,
    /// Whether the sink kept its place in the group, with no rebalance.
    pub member: bool,
}

/// The sink with a real engine.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WithEngine {
    /// What it is.
    pub name: String,
    /// Processors that it may use.
    pub processors: u64,
    /// Logs.
    pub logs: u64,
    /// Seconds from the sink's first partitions to all committed.
    pub seconds: f64,
    /// CPU seconds of the sink.
    pub sink_cpu: f64,
    /// CPU seconds of the engine's processes.
    pub engine_cpu: f64,
    /// The most bytes of the sink that were resident.
    pub peak: u64,
}

impl Consumed {
    /// CPU seconds a million logs.
    pub fn per_million(&self) -> f64 {
        self.cpu * 1e6 / self.logs as f64
    }
}

impl Stall {
    /// By how much memory grew once the buffers were full, in bytes.
    pub fn growth(&self) -> u64 {
        self.end.saturating_sub(self.filled)
    }
}

impl WithEngine {
    /// Cores that the sink was using.
    pub fn sink_cores(&self) -> f64 {
        self.sink_cpu / self.seconds
    }

    /// Cores that the engine was using.
    pub fn engine_cores(&self) -> f64 {
        self.engine_cpu / self.seconds
    }

    /// Whether the engine was the limit: it used its processors, or what the sink left of them, as they may share a machine.
    pub fn is_saturated(&self) -> bool {
        let left = self.processors as f64 - self.sink_cores();
        self.engine_cores() >= SATURATED * left
    }
}
