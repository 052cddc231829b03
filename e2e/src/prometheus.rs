use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Prometheus' HTTP API.
pub struct Prometheus {
    url: String,
    http: reqwest::Client,
}

/// One series at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its labels, `__name__` among them.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            http: reqwest::Client::new(),
        }
    }

    /// An instant query.
    ///
    /// # Errors
    /// When Prometheus does not answer or refuses the query.
    pub async fn query(&self, query: &str) -> Result<Vec<Sample>> {
        let url = format!("{}/api/v1/query", self.url);
        let response = self.http.get(url).query(&[("query", query)]).send().await?;
        let answer: Value = response.json().await?;
        let Some(result) = answer["data"]["result"].as_array() else {
            bail!("Prometheus refused {query}: {answer}");
        };
        result.iter().map(sample).collect()
    }

    /// The value of a query that has at most one; 0 where it has none.
    ///
    /// # Errors
    /// As for [`Self::query`], and when there are more.
    pub async fn value(&self, query: &str) -> Result<f64> {
        match self.query(query).await?.as_slice() {
            [] => Ok(0.0),
            [one] => Ok(one.value),
            more => bail!("{query} has {} results", more.len()),
        }
    }
}

fn sample(result: &Value) -> Result<Sample> {
    let labels = serde_json::from_value(result["metric"].clone())?;
    let value = result["value"][1]
        .as_str()
        .context("a sample without a value")?;
    Ok(Sample {
        labels,
        value: value.parse()?,
    })
}
