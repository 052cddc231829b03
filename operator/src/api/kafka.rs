use bt_kafka::Mechanism;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Kafka cluster, where it is not the operator's own. What is left out comes from the operator's configuration.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Comma-separated `host:port` pairs to find the cluster by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(
        pattern = r"^\s*(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}(\s*,\s*(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})*\s*$"
    ))]
    pub bootstrap_servers: Option<String>,
    /// Encrypt. `{}` trusts the authorities of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Log in by name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSpec>,
}

/// TLS to the brokers. The Secrets are in the resource's namespace, and are read again when they change.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// The authorities (PEM) that signed the brokers' certificates. Default: those of the system; default key: `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Mutual TLS: a Secret with `tls.crt` and `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_secret_ref: Option<SecretRef>,
}

/// SASL by name and password.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct SaslSpec {
    /// How the password is proven. PLAIN sends it as it is: use it with `tls`.
    pub mechanism: Mechanism,
    /// Who logs in.
    #[schemars(length(min = 1))]
    pub username: String,
    /// The password. Default key: `password`.
    pub password_secret_ref: SecretKeyRef,
}

/// A Secret of the resource's namespace.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// One entry of a Secret of the resource's namespace.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The entry's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub key: Option<String>,
}

impl SecretKeyRef {
    /// The key, or this one where none is given.
    pub fn key_or(&self, default: &'static str) -> &str {
        self.key.as_deref().unwrap_or(default)
    }
}
