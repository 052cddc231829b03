use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cluster::Cluster;
use crate::search::Search;
use crate::{DEFAULT, E2e, variable};

const NAME: &str = "other-search";
const HEAP: &str = "-Xms320m -Xmx320m";
/// Where one engine or the other is told of it.
const HEAP_VARIABLES: [&str; 3] = ["ES_JAVA_OPTS", "OPENSEARCH_JAVA_OPTS", "SEARCH_HEAP_OPTS"];
/// The beginnings of settings that an engine without these modules does not start with.
const NOT_EVERYWHERE: [&str; 2] = ["xpack.", "ingest."];

/// A search engine beside the default one, in a namespace of a test's, with a disk of its own: what is done to it disturbs nobody.
pub struct SecondSearch<'a> {
    /// Its API, by way of the API server.
    pub search: Search,
    cluster: &'a Cluster,
    namespace: String,
    // Ends with this.
    _proxy: Child,
}

/// The image of Elasticsearch 7.10, the oldest engine that is supported.
///
/// # Errors
/// When the environment does not tell.
pub fn elasticsearch_image() -> Result<String> {
    variable("E2E_ELASTICSEARCH_IMAGE")
}

impl E2e {
    /// Starts a second search engine in a namespace, with the default one's image or another, and waits until it is up.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn second_search(
        &self,
        namespace: &str,
        image: Option<&str>,
    ) -> Result<SecondSearch<'_>> {
        let like = self.cluster.object(DEFAULT, "statefulset/elasticsearch");
        let set = stateful_set(like.await?, image)?;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 9200}]},
        });
        let manifest = format!("{service}\n---\n{set}");
        self.cluster.apply(namespace, &manifest).await?;
        let (proxy, address) = proxy().await?;
        let path = format!("/api/v1/namespaces/{namespace}/services/{NAME}:9200/proxy");
        let engine = SecondSearch {
            search: Search::new(&format!("{address}{path}")),
            cluster: &self.cluster,
            namespace: namespace.to_owned(),
            _proxy: proxy,
        };
        engine.is_up().await?;
        Ok(engine)
    }
}

impl SecondSearch<'_> {
    /// Where programs in the cluster reach it.
    pub fn url(&self) -> String {
        format!("http://{NAME}.{}.svc:9200", self.namespace)
    }

    /// Deletes its pod; another one goes on with the same data. Waits until that is up.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&self) -> Result<()> {
        let pod = format!("{NAME}-0");
        let delete = ["delete", "pod", &pod, "-n", &self.namespace];
        self.cluster.kubectl(&delete).await?;
        self.is_up().await
    }

    async fn is_up(&self) -> Result<()> {
        let set = format!("statefulset/{NAME}");
        let wait = ["rollout", "status", &set, "-n", &self.namespace];
        let wait = [&wait[..], &["--timeout=150s"]].concat();
        self.cluster.kubectl(&wait).await.map(drop)
    }
}

/// One like the default engine's, with little memory.
fn stateful_set(mut like: Value, image: Option<&str>) -> Result<Value> {
    let mut pod = like["spec"]["template"]["spec"].take();
    let container = &mut pod["containers"][0];
    ensure!(container.is_object(), "the default engine has no container");
    if let Some(image) = image {
        container["image"] = image.into();
    }
    let variables = container["env"].as_array_mut();
    let variables = variables.context("the default engine's container has no environment")?;
    variables.retain(|variable| {
        let name = variable["name"].as_str().unwrap_or_default();
        image.is_none() || !NOT_EVERYWHERE.iter().any(|begins| name.starts_with(begins))
    });
    variables.retain(|variable| !HEAP_VARIABLES.iter().any(|name| variable["name"] == *name));
    variables.extend(HEAP_VARIABLES.map(|name| json!({"name": name, "value": HEAP})));
    container["resources"] = json!({
        "requests": {"cpu": "100m", "memory": "640Mi"}, "limits": {"cpu": "2", "memory": "1Gi"},
    });
    let volumes = pod["volumes"].as_array_mut();
    volumes
        .context("the default engine's pod has no volumes")?
        .retain(|volume| volume["name"] != "data");
    Ok(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": NAME},
        "spec": {
            "serviceName": NAME, "replicas": 1, "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": {"app": NAME}}, "spec": pod},
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    }))
}

/// `kubectl proxy`, and where it listens.
async fn proxy() -> Result<(Child, String)> {
    let mut child = Command::new("kubectl")
        .args(["proxy", "--port=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("kubectl cannot be run")?;
    let out = child.stdout.take().context("kubectl proxy says nothing")?;
    let said = BufReader::new(out).lines().next_line().await?;
    let said = said.context("kubectl proxy ends")?;
    let (_, address) = said
        .rsplit_once(' ')
        .with_context(|| format!("kubectl proxy says {said:?}"))?;
    Ok((child, format!("http://{address}")))
}
