//! What members say of themselves: `bt_consumer_…`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_dev_engine::{Fault, RetryAfter, Script};
use tokio::time::sleep;

use crate::group::Group;
use crate::process::Process;
use crate::setup::Setup;
use crate::stage::Stage;
use crate::traffic::Wrongs;

/// One page of metrics.
pub struct Counters(String);

impl Counters {
    /// What a member shows now.
    pub async fn of(process: &Process) -> Self {
        Self(process.get("metrics").await)
    }

    /// The sum of a metric's series that have all these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let series = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (metric, of) = series.split_once('{').unwrap_or((series, ""));
            let has = |(label, value): &(&str, &str)| of.contains(&format!("{label}=\"{value}\""));
            (metric == name && labels.iter().all(has)).then(|| value.parse::<f64>().ok())?
        });
        series.sum()
    }
}

/// Only of members that nobody killed: what was counted would be gone with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_tell_what_happened_and_retry_after_is_honoured() {
    let stage = Arc::new(Stage::new("counters", Wrongs::default()).await);
    let mut group = Group::new(&stage, "g", Setup::default()).await;
    let retry_after = Some(RetryAfter::Seconds(2));
    let faults = [
        (15, Fault::TooManyRequests { retry_after }),
        (
            20,
            Fault::TooManyItems {
                percent: 30,
                retry_after,
            },
        ),
        (10, Fault::ResetAfter),
    ];
    group.join("a");
    group.join("b");
    // Partitions stay where they are from here on: another member would not know what this one was told.
    stage.traffic.burst(200);
    group.is_exact().await;
    group.are_settled().await;
    group.play(Script::mix(stage.seed, &faults));
    let traffic = stage.traffic.start(200);
    sleep(Duration::from_secs(8)).await;
    drop(traffic);
    group.calm();
    group.is_exact().await;

    let (records, letters) = (
        stage.records(&stage.name).await.len() as f64,
        group.letters().await.len() as f64,
    );
    let documents = group.engine.count() as f64;
    let began = Instant::now();
    loop {
        let wrong = implausible(&group, records, letters, documents).await;
        if wrong.is_empty() {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{}",
            wrong.join("\n")
        );
        sleep(Duration::from_millis(500)).await;
    }
    let tally = group.engine.tally();
    assert_eq!(tally.early, 0, "documents came before Retry-After said");
    group.finish().await;
    stage.strike().await;
}

async fn implausible(group: &Group, records: f64, letters: f64, documents: f64) -> Vec<String> {
    let mut pages = Vec::new();
    for member in &group.members {
        pages.push(Counters::of(&member.process).await);
    }
    let sum = |name: &str, labels: &[(&str, &str)]| -> f64 {
        let all = pages.iter().map(|page| page.sum(name, labels));
        all.sum()
    };
    let items = |outcome: &str| sum("bt_consumer_bulk_items_total", &[("outcome", outcome)]);
    let answered = |status: &str| sum("bt_consumer_bulk_requests_total", &[("status", status)]);
    let checks = [
        // What a rebalance made another member read again counts twice.
        ("records", sum("bt_consumer_records_total", &[]) >= records),
        (
            "letters",
            sum("bt_consumer_dead_letters_total", &[]) == letters,
        ),
        (
            "documents",
            items("created") + items("duplicate") >= documents,
        ),
        ("created", items("created") <= documents),
        ("duplicate", items("duplicate") > 0.0),
        ("retried", items("retried") > 0.0),
        ("rejected", items("rejected") > 0.0),
        (
            "answers",
            answered("200") > 0.0 && answered("429") > 0.0 && answered("error") > 0.0,
        ),
        ("in flight", sum("bt_consumer_in_flight_bytes", &[]) == 0.0),
        (
            "letters pending",
            sum("bt_consumer_dead_letters_pending", &[]) == 0.0,
        ),
        ("paused", sum("bt_consumer_paused_partitions", &[]) == 0.0),
        ("lag", sum("bt_consumer_lag_records", &[]) == 0.0),
    ];
    let wrong = checks.into_iter().filter(|(_, holds)| !holds);
    wrong
        .map(|(what, _)| {
            let pages: Vec<_> = pages.iter().map(|page| own(&page.0)).collect();
            format!(
                "{what} cannot be right: {records} records, {letters} letters, {documents} documents; {}",
                pages.join("\n--\n")
            )
        })
        .collect()
}

/// The counters that are checked, without their explanations.
fn own(page: &str) -> String {
    let names = [
        "records_total",
        "dead_letters",
        "bulk_items",
        "bulk_requests",
        "in_flight",
        "paused",
        "lag_records",
    ];
    let lines = page
        .lines()
        .filter(|line| !line.starts_with('#') && names.iter().any(|name| line.contains(name)));
    lines.collect::<Vec<_>>().join("\n")
}
