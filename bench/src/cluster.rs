use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, PodSpec};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::process::Command;

/// The cluster that is measured.
pub struct Cluster {
    /// One client for everything; it opens as many connections as there are requests at a time.
    pub client: Client,
    /// Where the chart is installed.
    pub namespace: String,
}

impl Cluster {
    /// The cluster that `KUBECONFIG` names.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub async fn connect(namespace: &str) -> Result<Self> {
        let client = Client::try_default()
            .await
            .context("no Kubernetes cluster: is KUBECONFIG set?")?;
        Ok(Self {
            client,
            namespace: namespace.into(),
        })
    }

    /// The versions of what is measured, in one line.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn versions(&self) -> Result<String> {
        let kubernetes = self.client.apiserver_version().await?.git_version;
        let kafka = Api::<StatefulSet>::namespaced(self.client.clone(), &self.namespace)
            .get_opt("kafka")
            .await?
            .and_then(|kafka| image(kafka.spec?.template.spec));
        let operator = Api::<Deployment>::namespaced(self.client.clone(), &self.namespace)
            .get_opt("bt-operator")
            .await?
            .and_then(|operator| image(operator.spec?.template.spec));
        Ok(format!(
            "Kubernetes {kubernetes}, Kafka {}, operator {}",
            kafka.as_deref().unwrap_or("outside of the cluster"),
            operator.as_deref().unwrap_or("not installed")
        ))
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn make_namespace(&self, name: &str) -> Result<()> {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("namespace {name}"))?;
        Ok(())
    }

    /// Deletes a namespace and what is in it, without waiting for its end.
    ///
    /// # Errors
    /// When Kubernetes refuses.
    pub async fn delete_namespace(&self, name: &str) -> Result<()> {
        Api::<Namespace>::all(self.client.clone())
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Runs a command in a pod of the chart's namespace; what it printed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub async fn exec(&self, pod: &str, command: &[&str]) -> Result<String> {
        let run = self.kubectl(&["exec", pod, "--"]).args(command).output();
        let output = tokio::time::timeout(Duration::from_secs(60), run)
            .await
            .with_context(|| format!("kubectl exec {pod}: no end within a minute"))?
            .context("kubectl cannot be run")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} in {pod}: {}", command.join(" "), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// kubectl in the chart's namespace, ended with the program.
    pub fn kubectl(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(["--namespace", &self.namespace])
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

fn image(pod: Option<PodSpec>) -> Option<String> {
    pod?.containers.into_iter().next()?.image
}
