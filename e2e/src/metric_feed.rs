use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::kafka::{Kafka, TIMEOUT};

/// Instances of the service that sends, each with its own series.
const INSTANCES: u64 = 24;

/// What was produced, by metric and instance: a counter's sum, and a histogram's under the names of its `_count` and `_sum`.
pub type Totals = BTreeMap<(String, String), f64>;

/// Metrics that are written to a topic all the time, in the background.
pub struct MetricFeed {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Totals>>,
}

impl Kafka {
    /// Starts to write events of a run, about so many a second: of the counter `e2e_exact_total` and the histogram
    /// `e2e_exact_seconds`, of 24 instances whose names begin with the run. Each is written once, also where Kafka is away meanwhile.
    ///
    /// # Errors
    /// When no producer can be made.
    pub fn feed_metrics(&self, topic: &str, run: &str, rate: u32) -> Result<MetricFeed> {
        let servers = self.config.get("bootstrap.servers");
        let mut config = ClientConfig::new();
        config
            .set(
                "bootstrap.servers",
                servers.context("no bootstrap servers")?,
            )
            .set("enable.idempotence", "true")
            // As bt-kafka's writers have it: a new topic's first record could be missing.
            .set("max.in.flight.requests.per.connection", "1")
            .set("message.timeout.ms", "0");
        let producer: FutureProducer = config.create()?;
        let (topic, run) = (topic.to_owned(), run.to_owned());
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
            let mut totals = Totals::new();
            for number in 0.. {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = tick.tick() => {}
                }
                let instance = format!("{run}-{}", number % INSTANCES);
                let (key, value) = (
                    format!("e2e-exact/{instance}"),
                    event(number, &instance, &mut totals).to_string(),
                );
                let record = FutureRecord::<str, str>::to(&topic)
                    .key(&key)
                    .payload(&value);
                let sending = producer.send(record, TIMEOUT).await;
                sending
                    .map_err(|(error, _)| error)
                    .with_context(|| format!("event {number} for {topic}"))?;
            }
            Ok(totals)
        });
        Ok(MetricFeed { stop, task })
    }
}

/// An event, added to the totals. Values are multiples of a quarter: their sums are exact.
fn event(number: u64, instance: &str, totals: &mut Totals) -> Value {
    let value = (number % 37) as f64 / 4.0;
    let mut add = |metric: &str, by: f64| {
        let of = (metric.to_owned(), instance.to_owned());
        *totals.entry(of).or_default() += by;
    };
    let (name, kind) = if number.is_multiple_of(5) {
        add("e2e_exact_seconds_count", 1.0);
        add("e2e_exact_seconds_sum", value);
        ("e2e_exact_seconds", "histogram")
    } else {
        add("e2e_exact_total", value);
        ("e2e_exact_total", "counter")
    };
    json!({
        "ts": 1_767_323_045_678_u64, "service": "e2e-exact", "instance": instance,
        "name": name, "kind": kind, "value": value,
    })
}

impl MetricFeed {
    /// Stops; what Kafka has taken.
    ///
    /// # Errors
    /// When Kafka did not take one.
    pub async fn stop(self) -> Result<Totals> {
        // A feed that failed listens no more; it says why below.
        let _ = self.stop.send(());
        self.task.await?
    }
}
