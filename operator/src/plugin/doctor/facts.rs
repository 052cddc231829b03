//! What there is to judge.

use std::collections::BTreeSet;

use anyhow::Result;
use bt_consumers::SinkReport;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, CustomResourceExt, ResourceExt};

use super::permissions;
use crate::api::{KafkaTopic, TelemetryConsumer};
use crate::consumers::is_ready;
use crate::plugin::At;
use crate::plugin::cluster::{Cluster, answer};
use crate::plugin::prometheus::{Prometheus, Target};
use crate::plugin::text::words;

/// Pods that are asked at a time.
const CONCURRENCY: usize = 8;

/// A fact, or why it is not known.
pub type Fact<T> = Result<T, String>;

/// All facts.
pub struct Facts {
    pub now: Timestamp,
    /// Major and minor version.
    pub version: Fact<(String, String)>,
    /// By plural: what the cluster has; none where it has none.
    pub definitions: Vec<(
        &'static str,
        CustomResourceDefinition,
        Fact<Option<CustomResourceDefinition>>,
    )>,
    /// What the user may not do.
    pub user_lacks: Fact<Vec<String>>,
    pub operator: Fact<Option<Deployment>>,
    pub operator_lacks: Fact<Vec<String>>,
    pub operator_pods: Vec<Pod>,
    pub lease: Fact<Option<Lease>>,
    pub topics: Fact<Vec<KafkaTopic>>,
    pub consumers: Fact<Vec<TelemetryConsumer>>,
    pub consumer_pods: Fact<Vec<Pod>>,
    /// Of ready pods of our own: the consumer, the pod, and what `/sink` answers.
    pub sinks: Vec<(String, String, Fact<SinkReport>)>,
    pub targets: Fact<Vec<Target>>,
    /// The consumers that have a PodMonitor; none where there is no such kind.
    pub monitors: Fact<Option<BTreeSet<(String, String)>>>,
}

fn fact<T>(asked: Result<T>) -> Fact<T> {
    asked.map_err(|error| words(&error))
}

impl Facts {
    /// Asks for everything.
    ///
    /// # Errors
    /// When the cluster does not answer at all.
    pub async fn gather(at: &At, cluster: &Cluster) -> Result<Self> {
        let client = &cluster.client;
        let info = answer("ask for the cluster's version", client.apiserver_version()).await?;
        let operator = fact(cluster.operator().await);
        let (
            user_lacks,
            topics,
            consumers,
            consumer_pods,
            targets,
            monitors,
            definitions,
            of_operator,
        ) = tokio::join!(
            permissions::missing_of_user(cluster),
            cluster.list::<KafkaTopic>(),
            cluster.list::<TelemetryConsumer>(),
            consumer_pods(cluster),
            targets(at, cluster),
            monitors(cluster),
            definitions(cluster),
            of_operator(cluster, operator.as_ref().ok().and_then(Option::as_ref)),
        );
        let consumer_pods = fact(consumer_pods);
        let (operator_lacks, operator_pods, lease) = of_operator;
        let sinks = sinks(cluster, consumer_pods.as_deref().unwrap_or_default()).await;
        Ok(Self {
            now: Timestamp::now(),
            version: Ok((info.major, info.minor)),
            definitions,
            user_lacks,
            operator,
            operator_lacks,
            operator_pods,
            lease,
            topics: fact(topics),
            consumers: fact(consumers),
            consumer_pods,
            sinks,
            targets: fact(targets),
            monitors: fact(monitors),
        })
    }
}

async fn definitions(
    cluster: &Cluster,
) -> Vec<(
    &'static str,
    CustomResourceDefinition,
    Fact<Option<CustomResourceDefinition>>,
)> {
    let api = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    let mut all = Vec::new();
    for (plural, build) in [
        ("kafkatopics", KafkaTopic::crd()),
        ("telemetryconsumers", TelemetryConsumer::crd()),
    ] {
        let name = build.name_any();
        let found = answer(&format!("get the definition {name}"), api.get_opt(&name)).await;
        all.push((plural, build, fact(found)));
    }
    all
}

/// What it may not do, its pods, and its Lease.
async fn of_operator(
    cluster: &Cluster,
    operator: Option<&Deployment>,
) -> (Fact<Vec<String>>, Vec<Pod>, Fact<Option<Lease>>) {
    let Some(operator) = operator else {
        let none = "there is no operator".to_owned();
        return (Err(none.clone()), Vec::new(), Err(none));
    };
    let namespace = operator.namespace().unwrap_or_default();
    let spec = operator
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    let account = spec.and_then(|spec| spec.service_account_name.clone());
    let account = account.unwrap_or_else(|| "default".to_owned());
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), &namespace);
    let list = ListParams::default().labels("app.kubernetes.io/name=bt-operator");
    let leases = Api::<Lease>::namespaced(cluster.client.clone(), &namespace);
    let lease = super::checks::env(operator, "LEASE_NAME").unwrap_or("bt-operator");
    let (lacks, pods, lease) = tokio::join!(
        permissions::missing_of_operator(cluster, &namespace, &account),
        answer("list pods", pods.list(&list)),
        answer("get the operator's Lease", leases.get_opt(lease)),
    );
    (
        lacks,
        pods.map(|pods| pods.items).unwrap_or_default(),
        fact(lease),
    )
}

async fn consumer_pods(cluster: &Cluster) -> Result<Vec<Pod>> {
    let all: Vec<Pod> = cluster.list().await?;
    let ours = |pod: &Pod| pod.labels().contains_key("monitoring.bt.dev/consumer");
    Ok(all.into_iter().filter(ours).collect())
}

async fn targets(at: &At, cluster: &Cluster) -> Result<Vec<Target>> {
    Prometheus::find(at, cluster).await?.targets().await
}

/// The names of PodMonitors; none where there is no such kind.
async fn monitors(cluster: &Cluster) -> Result<Option<BTreeSet<(String, String)>>> {
    let kind = ApiResource {
        group: "monitoring.coreos.com".into(),
        version: "v1".into(),
        api_version: "monitoring.coreos.com/v1".into(),
        kind: "PodMonitor".into(),
        plural: "podmonitors".into(),
    };
    let client = cluster.client.clone();
    let api = match &cluster.namespace {
        Some(namespace) => Api::<DynamicObject>::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    match api.list(&ListParams::default()).await {
        Ok(found) => {
            let name =
                |object: DynamicObject| (object.namespace().unwrap_or_default(), object.name_any());
            Ok(Some(found.items.into_iter().map(name).collect()))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What ready pods of ours answer, through the API server.
async fn sinks(cluster: &Cluster, pods: &[Pod]) -> Vec<(String, String, Fact<SinkReport>)> {
    let ours = |pod: &&Pod| {
        let sink = pod.labels().get("monitoring.bt.dev/sink");
        is_ready(pod) && sink.is_some_and(|sink| sink != "custom")
    };
    let asked = pods.iter().filter(ours).map(async |pod| {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/sink");
        let asked = async {
            let request = http::Request::get(path).body(Vec::new())?;
            let text = answer(
                "ask a pod for its sink",
                cluster.client.request_text(request),
            )
            .await?;
            Ok(serde_json::from_str::<SinkReport>(&text)?)
        };
        let consumer = pod
            .labels()
            .get("monitoring.bt.dev/consumer")
            .cloned()
            .unwrap_or_default();
        (format!("{namespace}/{consumer}"), name, fact(asked.await))
    });
    futures::stream::iter(asked)
        .buffered(CONCURRENCY)
        .collect()
        .await
}
