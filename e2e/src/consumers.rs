use anyhow::{Context, Result, ensure};
use bt_operator::api::{TelemetryConsumer, TelemetryConsumerStatus};
use serde_json::{Value, json};

use crate::cluster::{Cluster, condition};
use crate::wait::{eventually, seconds};

/// The manifest of a TelemetryConsumer.
pub fn tcon(name: &str, spec: &Value) -> String {
    let consumer = json!({
        "apiVersion": crate::API_VERSION, "kind": "TelemetryConsumer", "metadata": {"name": name}, "spec": spec,
    });
    // JSON is YAML, too.
    format!("---\n{consumer}\n")
}

/// A log event as the SDK sends one: line `number` of a run.
pub fn log_event(run: &str, number: u64) -> Vec<u8> {
    let event = json!({
        "ts": 1_767_323_045_678_u64, "service": "e2e", "instance": run, "id": format!("{run}-{number}"),
        "level": "info", "message": format!("line {number}"), "fields": {"number": number},
    });
    event.to_string().into_bytes()
}

impl Cluster {
    /// Applies one TelemetryConsumer.
    ///
    /// # Errors
    /// When it is refused, with the API server's words.
    pub async fn apply_consumer(&self, namespace: &str, name: &str, spec: &Value) -> Result<()> {
        self.apply(namespace, &tcon(name, spec)).await.map(drop)
    }

    /// Changes a TelemetryConsumer by a merge patch: `null` takes a field away.
    ///
    /// # Errors
    /// When it is refused, with the API server's words.
    pub async fn patch_consumer(&self, namespace: &str, name: &str, patch: Value) -> Result<()> {
        let patch = patch.to_string();
        let args = ["patch", "tcon", name, "-n", namespace, "--type=merge", "-p"];
        let patched = self.kubectl(&[&args[..], &[&patch]].concat()).await;
        patched.map(drop)
    }

    /// Deletes a TelemetryConsumer and waits until it is gone, its finalizer with it.
    ///
    /// # Errors
    /// When it is not gone within 90 seconds: its pods have 30 of them to stop.
    pub async fn delete_consumer(&self, namespace: &str, name: &str) -> Result<()> {
        let args = ["delete", "tcon", name, "-n", namespace, "--timeout=90s"];
        self.kubectl(&args).await.map(drop)
    }

    /// Waits until the operator sees no lag of a consumer.
    ///
    /// # Errors
    /// When there still is some after 120 seconds.
    pub async fn has_no_lag(&self, namespace: &str, name: &str) -> Result<()> {
        let what = format!("consumer {name} has no lag");
        eventually(&what, seconds(120), async || {
            let lag = self.consumer_status(namespace, name).await?.lag;
            ensure!(
                lag.as_ref().is_some_and(|lag| lag.total == 0),
                "lag is {lag:?}"
            );
            Ok(())
        })
        .await
    }

    /// A consumer's status as it is now.
    ///
    /// # Errors
    /// When the consumer is not there, or has none.
    pub async fn consumer_status(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<TelemetryConsumerStatus> {
        let status = self.consumer(namespace, name).await?.status;
        status.with_context(|| format!("consumer {name} has no status yet"))
    }

    /// Waits until a condition of the present generation begins as given (`False`, or `False RolledBack`) and has these words;
    /// the consumer.
    ///
    /// # Errors
    /// When it does not come to that; says what it is instead.
    pub async fn consumer_says(
        &self,
        namespace: &str,
        name: &str,
        kind: &str,
        begins: &str,
        words: &[&str],
    ) -> Result<TelemetryConsumer> {
        let what = format!("consumer {name} says {kind} {begins}");
        eventually(&what, seconds(90), async || {
            let consumer = self.consumer(namespace, name).await?;
            let conditions = &consumer
                .status
                .as_ref()
                .context("no status yet")?
                .conditions;
            let found = condition(conditions, kind)?;
            let said = format!("{} {}: {}", found.status, found.reason, found.message);
            let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
            ensure!(
                said.starts_with(begins)
                    && missing.is_empty()
                    && found.observed_generation == consumer.metadata.generation,
                "{kind} (generation {:?} of {:?}) is without {missing:?}: {said}",
                found.observed_generation,
                consumer.metadata.generation
            );
            Ok(consumer)
        })
        .await
    }

    /// An object as it is now, by `kind/name`.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn object(&self, namespace: &str, object: &str) -> Result<Value> {
        let shown = self
            .kubectl(&["get", object, "-n", namespace, "-o", "json"])
            .await?;
        Ok(serde_json::from_str(&shown)?)
    }

    /// Whether there is an object, by `kind/name`.
    ///
    /// # Errors
    /// When the API does not answer, or does not know the kind.
    pub async fn has_object(&self, namespace: &str, object: &str) -> Result<bool> {
        let args = [
            "get",
            object,
            "-n",
            namespace,
            "--ignore-not-found",
            "-o",
            "name",
        ];
        Ok(!self.kubectl(&args).await?.trim().is_empty())
    }

    /// Waits until there is no such object (`kind/name`) any more, or until there is.
    ///
    /// # Errors
    /// When it does not come to that within 60 seconds.
    pub async fn object_is_there(&self, namespace: &str, object: &str, wanted: bool) -> Result<()> {
        let what = if wanted { "is there" } else { "is gone" };
        eventually(&format!("{object} {what}"), seconds(60), async || {
            ensure!(
                self.has_object(namespace, object).await? == wanted,
                "it is not so"
            );
            Ok(())
        })
        .await
    }

    /// The image of the consumers' pods, which has a `sleep` as well.
    ///
    /// # Errors
    /// When the operator's Deployment does not say.
    pub async fn consumer_image(&self) -> Result<String> {
        let operator = self
            .object(crate::DEFAULT, "deployment/bt-operator")
            .await?;
        let env = &operator["spec"]["template"]["spec"]["containers"][0]["env"];
        let mut entries = env.as_array().into_iter().flatten();
        let image = entries.find(|entry| entry["name"] == "CONSUMER_IMAGE");
        let image = image.and_then(|entry| entry["value"].as_str());
        Ok(image
            .context("the operator has no CONSUMER_IMAGE")?
            .to_owned())
    }
}
