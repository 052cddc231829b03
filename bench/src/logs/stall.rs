//! The sink while the engine keeps every request without an answer: its memory, and its place in the group.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::figures::Stall;
use super::null_engine::NullEngine;
use super::sink::Sink;
use crate::preload::Topics;

/// Between two looks at the process.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that its buffers may take to fill.
const FILLING: Duration = Duration::from_secs(30);
/// Until memory is looked at, after the last commit.
const REST: Duration = Duration::from_secs(3);
/// The most documents of a request: the default of the sink's `bulk.maxDocs`.
const REQUEST: u64 = 5000;

/// Lets the engine stall when it has a quarter of the logs, and looks on until all are committed after that.
///
/// # Errors
/// When the sink ends, is not done in time, or the engine has other documents than there are logs.
pub async fn stalled(
    sink: &mut Sink,
    engine: &NullEngine,
    topics: &Topics,
    group: &str,
    logs: u64,
    stall: Duration,
    most: Duration,
) -> Result<Stall> {
    let most = most + stall;
    while engine.given().documents < logs / 4 {
        sink.child.alive(most, "send a quarter of the logs")?;
        sleep(Duration::from_millis(20)).await;
    }
    engine.stall(true);
    let before = sink.child.usage()?.rss;
    let rebalances = rebalances(sink).await?;
    let began = Instant::now();
    let (mut filled, mut member) = (None, true);
    while began.elapsed() < stall {
        sleep(LOOK.min(stall)).await;
        sink.child.alive(most, "bear an engine that stalls")?;
        if began.elapsed() >= FILLING.min(stall / 6) {
            filled.get_or_insert(sink.child.usage()?.rss);
        }
        member &= topics.members(group).await? == Some(1);
    }
    let end = sink.child.usage()?.rss;
    member &= self::rebalances(sink).await? == rebalances;
    engine.stall(false);
    while topics.committed(group).await? < logs {
        sink.child.alive(most, "commit all logs after a stall")?;
        sleep(Duration::from_millis(100)).await;
    }
    arrived(engine.given().documents, logs, unanswered(sink).await?)?;
    sleep(REST).await;
    let usage = sink.child.usage()?;
    Ok(Stall {
        seconds: stall.as_secs_f64(),
        before,
        filled: filled.unwrap_or(end),
        end,
        after: usage.rss,
        peak: usage.peak,
        member,
    })
}

/// All logs have to be there, and more only if the engine answered for them when the sink had just given up: it sends them again then.
fn arrived(documents: u64, logs: u64, unanswered: u64) -> Result<()> {
    let most = logs + unanswered * REQUEST;
    ensure!(
        (logs..=most).contains(&documents),
        "stall: the engine was given {documents} documents of {logs} logs; {unanswered} requests had no answer"
    );
    Ok(())
}

/// Requests that the sink had no answer to, by its own count.
async fn unanswered(sink: &Sink) -> Result<u64> {
    let samples = sink.samples().await?;
    let errors = samples.sum_with("bt_consumer_bulk_requests_total", "status=\"error\"");
    Ok(errors.unwrap_or_default() as u64)
}

/// Changes of the assignment so far, by the sink's own count.
async fn rebalances(sink: &Sink) -> Result<Option<f64>> {
    Ok(sink.samples().await?.sum("bt_consumer_rebalances_total"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_logs_arrive_and_more_only_after_requests_without_an_answer() {
        let is_right = |documents, unanswered| arrived(documents, 20_000, unanswered).is_ok();
        assert!(is_right(20_000, 0) && is_right(20_000, 9));
        assert!(!is_right(19_999, 0) && !is_right(19_999, 9));
        assert!(!is_right(20_001, 0));
        assert!(is_right(25_000, 1) && !is_right(25_001, 1));
    }
}
