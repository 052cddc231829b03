use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HumanDuration;

/// Series for Prometheus to scrape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PrometheusSink {
    /// A series that has had no event for so long is dropped.
    pub series_ttl: HumanDuration,
    /// The most series of the consumer; each pod holds its partitions' share. Events for more are dropped and counted.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_series: u32,
    /// Upper bounds of the buckets of histograms whose events name none, ascending, without +Inf.
    #[schemars(length(max = 100))]
    pub histogram_buckets: Vec<f64>,
    /// Whether the series are kept in Kafka, in one transaction with the offsets: then a counter neither resets nor counts
    /// twice, whatever becomes of the pods. Without, a pod begins with nothing and counts what it is given, at least once.
    pub exactly_once: bool,
}

impl Default for PrometheusSink {
    fn default() -> Self {
        Self {
            series_ttl: HumanDuration::from_secs(900),
            max_series: 100_000,
            // The defaults of Prometheus' client libraries.
            histogram_buckets: vec![
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ],
            exactly_once: true,
        }
    }
}

impl PrometheusSink {
    /// Everything that is wrong, each beginning with the field's name under `path`.
    pub fn validate(&self, path: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if self.series_ttl.0 < Duration::from_secs(1) {
            problems.push(format!(
                "{path}.seriesTtl: must be at least 1s, found {}",
                self.series_ttl
            ));
        }
        if !(1..=10_000_000).contains(&self.max_series) {
            problems.push(format!(
                "{path}.maxSeries: must be 1 to 10000000, found {}",
                self.max_series
            ));
        }
        if let Err(why) = check_buckets(&self.histogram_buckets) {
            problems.push(format!("{path}.histogramBuckets: {why}"));
        }
        problems
    }
}

/// Whether these can be a histogram's upper bounds.
pub(crate) fn check_buckets(buckets: &[f64]) -> Result<(), String> {
    if buckets.is_empty() || buckets.len() > 100 {
        return Err(format!("must be 1 to 100 bounds, found {}", buckets.len()));
    }
    if let Some(bound) = buckets.iter().find(|b| !b.is_finite()) {
        return Err(format!("must be finite, found {bound}"));
    }
    match buckets.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(format!("must ascend, found {} before {}", pair[0], pair[1])),
        None => Ok(()),
    }
}

/// Documents in Elasticsearch or OpenSearch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ElasticsearchSink {
    /// Base URLs of the engine's nodes; the next is tried when one fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub urls: Vec<String>,
    /// The data stream that documents go into; a plain index where the engine has no data streams.
    #[schemars(length(min = 1, max = 255))]
    pub data_stream: String,
    /// The index template.
    pub template: TemplateSettings,
    /// How documents are gathered into `_bulk` requests.
    pub bulk: BulkSettings,
    /// Where this sink's rejected documents go, in the resource. In the consumer's own file it stands at the top level.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub dead_letter_topic: Option<String>,
}

impl Default for ElasticsearchSink {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            data_stream: "logs-bt-default".into(),
            template: TemplateSettings::default(),
            bulk: BulkSettings::default(),
            dead_letter_topic: None,
        }
    }
}

/// The index template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TemplateSettings {
    /// Whether the consumer makes and keeps the index template; without, somebody else has to.
    pub manage: bool,
    /// Replicas of each shard, for indices made from now on.
    #[schemars(range(max = 10))]
    pub replicas: u32,
}

impl Default for TemplateSettings {
    fn default() -> Self {
        Self {
            manage: true,
            replicas: 0,
        }
    }
}

/// How documents are gathered into `_bulk` requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BulkSettings {
    /// A request is sent when it has so many bytes; one larger document makes a request of its own.
    #[schemars(range(min = 1024, max = 104_857_600))]
    pub max_bytes: u32,
    /// A request is sent when it has so many documents.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_docs: u32,
    /// A request is sent when its first document has waited so long.
    pub flush_interval: HumanDuration,
    /// The most requests at a time.
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
}

impl Default for BulkSettings {
    fn default() -> Self {
        Self {
            max_bytes: 5 * 1024 * 1024,
            max_docs: 5000,
            flush_interval: HumanDuration::from_secs(1),
            concurrency: 4,
        }
    }
}

impl ElasticsearchSink {
    /// Everything that is wrong, each beginning with the field's name under `path`.
    pub fn validate(&self, path: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if self.dead_letter_topic.is_some() {
            problems.push(format!(
                "{path}.deadLetterTopic: in this file it stands at the top level"
            ));
        }
        if self.urls.is_empty() {
            problems.push(format!(
                "{path}.urls: at least one is needed, for example http://elasticsearch:9200"
            ));
        }
        for (i, url) in self.urls.iter().enumerate() {
            let good = reqwest::Url::parse(url)
                .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
            if !good {
                problems.push(format!(
                    "{path}.urls[{i}]: {url:?} is no http:// or https:// URL"
                ));
            }
        }
        if let Err(why) = check_index_name(&self.data_stream) {
            problems.push(format!("{path}.dataStream: {:?} {why}", self.data_stream));
        }
        let BulkSettings {
            max_bytes,
            max_docs,
            flush_interval,
            concurrency,
        } = &self.bulk;
        let mut range = |field: &str, value: u32, min: u32, max: u32| {
            if !(min..=max).contains(&value) {
                problems.push(format!(
                    "{path}.{field}: must be {min} to {max}, found {value}"
                ));
            }
        };
        range("bulk.maxBytes", *max_bytes, 1024, 100 * 1024 * 1024);
        range("bulk.maxDocs", *max_docs, 1, 100_000);
        range("bulk.concurrency", *concurrency, 1, 64);
        range("template.replicas", self.template.replicas, 0, 10);
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&flush_interval.0) {
            problems.push(format!(
                "{path}.bulk.flushInterval: must be 10ms to 1m, found {flush_interval}"
            ));
        }
        problems
    }
}

/// Elasticsearch's rules for the names of indices and data streams.
fn check_index_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 255 {
        return Err("must have 1 to 255 bytes");
    }
    if name.starts_with(['-', '_', '+', '.']) {
        return Err("must not begin with - _ + or a dot");
    }
    if name.contains(|c: char| c.is_uppercase() || c.is_whitespace() || "\\/*?\"<>|,#:".contains(c))
    {
        return Err("must be lower case, without white space and without \\ / * ? \" < > | , # :");
    }
    Ok(())
}
