//! The decision: what the spec wants, what we remember, what Kafka has; out comes what to do. No I/O.

use std::collections::BTreeMap;

use bt_kafka::{ConfigOp, ConfigSource, NewTopic};

use super::desired::Desired;
use super::observe::Observed;
use super::report::Reason;
use crate::api::{AdoptionPolicy, Drift, DriftPolicy, KafkaTopic};

/// How the step begins that makes a topic.
pub const CREATE: &str = "create topic ";

/// What the status recorded when the topic was last ours.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    pub topic_id: Option<String>,
    pub managed: Vec<String>,
    /// We said that we make it, and do not know what became of that.
    pub creating: bool,
}

impl Remembered {
    pub fn of(topic: &KafkaTopic) -> Self {
        topic
            .status
            .as_ref()
            .map_or_else(Self::default, |status| Self {
                topic_id: status.topic_id.clone(),
                managed: status.managed_config.clone(),
                creating: super::report::is_creating(status),
            })
    }
}

/// How the resource comes to the topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// There is none yet: make it.
    Create(NewTopic),
    /// It was ours, it is gone, and policy forbids to make it again.
    Missing(NewTopic),
    /// It existed before the resource; take it over.
    Adopt,
    /// Somebody deleted ours and made another; policy lets us take that one.
    AdoptRecreated,
    /// Ours.
    Own,
    /// It is not ours, and policy or its shape keeps it so.
    Refuse(Reason),
}

/// What is to be done, and what differs and is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub verdict: Verdict,
    /// Grow from, to.
    pub grow: Option<(i32, i32)>,
    pub config: BTreeMap<String, ConfigOp>,
    pub drift: Vec<Drift>,
    /// What the spec asks for and cannot have.
    pub impossible: Vec<(Reason, String)>,
    /// Whether policy lets differences be set right.
    pub enforce: bool,
}

pub fn decide(desired: &Desired, remembered: &Remembered, observed: Option<&Observed>) -> Plan {
    let enforce = desired.drift == DriftPolicy::Enforce;
    let Some(observed) = observed else {
        let new = NewTopic {
            name: desired.name.clone(),
            partitions: desired.partitions,
            replicas: desired.replicas,
            config: desired.config.clone(),
        };
        let ours_before = remembered.topic_id.is_some();
        return Plan {
            verdict: if ours_before && !enforce {
                Verdict::Missing(new)
            } else {
                Verdict::Create(new)
            },
            grow: None,
            config: BTreeMap::new(),
            drift: Vec::new(),
            impossible: Vec::new(),
            enforce,
        };
    };
    let (grow, shape_drift, impossible) = shape(desired, observed);
    let (config, config_drift) = settings(desired, remembered, observed);
    let drift: Vec<Drift> = shape_drift.into_iter().chain(config_drift).collect();
    let verdict = verdict(desired, remembered, observed, drift.is_empty());
    let refused = matches!(verdict, Verdict::Refuse(_));
    Plan {
        verdict,
        grow,
        config,
        drift,
        impossible: if refused { Vec::new() } else { impossible },
        enforce: enforce && !refused,
    }
}

fn verdict(
    desired: &Desired,
    remembered: &Remembered,
    observed: &Observed,
    equal: bool,
) -> Verdict {
    let may_adopt = match desired.adoption {
        AdoptionPolicy::Adopt => true,
        AdoptionPolicy::AdoptIfEqual => equal,
        AdoptionPolicy::Refuse => false,
    };
    match (&remembered.topic_id, may_adopt) {
        (None, _) if remembered.creating => Verdict::Own,
        (Some(id), _) if *id == observed.topic.id => Verdict::Own,
        (Some(_), true) => Verdict::AdoptRecreated,
        (Some(_), false) => Verdict::Refuse(Reason::TopicRecreated),
        (None, true) => Verdict::Adopt,
        (None, false) => Verdict::Refuse(Reason::AdoptionRefused),
    }
}

type Shape = (Option<(i32, i32)>, Vec<Drift>, Vec<(Reason, String)>);

/// Partitions and replicas.
fn shape(desired: &Desired, observed: &Observed) -> Shape {
    let (mut grow, mut drift, mut impossible) = (None, Vec::new(), Vec::new());
    let have = observed.topic.partitions;
    if let Some(want) = desired.partitions.filter(|want| *want != have) {
        drift.push(difference("partitions", want, have));
        if want > have {
            grow = Some((have, want));
        } else {
            impossible.push((
                Reason::PartitionDecreaseRefused,
                format!(
                    "the topic has {have} partitions and Kafka cannot take any away (spec.partitions: {want}); \
                     set spec.partitions to {have}, or make a new topic with {want} and move the data"
                ),
            ));
        }
    }
    let have = observed.topic.replicas;
    if let Some(want) = desired.replicas.filter(|want| *want != have) {
        drift.push(difference("replicas", want, have));
        impossible.push((
            Reason::ReplicationChangeUnsupported,
            format!(
                "the topic has {have} replicas, spec.replicas asks for {want}: move them with kafka-reassign-partitions.sh \
                 or Cruise Control, or set spec.replicas to {have}"
            ),
        ));
    }
    (grow, drift, impossible)
}

/// Only keys that the resource owns, or owned until now.
fn settings(
    desired: &Desired,
    remembered: &Remembered,
    observed: &Observed,
) -> (BTreeMap<String, ConfigOp>, Vec<Drift>) {
    let (mut ops, mut drift) = (BTreeMap::new(), Vec::new());
    for (key, want) in &desired.config {
        let found = observed.config.get(key);
        let have = found.and_then(|entry| entry.value.as_deref());
        let own = found.is_some_and(|entry| entry.source == ConfigSource::Topic);
        let hidden = found.is_some_and(|entry| entry.sensitive);
        let same = have.is_some_and(|have| same_value(want, have));
        if same && own {
            continue;
        }
        // A sensitive value is never told, so it cannot be compared: it is set once, when it becomes ours.
        if hidden && own && remembered.managed.contains(key) {
            continue;
        }
        ops.insert(key.clone(), ConfigOp::Set(want.clone()));
        if !same {
            drift.push(if hidden {
                difference(key, "(hidden)", "(hidden)")
            } else {
                difference(key, want, have.unwrap_or("(unknown key)"))
            });
        }
    }
    for key in &remembered.managed {
        let gone = !desired.config.contains_key(key) && !desired.handed_back.contains(key);
        let entry = observed.config.get(key);
        if let Some(entry) = entry.filter(|entry| gone && entry.source == ConfigSource::Topic) {
            ops.insert(key.clone(), ConfigOp::Reset);
            let have = entry.value.as_deref().unwrap_or("(hidden)");
            drift.push(difference(key, "(the broker's default)", have));
        }
    }
    (ops, drift)
}

/// Whether Kafka means the same by both: it writes numbers, booleans and lists in a form of its own.
fn same_value(want: &str, have: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    let whole = |text: &str| text.trim().parse::<i64>().ok();
    let boolean = |text: &str| text.trim().to_ascii_lowercase().parse::<bool>().ok();
    let list = |text: &str| -> Vec<String> {
        text.split(',').map(|part| part.trim().to_owned()).collect()
    };
    want == have
        || match (whole(want), whole(have)) {
            (Some(want), Some(have)) => want == have,
            _ => number(want).is_some_and(|want| number(have) == Some(want)),
        }
        || boolean(want).is_some_and(|want| boolean(have) == Some(want))
        || list(want) == list(have)
}

fn difference(key: &str, want: impl ToString, have: impl ToString) -> Drift {
    Drift {
        key: key.into(),
        want: want.to_string(),
        have: have.to_string(),
    }
}

impl Plan {
    /// Whether the steps are carried out, or only told. A topic that never was is made whatever the drift policy.
    pub fn acts(&self) -> bool {
        self.enforce || matches!(self.verdict, Verdict::Create(_))
    }

    /// The steps in words, for `status.plan` and Events.
    pub fn steps(&self) -> Vec<String> {
        let made = match &self.verdict {
            Verdict::Create(new) | Verdict::Missing(new) => Some(format!("{CREATE}{}", new.name)),
            _ => None,
        };
        let grown = self.grow.map(|(from, to)| {
            format!("grow from {from} to {to} partitions; keys move to other partitions, so the order by key holds only from then on")
        });
        let set = self.config.iter().map(|(key, op)| match op {
            ConfigOp::Set(_)
                if self
                    .drift
                    .iter()
                    .any(|d| d.key == *key && d.want == "(hidden)") =>
            {
                format!("set {key} (hidden)")
            }
            ConfigOp::Set(value) => format!("set {key}={value}"),
            ConfigOp::Reset => format!("reset {key} to the broker's default"),
        });
        made.into_iter().chain(grown).chain(set).collect()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
