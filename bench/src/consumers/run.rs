//! What is done, in order: each function measures one part and puts it into the report.

use std::time::Duration;

use anyhow::{Context, Result};
use bt_operator::api::TelemetryConsumer;
use kube::Api;
use kube::api::ListParams;
use tokio::time::Instant;

use super::Options;
use super::bursts::burst;
use super::kafka::Kafka;
use super::report::{Creation, Report};
use super::work::{create, delete, ready, sleeping};
use crate::board::Board;
use crate::cluster::Cluster;
use crate::histogram::Histogram;
use crate::operator::Operator;
use crate::session::Session;
use crate::words::{duration, progress};

/// Consumers that are made and deleted before anything is measured, so that no first connection is.
const WARM_UP: usize = 5;
/// The operator's own default.
const LAG_INTERVAL: Duration = Duration::from_secs(10);
/// What the operator counts the readings of lag by.
const ROUNDS: &str = "bt_operator_lag_round_duration_seconds";
/// Records in each partition, of which the group has carried one.
const RECORDS: usize = 2;

/// One run of the bench.
pub struct Run<'a> {
    session: Session<'a>,
    options: &'a Options,
    kafka: Kafka,
    interval: Duration,
}

impl<'a> Run<'a> {
    /// Makes ready what all parts need.
    ///
    /// # Errors
    /// When the cluster has no operator, or does not answer.
    pub async fn new(cluster: &'a Cluster, kafka: &str, options: &'a Options) -> Result<Self> {
        let given = Operator::find(cluster)
            .await?
            .environment("LAG_SECONDS")
            .await?;
        let seconds = given.map(|text| text.parse().context("the operator's LAG_SECONDS"));
        let interval = seconds
            .transpose()?
            .map_or(LAG_INTERVAL, Duration::from_secs);
        Ok(Self {
            // A reading of lag may have something to say: two must have passed without.
            session: Session::begin(cluster, interval * 5 / 2).await?,
            options,
            kafka: Kafka::new(kafka)?,
            interval,
        })
    }

    /// Measures everything that the options ask for.
    ///
    /// # Errors
    /// When the work itself fails; the report has what was measured before.
    pub async fn measure(&self, report: &mut Report) -> Result<()> {
        report.interval = self.interval;
        // Anew, so that its peak of memory is of this work alone.
        progress("the operator is started anew");
        self.session.operator.stop().await?;
        self.session.files_gone().await?;
        let names = self.names("group", self.options.consumers);
        self.lag(&names).await?;
        self.session.operator.start().await?;
        let leader = self.session.operator.leader().await?;
        self.warm_up().await?;

        let namespace = self.session.namespace("consumers").await?;
        let client = &self.session.cluster.client;
        let api = Api::<TelemetryConsumer>::namespaced(client.clone(), &namespace);
        let mut board = Board::watch::<TelemetryConsumer>(client, &namespace);
        let watching = self.session.watch(&leader).await?;
        report.creation = Some(self.at_once(&api, &mut board, &names).await?);
        report.at_work = Some(watching.end().await?);
        if self.options.rest > 0 {
            self.at_rest(report, &leader, &api).await?;
        }
        self.bursts(report, &api).await?;
        if self.options.bursts > 0 {
            report.usage = Some(self.session.operator.usage(&leader).await?);
        }
        self.session.leave(&namespace).await
    }

    /// Leaves the cluster as it was, as far as that goes after a failure.
    ///
    /// # Errors
    /// When the operator does not start again, or Kafka refuses to delete the topics.
    pub async fn end(&self) -> Result<()> {
        self.session.end().await?;
        let mut topics = self.names("group", self.options.consumers);
        // Those with a prometheus sink have a state topic, which stays when its KafkaTopic goes.
        topics.extend(
            self.names("group", self.options.consumers)
                .iter()
                .map(|name| format!("{name}.state")),
        );
        topics.extend(self.names("burst", self.options.bursts));
        self.kafka.delete(&topics).await
    }

    /// Gives each group a topic with one record behind in each partition.
    async fn lag(&self, names: &[String]) -> Result<()> {
        let partitions = self.options.partitions;
        let started = Instant::now();
        self.kafka.make(names, partitions).await?;
        for name in names {
            self.kafka.produce(name, partitions, RECORDS).await?;
        }
        self.kafka.commit(names, partitions, 1).await?;
        progress(&format!(
            "{} topics of {partitions} partitions, each with a consumer group: {}",
            names.len(),
            duration(started.elapsed())
        ));
        Ok(())
    }

    async fn warm_up(&self) -> Result<()> {
        let namespace = self.session.namespace("warm-up").await?;
        let client = &self.session.cluster.client;
        let api = Api::namespaced(client.clone(), &namespace);
        let mut board = Board::watch::<TelemetryConsumer>(client, &namespace);
        let names = self.names("warm-up", WARM_UP);
        self.at_once(&api, &mut board, &names).await?;
        delete(&api, &mut board, &names, self.deadline()).await?;
        self.session.leave(&namespace).await
    }

    async fn at_once(
        &self,
        api: &Api<TelemetryConsumer>,
        board: &mut Board,
        names: &[String],
    ) -> Result<Creation> {
        let consumers = names.iter().enumerate();
        let consumers: Vec<_> = consumers
            .map(|(number, name)| sleeping(number, name))
            .collect::<Result<_>>()?;
        let started = Instant::now();
        let written = async {
            create(api, &consumers, self.options.parallel).await?;
            Ok(started.elapsed())
        };
        let all_ready = async {
            ready(board, names, self.deadline()).await?;
            Ok::<_, anyhow::Error>(started.elapsed())
        };
        let (writes, ready) = tokio::try_join!(written, all_ready)?;
        progress(&format!(
            "{} consumers of no pods: all Ready after {}",
            names.len(),
            duration(ready)
        ));
        Ok(Creation { writes, ready })
    }

    async fn at_rest(
        &self,
        report: &mut Report,
        leader: &str,
        api: &Api<TelemetryConsumer>,
    ) -> Result<()> {
        let lasts = Duration::from_secs(self.options.rest);
        let before = self.rounds(leader).await?;
        report.rest = Some(self.session.rest(leader, lasts).await?);
        let after = self.rounds(leader).await?;
        report.rounds = after.map(|after| after.since(&before.unwrap_or_default()));
        let lag = i64::from(self.options.partitions) * (i64::try_from(RECORDS)? - 1);
        let consumers = api.list(&ListParams::default()).await?;
        let right = consumers.iter().filter(|consumer| {
            let status = consumer.status.as_ref();
            let told = status.and_then(|status| status.lag.as_ref());
            told.is_some_and(|told| told.total == lag)
        });
        report.lag_right = Some(right.count());
        Ok(())
    }

    async fn rounds(&self, leader: &str) -> Result<Option<Histogram>> {
        let metrics = self.session.operator.metrics(leader).await?;
        Ok(Histogram::of(&metrics, ROUNDS))
    }

    async fn bursts(&self, report: &mut Report, api: &Api<TelemetryConsumer>) -> Result<()> {
        let image = self.session.operator.image().await?;
        let names = self.names("burst", self.options.bursts);
        let deadline = Duration::from_secs(self.options.deadline);
        for (number, name) in (0_u32..).zip(&names) {
            // Its rest is told right after a reading of lag. The bursts are spread over the time between two.
            let after = self.interval * number / u32::try_from(names.len())?;
            let burst = burst(&self.kafka, api, name, &image, after, deadline).await?;
            progress(&format!(
                "burst {} of {}: in status after {}",
                number + 1,
                names.len(),
                duration(burst.took)
            ));
            report.bursts.push(burst);
        }
        Ok(())
    }

    /// Names of resources, of their topics and of their groups.
    fn names(&self, what: &str, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("{}-{what}-{number:04}", self.session.id))
            .collect()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.options.deadline)
    }
}
