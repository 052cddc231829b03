//! The objects of a consumer as they are to be applied now: as built, and while a rollout is not settled also with what the pods of
//! the revisions before need. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::apply::Wanted;
use super::build::{Objects, config_map, with_replicas};
use super::owned::Kind;
use crate::api::TelemetryConsumer;

/// What is applied besides what was built.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// Number of pods.
    pub replicas: i32,
    /// The pod template, where it is not the wanted one.
    pub template: Template,
    /// Whether only pods of the wanted revision are left.
    pub settled: bool,
    /// Whether the brokers' ports are known.
    pub ports_known: bool,
    /// The data of the ConfigMap as it is.
    pub data: Value,
    /// The spec of the NetworkPolicy as it is.
    pub policy: Value,
}

/// Which pod template is applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Template {
    /// The wanted one.
    #[default]
    Wanted,
    /// That of an earlier revision.
    Earlier(Value),
    /// None, as that of the earlier revision is not known: the Deployment is left as it is.
    Unknown,
}

/// The manifests, and the kinds of which there should be none.
pub fn manifests(
    consumer: &TelemetryConsumer,
    objects: Objects,
    now: Circumstances,
) -> (Vec<Wanted>, BTreeSet<Kind>) {
    let mut keys = BTreeMap::new();
    if !now.settled {
        for (key, value) in now.data.as_object().into_iter().flatten() {
            if let Some(text) = value.as_str() {
                keys.insert(key.clone(), text.to_owned());
            }
        }
    }
    keys.extend(objects.config);
    let config_map = (!keys.is_empty()).then(|| value(&config_map(consumer, keys)));
    let deployment = (now.template != Template::Unknown).then(|| {
        let mut deployment = value(&with_replicas(objects.deployment, now.replicas));
        if let Template::Earlier(template) = now.template {
            deployment["spec"]["template"] = template;
        }
        deployment
    });
    let network_policy = objects.network_policy.map(|policy| {
        let mut policy = value(&policy);
        let spec = &mut policy["spec"];
        if !now.settled {
            keep_rules(spec, &now.policy, "Ingress");
        }
        if !now.settled || !now.ports_known {
            if restricts(&now.policy, "Egress") {
                keep_rules(spec, &now.policy, "Egress");
            } else {
                leave_open(spec, "Egress");
            }
        }
        policy
    });
    let pod_monitor = objects.pod_monitor.map(|mut monitor| {
        if monitor.types.is_none() {
            let resource = Kind::PodMonitor.resource();
            monitor.types = Some(kube::api::TypeMeta {
                api_version: resource.api_version,
                kind: resource.kind,
            });
        }
        value(&monitor)
    });
    // Pods of the revisions before may keep their state in it.
    let state_topic = objects
        .state_topic
        .filter(|_| objects.keeps_state || !now.settled);
    let all = [
        (Kind::ConfigMap, config_map),
        (Kind::Deployment, deployment),
        (Kind::Service, objects.service.as_ref().map(value)),
        (
            Kind::PodDisruptionBudget,
            Some(value(&objects.disruption_budget)),
        ),
        (Kind::NetworkPolicy, network_policy),
        (Kind::KafkaTopic, state_topic.as_ref().map(value)),
        (Kind::PodMonitor, pod_monitor),
    ];
    let (mut wanted, mut unwanted) = (Vec::new(), BTreeSet::new());
    for (kind, object) in all {
        match object {
            Some(object) => wanted.push(Wanted { kind, object }),
            None if kind == Kind::Deployment => {}
            // What it should be like is not known.
            None if kind == Kind::KafkaTopic && objects.keeps_state => {}
            None => {
                unwanted.insert(kind);
            }
        }
    }
    (wanted, unwanted)
}

fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("objects of Kubernetes can be written as JSON")
}

/// Whether a policy restricts a direction.
fn restricts(policy: &Value, direction: &str) -> bool {
    let types = policy["policyTypes"].as_array();
    types.is_some_and(|types| types.iter().any(|found| found == direction))
}

/// Takes a direction out of a policy: what pods need of it is not known, or not yet settled.
fn leave_open(policy: &mut Value, direction: &str) {
    if let Some(types) = policy["policyTypes"].as_array_mut() {
        types.retain(|found| found != direction);
    }
    if let Some(policy) = policy.as_object_mut() {
        policy.remove(&direction.to_lowercase());
    }
}

/// Adds the rules of the policy as it is that the wanted one does not have, where the wanted one restricts that direction.
fn keep_rules(wanted: &mut Value, live: &Value, direction: &str) {
    if !restricts(wanted, direction) {
        return;
    }
    let field = direction.to_lowercase();
    for rule in live[&field].as_array().into_iter().flatten() {
        let rules = &mut wanted[&field];
        match rules.as_array_mut() {
            Some(rules) if rules.contains(rule) => {}
            Some(rules) => rules.push(rule.clone()),
            None => *rules = Value::from(vec![rule.clone()]),
        }
    }
}

#[cfg(test)]
mod tests;
