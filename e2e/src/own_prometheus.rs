use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::DEFAULT;
use crate::cluster::Cluster;
use crate::wait::{eventually, seconds};

/// The chart, from where the tests run.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");

/// A Prometheus beside the stack's: the chart's own configuration and rules with other settings, so that alerts need not be waited
/// for. It scrapes what the stack's scrapes.
pub struct OwnPrometheus<'c> {
    cluster: &'c Cluster,
    name: String,
}

/// An alert that is pending or fires.
#[derive(Debug, Clone, Deserialize)]
pub struct Alert {
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What people read.
    pub annotations: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
}

impl Alert {
    /// Whether it is of this name and has these labels.
    pub fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |label: &str, value: &str| self.labels.get(label).is_some_and(|v| v == value);
        has("alertname", name) && labels.iter().all(|(label, value)| has(label, value))
    }
}

impl<'c> OwnPrometheus<'c> {
    /// Starts it in the default namespace, under a name of its own, with these settings of the chart (`--set`).
    ///
    /// # Errors
    /// When it is not ready within a minute.
    pub async fn start(cluster: &'c Cluster, name: &str, settings: &str) -> Result<Self> {
        let rendered = cluster
            .helm(&[
                "template",
                "bt-monitoring",
                CHART,
                "--namespace",
                DEFAULT,
                "--api-versions",
                crate::API_VERSION,
                "--show-only",
                "templates/stack/prometheus-config.yaml",
                "--set",
                settings,
            ])
            .await?;
        let own = Self {
            cluster,
            name: name.to_owned(),
        };
        let started = own.apply(&rendered).await;
        if let Err(error) = started {
            own.stop().await?;
            return Err(error);
        }
        Ok(own)
    }

    async fn apply(&self, rendered: &str) -> Result<()> {
        let args = ["get", "statefulset", "prometheus", "-n", DEFAULT];
        let image = "jsonpath={.spec.template.spec.containers[0].image}";
        let image = self
            .cluster
            .kubectl(&[&args[..], &["-o", image]].concat())
            .await?;
        let name = &self.name;
        // Only the name differs; a label of the chart's would make it a part of the release.
        let config = rendered.replacen("name: prometheus\n", &format!("name: {name}\n"), 1);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "serviceAccountName": "bt-prometheus", "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "prometheus", "image": image, "command": ["/bin/prometheus"],
                    "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"],
                    "ports": [{"containerPort": 9090}],
                    "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/prometheus"}, {"name": "data", "mountPath": "/data"}],
                }],
                "volumes": [{"name": "config", "configMap": {"name": name}}, {"name": "data", "emptyDir": {}}],
            },
        });
        self.cluster
            .apply(DEFAULT, &format!("{config}\n---\n{pod}\n"))
            .await?;
        eventually("the test's own Prometheus", seconds(60), async || {
            self.alerts().await.map(drop)
        })
        .await
    }

    /// The alerts that are pending or fire.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        let mut data = self.ask("/api/v1/alerts").await?;
        Ok(serde_json::from_value(data["alerts"].take())?)
    }

    /// Waits until no alert of this name and with these labels is there.
    ///
    /// # Errors
    /// When there still is one after the time.
    pub async fn is_over(&self, name: &str, labels: &[(&str, &str)], within: u64) -> Result<()> {
        let what = format!("{name} is over for {labels:?}");
        eventually(&what, seconds(within), async || {
            let alerts = self.alerts().await?;
            ensure!(
                !alerts.iter().any(|alert| alert.is(name, labels)),
                "it is there"
            );
            Ok(())
        })
        .await
    }

    /// All rules, as Prometheus judges them.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let mut data = self.ask("/api/v1/rules").await?;
        let groups: Vec<Value> = serde_json::from_value(data["groups"].take())?;
        let rules = groups.into_iter().map(|mut group| group["rules"].take());
        Ok(rules
            .flat_map(|rules| rules.as_array().cloned().unwrap_or_default())
            .collect())
    }

    async fn ask(&self, path: &str) -> Result<Value> {
        let name = &self.name;
        let path = format!("/api/v1/namespaces/{DEFAULT}/pods/{name}:9090/proxy{path}");
        let answer = self.cluster.kubectl(&["get", "--raw", &path]).await?;
        let mut answer: Value = serde_json::from_str(&answer)?;
        if answer["status"] != "success" {
            bail!("Prometheus refused {path}: {answer}");
        }
        Ok(answer["data"].take())
    }

    /// Deletes it.
    ///
    /// # Errors
    /// When Kubernetes does not.
    pub async fn stop(self) -> Result<()> {
        let (kinds, name) = ("pod,configmap", self.name.as_str());
        let args = ["delete", kinds, name, "-n", DEFAULT, "--ignore-not-found"];
        self.cluster.kubectl(&args).await.map(drop)
    }
}
