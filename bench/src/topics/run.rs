//! What is done, in order: each function measures one part and puts it into the report.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use bt_operator::api::KafkaTopic;
use kube::Api;
use kube::api::ListParams;
use tokio::time::{Instant, sleep};

use super::Options;
use super::board::Board;
use super::kafka::Kafka;
use super::report::{AtWork, Floor, Phases, Report, Rest, Took};
use super::wait::reached;
use super::work::{Step, Writer};
use crate::cluster::Cluster;
use crate::health::{Heard, Prober};
use crate::operator::{Operator, Usage};
use crate::process::own_cpu_seconds;
use crate::requests::{Counts, Requests};

const ALL: [Step; 3] = [Step::Create, Step::Modify, Step::Delete];
const AT_ONCE: [Step; 2] = [Step::Create, Step::Delete];
/// Topics that are made and deleted before anything is measured, so that no first connection is.
const WARM_UP: usize = 10;
/// How often the floor of the smaller work is measured; the best counts.
const FLOOR_RUNS: usize = 3;
/// The operator is at rest when it asked for nothing this long.
const QUIET: Duration = Duration::from_secs(10);
/// What it may take until it is.
const UNTIL_QUIET: Duration = Duration::from_secs(120);
/// What the first comparison of all topics with Kafka may take: one interval of the operator's, and the work.
const UNTIL_COMPARED: Duration = Duration::from_secs(300);
/// What Kafka may take to remove the files of deleted topics: it begins a minute after the deletion.
const UNTIL_FILES_GONE: Duration = Duration::from_secs(180);

/// One run of the bench.
pub struct Run<'a> {
    cluster: &'a Cluster,
    options: &'a Options,
    kafka: Kafka,
    operator: Operator<'a>,
    requests: Requests,
    /// A name of this run's own.
    id: String,
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
        let operator = Operator::find(cluster).await?;
        let account = operator.service_account().await?;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self {
            cluster,
            options,
            kafka: Kafka::new(kafka, options.batch)?,
            operator,
            requests: Requests::count(&cluster.client, account).await?,
            id: format!("bench-{:x}", unix.as_secs() & 0xff_ffff),
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
        self.operator.start().await?;
        let mut place = self.place("warm-up").await?;
        let names = self.names("warm-up", WARM_UP);
        for step in ALL {
            self.phase(&mut place, step, &names).await?;
        }
        self.leave(place).await?;
        if self.options.small > 0 {
            self.files_gone().await?;
            self.one_after_the_other(report).await?;
        }
        if self.options.topics > 0 {
            self.files_gone().await?;
            self.at_once(report).await?;
        }
        Ok(())
    }

    /// Leaves the cluster as it was, as far as that goes after a failure.
    ///
    /// # Errors
    /// When the operator does not start again.
    pub async fn end(&self) -> Result<()> {
        self.requests.forget().await?;
        self.operator.start().await
    }

    async fn floors(&self, report: &mut Report) -> Result<()> {
        progress("the operator is stopped, for the floor");
        self.operator.stop().await?;
        self.files_gone().await?;
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
        let leader = self.operator.leader().await?;
        let restarts = self.operator.restarts().await?;

        let made = self
            .watched(&leader, &mut place, Step::Create, &names, &mut report.large)
            .await?;
        report.at_work = Some(self.at_work(&made, restarts, &leader).await?);
        if self.options.rest > 0 {
            self.compared(&place.namespace).await?;
            report.rest = Some(self.rest(&leader).await?);
        }
        let gone = self
            .watched(&leader, &mut place, Step::Delete, &names, &mut report.large)
            .await?;
        let both = made.plus(gone);
        report.at_work = Some(self.at_work(&both, restarts, &leader).await?);
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
    ) -> Result<Watched> {
        let standby = self.operator.standby().await?;
        let usage = self.operator.usage(leader).await?;
        let requests = self.requests.now().await?;
        let asking = Prober::start(self.cluster, leader).await?;
        let comparison = match &standby {
            Some(pod) => Some(Prober::start(self.cluster, pod).await?),
            None => None,
        };
        let took = self.phase(place, step, names).await?;
        phases.took.push((step, took));
        let health = asking.stop();
        let standby = comparison.map(Prober::stop);
        self.quiet().await?;
        let after = self.operator.usage(leader).await?;
        Ok(Watched {
            cpu: after.cpu - usage.cpu,
            usage: after,
            requests: self.requests.now().await?.since(&requests),
            health,
            standby,
        })
    }

    async fn at_work(&self, seen: &Watched, restarts: i32, leader: &str) -> Result<AtWork> {
        Ok(AtWork {
            cpu: seen.cpu,
            usage: seen.usage,
            requests: seen.requests.clone(),
            health: seen.health,
            standby: seen.standby,
            restarts: self.operator.restarts().await? - restarts,
            same_leader: self.operator.leader().await? == leader,
        })
    }

    /// Waits until every topic has been compared with Kafka once since it was made, at which its reason changes to Synced.
    async fn compared(&self, namespace: &str) -> Result<()> {
        progress("waiting for the first comparison of all topics with Kafka");
        let api = Api::<KafkaTopic>::namespaced(self.cluster.client.clone(), namespace);
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

    async fn rest(&self, leader: &str) -> Result<Rest> {
        let quiet = self.quiet().await?;
        progress(&format!("at rest for {} s", self.options.rest));
        let before = self.operator.usage(leader).await?;
        let requests = self.requests.now().await?;
        let started = Instant::now();
        sleep(Duration::from_secs(self.options.rest)).await;
        let after = self.operator.usage(leader).await?;
        Ok(Rest {
            quiet,
            lasted: started.elapsed(),
            cpu: after.cpu - before.cpu,
            requests: self.requests.now().await?.since(&requests),
        })
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

    /// Waits until the operator has asked Kubernetes for nothing for a while; whether it got so far.
    async fn quiet(&self) -> Result<bool> {
        let until = Instant::now() + UNTIL_QUIET;
        let mut last = self.requests.now().await?.work();
        while Instant::now() < until {
            sleep(QUIET).await;
            let now = self.requests.now().await?.work();
            if now == last {
                return Ok(true);
            }
            last = now;
        }
        Ok(false)
    }

    /// Waits until Kafka has removed the files of deleted topics: it would do so in the middle of the next measurement.
    async fn files_gone(&self) -> Result<()> {
        let until = Instant::now() + UNTIL_FILES_GONE;
        let count = "ls /data/kafka | grep -c -e '-delete$' || true";
        let mut told = false;
        loop {
            let Ok(left) = self.cluster.exec("kafka-0", &["sh", "-c", count]).await else {
                progress(
                    "Kafka's files cannot be seen: it may be busy with those of deleted topics",
                );
                return Ok(());
            };
            if left.trim() == "0" {
                return Ok(());
            }
            if !told {
                progress(
                    "Kafka still has the files of deleted topics: waiting until they are gone",
                );
                told = true;
            }
            ensure!(
                Instant::now() < until,
                "Kafka still has the files of {} partitions of deleted topics",
                left.trim()
            );
            sleep(Duration::from_secs(3)).await;
        }
    }

    async fn place(&self, what: &str) -> Result<Place> {
        let namespace = format!("{}-{what}", self.id);
        self.cluster.make_namespace(&namespace).await?;
        let client = &self.cluster.client;
        Ok(Place {
            writer: Writer::new(client, &namespace, self.options.parallel),
            board: Board::watch(client, &namespace),
            namespace,
        })
    }

    async fn leave(&self, place: Place) -> Result<()> {
        let gone = self.cluster.delete_namespace(&place.namespace).await;
        gone.with_context(|| format!("namespace {}", place.namespace))
    }

    fn names(&self, what: &str, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("{}.{what}.{number:05}", self.id))
            .collect()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.options.deadline)
    }
}

/// What was seen of the operator in one phase or several.
struct Watched {
    cpu: f64,
    usage: Usage,
    requests: Counts,
    health: Heard,
    standby: Option<Heard>,
}

impl Watched {
    /// Both, the other being the later one.
    fn plus(self, later: Self) -> Self {
        Self {
            cpu: self.cpu + later.cpu,
            usage: later.usage,
            requests: self.requests.plus(&later.requests),
            health: self.health.plus(later.health),
            standby: self
                .standby
                .zip(later.standby)
                .map(|(earlier, later)| earlier.plus(later)),
        }
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

/// Tells whoever waits how far it is.
fn progress(text: &str) {
    eprintln!("  {text}");
}
