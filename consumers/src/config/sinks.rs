use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HumanDuration;
use crate::sink::elasticsearch::Target;

/// Shorter ones are a slip of the pen that deletes what was just written; the engines look about once in minutes to hours anyway.
const MIN_RETENTION: HumanDuration = HumanDuration::from_secs(86_400);

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ElasticsearchSink {
    /// Base URLs of the engine's nodes; the next is tried when one fails. Without credentials, which are in `auth`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The data stream that documents go into; a plain index where the engine has no data streams. `{service}` stands for the
    /// event's service, `{date}` for the day of its `ts` (UTC, `2026.11.23`).
    pub data_stream: String,
    /// The index template.
    pub template: TemplateSettings,
    /// How documents are gathered into `_bulk` requests.
    pub bulk: BulkSettings,
    /// What becomes of records that are no events.
    pub malformed: Malformed,
    /// Log in; absent: without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthFiles>,
    /// Encrypt: every URL is then `https`. Absent: as the URLs say, trusting the authorities of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<SinkTlsFiles>,
}

impl Default for ElasticsearchSink {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            data_stream: Self::DATA_STREAM.into(),
            template: TemplateSettings::default(),
            bulk: BulkSettings::default(),
            malformed: Malformed::default(),
            auth: None,
            tls: None,
        }
    }
}

/// What becomes of records that are no events: no JSON, or JSON without what an event must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Malformed {
    /// They go to the dead-letter topic.
    #[default]
    DeadLetter,
    /// Their text is indexed as `message`, with `event.kind: pipeline_error`.
    Index,
}

/// How to log in at the engine: `username` and `passwordFile`, or `apiKeyFile`. The files are read again when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuthFiles {
    /// Who logs in, by name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The file of the password; a line break at its end does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The file of an API key: `id:key`, or the two encoded in base64 as the engine gives them out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
}

/// TLS to the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SinkTlsFiles {
    /// The authorities (PEM) that are trusted instead of those of the system. Read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// The index template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TemplateSettings {
    /// Whether the consumer makes and keeps the index template and the retention; without, somebody else has to.
    pub manage: bool,
    /// How long documents are kept, at least `1d`; absent: for ever. By the engine's own means: the data stream's lifecycle, an ILM
    /// policy, or an ISM policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<HumanDuration>,
    /// Replicas of each shard, for indices made from now on.
    #[schemars(range(max = 10))]
    pub replicas: u32,
}

impl Default for TemplateSettings {
    fn default() -> Self {
        Self {
            manage: true,
            retention: None,
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
    /// The most requests at a time; fewer while the engine cannot keep up.
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// Whether request bodies are compressed.
    pub compression: Compression,
}

impl Default for BulkSettings {
    fn default() -> Self {
        Self {
            max_bytes: 5 * 1024 * 1024,
            max_docs: 5000,
            flush_interval: HumanDuration::from_secs(1),
            concurrency: 4,
            compression: Compression::default(),
        }
    }
}

/// How request bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Compression {
    /// Not at all: the least CPU.
    #[default]
    None,
    /// By gzip: about a tenth of the bytes.
    Gzip,
}

impl ElasticsearchSink {
    /// The data stream where none is named.
    pub const DATA_STREAM: &'static str = "logs-bt-default";

    /// Everything that is wrong, each beginning with the field's name under `path`.
    pub fn validate(&self, path: &str) -> Vec<String> {
        let mut problems = self.url_problems(path);
        if let Err(why) = Target::parse(&self.data_stream) {
            problems.push(format!("{path}.dataStream: {:?} {why}", self.data_stream));
        }
        problems.extend(self.template.problems(&format!("{path}.template")));
        problems.extend(self.bulk.problems(&format!("{path}.bulk")));
        if let Some(auth) = &self.auth {
            problems.extend(auth.problems(&format!("{path}.auth")));
        }
        problems
    }

    fn url_problems(&self, path: &str) -> Vec<String> {
        if self.urls.is_empty() {
            return vec![format!(
                "{path}.urls: at least one is needed, for example http://elasticsearch:9200"
            )];
        }
        let problem = |(i, url): (usize, &String)| {
            let why = match reqwest::Url::parse(url) {
                // Not shown: problems are seen by those who may not see Secrets.
                Ok(url) if !url.username().is_empty() || url.password().is_some() => format!(
                    "has a user or a password inside, which everybody could read there; take them out, and log in by {path}.auth"
                ),
                Ok(found) if matches!(found.scheme(), "http" | "https") && found.has_host() => {
                    if self.tls.is_none() || found.scheme() == "https" {
                        return None;
                    }
                    format!(
                        "{url:?} is not encrypted; where {path}.tls is given, it must be an https:// URL"
                    )
                }
                _ if url.contains('@') => "is no http:// or https:// URL".into(),
                _ => format!("{url:?} is no http:// or https:// URL"),
            };
            Some(format!("{path}.urls[{i}]: {why}"))
        };
        self.urls.iter().enumerate().filter_map(problem).collect()
    }
}

impl AuthFiles {
    fn problems(&self, path: &str) -> Vec<String> {
        let Self {
            username,
            password_file,
            api_key_file,
        } = self;
        let by_name = username.is_some() || password_file.is_some();
        if by_name == api_key_file.is_some() {
            return vec![format!(
                "{path}: exactly one way to log in is needed: username with passwordFile, or apiKeyFile"
            )];
        }
        let mut problems = Vec::new();
        if username.is_some() != password_file.is_some() {
            problems.push(format!(
                "{path}: username and passwordFile belong together: give both"
            ));
        }
        match username {
            Some(name) if name.is_empty() => {
                problems.push(format!("{path}.username: must not be empty"));
            }
            // In the header, a colon divides name and password (RFC 7617).
            Some(name) if name.contains(':') || name.contains(char::is_control) => problems.push(
                format!("{path}.username: must be without colons, line breaks and the like"),
            ),
            _ => {}
        }
        problems
    }
}

impl TemplateSettings {
    fn problems(&self, path: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(retention) = &self.retention
            && *retention < MIN_RETENTION
        {
            problems.push(format!(
                "{path}.retention: must be at least {MIN_RETENTION}, found {retention}"
            ));
        }
        problems.extend(outside(path, "replicas", self.replicas, 0..=10));
        problems
    }
}

impl BulkSettings {
    fn problems(&self, path: &str) -> Vec<String> {
        let Self {
            max_bytes,
            max_docs,
            flush_interval,
            concurrency,
            compression: _,
        } = self;
        let mut problems: Vec<_> = [
            outside(path, "maxBytes", *max_bytes, 1024..=100 * 1024 * 1024),
            outside(path, "maxDocs", *max_docs, 1..=100_000),
            outside(path, "concurrency", *concurrency, 1..=64),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&flush_interval.0) {
            problems.push(format!(
                "{path}.flushInterval: must be 10ms to 1m, found {flush_interval}"
            ));
        }
        problems
    }
}

/// The problem of a number that is not within the range.
fn outside(path: &str, field: &str, value: u32, range: RangeInclusive<u32>) -> Option<String> {
    let (min, max) = (range.start(), range.end());
    let problem = || format!("{path}.{field}: must be {min} to {max}, found {value}");
    (!range.contains(&value)).then(problem)
}
