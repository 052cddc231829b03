//! Status and Events: what people read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::runtime::events::EventType;

use super::Topics;
use super::plan::Plan;
use super::report::{Reason, Report};
use crate::api::{Drift, KafkaTopic, KafkaTopicStatus, set_condition};
use crate::status::write_status;

/// Writes the status where it changed, and says so in an Event where the state did.
///
/// # Errors
/// When Kubernetes refuses the status.
pub async fn write(topics: &Topics, topic: &KafkaTopic, report: Report) -> Result<(), kube::Error> {
    let old = topic.status.clone().unwrap_or_default();
    let mut new = KafkaTopicStatus {
        observed_generation: topic.metadata.generation,
        ..old.clone()
    };
    if report.disown {
        new.topic_id = None;
        new.managed_config = Vec::new();
        tell(&mut new, Vec::new(), Vec::new());
    }
    if let Some(state) = report.topic {
        new.topic_name = Some(state.name);
        if let Some(observed) = state.observed {
            new.partitions = Some(observed.partitions);
            new.replicas = Some(observed.replicas);
            if state.owned {
                new.topic_id = Some(observed.id);
            }
        }
        new.managed_config = state.managed;
        tell(&mut new, state.drift, state.plan);
    }
    let was_ready = old
        .conditions
        .iter()
        .any(|condition| condition.kind == "Ready" && condition.status == "True");
    let changed = set_condition(
        &mut new.conditions,
        "Ready",
        report.reason.ready(),
        report.reason.as_str(),
        report.message.as_str(),
        topic.metadata.generation,
        Time(Timestamp::now()),
    );
    put(topics, topic, &old, &new).await?;
    // Created or Adopted becoming Synced is no news, and Creating is soon followed by what came of it.
    let settled = report.reason == Reason::Synced && report.done.is_empty() && was_ready;
    let news =
        (changed && !settled && report.reason != Reason::Creating) || !report.done.is_empty();
    if news {
        let kind = match report.reason.ready() {
            "False" => EventType::Warning,
            _ => EventType::Normal,
        };
        let done = report.done.join(", ");
        // Events of one reason and action are counted as one: other work must be another action.
        let (action, note) = match report.done.is_empty() {
            true => ("Reconcile".into(), report.message),
            false => (
                done.chars().take(120).collect::<String>(),
                format!("{}; done: {done}", report.message),
            ),
        };
        let about = topic.object_ref(&());
        topics
            .context
            .event(&about, kind, report.reason.as_str(), &action, note)
            .await;
    }
    Ok(())
}

/// Writes what is about to be done, before it is.
///
/// # Errors
/// When Kubernetes refuses the status.
pub async fn announce(topics: &Topics, topic: &KafkaTopic, plan: &Plan) -> Result<(), kube::Error> {
    let old = topic.status.clone().unwrap_or_default();
    let mut new = old.clone();
    tell(&mut new, plan.drift.clone(), plan.steps());
    put(topics, topic, &old, &new).await
}

fn tell(status: &mut KafkaTopicStatus, drift: Vec<Drift>, plan: Vec<String>) {
    let keys: Vec<&str> = drift.iter().map(|drift| drift.key.as_str()).collect();
    status.drift_summary = (!keys.is_empty()).then(|| keys.join(", "));
    status.drift = drift;
    status.plan = plan;
}

async fn put(
    topics: &Topics,
    topic: &KafkaTopic,
    old: &KafkaTopicStatus,
    new: &KafkaTopicStatus,
) -> Result<(), kube::Error> {
    if let Some(written) = write_status(topic, old, new, &topics.context).await? {
        topics.registry().wrote(written);
    }
    Ok(())
}
