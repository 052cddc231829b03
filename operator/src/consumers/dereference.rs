//! What a spec refers to: Secrets, read by name. Only what keys they have and a digest of each value is kept, never a value.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::search;
use crate::api::TelemetryConsumer;

/// How long it is believed that there is no such Secret.
const MISSING: Duration = Duration::from_secs(1);

/// A reference to entries of a Secret of the consumer's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    /// The field that refers.
    field: String,
    secret: String,
    keys: Vec<String>,
    /// Whether what is missing is no problem.
    optional: bool,
    reader: Reader,
    content: Expected,
}

/// What a file of credentials must have inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Text,
    /// Certificates in PEM.
    Authorities,
}

/// Who reads what is referred to, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The consumer, when it starts: a file of credentials.
    Start,
    /// The consumer, again whenever it changes: a file of credentials.
    Running,
    /// Kubernetes, or what the user runs.
    Other,
}

/// Digests of what the spec refers to, by Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of what pods read when they start: another one means other pods.
    pub at_start: BTreeMap<String, String>,
    /// Of what running pods read again by themselves.
    pub running: BTreeMap<String, String>,
}

/// What is known of a Secret.
#[derive(Debug, Clone)]
enum Known {
    Missing,
    Unreadable(String),
    There(BTreeMap<String, Content>),
}

/// What is known of one entry of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    /// What is wrong with it, if anything.
    fault: Option<&'static str>,
    /// Whether there are certificates in it, in PEM.
    certificates: bool,
    digest: String,
}

impl Content {
    fn of(uid: &str, key: &str, value: &ByteString) -> Self {
        let fault = match std::str::from_utf8(&value.0) {
            Ok(text) if text.trim().is_empty() => Some("it is empty"),
            Ok(_) => None,
            Err(_) => Some("it is not text (UTF-8)"),
        };
        // With the uid, which only those know who may see the Secret, nobody else can try passwords until one fits.
        let mut hash = Sha256::new();
        for part in [uid.as_bytes(), key.as_bytes(), &value.0] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        Self {
            fault,
            certificates: has_certificates(&value.0),
            digest: digest
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }
}

/// Whether this is a file of authorities, as the sink reads it.
fn has_certificates(pem: &[u8]) -> bool {
    reqwest::Certificate::from_pem_bundle(pem).is_ok_and(|found| !found.is_empty())
}

/// The Secrets that consumers refer to, each asked for once an interval.
pub struct Secrets {
    client: Client,
    interval: Duration,
    known: Mutex<HashMap<Name, Entry>>,
}

/// Namespace and name.
type Name = (String, String);

/// When a Secret was asked for, and what came of it; held while it is asked for, so that others wait for the answer.
type Entry = Arc<tokio::sync::Mutex<Option<(Instant, Known)>>>;

impl Secrets {
    /// Asks for a Secret once an interval.
    pub fn new(client: Client, interval: Duration) -> Self {
        Self {
            client,
            // A little less, or what comes once an interval finds it not yet over every other time.
            interval: interval.mul_f64(0.9),
            known: Mutex::default(),
        }
    }

    /// The versions of what the spec refers to.
    ///
    /// # Errors
    /// Kubernetes' own; inside, what is wrong with the Secrets, each with the field that names it.
    pub async fn of(
        &self,
        consumer: &TelemetryConsumer,
    ) -> Result<Result<Versions, Vec<String>>, kube::Error> {
        let namespace = consumer.namespace().unwrap_or_default();
        let mut versions = Versions::default();
        let mut problems = Vec::new();
        for reference in references(consumer) {
            let known = self.get(&namespace, &reference.secret).await?;
            problems.extend(reference.problems(&known));
            if let Known::There(entries) = known {
                versions.add(&reference, &entries);
            }
        }
        Ok(if problems.is_empty() {
            Ok(versions)
        } else {
            Err(problems)
        })
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Known, kube::Error> {
        let entry = self.entry((namespace.to_owned(), name.to_owned()));
        let mut entry = entry.lock().await;
        if let Some((since, known)) = &*entry {
            let valid = match known {
                Known::There(_) => self.interval,
                Known::Missing | Known::Unreadable(_) => self.interval.min(MISSING),
            };
            if since.elapsed() < valid {
                return Ok(known.clone());
            }
        }
        let asked = Instant::now();
        let api = Api::<Secret>::namespaced(self.client.clone(), namespace);
        let known = match api.get_opt(name).await {
            Ok(Some(secret)) => {
                let uid = secret.uid().unwrap_or_default();
                let entries = secret.data.into_iter().flatten();
                let entries = entries.map(|(key, value)| {
                    let content = Content::of(&uid, &key, &value);
                    (key, content)
                });
                Known::There(entries.collect())
            }
            Ok(None) => Known::Missing,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Known::Unreadable(status.message.clone())
            }
            Err(error) => return Err(error),
        };
        *entry = Some((asked, known.clone()));
        Ok(known)
    }

    fn entry(&self, name: Name) -> Entry {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(name).or_default().clone()
    }

    /// Drops what is known of Secrets that nobody has asked for in a while.
    pub fn sweep(&self) {
        let limit = 10 * self.interval;
        let old = |entry: &Entry| {
            let asked = entry.try_lock();
            asked.is_ok_and(|asked| asked.as_ref().is_none_or(|(at, _)| at.elapsed() > limit))
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, entry| !old(entry));
    }
}

impl Versions {
    fn add(&mut self, reference: &Reference, entries: &BTreeMap<String, Content>) {
        let versions = match reference.reader {
            Reader::Start | Reader::Other => &mut self.at_start,
            Reader::Running => &mut self.running,
        };
        let version = versions.entry(reference.secret.clone()).or_default();
        version.push_str(&reference.version(entries));
    }
}

impl Reference {
    /// What changes with the entries that this refers to, and with nothing else.
    fn version(&self, entries: &BTreeMap<String, Content>) -> String {
        let used = entries
            .iter()
            .filter(|(key, _)| self.keys.is_empty() || self.keys.contains(key));
        used.map(|(_, content)| content.digest.as_str()).collect()
    }

    fn fault(&self, content: &Content) -> Option<&'static str> {
        let no_authorities = self.content == Expected::Authorities && !content.certificates;
        content.fault.or_else(|| {
            no_authorities.then_some(
                "it has no certificates, or broken ones; the authorities' are expected in PEM, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
            )
        })
    }

    fn problems(&self, known: &Known) -> Vec<String> {
        let Self { field, secret, .. } = self;
        let entries = match known {
            Known::Unreadable(error) => {
                return vec![format!(
                    "{field} names Secret {secret}: it cannot be read: {error}"
                )];
            }
            Known::Missing if self.optional => return Vec::new(),
            Known::Missing => {
                return vec![format!(
                    "{field} names Secret {secret}: there is no such Secret in this namespace; make it"
                )];
            }
            Known::There(entries) => entries,
        };
        let wrong = |key: &String| match entries.get(key) {
            // Environment variables may well be empty; a file of credentials may not.
            Some(_) if self.reader == Reader::Other => None,
            Some(content) => self.fault(content).map(Into::into),
            None if self.optional => None,
            None => {
                let there: Vec<_> = entries.keys().map(String::as_str).collect();
                let there = there.join(", ");
                Some(format!("the Secret has no such key, it has [{there}]"))
            }
        };
        let wrong = self.keys.iter().filter_map(|key| Some((key, wrong(key)?)));
        wrong
            .map(|(key, why)| format!("{field} names the key {key} of Secret {secret}: {why}"))
            .collect()
    }
}

/// Every reference in the spec.
fn references(consumer: &TelemetryConsumer) -> Vec<Reference> {
    let spec = &consumer.spec;
    let mut found = Vec::new();
    let mut credential = |field: String, secret: &str, keys: &[&str], reader, content| {
        found.push(Reference {
            field,
            secret: secret.into(),
            keys: keys.iter().copied().map(Into::into).collect(),
            optional: false,
            reader,
            content,
        });
    };
    let kafka = spec.kafka.clone().unwrap_or_default();
    if let Some(tls) = &kafka.tls {
        if let Some(ca) = &tls.ca_secret_ref {
            let key = ca.key_or("ca.crt");
            let field = "spec.kafka.tls.caSecretRef".into();
            let content = Expected::Authorities;
            credential(field, &ca.name, &[key], Reader::Start, content);
        }
        if let Some(client) = &tls.client_cert_secret_ref {
            let field = "spec.kafka.tls.clientCertSecretRef".into();
            let keys = ["tls.crt", "tls.key"];
            credential(field, &client.name, &keys, Reader::Start, Expected::Text);
        }
    }
    if let Some(sasl) = &kafka.sasl {
        let reference = &sasl.password_secret_ref;
        let key = reference.key_or("password");
        let field = "spec.kafka.sasl.passwordSecretRef".into();
        let content = Expected::Text;
        credential(field, &reference.name, &[key], Reader::Start, content);
    }
    for found in spec.sink.elasticsearch.iter().flat_map(search::credentials) {
        let field = format!("spec.sink.elasticsearch.{}", found.field);
        let content = match found.is_authorities() {
            true => Expected::Authorities,
            false => Expected::Text,
        };
        credential(field, found.secret, &[found.key], Reader::Running, content);
    }
    let mut add = |field: String, secret: &str, keys: &[&str], optional: bool| {
        found.push(Reference {
            field,
            secret: secret.into(),
            keys: keys.iter().copied().map(Into::into).collect(),
            optional,
            reader: Reader::Other,
            content: Expected::Text,
        });
    };
    let custom = spec.sink.custom.iter().flat_map(|custom| &custom.env);
    for (index, variable) in custom.enumerate() {
        let source = variable.value_from.as_ref();
        if let Some(selector) = source.and_then(|source| source.secret_key_ref.as_ref()) {
            let field = format!("spec.sink.custom.env[{index}].valueFrom.secretKeyRef");
            let optional = selector.optional.unwrap_or(false);
            add(field, &selector.name, &[&selector.key], optional);
        }
    }
    if let Some(template) = &spec.pod_template {
        in_template(template, &mut add);
    }
    found
}

/// The references of a partial pod template. What is not of the right shape refers to nothing; that it is wrong is found later.
fn in_template(template: &Value, add: &mut impl FnMut(String, &str, &[&str], bool)) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let optional = |value: &Value| value["optional"].as_bool().unwrap_or(false);
    for kind in ["initContainers", "containers"] {
        for (index, container) in list(&template["spec"][kind]).iter().enumerate() {
            let at = format!("spec.podTemplate.spec.{kind}[{index}]");
            for (index, variable) in list(&container["env"]).iter().enumerate() {
                let selector = &variable["valueFrom"]["secretKeyRef"];
                if let (Some(name), Some(key)) =
                    (selector["name"].as_str(), selector["key"].as_str())
                {
                    let field = format!("{at}.env[{index}].valueFrom.secretKeyRef");
                    add(field, name, &[key], optional(selector));
                }
            }
            for (index, source) in list(&container["envFrom"]).iter().enumerate() {
                let selector = &source["secretRef"];
                if let Some(name) = selector["name"].as_str() {
                    let field = format!("{at}.envFrom[{index}].secretRef");
                    add(field, name, &[], optional(selector));
                }
            }
        }
    }
    for (index, volume) in list(&template["spec"]["volumes"]).iter().enumerate() {
        let at = format!("spec.podTemplate.spec.volumes[{index}]");
        let keys = |source: &Value| -> Vec<String> {
            let items = list(&source["items"]);
            let keys = items.iter().filter_map(|item| item["key"].as_str());
            keys.map(Into::into).collect()
        };
        let secret = &volume["secret"];
        if let Some(name) = secret["secretName"].as_str() {
            let keys = keys(secret);
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            add(format!("{at}.secret"), name, &keys, optional(secret));
        }
        for (index, source) in list(&volume["projected"]["sources"]).iter().enumerate() {
            let secret = &source["secret"];
            if let Some(name) = secret["name"].as_str() {
                let field = format!("{at}.projected.sources[{index}].secret");
                let keys = keys(secret);
                let keys: Vec<_> = keys.iter().map(String::as_str).collect();
                add(field, name, &keys, optional(secret));
            }
        }
    }
}

#[cfg(test)]
mod tests;
