use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::process;

/// Name of the Deployment, of the Lease and of the pods' label.
const NAME: &str = "bt-operator";
/// After which a change of scale has failed.
const PATIENCE: Duration = Duration::from_secs(180);
/// For how long nobody may hold the Lease: the next one waits until it has expired.
const WITHOUT_LEADER: Duration = Duration::from_secs(30);

/// The operator as the chart installs it.
pub struct Operator<'a> {
    cluster: &'a Cluster,
    replicas: i32,
}

/// What the process of one pod has used since it started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU seconds, user and system.
    pub cpu: f64,
    /// The largest resident set so far, in bytes.
    pub peak_rss: u64,
    /// The largest memory of its cgroup so far, in bytes: page cache and the kernel's part included.
    pub peak_cgroup: Option<u64>,
}

impl<'a> Operator<'a> {
    /// The operator that is installed.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(cluster: &'a Cluster) -> Result<Self> {
        let deployment = deployments(cluster)
            .get(NAME)
            .await
            .context("no operator is installed")?;
        let replicas = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        Ok(Self {
            cluster,
            // A run that was broken off left it at none.
            replicas: if replicas == 0 { 2 } else { replicas },
        })
    }

    /// Scales it to none, and waits until no pod is left.
    ///
    /// # Errors
    /// When they do not go.
    pub async fn stop(&self) -> Result<()> {
        self.scale(0).await?;
        let until = Instant::now() + PATIENCE;
        while !self.pods().await?.is_empty() {
            if Instant::now() > until {
                bail!("the operator's pods do not go");
            }
            sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Starts its pods, and waits until all are ready and one of them leads.
    ///
    /// # Errors
    /// When they do not get ready.
    pub async fn start(&self) -> Result<()> {
        self.scale(self.replicas).await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let pods = self.pods().await?;
            let all = pods.len() == usize::try_from(self.replicas)? && pods.iter().all(is_ready);
            if all && self.holder().await.is_ok() {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("the operator does not get ready; see 'kubectl describe deployment {NAME}'");
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        deployments(self.cluster)
            .patch(NAME, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    async fn pods(&self) -> Result<Vec<Pod>> {
        let labels = format!("app.kubernetes.io/name={NAME}");
        let params = ListParams::default().labels(&labels);
        Ok(self.api::<Pod>().list(&params).await?.items)
    }

    /// The name of the pod that holds the Lease; where none does, the next one to hold it.
    ///
    /// # Errors
    /// When none of the operator's pods holds it for half a minute.
    pub async fn leader(&self) -> Result<String> {
        let until = Instant::now() + WITHOUT_LEADER;
        loop {
            match self.holder().await {
                Err(_) if Instant::now() < until => sleep(Duration::from_millis(500)).await,
                found => return found,
            }
        }
    }

    async fn holder(&self) -> Result<String> {
        let lease = self.api::<Lease>().get(NAME).await?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        let holder = holder.unwrap_or_default();
        let pods = self.pods().await?;
        let leader = pods.iter().find(|pod| pod.name_any() == holder);
        let leader = leader.with_context(|| {
            if holder.is_empty() {
                "no replica of the operator holds the Lease".to_owned()
            } else {
                format!("the Lease is held by {holder:?}, and there is no such pod")
            }
        })?;
        Ok(leader.name_any())
    }

    /// The name of a pod that waits for the Lease.
    ///
    /// # Errors
    /// When Kubernetes does not answer.
    pub async fn standby(&self) -> Result<Option<String>> {
        let leader = self.leader().await?;
        let pods = self.pods().await?;
        Ok(pods
            .iter()
            .map(ResourceExt::name_any)
            .find(|name| *name != leader))
    }

    /// How often its present pods were restarted.
    ///
    /// # Errors
    /// When Kubernetes does not answer.
    pub async fn restarts(&self) -> Result<i32> {
        let pods = self.pods().await?;
        let statuses = pods.iter().filter_map(|pod| pod.status.as_ref());
        let containers = statuses.filter_map(|status| status.container_statuses.as_ref());
        Ok(containers
            .flatten()
            .map(|container| container.restart_count)
            .sum())
    }

    /// What the process of a pod has used so far.
    ///
    /// # Errors
    /// When the pod cannot be asked.
    pub async fn usage(&self, pod: &str) -> Result<Usage> {
        let stat = self.cluster.exec(pod, &["cat", "/proc/1/stat"]).await?;
        let status = self.cluster.exec(pod, &["cat", "/proc/1/status"]).await?;
        // cgroup v2, else v1.
        let mut peak_cgroup = None;
        for file in ["memory.peak", "memory/memory.max_usage_in_bytes"] {
            let path = format!("/sys/fs/cgroup/{file}");
            if let Ok(text) = self.cluster.exec(pod, &["cat", &path]).await {
                peak_cgroup = text.trim().parse().ok();
                break;
            }
        }
        Ok(Usage {
            cpu: process::cpu_seconds(&stat)?,
            peak_rss: process::bytes(&status, "VmHWM")?,
            peak_cgroup,
        })
    }

    /// What a pod's `/metrics` says, by way of the API server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self, pod: &str) -> Result<String> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}:8080/proxy/metrics",
            self.cluster.namespace
        );
        let request = http::Request::get(path).body(Vec::new())?;
        let answer = self.cluster.client.request_text(request).await;
        answer.with_context(|| format!("the metrics of pod {pod}"))
    }

    /// A variable of its environment, where it is set to a text.
    ///
    /// # Errors
    /// When Kubernetes does not answer.
    pub async fn environment(&self, name: &str) -> Result<Option<String>> {
        let deployment = deployments(self.cluster).get(NAME).await?;
        let pod = deployment.spec.and_then(|spec| spec.template.spec);
        let containers = pod.into_iter().flat_map(|pod| pod.containers);
        let mut variables = containers.flat_map(|container| container.env.unwrap_or_default());
        Ok(variables
            .find(|variable| variable.name == name)
            .and_then(|variable| variable.value))
    }

    /// Its image.
    ///
    /// # Errors
    /// When Kubernetes does not answer.
    pub async fn image(&self) -> Result<String> {
        let deployment = deployments(self.cluster).get(NAME).await?;
        let pod = deployment.spec.and_then(|spec| spec.template.spec);
        let container = pod.and_then(|pod| pod.containers.into_iter().next());
        container
            .and_then(|container| container.image)
            .context("the operator's Deployment has no image")
    }

    /// The namespace and the name of the account that it speaks to Kubernetes with.
    ///
    /// # Errors
    /// When Kubernetes does not answer.
    pub async fn service_account(&self) -> Result<(String, String)> {
        let deployment = deployments(self.cluster).get(NAME).await?;
        let account = deployment
            .spec
            .and_then(|spec| spec.template.spec?.service_account_name);
        Ok((
            self.cluster.namespace.clone(),
            account.unwrap_or_else(|| "default".into()),
        ))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }
}

fn deployments(cluster: &Cluster) -> Api<Deployment> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
