use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use bt_operator::api::{Condition, KafkaTopic, TelemetryConsumer};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::wait::{eventually, seconds};

/// Kubernetes: changed as users change it, by kubectl; read by the API.
pub struct Cluster {
    /// The API.
    pub client: Client,
}

impl Cluster {
    pub(crate) async fn connect() -> Result<Self> {
        let client = Client::try_default().await;
        Ok(Self {
            client: client.context("no Kubernetes cluster: is KUBECONFIG set?")?,
        })
    }

    /// Runs kubectl; what it printed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        run("kubectl", args, None).await
    }

    /// None of the secrets is in what kubectl prints for these arguments.
    ///
    /// # Errors
    /// When one is, or nothing is printed.
    pub async fn shows_none_of(&self, secrets: &[String], looks: &[&[&str]]) -> Result<()> {
        for look in looks {
            let shown = self.kubectl(look).await?;
            ensure!(!shown.is_empty(), "nothing to look at: {look:?}");
            // Not which: the test's own output is no place for it either.
            let secret = secrets.iter().any(|secret| shown.contains(secret.as_str()));
            ensure!(!secret, "a secret is in the output of kubectl {look:?}");
        }
        Ok(())
    }

    /// Gives a user of the default Kafka this SCRAM password.
    ///
    /// # Errors
    /// When Kafka's own tool does not set it.
    pub async fn scram_password(&self, user: &str, password: &str) -> Result<()> {
        let credential = format!("SCRAM-SHA-512=[password={password}]");
        let alter = [
            "exec",
            "kafka-0",
            "--",
            // The pod's memory is the broker's.
            "env",
            "KAFKA_HEAP_OPTS=-Xmx64m",
            "/opt/kafka/bin/kafka-configs.sh",
            "--bootstrap-server",
            "localhost:9092",
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            user,
            "--add-config",
            &credential,
        ];
        self.kubectl(&alter).await.map(drop)
    }

    /// `kubectl apply` of a manifest.
    ///
    /// # Errors
    /// When it is refused, with the API server's words.
    pub async fn apply(&self, namespace: &str, manifest: &str) -> Result<String> {
        run(
            "kubectl",
            &["apply", "-n", namespace, "-f", "-"],
            Some(manifest),
        )
        .await
    }

    /// `kubectl apply --server-side` of a manifest: unlike without, a `null` in it is kept.
    ///
    /// # Errors
    /// When it is refused, with the API server's words.
    pub async fn apply_server_side(&self, namespace: &str, manifest: &str) -> Result<String> {
        let args = ["apply", "--server-side", "-n", namespace, "-f", "-"];
        run("kubectl", &args, Some(manifest)).await
    }

    /// Runs helm; what it printed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        run("helm", args, None).await
    }

    /// A KafkaTopic as it is now.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn topic(&self, namespace: &str, name: &str) -> Result<KafkaTopic> {
        let api = Api::<KafkaTopic>::namespaced(self.client.clone(), namespace);
        api.get(name)
            .await
            .with_context(|| format!("KafkaTopic {name}"))
    }

    /// A TelemetryConsumer as it is now.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn consumer(&self, namespace: &str, name: &str) -> Result<TelemetryConsumer> {
        let api = Api::<TelemetryConsumer>::namespaced(self.client.clone(), namespace);
        api.get(name)
            .await
            .with_context(|| format!("TelemetryConsumer {name}"))
    }

    /// Waits until a topic says that it is ready, of its present generation.
    ///
    /// # Errors
    /// When it does not.
    pub async fn topic_is_ready(&self, namespace: &str, name: &str) -> Result<KafkaTopic> {
        eventually(&format!("topic {name} ready"), seconds(60), async || {
            let topic = self.topic(namespace, name).await?;
            let conditions = topic
                .status
                .as_ref()
                .map(|status| status.conditions.as_slice());
            is_ready(conditions.unwrap_or_default(), topic.metadata.generation)?;
            Ok(topic)
        })
        .await
    }

    /// Waits until a consumer says that it is ready, with that many pods that are.
    ///
    /// # Errors
    /// When it does not.
    pub async fn consumer_is_ready(
        &self,
        namespace: &str,
        name: &str,
        replicas: i32,
    ) -> Result<TelemetryConsumer> {
        let what = format!("consumer {name} ready with {replicas} pods");
        eventually(&what, seconds(120), async || {
            let consumer = self.consumer(namespace, name).await?;
            let status = consumer.status.as_ref().context("no status yet")?;
            is_ready(&status.conditions, consumer.metadata.generation)?;
            ensure!(
                (status.replicas, status.ready_replicas) == (replicas, replicas),
                "{} pods, {} ready",
                status.replicas,
                status.ready_replicas
            );
            let pods = self.consumer_pods(namespace, name).await?;
            ensure!(
                pods.len() == replicas as usize,
                "{} pods that stay",
                pods.len()
            );
            Ok(consumer)
        })
        .await
    }

    /// The pods with these labels, without those that are on their way out.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let pods = api.list(&ListParams::default().labels(labels)).await?.items;
        let stays = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
        Ok(pods.into_iter().filter(stays).collect())
    }

    /// The pods of a TelemetryConsumer, without those that are on their way out.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn consumer_pods(&self, namespace: &str, name: &str) -> Result<Vec<Pod>> {
        let labels =
            format!("app.kubernetes.io/name=bt-consumer,monitoring.bt.dev/consumer={name}");
        self.pods(namespace, &labels).await
    }

    /// Waits until the pod of this name is a new one, not that of `old`, and ready.
    ///
    /// # Errors
    /// When it is not.
    pub async fn pod_is_back(&self, namespace: &str, name: &str, old: &str) -> Result<()> {
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        eventually(&format!("pod {name} is back"), seconds(180), async || {
            let pod = api.get(name).await?;
            ensure!(
                pod.uid().as_deref() != Some(old),
                "the old pod is still there"
            );
            ensure!(pod_ready(&pod), "the new pod is not ready");
            Ok(())
        })
        .await
    }

    /// Shows what a person would look at first after a failure: the default namespace and these.
    pub(crate) async fn dump(&self, namespaces: &[String]) {
        let all = namespaces
            .iter()
            .map(String::as_str)
            .chain([crate::DEFAULT]);
        for namespace in all {
            let statuses =
                r#"jsonpath={range .items[*]}{.metadata.name}{"\t"}{.status}{"\n"}{end}"#;
            let looks: [&[&str]; 5] = [
                &[
                    "get",
                    "kafkatopics,telemetryconsumers,deployments,statefulsets,pods",
                    "-o",
                    "wide",
                ],
                &["get", "events", "--sort-by=.lastTimestamp"],
                &["get", "kafkatopics,telemetryconsumers", "-o", statuses],
                &[
                    "logs",
                    "-l",
                    "app.kubernetes.io/name=bt-consumer",
                    "--tail=30",
                    "--prefix",
                ],
                &[
                    "logs",
                    "-l",
                    "app.kubernetes.io/name=bt-operator",
                    "--tail=60",
                    "--prefix",
                ],
            ];
            for look in looks {
                let shown = self.kubectl(&[&["-n", namespace], look].concat()).await;
                println!("--- {namespace}: kubectl {}", look.join(" "));
                println!("{}", shown.unwrap_or_else(|error| format!("{error:#}")));
            }
        }
    }
}

/// Runs a program to its end; what it printed.
async fn run(program: &str, args: &[&str], input: Option<&str>) -> Result<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} cannot be run"))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        pipe.write_all(text.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", args.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The condition of a type.
///
/// # Errors
/// When there is none yet.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Result<&'a Condition> {
    let found = conditions.iter().find(|condition| condition.kind == kind);
    found.with_context(|| format!("no condition {kind} yet"))
}

/// Whether `Ready` is true for this generation.
///
/// # Errors
/// Says what it is instead.
pub fn is_ready(conditions: &[Condition], generation: Option<i64>) -> Result<()> {
    let ready = condition(conditions, "Ready")?;
    ensure!(
        ready.status == "True" && ready.observed_generation == generation,
        "Ready is {} {} (generation {:?} of {generation:?}): {}",
        ready.status,
        ready.reason,
        ready.observed_generation,
        ready.message
    );
    Ok(())
}

fn pod_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
