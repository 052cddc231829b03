//! Prometheus, by its URL or through the API server's proxy of its service.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::At;
use super::cluster::{Cluster, answer};

/// The service that the chart makes.
const SERVICE: &str = "prometheus";
const TIMEOUT: Duration = Duration::from_secs(10);

/// A Prometheus that can be asked.
pub struct Prometheus {
    way: Way,
}

enum Way {
    Url(reqwest::Client, String),
    /// The proxy's path.
    Proxy(Client, String),
}

/// Time (seconds since the epoch) and value, in order.
pub type History = Vec<(f64, f64)>;
/// By namespace (empty where the series do not say it) and consumer.
pub type Histories = BTreeMap<(String, String), History>;

impl Prometheus {
    /// The one of `--prometheus`, else the service of the namespace, else that of the operator's.
    pub async fn find(at: &At, cluster: &Cluster) -> Result<Self> {
        if let Some(url) = &at.prometheus {
            let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
            let url = url.trim_end_matches('/').to_owned();
            return Ok(Self {
                way: Way::Url(http, url),
            });
        }
        let mut namespaces: Vec<String> = cluster.namespace.iter().cloned().collect();
        if let Ok(Some(operator)) = cluster.operator().await {
            namespaces.extend(operator.namespace());
        }
        namespaces.dedup();
        for namespace in &namespaces {
            let api = Api::<Service>::namespaced(cluster.client.clone(), namespace);
            let Ok(Some(service)) = answer("get service prometheus", api.get_opt(SERVICE)).await
            else {
                continue;
            };
            let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
            let Some(port) = ports.first() else { continue };
            let path = format!(
                "/api/v1/namespaces/{namespace}/services/{SERVICE}:{}/proxy",
                port.port
            );
            return Ok(Self {
                way: Way::Proxy(cluster.client.clone(), path),
            });
        }
        bail!(
            "no service {SERVICE} in {}; name a Prometheus by --prometheus URL",
            namespaces.join(" or ")
        )
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        match &self.way {
            Way::Url(_, url) => url,
            Way::Proxy(_, path) => path,
        }
    }

    async fn get(&self, path: &str, parameters: &[(&str, String)]) -> Result<Value> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in parameters {
            query.append_pair(name, value);
        }
        let path = format!("{path}?{}", query.finish());
        let text = match &self.way {
            Way::Url(http, url) => {
                let response = http.get(format!("{url}{path}")).send().await?;
                response.text().await?
            }
            Way::Proxy(client, proxy) => {
                let request = http::Request::get(format!("{proxy}{path}")).body(Vec::new())?;
                answer("ask Prometheus", client.request_text(request)).await?
            }
        };
        let answer: Value = serde_json::from_str(&text).context("Prometheus answers no JSON")?;
        match answer["status"] == "success" {
            true => Ok(answer["data"].clone()),
            false => bail!(
                "Prometheus: {}",
                answer["error"].as_str().unwrap_or("no success")
            ),
        }
    }

    /// The value of the first series that a query finds.
    pub async fn value(&self, query: &str) -> Result<Option<f64>> {
        let data = self
            .get("/api/v1/query", &[("query", query.to_owned())])
            .await?;
        let text = data["result"][0]["value"][1].as_str();
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// The lag of all consumers from `start` to `end`.
    pub async fn lags(&self, start: f64, end: f64, step: f64) -> Result<Histories> {
        // The operator's own is of the committed offsets; that of pods stands in where there is none.
        let queries = [
            "sum by (namespace, consumer) (bt_operator_consumer_lag_records)",
            "sum by (namespace, consumer) (bt_consumer_lag_records)",
        ];
        for query in queries {
            let parameters = [
                ("query", query.to_owned()),
                ("start", start.to_string()),
                ("end", end.to_string()),
                ("step", step.to_string()),
            ];
            let data = self.get("/api/v1/query_range", &parameters).await?;
            let found = histories(&data);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Histories::new())
    }

    /// What it scrapes.
    pub async fn targets(&self) -> Result<Vec<Target>> {
        let data = self
            .get("/api/v1/targets", &[("state", "active".to_owned())])
            .await?;
        Ok(targets(&data))
    }
}

/// One target of a scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub job: String,
    pub url: String,
    pub up: bool,
    /// It was not scraped yet.
    pub new: bool,
    pub error: String,
}

fn histories(data: &Value) -> Histories {
    let mut all = Histories::new();
    for series in data["result"].as_array().into_iter().flatten() {
        let label = |name: &str| {
            series["metric"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let point = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?));
        let values = series["values"].as_array().into_iter().flatten();
        all.insert(
            (label("namespace"), label("consumer")),
            values.filter_map(point).collect(),
        );
    }
    all
}

fn targets(data: &Value) -> Vec<Target> {
    let active = data["activeTargets"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    active
        .map(|target| Target {
            job: match target["labels"]["job"].as_str() {
                Some(job) => job.to_owned(),
                None => text(&target["scrapePool"]),
            },
            url: text(&target["scrapeUrl"]),
            up: target["health"] == "up",
            new: target["health"] == "unknown",
            error: text(&target["lastError"]),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_of_prometheus_are_understood() {
        let data = json!({"resultType": "matrix", "result": [
            {"metric": {"namespace": "shop", "consumer": "logs"}, "values": [[100, "7"], [110.5, "NaN"], [120, "9"]]},
            {"metric": {}, "values": [[100, "1"]]},
        ]});
        let all = histories(&data);
        let logs = &all[&("shop".to_owned(), "logs".to_owned())];
        assert_eq!((logs[0], logs[2]), ((100.0, 7.0), (120.0, 9.0)));
        assert!(all.contains_key(&(String::new(), String::new())));
        let data = json!({"activeTargets": [
            {"labels": {"job": "bt-operator"}, "scrapeUrl": "http://a/metrics", "health": "up", "lastError": ""},
            {"scrapePool": "podMonitor/x", "scrapeUrl": "http://b/metrics", "health": "down", "lastError": "refused"},
        ]});
        let found = targets(&data);
        assert!(found[0].up && found[0].job == "bt-operator");
        assert_eq!(
            (found[1].up, found[1].job.as_str(), found[1].error.as_str()),
            (false, "podMonitor/x", "refused")
        );
    }
}
