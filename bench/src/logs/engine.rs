//! A real engine: what it is, what it uses, and what it has.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// One of Elasticsearch or OpenSearch.
pub struct Engine {
    http: reqwest::Client,
    url: String,
}

impl Engine {
    /// The one at this URL.
    pub fn at(url: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.trim_end_matches('/').to_owned(),
        }
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name and version.
    ///
    /// # Errors
    /// When it does not answer, or is no such engine.
    pub async fn name(&self) -> Result<String> {
        let info = self.get("/").await?;
        let version = &info["version"];
        let number = version["number"].as_str().context("it tells no version")?;
        let name = match version["distribution"].as_str() {
            Some("opensearch") => "OpenSearch",
            _ => "Elasticsearch",
        };
        Ok(format!("{name} {number}"))
    }

    /// How many processors its nodes may use.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn processors(&self) -> Result<u64> {
        let path = "/_nodes/os?filter_path=nodes.*.os.allocated_processors";
        let nodes = self.get(path).await?;
        sum(&nodes, |node| node["os"]["allocated_processors"].as_u64())
    }

    /// CPU seconds that its nodes' processes have used so far.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn cpu(&self) -> Result<f64> {
        let path = "/_nodes/stats/process?filter_path=nodes.*.process.cpu.total_in_millis";
        let nodes = self.get(path).await?;
        let millis = sum(&nodes, |node| {
            node["process"]["cpu"]["total_in_millis"].as_u64()
        })?;
        Ok(millis as f64 / 1000.0)
    }

    /// How many documents a data stream or index has.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn documents(&self, stream: &str) -> Result<u64> {
        self.request(Method::POST, &format!("/{stream}/_refresh"))
            .await?
            .error_for_status()?;
        let count = self.get(&format!("/{stream}/_count")).await?;
        count["count"].as_u64().context("no count")
    }

    /// Deletes a data stream, or an index where there are none, and the template that the sink made for it.
    ///
    /// # Errors
    /// When it refuses one that is there.
    pub async fn delete(&self, stream: &str) -> Result<()> {
        let paths = [
            format!("/_data_stream/{stream}"),
            format!("/{stream}"),
            format!("/_index_template/bt-monitoring-{stream}"),
        ];
        for path in paths {
            let answer = self.request(Method::DELETE, &path).await?;
            // 400: an engine without data streams.
            let gone = matches!(
                answer.status(),
                StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED
            );
            ensure!(
                gone || answer.status().is_success(),
                "DELETE {path}: {}",
                answer.status()
            );
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(Method::GET, path).await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    async fn request(&self, method: Method, path: &str) -> Result<reqwest::Response> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        Ok(request.send().await?)
    }
}

fn sum(nodes: &Value, of: impl Fn(&Value) -> Option<u64>) -> Result<u64> {
    let nodes = nodes["nodes"].as_object().context("it tells of no nodes")?;
    let values: Option<Vec<u64>> = nodes.values().map(of).collect();
    Ok(values.context("a node does not tell")?.iter().sum())
}
