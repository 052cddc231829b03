//! What Prometheus computes of counters equals what was produced, to the unit, whatever becomes of pods and of Kafka.

use anyhow::{Context, Result, ensure};
use e2e::{E2e, Samples, Totals, eventually, scenario, seconds};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::sleep;

const NAME: &str = "exact";
/// Events a second.
const RATE: u32 = 100;
/// Between two scrapes, in the chart's Prometheus.
const SCRAPES: u64 = 5;

/// The counter, and what of the histogram is one number for each instance.
const NAMES: [&str; 3] = [
    "e2e_exact_total",
    "e2e_exact_seconds_count",
    "e2e_exact_seconds_sum",
];
const ALL: &str = "e2e_exact_.*(total|count|sum)";

/// A consumer with a topic of its own, and what was produced into it.
struct Exact<'a> {
    e2e: &'a E2e,
    namespace: String,
    topic: String,
    run: String,
    produced: Totals,
}

#[tokio::test]
async fn increase_is_what_was_produced_whatever_becomes_of_pods_and_of_kafka() -> Result<()> {
    scenario(async |e2e| {
        let mut exact = Exact::new(e2e).await?;
        let (whole, before) = (exact.flat().await?, exact.produced.clone());
        exact
            .window("a rolling restart", async |e| e.rolling_restart().await)
            .await?;
        exact
            .window("one pod, then three, then two", async |e| e.rescale().await)
            .await?;
        exact
            .window("a pod killed with no grace", async |e| e.kill().await)
            .await?;
        exact
            .window("Kafka's pod deleted", async |e| e.restart_kafka().await)
            .await?;
        let all = exact.produced.iter().map(|(series, sum)| {
            let before = before.get(series).copied().unwrap_or_default();
            (series.clone(), sum - before)
        });
        let (all, end) = (all.collect(), exact.flat().await?);
        exact
            .check(whole, end, &all)
            .await
            .context("over all of it")
    })
    .await
}

impl<'a> Exact<'a> {
    /// The consumer is ready, and each series has been scraped.
    async fn new(e2e: &'a E2e) -> Result<Self> {
        let namespace = e2e.namespace("exact").await?;
        let topic = e2e.topic(&namespace, "exact", 6).await?;
        let spec = json!({"topics": [topic], "sink": {"prometheus": {}}, "replicas": 2});
        e2e.cluster.apply_consumer(&namespace, NAME, &spec).await?;
        e2e.cluster.consumer_is_ready(&namespace, NAME, 2).await?;
        let mut exact = Self {
            e2e,
            namespace,
            topic,
            run: format!("exact-{}", e2e.run),
            produced: Totals::new(),
        };
        exact.produce(async |_| Ok(())).await?;
        Ok(exact)
    }

    /// Produces while something happens, and a while longer; what was produced.
    async fn produce(&mut self, happens: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<Totals> {
        let feed = self.e2e.kafka.feed_metrics(&self.topic, &self.run, RATE)?;
        sleep(seconds(2 * SCRAPES)).await;
        happens(self).await?;
        sleep(seconds(2 * SCRAPES)).await;
        let sent = feed.stop().await?;
        for (series, sum) in &sent {
            *self.produced.entry(series.clone()).or_default() += sum;
        }
        Ok(sent)
    }

    /// Something happens while events are produced, from a time at which no counter grows to another.
    async fn window(
        &mut self,
        what: &str,
        happens: impl AsyncFnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let from = self.flat().await?;
        let sent = self
            .produce(happens)
            .await
            .with_context(|| what.to_owned())?;
        let to = self.flat().await?;
        let checked = self.check(from, to, &sent).await;
        checked.with_context(|| what.to_owned())
    }

    /// Waits until Prometheus has all that was produced, and has scraped that a few times; a time in between.
    async fn flat(&self) -> Result<f64> {
        eventually(
            "Prometheus has all that was produced",
            seconds(120),
            async || {
                let mut shown = Totals::new();
                for sample in self.e2e.prometheus.query(&self.selector(ALL)).await? {
                    let series = key(&sample.labels);
                    ensure!(
                        shown.insert(series, sample.value).is_none(),
                        "shown twice: {sample:?}"
                    );
                }
                let differ = self
                    .produced
                    .iter()
                    .filter(|(series, sum)| shown.get(series) != Some(sum));
                let first = differ
                    .clone()
                    .next()
                    .map(|(series, sum)| (series, sum, shown.get(series)));
                ensure!(
                    first.is_none() && shown.len() == self.produced.len(),
                    "{} differ, the first is {first:?}",
                    differ.count()
                );
                Ok(())
            },
        )
        .await?;
        sleep(seconds(3 * SCRAPES + 1)).await;
        let now = self.e2e.prometheus.value("vector(time())").await?;
        // A window from then on begins with samples from before anything else is produced, as one until then ends with some from after.
        Ok(now - 3.0 * SCRAPES as f64)
    }

    /// Whether each counter has grown by what was sent, as Prometheus sees it.
    async fn check(&self, from: f64, to: f64, sent: &Totals) -> Result<()> {
        let stored = self
            .e2e
            .prometheus
            .samples(&self.selector(ALL), from, to)
            .await?;
        ensure!(
            stored.len() == self.produced.len(),
            "{} series of {}",
            stored.len(),
            self.produced.len()
        );
        let mut most = 0.0;
        for samples in &stored {
            let series = key(&samples.labels);
            let expected = sent.get(&series).copied().unwrap_or_default();
            let checked = self.check_one(samples, expected).await;
            checked.with_context(|| {
                format!(
                    "{series:?}, of which {expected} were produced: {:?}",
                    samples.points
                )
            })?;
            most += expected * (to - from) / samples.length();
        }
        // As on a dashboard: extrapolated to the edges of the window, and no further.
        let sum: f64 = sent.values().sum();
        let window = (to - from) * 1000.0;
        let of = NAMES.map(|name| format!("sum(increase({}[{window:.0}ms]))", self.selector(name)));
        let query = of.join(" + ");
        let increase = self.e2e.prometheus.query_at(&query, to).await?;
        let increase = increase.first().context("no increase")?.value;
        let rounding = 1e-6 * sum;
        ensure!(
            (sum - rounding..=most + rounding).contains(&increase),
            "{query} is {increase}, produced were {sum}, extrapolation can make {most} of that"
        );
        println!(
            "    {sum} were produced in {:.0} s, increase() is {increase:.1}",
            to - from
        );
        Ok(())
    }

    async fn check_one(&self, samples: &Samples, expected: f64) -> Result<()> {
        let (growth, resets) = samples.growth();
        ensure!(resets == 0, "it was reset {resets} times");
        ensure!(growth == expected, "it has grown by {growth}");
        let (Some((first, low)), Some((last, high))) =
            (samples.points.first(), samples.points.last())
        else {
            return Ok(());
        };
        ensure!(high - low == expected, "it went from {low} to {high}");
        // Prometheus' own functions over a window that begins and ends with a sample, where nothing is left to be extrapolated but
        // the millisecond by which the first sample is within.
        let labels = samples
            .labels
            .iter()
            .filter(|(name, _)| *name != "__name__");
        let labels: Vec<_> = labels
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        let window = ((last - first) * 1000.0).round() + 1.0;
        let range = format!(
            "{}{{{}}}[{window}ms]",
            samples.labels["__name__"],
            labels.join(",")
        );
        for (query, most) in [
            (format!("resets({range})"), 0.0),
            (
                format!("increase({range})"),
                expected * window / (window - 1.0),
            ),
        ] {
            let answer = self.e2e.prometheus.query_at(&query, *last).await?;
            let value = answer
                .first()
                .with_context(|| format!("{query} has no result"))?
                .value;
            let least = if most == 0.0 { 0.0 } else { expected };
            ensure!(
                (least - 1e-6..=most + 1e-6).contains(&value),
                "{query} is {value}"
            );
        }
        Ok(())
    }

    /// The series of this run with names by this pattern.
    fn selector(&self, names: &str) -> String {
        let run = &self.run;
        format!("{{__name__=~\"{names}\",instance=~\"{run}-.*\"}}")
    }

    async fn ready(&self, pods: i32) -> Result<()> {
        let ready = self
            .e2e
            .cluster
            .consumer_is_ready(&self.namespace, NAME, pods)
            .await;
        ready.map(drop)
    }

    async fn uids(&self) -> Result<Vec<String>> {
        let pods = self
            .e2e
            .cluster
            .consumer_pods(&self.namespace, NAME)
            .await?;
        Ok(pods.iter().filter_map(ResourceExt::uid).collect())
    }

    async fn rolling_restart(&self) -> Result<()> {
        let old = self.uids().await?;
        let annotations = json!({"e2e.bt.dev/restarted": self.run});
        let patch = json!({"spec": {"podTemplate": {"metadata": {"annotations": annotations}}}});
        self.e2e
            .cluster
            .patch_consumer(&self.namespace, NAME, patch)
            .await?;
        eventually("all pods are new", seconds(180), async || {
            let now = self.uids().await?;
            ensure!(!now.iter().any(|uid| old.contains(uid)), "some are old");
            Ok(())
        })
        .await?;
        self.ready(2).await
    }

    async fn rescale(&self) -> Result<()> {
        for replicas in [1, 3, 2] {
            let patch = json!({"spec": {"replicas": replicas}});
            self.e2e
                .cluster
                .patch_consumer(&self.namespace, NAME, patch)
                .await?;
            self.ready(replicas).await?;
            // The group has noticed, and Prometheus has seen the new owners.
            sleep(seconds(3 * SCRAPES)).await;
        }
        Ok(())
    }

    async fn kill(&self) -> Result<()> {
        let pods = self
            .e2e
            .cluster
            .consumer_pods(&self.namespace, NAME)
            .await?;
        let victim = pods.first().context("there is no pod")?.name_any();
        let delete = [
            "delete",
            "pod",
            &victim,
            "-n",
            &self.namespace,
            "--grace-period=0",
            "--force",
        ];
        self.e2e.cluster.kubectl(&delete).await?;
        self.ready(2).await?;
        // Longer than the group waits for a member that says nothing.
        sleep(seconds(20)).await;
        Ok(())
    }

    async fn restart_kafka(&self) -> Result<()> {
        let api = Api::<Pod>::namespaced(self.e2e.cluster.client.clone(), e2e::DEFAULT);
        let old = api.get("kafka-0").await?.uid().unwrap_or_default();
        self.e2e
            .cluster
            .kubectl(&["delete", "pod", "kafka-0"])
            .await?;
        self.e2e
            .cluster
            .pod_is_back(e2e::DEFAULT, "kafka-0", &old)
            .await?;
        self.ready(2).await
    }
}

fn key(labels: &std::collections::BTreeMap<String, String>) -> (String, String) {
    let label = |name| labels.get(name).cloned().unwrap_or_default();
    (label("__name__"), label("instance"))
}
