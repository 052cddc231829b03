//! What is wrong with a resource, and what to do.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use crate::api::{Condition, KafkaTopic, TelemetryConsumer, TelemetryConsumerStatus};
use crate::plugin::advice::{self, Advice, Level};

/// A resource that has not been looked at for so long, in seconds, is no longer new.
const NEW: i64 = 60;
const NO_OPERATOR: &str = "is the operator running? `kubectl bt doctor` tells";

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub level: Level,
    /// `consumer` or `topic`.
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
    /// The condition, and its reason.
    pub what: String,
    /// The resource's own words.
    pub message: String,
    /// How long it has been so, in seconds.
    pub seconds: Option<i64>,
    /// What to do.
    pub advice: String,
}

pub fn of_topic(topic: &KafkaTopic, now: Timestamp) -> Vec<Problem> {
    let about = About::of("topic", topic, now);
    let status = topic.status.clone().unwrap_or_default();
    let mut problems = about.not_seen(&status.conditions, status.observed_generation);
    for condition in &status.conditions {
        problems.extend(about.problem(condition, advice::of_topic(&condition.reason)));
    }
    if let Some(drift) = status.drift_summary.filter(|drift| !drift.is_empty())
        && problems.is_empty()
    {
        let advice =
            "set driftPolicy: Enforce to have it put right, or write into spec what Kafka has";
        problems.push(about.say(Level::Warn, "Drift", drift, advice));
    }
    problems
}

pub fn of_consumer(consumer: &TelemetryConsumer, now: Timestamp) -> Vec<Problem> {
    let about = About::of("consumer", consumer, now);
    let status = consumer.status.clone().unwrap_or_default();
    let mut problems = about.not_seen(&status.conditions, status.observed_generation);
    let reason = |kind: &str| {
        let mut conditions = status.conditions.iter();
        let found = conditions.find(|condition| condition.kind == kind);
        found
            .map(|condition| condition.reason.as_str())
            .unwrap_or_default()
    };
    let idle = matches!(reason("Ready"), "ScaledToZero" | "Paused");
    for condition in &status.conditions {
        // Each thing once, where it is told best.
        let told_elsewhere = match (condition.kind.as_str(), condition.reason.as_str()) {
            ("Ready", "SinkNotReady") => true,
            ("ConfigValid", "Invalid") => reason("Ready") == "ConfigInvalid",
            ("Progressing", "ProgressDeadlineExceeded") => reason("Ready") == "PodsFailing",
            ("Progressing", why) => why == reason("Ready"),
            ("ScalingActive", why) => why == reason("Ready") || idle,
            ("SinkReady", "NoPods") => reason("Ready") != "Running",
            _ => false,
        };
        if !told_elsewhere {
            let advice = advice::of_consumer(&condition.kind, &condition.reason);
            problems.extend(about.problem(condition, advice));
        }
    }
    if problems.is_empty() && !idle {
        problems.extend(stuck(&about, &status));
    }
    problems
}

/// Ready by all its conditions, and yet nothing moves.
fn stuck(about: &About<'_>, status: &TelemetryConsumerStatus) -> Option<Problem> {
    let lag = status.lag.as_ref()?.total;
    let still = status.consume_rate.is_some_and(|rate| rate <= 0.0);
    (lag > 0 && still).then(|| {
        let message =
            format!("{lag} records wait, and none was carried between the last two looks");
        about.say(
            Level::Warn,
            "NothingCarried",
            message,
            "look again in 20 s; if it stays, see the pods' logs",
        )
    })
}

struct About<'a> {
    kind: &'static str,
    namespace: String,
    name: &'a str,
    generation: Option<i64>,
    age: i64,
    now: Timestamp,
}

impl<'a> About<'a> {
    fn of(kind: &'static str, resource: &'a impl ResourceExt, now: Timestamp) -> Self {
        let created = resource.creation_timestamp().map(|time| time.0.as_second());
        Self {
            kind,
            namespace: resource.namespace().unwrap_or_default(),
            name: resource.meta().name.as_deref().unwrap_or_default(),
            generation: resource.meta().generation,
            age: created.map_or(i64::MAX, |created| now.as_second() - created),
            now,
        }
    }

    fn say(&self, level: Level, what: &str, message: String, advice: &str) -> Problem {
        Problem {
            level,
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: self.name.to_owned(),
            what: what.to_owned(),
            message,
            seconds: None,
            advice: advice.replace("NAME", self.name),
        }
    }

    /// The operator has not looked at all, or not since the last change.
    fn not_seen(&self, conditions: &[Condition], observed: Option<i64>) -> Vec<Problem> {
        let level = match self.age < NEW {
            true => Level::Note,
            false => Level::Bad,
        };
        if conditions.is_empty() {
            let message = "the operator has not looked at it yet".to_owned();
            return vec![self.say(level, "NotSeenYet", message, NO_OPERATOR)];
        }
        if observed < self.generation {
            let message = "the operator has not looked at its last change yet".to_owned();
            return vec![self.say(Level::Warn, "NotSeenYet", message, NO_OPERATOR)];
        }
        Vec::new()
    }

    fn problem(&self, condition: &Condition, advice: Advice) -> Option<Problem> {
        (advice.level > Level::Fine).then(|| {
            let what = format!("{} {}", condition.kind, condition.reason);
            let since = condition.last_transition_time.0.as_second();
            Problem {
                seconds: Some(self.now.as_second() - since),
                ..self.say(advice.level, &what, condition.message.clone(), advice.what)
            }
        })
    }
}
