//! What the kind tests share: a cluster as its user has it (kubectl, Kafka, Prometheus, the search engine and the Python SDK), and
//! waiting for conditions.
//!
//! The cluster is made and the chart installed before these tests run; where things are is told by the environment:
//! `KUBECONFIG`, `E2E_KAFKA`, `E2E_PROMETHEUS`, `E2E_SEARCH`, `E2E_PYTHON` (a Python that has `bt_events`),
//! `E2E_KUBECTL_BT` (the plugin of kubectl), `E2E_ELASTICSEARCH_IMAGE` (Elasticsearch 7.10, as the cluster can have it).

mod certificates;
mod cluster;
mod consumers;
mod feed;
mod groups;
mod kafka;
mod metric_feed;
mod operator;
mod outside;
mod own_prometheus;
mod prometheus;
mod random;
mod search;
mod search_proxy;
mod second_kafka;
mod second_search;
mod tools;
mod topics;
mod traffic;
mod wait;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result};
use futures::FutureExt;
use tokio::sync::RwLock;

pub use certificates::{Authority, ServerCertificate};
pub use cluster::{Cluster, condition, is_ready};
pub use consumers::{log_event, tcon};
pub use feed::{Feed, logs_into};
pub use kafka::{Kafka, Member, Record};
pub use metric_feed::{MetricFeed, Totals};
pub use operator::OPERATOR;
pub use own_prometheus::{Alert, OwnPrometheus};
pub use prometheus::{Prometheus, Sample, Samples};
pub use random::Random;
pub use search::{Hit, Search, exactly_once};
pub use search_proxy::SearchProxy;
pub use second_kafka::SecondKafka;
pub use second_search::{SecondSearch, elasticsearch_image};
pub use tools::Described;
pub use topics::{Said, ktopic};
pub use traffic::{Sent, Steady, Traffic};
pub use wait::{eventually, seconds};

/// The namespace of the default installation.
pub const DEFAULT: &str = "default";
/// The group, version of the resources, as the head of a manifest.
pub const API_VERSION: &str = "monitoring.bt.dev/v1alpha1";

/// One test's view of the cluster.
pub struct E2e {
    /// Kubernetes.
    pub cluster: Cluster,
    /// Kafka, over its external listener.
    pub kafka: Kafka,
    /// Prometheus.
    pub prometheus: Prometheus,
    /// Elasticsearch or OpenSearch.
    pub search: Search,
    /// Services that publish through the SDK.
    pub traffic: Traffic,
    /// A name of this test's own, for what it makes and sends: lower case letters, digits and dashes.
    pub run: String,
    namespaces: RefCell<Vec<String>>,
}

impl E2e {
    /// A namespace for this test alone, named `bt-e2e-<what>-…`; it is deleted when the test ends.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn namespace(&self, what: &str) -> Result<String> {
        let name = format!("bt-e2e-{what}-{}", self.run);
        self.cluster
            .kubectl(&["create", "namespace", &name])
            .await?;
        self.namespaces.borrow_mut().push(name.clone());
        Ok(name)
    }
}

/// Tests beside others hold it for reading, a test that has the cluster alone for writing.
static CLUSTER: RwLock<()> = RwLock::const_new(());
/// Tests that have begun: those of one millisecond have different names, too.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Runs one test while no other one runs, and when it fails shows the state of the cluster.
///
/// # Errors
/// The test's own, or where the environment does not tell where things are.
pub async fn scenario(test: impl AsyncFnOnce(&E2e) -> Result<()>) -> Result<()> {
    let _alone = CLUSTER.write().await;
    run(test).await
}

/// The same for a test that changes nothing but what it makes itself, in namespaces and topics of its own, and counts nothing that
/// others add to: tests of this kind run side by side. Most of what they do is waiting.
///
/// # Errors
/// As for [`scenario`].
pub async fn beside_others(test: impl AsyncFnOnce(&E2e) -> Result<()>) -> Result<()> {
    let _shared = CLUSTER.read().await;
    run(test).await
}

async fn run(test: impl AsyncFnOnce(&E2e) -> Result<()>) -> Result<()> {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let millis = unix.as_millis() & 0xff_ffff_ffff;
    let run = format!("{millis:x}{:x}", BEGUN.fetch_add(1, Ordering::Relaxed) % 16);
    let e2e = E2e {
        cluster: Cluster::connect().await?,
        kafka: Kafka::new(&variable("E2E_KAFKA")?)?,
        prometheus: Prometheus::new(&variable("E2E_PROMETHEUS")?),
        search: Search::new(&variable("E2E_SEARCH")?),
        traffic: Traffic::new(&variable("E2E_PYTHON")?, &variable("E2E_KAFKA")?),
        run,
        namespaces: RefCell::default(),
    };
    let outcome = AssertUnwindSafe(test(&e2e)).catch_unwind().await;
    let namespaces = e2e.namespaces.take();
    if !matches!(outcome, Ok(Ok(()))) {
        e2e.cluster.dump(&namespaces).await;
    }
    if std::env::var_os("E2E_KEEP").is_none() {
        for name in &namespaces {
            e2e.cluster
                .kubectl(&[
                    "delete",
                    "namespace",
                    name,
                    "--wait=false",
                    "--ignore-not-found",
                ])
                .await?;
        }
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| {
        format!(
            "{name} is not set: the kind tests are run by `just test`, which makes their cluster"
        )
    })
}
