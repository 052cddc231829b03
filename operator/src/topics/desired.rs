use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use serde_json::Value;

use crate::api::{AdoptionPolicy, DeletionPolicy, DriftPolicy, KafkaTopic};

/// A spec that has been checked, with the operator's defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub name: String,
    pub partitions: Option<i32>,
    pub replicas: Option<i32>,
    /// The keys that the resource owns, as Kafka writes their values.
    pub config: BTreeMap<String, String>,
    /// Keys given as `null`: no longer owned, and left as they are.
    pub handed_back: BTreeSet<String>,
    pub adoption: AdoptionPolicy,
    pub drift: DriftPolicy,
    pub deletion: DeletionPolicy,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Invalid {
    #[error(
        "spec.config[{key:?}] is {found}: give a string, a number or a boolean, or null to leave the key alone"
    )]
    Value { key: String, found: &'static str },
    #[error("the topic name {0:?} is one that Kafka refuses: \".\" and \"..\" are not allowed")]
    Name(String),
}

pub fn validate(topic: &KafkaTopic) -> Result<Desired, Invalid> {
    let spec = &topic.spec;
    let name = name(topic);
    if name == "." || name == ".." {
        return Err(Invalid::Name(name));
    }
    let mut config = BTreeMap::new();
    let mut handed_back = BTreeSet::new();
    for (key, value) in &spec.config {
        match text(value) {
            Ok(Some(value)) => {
                config.insert(key.clone(), value);
            }
            Ok(None) => {
                handed_back.insert(key.clone());
            }
            Err(found) => {
                let key = key.clone();
                return Err(Invalid::Value { key, found });
            }
        }
    }
    Ok(Desired {
        name,
        partitions: spec.partitions,
        replicas: spec.replicas,
        config,
        handed_back,
        adoption: spec.adoption_policy,
        drift: spec.drift_policy,
        deletion: spec.deletion_policy,
    })
}

/// The topic's name in Kafka.
pub fn name(topic: &KafkaTopic) -> String {
    topic
        .spec
        .topic_name
        .clone()
        .unwrap_or_else(|| topic.name_any())
}

/// A value as Kafka writes it; `None` for `null`.
fn text(value: &Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        // Tools write large whole numbers as floats (6.048e+08); Kafka's parsers take digits only.
        Value::Number(number) => Ok(Some(match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                (float as i64).to_string()
            }
            _ => number.to_string(),
        })),
        Value::Array(_) => Err("a list"),
        Value::Object(_) => Err("an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn topic(spec: Value) -> KafkaTopic {
        KafkaTopic::new("orders", serde_json::from_value(spec).expect("a spec"))
    }

    #[test]
    fn values_are_written_as_kafka_writes_them() {
        let config =
            json!({"a": "x", "b": 604_800_000, "c": 6.048e8, "d": 0.5, "e": true, "f": null});
        let desired = validate(&topic(json!({ "config": config }))).expect("valid");
        let values: Vec<_> = desired
            .config
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            values,
            [
                ("a", "x"),
                ("b", "604800000"),
                ("c", "604800000"),
                ("d", "0.5"),
                ("e", "true")
            ]
        );
        assert_eq!(desired.handed_back, BTreeSet::from(["f".to_owned()]));
        assert_eq!(desired.name, "orders");
    }

    #[test]
    fn a_list_is_refused_with_its_key() {
        let spec = json!({"config": {"cleanup.policy": ["compact"]}});
        let error = validate(&topic(spec)).expect_err("refused");
        assert!(error.to_string().contains("cleanup.policy"), "{error}");
    }
}
