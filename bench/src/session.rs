//! What every measurement needs: the cluster, the operator in it, and a count of its requests.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::health::Prober;
use crate::load::{AtWork, Rest};
use crate::operator::{Operator, Usage};
use crate::requests::{Counts, Requests};
use crate::words::progress;

/// What it may take until the operator is at rest.
const UNTIL_QUIET: Duration = Duration::from_secs(120);
/// What Kafka may take to remove the files of deleted topics: it begins a minute after the deletion.
const UNTIL_FILES_GONE: Duration = Duration::from_secs(180);

/// One run of a measurement.
pub struct Session<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The operator in it.
    pub operator: Operator<'a>,
    /// A name of this run's own.
    pub id: String,
    requests: Requests,
    /// The operator is at rest when it asked for nothing this long.
    quiet: Duration,
}

/// A phase at which the operator is looked at.
pub struct Watching<'a> {
    session: &'a Session<'a>,
    leader: String,
    usage: Usage,
    requests: Counts,
    restarts: i32,
    asking: Prober,
    comparison: Option<Prober>,
}

impl<'a> Session<'a> {
    /// Begins to count the requests of the operator, which is at rest when it asked for nothing for as long as `quiet`.
    ///
    /// # Errors
    /// When the cluster has no operator, or does not answer.
    pub async fn begin(cluster: &'a Cluster, quiet: Duration) -> Result<Self> {
        let operator = Operator::find(cluster).await?;
        let account = operator.service_account().await?;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self {
            cluster,
            operator,
            id: format!("bench-{:x}", unix.as_secs() & 0xff_ffff),
            requests: Requests::count(&cluster.client, account).await?,
            quiet,
        })
    }

    /// Leaves the cluster as it was, as far as that goes after a failure.
    ///
    /// # Errors
    /// When the operator does not start again.
    pub async fn end(&self) -> Result<()> {
        self.requests.forget().await?;
        self.operator.start().await
    }

    /// Makes a namespace of this run's own; its name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn namespace(&self, what: &str) -> Result<String> {
        let namespace = format!("{}-{what}", self.id);
        self.cluster.make_namespace(&namespace).await?;
        Ok(namespace)
    }

    /// Deletes a namespace, without waiting for its end.
    ///
    /// # Errors
    /// When Kubernetes refuses.
    pub async fn leave(&self, namespace: &str) -> Result<()> {
        let gone = self.cluster.delete_namespace(namespace).await;
        gone.with_context(|| format!("namespace {namespace}"))
    }

    /// Begins to look at the operator at work.
    ///
    /// # Errors
    /// When its pods cannot be asked.
    pub async fn watch(&'a self, leader: &str) -> Result<Watching<'a>> {
        let comparison = match self.operator.standby().await? {
            Some(pod) => Some(Prober::start(self.cluster, &pod).await?),
            None => None,
        };
        Ok(Watching {
            session: self,
            leader: leader.into(),
            usage: self.operator.usage(leader).await?,
            requests: self.requests.now().await?,
            restarts: self.operator.restarts().await?,
            asking: Prober::start(self.cluster, leader).await?,
            comparison,
        })
    }

    /// Looks at the operator at rest for so long, once it is.
    ///
    /// # Errors
    /// When its pods or the API server cannot be asked.
    pub async fn rest(&self, leader: &str, lasts: Duration) -> Result<Rest> {
        let quiet = self.until_quiet().await?;
        progress(&format!("at rest for {} s", lasts.as_secs()));
        let before = self.operator.usage(leader).await?;
        let requests = self.requests.now().await?;
        let started = Instant::now();
        sleep(lasts).await;
        let after = self.operator.usage(leader).await?;
        Ok(Rest {
            quiet,
            lasted: started.elapsed(),
            cpu: after.cpu - before.cpu,
            requests: self.requests.now().await?.since(&requests),
        })
    }

    /// Waits until the operator has asked Kubernetes for nothing for a while; whether it got so far.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn until_quiet(&self) -> Result<bool> {
        let until = Instant::now() + UNTIL_QUIET;
        let mut last = self.requests.now().await?.work();
        while Instant::now() < until {
            sleep(self.quiet).await;
            let now = self.requests.now().await?.work();
            if now == last {
                return Ok(true);
            }
            last = now;
        }
        Ok(false)
    }

    /// Waits until Kafka has removed the files of deleted topics: it would do so in the middle of the next measurement.
    ///
    /// # Errors
    /// When it does not.
    pub async fn files_gone(&self) -> Result<()> {
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
}

impl Watching<'_> {
    /// What was seen, once the operator is quiet again. Its `/healthz` is asked until now only.
    ///
    /// # Errors
    /// When the operator's pods or the API server cannot be asked.
    pub async fn end(self) -> Result<AtWork> {
        let health = self.asking.stop();
        let standby = self.comparison.map(Prober::stop);
        let (session, operator) = (self.session, &self.session.operator);
        session.until_quiet().await?;
        let usage = operator.usage(&self.leader).await?;
        Ok(AtWork {
            cpu: usage.cpu - self.usage.cpu,
            usage,
            requests: session.requests.now().await?.since(&self.requests),
            health,
            standby,
            restarts: (self.restarts, operator.restarts().await?),
            same_leader: operator.leader().await? == self.leader,
        })
    }
}
