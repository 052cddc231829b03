//! The configuration file of one consumer: YAML, in the field names of the `TelemetryConsumer` resource.

mod duration;
mod sinks;

use std::path::{Path, PathBuf};

use bt_kafka::{ClientCertificate, Connection, Mechanism, Sasl, Secret, Tls};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use duration::HumanDuration;
pub(crate) use sinks::check_buckets;
pub use sinks::{
    AuthFiles, BulkSettings, Compression, ElasticsearchSink, Malformed, PrometheusSink,
    SinkTlsFiles, TemplateSettings,
};

/// Everything that one consumer needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The consumer's name as `namespace/name`, for logs and client ids.
    pub consumer: String,
    /// The Kafka cluster.
    pub kafka: Kafka,
    /// Kafka's `group.id`.
    pub group_id: String,
    /// The topics to consume, 1 to 64.
    pub topics: Vec<String>,
    /// Where to start in a partition that the group has no committed offset for.
    #[serde(default)]
    pub start_from: StartFrom,
    /// Kafka's `session.timeout.ms`: after so long a member that is not heard of loses its partitions to others. Kafka allows
    /// 6 seconds to 30 minutes unless told otherwise.
    #[serde(
        default = "session_timeout",
        skip_serializing_if = "is_session_timeout"
    )]
    pub session_timeout: HumanDuration,
    /// Where events go that cannot be taken.
    pub dead_letter_topic: String,
    /// The compacted topic in which an exact prometheus sink keeps its series; its partitions are at least as many as
    /// those of each topic consumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_topic: Option<String>,
    /// Where events are carried to.
    pub sink: Sink,
}

/// A killed pod's partitions should not wait for Kafka's default of 45 s.
fn session_timeout() -> HumanDuration {
    HumanDuration::from_secs(15)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_session_timeout(timeout: &HumanDuration) -> bool {
    *timeout == session_timeout()
}

/// How to reach the Kafka cluster. Credentials are in files, never in this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kafka {
    /// Comma-separated `host:port` pairs to find the cluster by.
    pub bootstrap_servers: String,
    /// Encrypt; absent: plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Log in; absent: anonymous, or by the client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslFiles>,
}

/// TLS to the brokers, from PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsFiles {
    /// The authorities that are trusted. Absent: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Mutual TLS: the client's certificate and its chain. Both of this and `keyFile`, or neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// The certificate's key, without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// SASL by name and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SaslFiles {
    /// How the password is proven.
    pub mechanism: Mechanism,
    /// Who logs in.
    pub username: String,
    /// The file of the password; a line break at its end does not count.
    pub password_file: PathBuf,
}

impl Kafka {
    /// The connection, with what is in the files now.
    ///
    /// # Errors
    /// When a file cannot be read, is empty or no text.
    pub fn connection(&self) -> Result<Connection, ConfigError> {
        let mut connection = Connection::plaintext(&self.bootstrap_servers);
        if let Some(files) = &self.tls {
            let mut tls = Tls::default();
            if let Some(path) = &files.ca_file {
                tls.ca = Some(credential(path)?);
            }
            if let (Some(certificate), Some(key)) = (&files.certificate_file, &files.key_file) {
                tls.client = Some(ClientCertificate {
                    certificate: credential(certificate)?,
                    key: Secret::new(credential(key)?),
                });
            }
            connection.tls = Some(tls);
        }
        if let Some(sasl) = &self.sasl {
            connection.sasl = Some(Sasl {
                mechanism: sasl.mechanism,
                username: sasl.username.clone(),
                password: Secret::new(
                    credential(&sasl.password_file)?.trim_end_matches(['\r', '\n']),
                ),
            });
        }
        Ok(connection)
    }
}

fn credential(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Credential {
        path: path.to_owned(),
        why: source.to_string(),
    })?;
    if text.trim().is_empty() {
        return Err(ConfigError::Credential {
            path: path.to_owned(),
            why: "it is empty".into(),
        });
    }
    Ok(text)
}

/// Where a group starts in a partition that it has no committed offset for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum StartFrom {
    /// With the oldest record that Kafka still has.
    #[default]
    Earliest,
    /// With the next record that arrives.
    Latest,
}

/// The sink; exactly one of the fields is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sink {
    /// Series for Prometheus to scrape on port 9090.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSink>,
    /// Documents in Elasticsearch or OpenSearch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elasticsearch: Option<ElasticsearchSink>,
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file of credentials, mounted from a Secret, is not as it should be.
    #[error("cannot read the credentials in {path}: {why}")]
    Credential {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The text is not a configuration: wrong YAML, an unknown field, a wrong type.
    #[error("the configuration cannot be understood: {0}")]
    Syntax(#[from] serde_yaml::Error),
    /// Fields with values that cannot work.
    #[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it is unreadable, not understood, or [`Config::validate`] finds something.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// When it is not understood, or [`Config::validate`] finds something.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        let config: Config = serde_yaml::from_str(yaml)?;
        let problems = config.validate();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }

    /// The configuration as the file's text.
    ///
    /// # Errors
    /// Does not happen with these types; the YAML library's signature has it.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        Ok(serde_yaml::to_string(self)?)
    }

    /// Everything that is wrong, each as `field: what and what to do`; nothing when all is well.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = self.validate_source();
        for (i, topic) in self.topics.iter().enumerate() {
            if *topic == self.dead_letter_topic {
                problems.push(format!(
                    "topics[{i}]: {topic} is the dead-letter topic; a consumer would feed itself"
                ));
            }
        }
        if !is_topic(&self.dead_letter_topic) {
            problems.push(topic_problem("deadLetterTopic", &self.dead_letter_topic));
        }
        match (&self.sink.prometheus, &self.sink.elasticsearch) {
            (Some(sink), None) => {
                problems.extend(sink.validate("sink.prometheus"));
                problems.extend(self.state_topic_problem(sink.exactly_once));
            }
            (None, Some(sink)) => problems.extend(sink.validate("sink.elasticsearch")),
            _ => problems
                .push("sink: exactly one of prometheus and elasticsearch must be set".into()),
        }
        problems
    }

    fn state_topic_problem(&self, exactly_once: bool) -> Option<String> {
        match &self.state_topic {
            None if exactly_once => Some(
                "stateTopic: is needed where sink.prometheus.exactlyOnce is true: a compacted topic".into(),
            ),
            Some(topic) if !is_topic(topic) => Some(topic_problem("stateTopic", topic)),
            Some(topic) if self.topics.contains(topic) || *topic == self.dead_letter_topic => Some(format!(
                "stateTopic: {topic} is used for something else already; it must be this consumer's alone"
            )),
            _ => None,
        }
    }

    /// What is wrong with what is consumed, whatever the sink: the part that holds for a consumer in an image of the user's, too.
    pub fn validate_source(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, problem: String| {
            if !ok {
                problems.push(problem);
            }
        };
        check(
            !self.consumer.is_empty(),
            "consumer: must be namespace/name".into(),
        );
        check(
            !self.group_id.is_empty(),
            "groupId: must not be empty".into(),
        );
        check(
            (6..=1800).contains(&self.session_timeout.0.as_secs()),
            format!(
                "sessionTimeout: must be 6s to 30m, found {}",
                self.session_timeout
            ),
        );
        let servers = &self.kafka.bootstrap_servers;
        check(
            !servers.trim().is_empty(),
            "kafka.bootstrapServers: must be host:port, or several with commas".into(),
        );
        if let Some(tls) = &self.kafka.tls {
            check(
                tls.certificate_file.is_some() == tls.key_file.is_some(),
                "kafka.tls: certificateFile and keyFile belong together: give both, or neither"
                    .into(),
            );
        }
        if let Some(sasl) = &self.kafka.sasl {
            check(
                !sasl.username.is_empty(),
                "kafka.sasl.username: must not be empty".into(),
            );
        }
        check(
            (1..=64).contains(&self.topics.len()),
            format!("topics: 1 to 64 are possible, found {}", self.topics.len()),
        );
        for (i, topic) in self.topics.iter().enumerate() {
            check(
                is_topic(topic),
                topic_problem(&format!("topics[{i}]"), topic),
            );
            check(
                !self.topics[..i].contains(topic),
                format!("topics[{i}]: {topic} is named twice"),
            );
        }
        problems
    }
}

/// Kafka's rule for topic names (`org.apache.kafka.common.internals.Topic`).
fn is_topic(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !matches!(name, "" | "." | "..") && name.len() <= 249 && name.chars().all(plain)
}

fn topic_problem(field: &str, name: &str) -> String {
    format!(
        "{field}: {name:?} is no topic name (1 to 249 letters, digits, dots, underscores and hyphens)"
    )
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
