//! The cluster as the user's kubeconfig shows it.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::At;
use crate::api::TelemetryConsumer;
use crate::consumers::is_ready;

/// The longest wait for one answer.
pub const ANSWER: Duration = Duration::from_secs(15);

/// The API, and where in it the user is.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// Of the kubeconfig, for people.
    pub context: String,
    /// None: all.
    pub namespace: Option<String>,
}

impl Cluster {
    pub async fn connect(at: &At) -> Result<Self> {
        let kubeconfig = match &at.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig =
            kubeconfig.context("no kubeconfig; name one by --kubeconfig or KUBECONFIG")?;
        let context = at.context.clone().or(kubeconfig.current_context.clone());
        let options = KubeConfigOptions {
            context: at.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .context(
                "the kubeconfig cannot be used; `kubectl config get-contexts` shows what it has",
            )?;
        config.connect_timeout = Some(Duration::from_secs(10));
        // What is followed may be silent for hours.
        config.read_timeout = None;
        let namespace = at.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("no client for this cluster")?;
        Ok(Self {
            client,
            context: context.unwrap_or_default(),
            namespace: (!at.all_namespaces).then_some(namespace),
        })
    }

    /// All resources of a kind, in the namespace or everywhere.
    pub async fn list<K>(&self) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let client = self.client.clone();
        let api = match &self.namespace {
            Some(namespace) => Api::<K>::namespaced(client, namespace),
            None => Api::all(client),
        };
        let mut listed = answer(
            &format!("list {}", K::plural(&())),
            api.list(&ListParams::default()),
        )
        .await?;
        listed
            .items
            .sort_by_key(|item| (item.namespace(), item.name_any()));
        Ok(listed.items)
    }

    /// The pods of a consumer that run its container, the ready ones first.
    pub async fn pods(&self, namespace: &str, consumer: &str) -> Result<Vec<Pod>> {
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let selector = format!("monitoring.bt.dev/consumer={consumer}");
        let listed = answer(
            "list pods",
            api.list(&ListParams::default().labels(&selector)),
        )
        .await?;
        let mut pods: Vec<_> = listed.items.into_iter().filter(runs).collect();
        pods.sort_by_key(|pod| (!is_ready(pod), pod.name_any()));
        Ok(pods)
    }

    /// The operator's Deployment, wherever it is.
    pub async fn operator(&self) -> Result<Option<Deployment>> {
        let selector = "app.kubernetes.io/name=bt-operator";
        let list = ListParams::default().labels(selector);
        let everywhere = Api::<Deployment>::all(self.client.clone());
        let found = match answer("list deployments", everywhere.list(&list)).await {
            Ok(found) => found,
            // Who may not look everywhere may still look here.
            Err(error) => {
                let Some(namespace) = &self.namespace else {
                    return Err(error);
                };
                let here = Api::<Deployment>::namespaced(self.client.clone(), namespace);
                answer("list deployments", here.list(&list)).await?
            }
        };
        Ok(found.items.into_iter().next())
    }
}

/// An answer of the API within [`ANSWER`], with words for what it is not.
pub async fn answer<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match tokio::time::timeout(ANSWER, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            bail!(
                "cannot {what}: {}; docs/kubectl-bt.md has a ClusterRole for users",
                status.message
            )
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 404 && what.starts_with("list ") => {
            bail!(
                "cannot {what}: this cluster does not know the kind; `kubectl apply -f crds/` makes it known"
            )
        }
        Ok(Err(error)) => Err(error).with_context(|| format!("cannot {what}")),
        Err(_) => bail!(
            "cannot {what}: no answer within {} s; is the cluster reachable?",
            ANSWER.as_secs()
        ),
    }
}

fn runs(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let mut consumers = containers
        .into_iter()
        .flatten()
        .filter(|c| c.name == super::exec::CONTAINER);
    pod.metadata.deletion_timestamp.is_none()
        && consumers.any(|c| {
            c.state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
        })
}

/// The consumer that a command goes to: the one that is named; else one that reads the topic; else any that has a configuration
/// of ours. Those of custom sinks have none.
pub fn choose<'c>(
    consumers: &'c [TelemetryConsumer],
    named: Option<&str>,
    topic: Option<&str>,
) -> Result<Vec<&'c TelemetryConsumer>> {
    let ours = |consumer: &&TelemetryConsumer| consumer.spec.sink.custom.is_none();
    if let Some(name) = named {
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, name),
        };
        let found: Vec<_> = consumers
            .iter()
            .filter(|c| {
                c.name_any() == name
                    && namespace.is_none_or(|n| c.namespace().as_deref() == Some(n))
            })
            .collect();
        if found.is_empty() {
            let names: Vec<_> = consumers.iter().map(ResourceExt::name_any).collect();
            bail!(
                "there is no consumer {name} here; there are: {}",
                names.join(", ")
            );
        }
        if found.iter().all(|c| !ours(c)) {
            bail!(
                "{name} has a custom sink, in whose pods `bt-consumers` does not run; choose another consumer"
            );
        }
        return Ok(found);
    }
    let mut found: Vec<_> = consumers.iter().filter(ours).collect();
    if found.is_empty() {
        bail!(
            "there is no TelemetryConsumer with a prometheus or elasticsearch sink here; choose a namespace by -n, or -A for all"
        );
    }
    let reads =
        |c: &TelemetryConsumer| topic.is_some_and(|t| c.spec.topics.iter().any(|of| of == t));
    // A cluster of its own has other topics.
    found.sort_by_key(|c| (!reads(c), c.spec.kafka.is_some()));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn consumer(name: &str, topic: &str, sink: &str, own_kafka: bool) -> TelemetryConsumer {
        let mut spec = json!({"topics": [topic], "sink": {sink: {}}});
        if sink == "custom" {
            spec["sink"]["custom"] = json!({"image": "i"});
        }
        if own_kafka {
            spec["kafka"] = json!({"bootstrapServers": "k:1"});
        }
        serde_json::from_value(json!({
            "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "TelemetryConsumer",
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
        }))
        .expect("a consumer")
    }

    #[test]
    fn the_consumer_that_reads_the_topic_is_asked_first() {
        let all = [
            consumer("far", "x", "prometheus", true),
            consumer("own", "x", "custom", false),
            consumer("logs", "logs.events", "elasticsearch", false),
            consumer("metrics", "metrics.events", "prometheus", false),
        ];
        let names = |named, topic| {
            choose(&all, named, topic)
                .map(|found| found.iter().map(|c| c.name_any()).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            names(None, Some("metrics.events")),
            Ok(vec!["metrics".into(), "logs".into(), "far".into()])
        );
        assert_eq!(
            names(None, Some("dead-letters")),
            Ok(vec!["logs".into(), "metrics".into(), "far".into()])
        );
        assert_eq!(names(Some("shop/logs"), None), Ok(vec!["logs".into()]));
        assert!(
            names(Some("own"), None)
                .expect_err("custom")
                .contains("custom sink")
        );
        assert!(
            names(Some("elsewhere/logs"), None)
                .expect_err("none")
                .contains("far, own, logs")
        );
        assert!(choose(&[], None, None).is_err());
    }
}
