//! All that was measured, as it is also written to a file: names there are these fields'.

use serde::Serialize;

use super::restore::Restored;
use super::scrapes::Cost;
use crate::spread::Spread;
use crate::told::Told;

/// All that was measured; what is absent was not.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The machine, in one line.
    pub machine: String,
    /// The versions, in one line.
    pub versions: String,
    /// Events in the topic.
    pub events: u64,
    /// Series among them.
    pub series: u64,
    /// Mean bytes of an event.
    pub mean_bytes: f64,
    /// Seconds to preload the topic.
    pub preload_seconds: f64,
    /// librdkafka alone, by round.
    pub floor: Vec<Told>,
    /// The sink with exactly-once off, by round.
    pub off: Vec<Consumed>,
    /// The same, scraped once a second.
    pub scraped: Vec<Consumed>,
    /// The same, scraped by fifty at once, once.
    pub scraped_at_once: Vec<Consumed>,
    /// The sink with exactly-once on, by round.
    pub on: Vec<Consumed>,
    /// The consumer in Python: at half of its events, and at the end.
    pub python: Option<(Told, Told)>,
    /// What series need, with exactly-once off and on.
    pub memory: Vec<Memory>,
    /// Scrapes of an idle sink with all series.
    pub scrapes: Vec<Cost>,
    /// Its resident bytes after all of them.
    pub rss_after_scrapes: Option<u64>,
    /// Starts with all series in the state.
    pub restores: Vec<Restored>,
    /// Many more series.
    pub many: Vec<Many>,
    /// Runs whose page was compared with what was produced, series by series, and was the same.
    pub exact: u32,
    /// What was shown and not produced, or produced and not shown, in words.
    pub wrong: Vec<String>,
}

/// The sink at work, until everything was committed, and then at rest.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumed {
    /// How many events it took.
    pub events: u64,
    /// Of them a second.
    pub rate: f64,
    /// CPU seconds, user and system, from its start until it had committed.
    pub cpu: f64,
    /// Resident bytes at rest, before any scrape but those meanwhile.
    pub rss: u64,
    /// What the process itself takes its series to need, in bytes.
    pub series_bytes: Option<f64>,
    /// Scrapes meanwhile.
    pub scrapes: u32,
}

/// Resident bytes at rest, of processes that were given their events at a rate that fills no buffer.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Whether exactly-once was on.
    pub exactly_once: bool,
    /// Of one series in each partition, by round.
    pub one: Vec<u64>,
    /// Of all series, by round.
    pub all: Vec<u64>,
    /// What the process itself takes all series to need, in bytes.
    pub series_bytes: Option<f64>,
}

/// Many more series.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Many {
    /// Whether exactly-once was on.
    pub exactly_once: bool,
    /// How many there are.
    pub series: u64,
    /// How many the page shows.
    pub shown: usize,
    /// Resident bytes at rest.
    pub rss: u64,
    /// What the process itself takes its series to need, in bytes.
    pub series_bytes: Option<f64>,
    /// Seconds until the page in the text format was there.
    pub page_seconds: f64,
}

impl Memory {
    /// What all series need, in bytes.
    pub fn of_series(&self) -> Option<f64> {
        let median =
            |rss: &[u64]| Spread::of(rss.iter().map(|rss| *rss as f64)).map(|rss| rss.median);
        median(&self.all)
            .zip(median(&self.one))
            .map(|(all, one)| all - one)
    }
}

impl Consumed {
    /// CPU seconds a million events.
    pub fn per_million(&self) -> f64 {
        self.cpu * 1e6 / self.events as f64
    }
}
