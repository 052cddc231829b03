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

/// The samples of one series in a range of time, as Prometheus has stored them.
#[derive(Debug, Clone)]
pub struct Samples {
    /// The series' labels, `__name__` among them.
    pub labels: BTreeMap<String, String>,
    /// Seconds since the epoch, ascending, and the value.
    pub points: Vec<(f64, f64)>,
}

impl Samples {
    /// How much a counter has grown from the first sample to the last, and how often it went down on the way: what Prometheus'
    /// `increase()` has before it extrapolates, and `resets()`.
    pub fn growth(&self) -> (f64, usize) {
        let mut growth = (0.0, 0);
        for pair in self.points.windows(2) {
            let (before, after) = (pair[0].1, pair[1].1);
            if after < before {
                // A counter that was reset has grown from 0.
                growth = (growth.0 + after, growth.1 + 1);
            } else {
                growth.0 += after - before;
            }
        }
        growth
    }

    /// The time from the first sample to the last, in seconds.
    pub fn length(&self) -> f64 {
        let time = |point: Option<&(f64, f64)>| point.map_or(0.0, |(at, _)| *at);
        time(self.points.last()) - time(self.points.first())
    }
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
        let result = self.ask(&[("query", query)]).await?;
        result.iter().map(sample).collect()
    }

    /// An instant query as of a time, in seconds since the epoch.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub async fn query_at(&self, query: &str, time: f64) -> Result<Vec<Sample>> {
        let time = format!("{time:.3}");
        let result = self.ask(&[("query", query), ("time", &time)]).await?;
        result.iter().map(sample).collect()
    }

    /// What is stored of a selector's series from one time to another, in seconds since the epoch; of the first, what comes right
    /// after it.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub async fn samples(&self, selector: &str, from: f64, to: f64) -> Result<Vec<Samples>> {
        let millis = ((to - from) * 1000.0).round();
        let (query, time) = (format!("{selector}[{millis}ms]"), format!("{to:.3}"));
        let result = self.ask(&[("query", &query), ("time", &time)]).await?;
        result.iter().map(samples).collect()
    }

    async fn ask(&self, parameters: &[(&str, &str)]) -> Result<Vec<Value>> {
        let url = format!("{}/api/v1/query", self.url);
        let response = self.http.get(url).query(parameters).send().await?;
        let mut answer: Value = response.json().await?;
        match answer["data"]["result"].take() {
            Value::Array(result) => Ok(result),
            _ => bail!("Prometheus refused {parameters:?}: {answer}"),
        }
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

fn samples(result: &Value) -> Result<Samples> {
    let labels = serde_json::from_value(result["metric"].clone())?;
    let values: Vec<(f64, String)> = serde_json::from_value(result["values"].clone())?;
    let points = values
        .into_iter()
        .map(|(at, value)| Ok((at, value.parse()?)));
    Ok(Samples {
        labels,
        points: points.collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_resets_as_prometheus_does() {
        let cases: [(&[f64], (f64, usize)); 5] = [
            (&[], (0.0, 0)),
            (&[3.0], (0.0, 0)),
            (&[3.0, 3.0, 5.25], (2.25, 0)),
            (&[3.0, 1.0, 2.0], (2.0, 1)),
            (&[3.0, 5.0, 0.0, 4.0, 3.5], (9.5, 2)),
        ];
        for (values, expected) in cases {
            let points = values.iter().enumerate();
            let samples = Samples {
                labels: BTreeMap::new(),
                points: points.map(|(at, value)| (at as f64, *value)).collect(),
            };
            assert_eq!(samples.growth(), expected, "{values:?}");
            assert_eq!(samples.length(), values.len().saturating_sub(1) as f64);
        }
    }

    #[test]
    fn reads_a_range_of_samples() {
        let json =
            serde_json::json!({"metric": {"__name__": "a"}, "values": [[1.5, "2"], [2.5, "+Inf"]]});
        let samples = samples(&json).expect("valid");
        assert_eq!(samples.labels["__name__"], "a");
        assert_eq!(samples.points, [(1.5, 2.0), (2.5, f64::INFINITY)]);
    }
}
