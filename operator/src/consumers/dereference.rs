//! What a spec refers to: Secrets, read by name. Only what keys they have and a digest of each value is kept, never a value.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use sha2::{Digest, Sha256};

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
            digest: digest
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }
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

    /// A digest of what the spec refers to in each Secret: another one means other pods.
    ///
    /// # Errors
    /// Kubernetes' own; inside, what is wrong with the Secrets, each with the field that names it.
    pub async fn of(
        &self,
        consumer: &TelemetryConsumer,
    ) -> Result<Result<BTreeMap<String, String>, Vec<String>>, kube::Error> {
        let namespace = consumer.namespace().unwrap_or_default();
        let mut versions: BTreeMap<String, String> = BTreeMap::new();
        let mut problems = Vec::new();
        for reference in references(consumer) {
            let known = self.get(&namespace, &reference.secret).await?;
            problems.extend(reference.problems(&known));
            if let Known::There(entries) = known {
                let version = versions.entry(reference.secret.clone()).or_default();
                version.push_str(&reference.version(&entries));
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

impl Reference {
    /// What changes with the entries that this refers to, and with nothing else.
    fn version(&self, entries: &BTreeMap<String, Content>) -> String {
        let used = entries
            .iter()
            .filter(|(key, _)| self.keys.is_empty() || self.keys.contains(key));
        used.map(|(_, content)| content.digest.as_str()).collect()
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
        let wrong = |key: &String| match entries.get(key).map(|content| &content.fault) {
            Some(None) => None,
            // Environment variables may well be empty; a file of credentials may not.
            Some(Some(_)) if !field.starts_with("spec.kafka") => None,
            Some(Some(fault)) => Some((*fault).to_owned()),
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
    let mut add = |field: String, secret: &str, keys: &[&str], optional: bool| {
        found.push(Reference {
            field,
            secret: secret.into(),
            keys: keys.iter().copied().map(Into::into).collect(),
            optional,
        });
    };
    let kafka = spec.kafka.clone().unwrap_or_default();
    if let Some(tls) = &kafka.tls {
        if let Some(ca) = &tls.ca_secret_ref {
            let key = ca.key.as_deref().unwrap_or("ca.crt");
            add("spec.kafka.tls.caSecretRef".into(), &ca.name, &[key], false);
        }
        if let Some(client) = &tls.client_cert_secret_ref {
            let field = "spec.kafka.tls.clientCertSecretRef".into();
            add(field, &client.name, &["tls.crt", "tls.key"], false);
        }
    }
    if let Some(sasl) = &kafka.sasl {
        let reference = &sasl.password_secret_ref;
        let key = reference.key.as_deref().unwrap_or("password");
        let field = "spec.kafka.sasl.passwordSecretRef".into();
        add(field, &reference.name, &[key], false);
    }
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
