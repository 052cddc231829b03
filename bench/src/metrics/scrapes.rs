//! What scrapes cost the process that is scraped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::sink::{Sink, scrape};
use crate::child::Own;

/// As Prometheus asks.
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";
const TEXT: &str = "text/plain;version=0.0.4";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
/// Each with how its `Content-Type` begins.
const FORMATS: [(&str, &str, &str); 3] = [
    ("Text", TEXT, "text/plain"),
    ("OpenMetrics", OPEN_METRICS, "application/openmetrics-text"),
    ("Protobuf", PROTOBUF, "application/vnd.google.protobuf"),
];
/// Between two scrapes, so that none is answered from what another left.
const PAUSE: Duration = Duration::from_millis(1100);
/// How long an idle process is looked at.
const IDLE: Duration = Duration::from_secs(5);
/// Scrapes at the same moment.
pub const AT_ONCE: usize = 50;
/// How often so many are sent.
const BURSTS: u32 = 3;

/// A scrape in one format.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// The format asked for.
    pub format: &'static str,
    /// Whether gzip was accepted.
    pub gzip: bool,
    /// Scrapes at the same moment.
    pub at_once: usize,
    /// CPU seconds of the process for all that were sent at the same moment, less what it needs when idle.
    pub cpu: f64,
    /// Seconds until the last of them was answered, the mean.
    pub seconds: f64,
    /// Bytes of one body.
    pub bytes: usize,
    /// Whether the answer was of the format and compression that was asked for.
    pub as_asked: bool,
}

/// Scrapes an idle sink, in each format so many times, and then by fifty at once.
///
/// # Errors
/// When it does not answer.
pub async fn costs(sink: &Sink, times: u32) -> Result<Vec<Cost>> {
    let before = sink.usage()?.cpu;
    sleep(IDLE).await;
    let idle = (sink.usage()?.cpu - before) / IDLE.as_secs_f64();
    let mut costs = Vec::new();
    for at_once in [1, AT_ONCE] {
        for gzip in [false, true] {
            for format in FORMATS {
                // Only what Prometheus and people ask for by many at once.
                if at_once == 1 || format.0 != "Protobuf" {
                    let times = if at_once == 1 { times } else { BURSTS };
                    costs.push(cost(sink, format, gzip, at_once, times, idle).await?);
                }
            }
        }
    }
    Ok(costs)
}

async fn cost(
    sink: &Sink,
    (format, accept, content_type): (&'static str, &'static str, &str),
    gzip: bool,
    at_once: usize,
    times: u32,
    idle: f64,
) -> Result<Cost> {
    let (http, page) = sink.scraper();
    let first = scrape(&http, &page, accept, gzip).await?;
    sleep(PAUSE).await;
    let (started, before) = (Instant::now(), sink.usage()?.cpu);
    let mut waited = Duration::ZERO;
    for _ in 0..times {
        let asked = Instant::now();
        together(&http, &page, accept, gzip, at_once).await?;
        waited += asked.elapsed();
        sleep(PAUSE).await;
    }
    let used = sink.usage()?.cpu - before - idle * started.elapsed().as_secs_f64();
    Ok(Cost {
        format,
        gzip,
        at_once,
        cpu: used / f64::from(times),
        seconds: waited.as_secs_f64() / f64::from(times),
        bytes: first.body.len(),
        as_asked: first.content_type.starts_with(content_type) && first.gzip == gzip,
    })
}

/// How a sink is scraped while it consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// Not at all.
    Nothing,
    /// Once a second, as one Prometheus could.
    EverySecond,
    /// By fifty at the same moment, once, when half of the events are consumed.
    AtOnce,
}

/// Scrapes, until it is ended.
pub struct Scraping(JoinHandle<Result<u32>>);

impl Scraping {
    /// Begins.
    pub fn begin(sink: &Sink, meanwhile: Meanwhile, events: u64) -> Self {
        let ((http, page), own) = (sink.scraper(), sink.own());
        Self(tokio::spawn(async move {
            match meanwhile {
                Meanwhile::Nothing => Ok(0),
                Meanwhile::EverySecond => every_second(&http, &page, &own, events).await,
                Meanwhile::AtOnce => {
                    while taken(&own).await < events / 2 {
                        sleep(Duration::from_millis(200)).await;
                    }
                    together(&http, &page, OPEN_METRICS, true, AT_ONCE).await?;
                    Ok(AT_ONCE as u32)
                }
            }
        }))
    }

    /// Waits for the last one; how many there were.
    ///
    /// # Errors
    /// When the fifty were not all answered.
    pub async fn end(self) -> Result<u32> {
        self.0.await.context("the scraping task")?
    }
}

async fn every_second(http: &reqwest::Client, page: &str, own: &Own, events: u64) -> Result<u32> {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut done = 0;
    while taken(own).await < events {
        // Before it listens there is nothing to scrape.
        done += u32::from(scrape(http, page, OPEN_METRICS, true).await.is_ok());
        ticks.tick().await;
    }
    Ok(done)
}

async fn taken(own: &Own) -> u64 {
    let samples = own.samples().await;
    samples.map_or(0, |samples| samples.events().taken)
}

async fn together(
    http: &reqwest::Client,
    page: &str,
    accept: &'static str,
    gzip: bool,
    at_once: usize,
) -> Result<()> {
    let mut scrapes = JoinSet::new();
    for _ in 0..at_once {
        let (http, page) = (http.clone(), page.to_owned());
        scrapes.spawn(async move { scrape(&http, &page, accept, gzip).await });
    }
    while let Some(answer) = scrapes.join_next().await {
        ensure!(!answer??.body.is_empty(), "an empty page");
    }
    Ok(())
}
