//! From a sink's start with series in its state to all of them on its page.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use tokio::time::sleep;

use super::PARTITIONS;
use super::page::Page;
use super::sink::{Setup, Sink};

/// Between two looks at the page; an empty one costs next to nothing.
const LOOK: Duration = Duration::from_millis(50);

/// One start.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// How the process before it ended.
    pub after: &'static str,
    /// Seconds from its start until it had its partitions, by its log: Kafka waits for the session of one that was killed.
    pub assigned: f64,
    /// Seconds from then until the page had all series.
    pub shown: f64,
    /// The mean of a partition by the process' own metrics, in seconds.
    pub own: Option<f64>,
}

/// Starts a sink that has its series in Kafka, and compares what it shows with what was produced.
///
/// # Errors
/// When it does not show all series in time, or others than were produced.
pub async fn restored(
    setup: &Setup,
    after: &'static str,
    sums: &[u64],
    most: Duration,
) -> Result<(Sink, Restored)> {
    let mut sink = Sink::start(setup)?;
    // By its own word, which costs next to nothing to ask for; the page is read when that is measured.
    while !shows_all(&sink).await {
        sink.alive(most, "show all partitions")?;
        sleep(LOOK).await;
    }
    let shown = Instant::now();
    let page = whole_page(&mut sink, sums.len(), most).await?;
    let (started, assigned) = sink.assigned();
    let assigned = assigned.context("its log does not tell of an assignment")?;
    page.compare(sums)
        .map_err(|why| anyhow!("after {after}: {why}"))?;
    let own = sink
        .samples()
        .await?
        .seconds("bt_consumer_restore_duration_seconds");
    let restored = Restored {
        after,
        assigned: (assigned - started).as_secs_f64(),
        shown: (shown - assigned).as_secs_f64(),
        own,
    };
    Ok((sink, restored))
}

async fn shows_all(sink: &Sink) -> bool {
    // Before it listens there are none.
    let samples = sink.samples().await.ok();
    let shown = samples.and_then(|samples| samples.sum("bt_consumer_shown_partitions"));
    shown == Some(f64::from(PARTITIONS))
}

/// Waits until the page has so many series.
///
/// # Errors
/// When it has not in time, or the process has ended.
pub async fn whole_page(sink: &mut Sink, series: usize, most: Duration) -> Result<Page> {
    loop {
        // Before it listens there is no page.
        if let Ok(text) = sink.text().await {
            let page = Page::read(&text, series as u64).map_err(|why| anyhow!("{why}"))?;
            if page.series == series {
                return Ok(page);
            }
        }
        sink.alive(most, "show all series")?;
        sleep(LOOK).await;
    }
}
