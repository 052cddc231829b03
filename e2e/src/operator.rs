use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};

use crate::DEFAULT;
use crate::cluster::Cluster;
use crate::prometheus::Sample;
use crate::wait::{eventually, seconds};

/// The label of the operator's pods.
pub const OPERATOR: &str = "app.kubernetes.io/name=bt-operator";

impl Cluster {
    /// Who holds the operator's Lease; empty where nobody does.
    ///
    /// # Errors
    /// When there is no Lease.
    pub async fn lease_holder(&self) -> Result<String> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), DEFAULT);
        let spec = leases.get("bt-operator").await?.spec;
        Ok(spec
            .and_then(|spec| spec.holder_identity)
            .unwrap_or_default())
    }

    /// The name of the operator's pod that works.
    ///
    /// # Errors
    /// When none holds the Lease within the time that a change of leaders takes.
    pub async fn leader(&self) -> Result<String> {
        eventually("an operator holds the Lease", seconds(60), async || {
            let holder = self.lease_holder().await?;
            let pods = self.pods(DEFAULT, OPERATOR).await?;
            let leader = pods
                .iter()
                .map(ResourceExt::name_any)
                .find(|pod| holder.contains(pod.as_str()));
            leader
                .with_context(|| format!("the Lease's holder {holder:?} is no pod of the operator"))
        })
        .await
    }

    /// Waits until the operator has this number of pods, and all are ready.
    ///
    /// # Errors
    /// When it does not.
    pub async fn operator_has(&self, replicas: usize) -> Result<()> {
        eventually(
            &format!("{replicas} operators are ready"),
            seconds(120),
            async || {
                let pods = self.pods(DEFAULT, OPERATOR).await?;
                ensure!(pods.len() == replicas, "{} pods", pods.len());
                let path = "jsonpath={.status.readyReplicas}";
                let ready = self
                    .kubectl(&[
                        "get",
                        "deployment",
                        "bt-operator",
                        "-n",
                        DEFAULT,
                        "-o",
                        path,
                    ])
                    .await?;
                let ready = ready.parse().unwrap_or(0);
                ensure!(ready == replicas, "{ready} are ready");
                Ok(())
            },
        )
        .await
    }

    /// What a pod of the operator answers on its port 8080, asked through the API server.
    ///
    /// # Errors
    /// When it does not answer within 3 seconds, as for the kubelet's probe.
    pub async fn operator_answers(&self, pod: &str, path: &str) -> Result<String> {
        let url = format!("/api/v1/namespaces/{DEFAULT}/pods/{pod}:8080/proxy{path}");
        self.kubectl(&["get", "--raw", &url, "--request-timeout=3s"])
            .await
    }

    /// The metrics of a pod of the operator.
    ///
    /// # Errors
    /// When it does not answer, or not in Prometheus' text format.
    pub async fn operator_metrics(&self, pod: &str) -> Result<Vec<Sample>> {
        samples(&self.operator_answers(pod, "/metrics").await?, "")
    }

    /// The requests that the API server has answered, by its own count (`apiserver_request_total`).
    ///
    /// # Errors
    /// When it does not answer, or not in Prometheus' text format.
    pub async fn api_requests(&self) -> Result<Vec<Sample>> {
        let text = self.kubectl(&["get", "--raw", "/metrics"]).await?;
        samples(&text, "apiserver_request_total{")
    }
}

/// The samples in Prometheus' text format whose lines begin so.
fn samples(text: &str, begin: &str) -> Result<Vec<Sample>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && line.starts_with(begin));
    lines
        .map(|line| sample(line).with_context(|| format!("the metrics' line {line}")))
        .collect()
}

/// A line of Prometheus' text format: `name{label="value",…} number`.
fn sample(line: &str) -> Result<Sample> {
    let (series, value) = line.rsplit_once(' ').context("no value")?;
    let (name, mut rest) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').context("no closing brace")?),
        None => (series, ""),
    };
    let mut labels = BTreeMap::from([("__name__".to_owned(), name.to_owned())]);
    while !rest.is_empty() {
        let (label, quoted) = rest
            .trim_start_matches(',')
            .split_once("=\"")
            .context("a label without a value")?;
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next().context("no closing quote")? {
                (at, '"') => break at,
                (_, '\\') => value.extend(chars.next().map(|(_, escaped)| escaped)),
                (_, plain) => value.push(plain),
            }
        };
        labels.insert(label.to_owned(), value);
        rest = &quoted[end + 1..];
    }
    Ok(Sample {
        labels,
        value: value.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn reads_a_line_of_metrics() {
        let read = sample(r#"calls_bucket{call="a, \"b\"",le="+Inf"} 12.5"#).expect("valid");
        let labels: Vec<_> = read
            .labels
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            labels,
            [
                ("__name__", "calls_bucket"),
                ("call", "a, \"b\""),
                ("le", "+Inf")
            ]
        );
        assert_eq!(read.value, 12.5);
        let bare = sample("leader 1").expect("valid");
        assert_eq!((bare.labels.len(), bare.value), (1, 1.0));
        assert!(sample("leader{a=\"b} 1").is_err());
    }
}
