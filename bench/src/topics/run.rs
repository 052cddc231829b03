//! What is done, in order: each function measures one part and puts it into the report.

use std::time::Duration;

use anyhow::{Result, ensure};
use bt_operator::api::KafkaTopic;
use kube::Api;
use kube::api::ListParams;
use tokio::time::{Instant, sleep};

use super::Options;
use super::kafka::Kafka;
use super::report::{Floor, Phases, Report, Took};
use super::wait::reached;
use super::work::{Step, Writer};
use crate::board::Board;
use crate::cluster::Cluster;
use crate::load::AtWork;
use crate::process::own_cpu_seconds;
use crate::session::Session;
use crate::words::progress;

const ALL: [Step; 3] = [Step::Create, Step::Modify, Step::Delete];
const AT_ONCE: [Step; 2] = [Step::Create, Step::Delete];
/// Topics that are made and deleted before anything is measured, so that no first connection is.
const WARM_UP: usize = 10;
/// How often the floor of the smaller work is measured; the best counts.
const FLOOR_RUNS: usize = 3;
/// The operator is at rest when it asked for nothing this long.
const QUIET: Duration = Duration::from_secs(10);
/// What the first comparison of all topics with Kafka may take: one interval of the operator's, and the work.
const UNTIL_COMPARED: Duration = Duration::from_secs(300);

/// One run of the bench.
pub struct Run<'a> {
    session: Session<'a>,
    options: &'a Options,
    kafka: Kafka,
}

/// A namespace with a watch, and who writes to it.
struct Place {
    namespace: String,
    writer: Writer,
    board: Board,
}

impl<'a> Run<'a> {
    /// Makes ready what all parts need.
    ///
    /// # Errors
    /// When the cluster has no operator, or does not answer.
    pub async fn new(cluster: &'a Cluster, kafka: &str, options: &'a Options) -> Result<Self> {
        Ok(Self {
            session: Session::begin(cluster, QUIET).await?,
            options,
            kafka: Kafka::new(kafka, options.batch)?,
        })
    }

    /// Measures everything that the options ask for.
    ///
    /// # Errors
    /// When the work itself fails; the report has what was measured before.
    pub async fn measure(&self, report: &mut Report) -> Result<()> {
        if !self.options.no_floor {
            self.floors(report).await?;
        }
        self.session.operator.start().await?;
        let mut place = self.place("warm-up").await?;
        let names = self.names("warm-up", WARM_UP);
        for step in ALL {
            self.phase(&mut place, step, &names).await?;
        }
        self.leave(place).await?;
        if self.options.small > 0 {
            self.session.files_gone().await?;
            self.one_after_the_other(report).await?;
        }
        if self.options.topics > 0 {
            self.session.files_gone().await?;
            self.at_once(report).await?;
        }
        Ok(())
    }

    /// Leaves the cluster as it was, as far as that goes after a failure.
    ///
    /// # Errors
    /// When the operator does not start again.
    pub async fn end(&self) -> Result<()> {
        self.session.end().await
    }

    async fn floors(&self, report: &mut Report) -> Result<()> {
        progress("the operator is stopped, for the floor");
        self.session.operator.stop().await?;
        self.session.files_gone().await?;
        self.floor("floor-warm-up", WARM_UP, &ALL).await?;
        if self.options.small > 0 {
            for run in 1..=FLOOR_RUNS {
                let what = format!("floor-small-{run}");
                let floor = self.floor(&what, self.options.small, &ALL).await?;
                report.small.better_floor(floor);
            }
        }
        if self.options.topics > 0 {
            let floor = self
                .floor("floor-at-once", self.options.topics, &AT_ONCE)
                .await?;
            report.large.better_floor(floor);
        }
        Ok(())
    }

    async fn floor(&self, what: &str, count: usize, steps: &[Step]) -> Result<Vec<(Step, Floor)>> {
        let mut place = self.place(what).await?;
        let names = self.names(what, count);
        let mut floor = Vec::new();
        for step in steps {
            let started = Instant::now();
            let own = own_cpu_seconds();
            let until = self.deadline();
            tokio::try_join!(
                place.writer.floor(*step, &names),
                reached(&mut place.board, None, *step, &names, until),
            )?;
            let api = started.elapsed();
            let kafka = self.kafka.perform(*step, &names).await?;
            let own = since(own);
            progress(&format!(
                "{what}, {count} topics, {}: {:.2} s in Kubernetes, {:.2} s in Kafka",
                step.name(),
                api.as_secs_f64(),
                kafka.as_secs_f64()
            ));
            floor.push((*step, Floor { api, kafka, own }));
        }
        self.leave(place).await?;
        Ok(floor)
    }

    async fn one_after_the_other(&self, report: &mut Report) -> Result<()> {
        let mut place = self.place("small").await?;
        let names = self.names("small", self.options.small);
        for step in ALL {
            let took = self.phase(&mut place, step, &names).await?;
            report.small.took.push((step, took));
        }
        self.leave(place).await
    }

    async fn at_once(&self, report: &mut Report) -> Result<()> {
        let names = self.names("at-once", self.options.topics);
        let mut place = self.place("at-once").await?;
        let leader = self.session.operator.leader().await?;
        let large = &mut report.large;
        let made = self.watched(&leader, &mut place, Step::Create, &names, large);
        let made = made.await?;
        report.at_work = Some(made.clone());
        if self.options.rest > 0 {
            self.compared(&place.namespace).await?;
            let lasts = Duration::from_secs(self.options.rest);
            report.rest = Some(self.session.rest(&leader, lasts).await?);
        }
        let large = &mut report.large;
        let gone = self.watched(&leader, &mut place, Step::Delete, &names, large);
        report.at_work = Some(made.plus(gone.await?));
        self.leave(place).await
    }

    /// A phase at which the operator is looked at, until it is quiet again.
    async fn watched(
        &self,
        leader: &str,
        place: &mut Place,
        step: Step,
        names: &[String],
        phases: &mut Phases,
    ) -> Result<AtWork> {
        let watching = self.session.watch(leader).await?;
        let took = self.phase(place, step, names).await?;
        phases.took.push((step, took));
        watching.end().await
    }

    /// Waits until every topic has been compared with Kafka once since it was made, at which its reason changes to Synced.
    async fn compared(&self, namespace: &str) -> Result<()> {
        progress("waiting for the first comparison of all topics with Kafka");
        let api = Api::<KafkaTopic>::namespaced(self.session.cluster.client.clone(), namespace);
        let until = Instant::now() + UNTIL_COMPARED;
        loop {
            let topics = api.list(&ListParams::default()).await?.items;
            let open = topics.iter().filter(|topic| !is_synced(topic)).count();
            if open == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{open} topics were not compared with Kafka again within {} s",
                UNTIL_COMPARED.as_secs()
            );
            sleep(QUIET).await;
        }
    }

    async fn phase(&self, place: &mut Place, step: Step, names: &[String]) -> Result<Took> {
        let started = Instant::now();
        let own = own_cpu_seconds();
        let until = self.deadline();
        let written = async {
            place.writer.user(step, names).await?;
            Ok(started.elapsed())
        };
        let done = reached(&mut place.board, Some(&self.kafka), step, names, until);
        let (writes, status) = tokio::try_join!(written, done)?;
        let all = started.elapsed();
        progress(&format!(
            "operator, {} topics, {}: {:.2} s",
            names.len(),
            step.name(),
            all.as_secs_f64()
        ));
        Ok(Took {
            writes,
            status,
            all,
            own: since(own),
        })
    }

    async fn place(&self, what: &str) -> Result<Place> {
        let namespace = self.session.namespace(what).await?;
        let client = &self.session.cluster.client;
        Ok(Place {
            writer: Writer::new(client, &namespace, self.options.parallel),
            board: Board::watch::<KafkaTopic>(client, &namespace),
            namespace,
        })
    }

    async fn leave(&self, place: Place) -> Result<()> {
        self.session.leave(&place.namespace).await
    }

    fn names(&self, what: &str, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("{}.{what}.{number:05}", self.session.id))
            .collect()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.options.deadline)
    }
}

fn is_synced(topic: &KafkaTopic) -> bool {
    let mut conditions = topic.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| condition.kind == "Ready" && condition.reason == "Synced")
}

fn since(earlier: Option<f64>) -> f64 {
    own_cpu_seconds()
        .zip(earlier)
        .map_or(0.0, |(now, earlier)| now - earlier)
}
