//! From what is the case to what people read: status, conditions, Events.

use std::time::Duration;

use bt_kafka::Error as KafkaError;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::apply::Applied;
use super::desired::Desired;
use super::observe::Observed;
use super::plan::{CREATE, Plan, Remembered, Verdict};
use super::reference;
use crate::api::{Drift, KafkaTopic, KafkaTopicStatus, set_condition};
use crate::context::Context;
use crate::status::write_status;

/// Why `Ready` is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Synced,
    Created,
    Adopted,
    AdoptionRefused,
    ConflictingResource,
    PartitionDecreaseRefused,
    ReplicationChangeUnsupported,
    InvalidConfig,
    KafkaUnreachable,
    KafkaAuthFailed,
    KafkaError,
    Creating,
    TopicRecreated,
    TopicMissing,
    Paused,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::Created => "Created",
            Self::Adopted => "Adopted",
            Self::AdoptionRefused => "AdoptionRefused",
            Self::ConflictingResource => "ConflictingResource",
            Self::PartitionDecreaseRefused => "PartitionDecreaseRefused",
            Self::ReplicationChangeUnsupported => "ReplicationChangeUnsupported",
            Self::InvalidConfig => "InvalidConfig",
            Self::KafkaUnreachable => "KafkaUnreachable",
            Self::KafkaAuthFailed => "KafkaAuthFailed",
            Self::KafkaError => "KafkaError",
            Self::Creating => "Creating",
            Self::TopicRecreated => "TopicRecreated",
            Self::TopicMissing => "TopicMissing",
            Self::Paused => "Paused",
        }
    }

    fn ready(self) -> &'static str {
        match self {
            Self::Synced | Self::Created | Self::Adopted => "True",
            Self::Paused => "Unknown",
            _ => "False",
        }
    }

    /// What a Kafka error means for the resource.
    fn of(error: &KafkaError) -> Self {
        if error.is_auth() {
            Self::KafkaAuthFailed
        } else if error.is_invalid() {
            Self::InvalidConfig
        } else if error.is_unreachable() {
            Self::KafkaUnreachable
        } else {
            Self::KafkaError
        }
    }
}

/// What a reconcile found and did.
#[derive(Debug)]
pub struct Report {
    pub reason: Reason,
    pub message: String,
    /// Something may be better soon: look again with backoff rather than at the next resync.
    pub retry: bool,
    /// When to look again where it is neither a failure nor settled.
    pub look_again: Option<Duration>,
    /// What was done, for Events.
    pub done: Vec<String>,
    /// What status says of the topic; `None` leaves what it said.
    topic: Option<TopicState>,
    /// The resource does not own the topic and must forget the id.
    disown: bool,
}

#[derive(Debug)]
struct TopicState {
    name: String,
    observed: Option<Observed>,
    owned: bool,
    managed: Vec<String>,
    drift: Vec<Drift>,
    plan: Vec<String>,
}

impl Report {
    pub fn plain(reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            retry: false,
            look_again: None,
            done: Vec::new(),
            topic: None,
            disown: false,
        }
    }

    pub fn paused() -> Self {
        let message = "paused by the annotation monitoring.bt.dev/paused; nothing is made, altered or deleted";
        Self::plain(Reason::Paused, message.into())
    }

    pub fn superseded(name: &str, owner: &KafkaTopic) -> Self {
        let message = format!(
            "topic {name} belongs to the older KafkaTopic {}/{}; this one changes nothing. Delete one of them",
            owner.namespace().unwrap_or_default(),
            owner.name_any()
        );
        Self {
            disown: true,
            // Only our own memory is asked: whether the owner is still there.
            look_again: Some(Duration::from_secs(2)),
            ..Self::plain(Reason::ConflictingResource, message)
        }
    }

    pub fn internal(name: &str) -> Self {
        let message = format!(
            "topic {name} is one of Kafka's own and cannot be managed by a KafkaTopic; delete this resource"
        );
        Self::plain(Reason::InvalidConfig, message)
    }

    /// What is written before a topic is made.
    pub fn creating(name: &str, plan: &Plan) -> Self {
        Self {
            topic: Some(TopicState {
                name: name.to_owned(),
                observed: None,
                owned: false,
                managed: Vec::new(),
                drift: Vec::new(),
                plan: plan.steps(),
            }),
            disown: true,
            ..Self::plain(Reason::Creating, format!("topic {name} is being made"))
        }
    }

    pub fn kafka(error: &KafkaError, desired: &Desired) -> Self {
        let servers = &desired.connection.bootstrap_servers;
        Self {
            retry: true,
            ..Self::plain(Reason::of(error), format!("{servers}: {error}"))
        }
    }
}

/// The report on a plan that was carried out as far as possible.
pub fn report(
    desired: &Desired,
    plan: &Plan,
    applied: &Applied,
    observed: Option<Observed>,
    remembered: &Remembered,
) -> Report {
    let observed = match (&applied.created, observed) {
        (Some(created), _) => Some(created.clone()),
        (None, Some(mut observed)) => {
            if let Some((_, to)) = plan
                .grow
                .filter(|_| plan.enforce && applied.errors.is_empty())
            {
                observed.topic.partitions = to;
            }
            Some(observed)
        }
        (None, None) => None,
    };
    let (reason, message) = summary(desired, plan, applied);
    let failed = !applied.errors.is_empty();
    let settled = plan.enforce && !failed;
    let owned =
        !matches!(plan.verdict, Verdict::Refuse(_) | Verdict::Missing(_)) && observed.is_some();
    let mut drift = plan.drift.clone();
    if settled {
        // What could be set right has been; what cannot be stays told.
        drift.retain(|d| d.key == "replicas" || (d.key == "partitions" && plan.grow.is_none()));
    }
    let mut managed: Vec<String> = desired.config.keys().cloned().collect();
    if !plan.enforce || failed {
        // A key that could not be reset yet must not be forgotten, and one never set is not ours.
        managed.retain(|key| !plan.config.contains_key(key) || remembered.managed.contains(key));
        managed.extend(
            remembered
                .managed
                .iter()
                .filter(|key| plan.config.contains_key(*key))
                .cloned(),
        );
        managed.sort();
        managed.dedup();
    }
    if matches!(plan.verdict, Verdict::Create(_)) && !failed {
        managed = desired.config.keys().cloned().collect();
    }
    Report {
        reason,
        message,
        retry: failed,
        look_again: None,
        done: applied.done.clone(),
        topic: Some(TopicState {
            name: desired.name.clone(),
            observed,
            owned,
            managed: if owned {
                managed
            } else {
                remembered.managed.clone()
            },
            drift,
            plan: if settled { Vec::new() } else { plan.steps() },
        }),
        disown: false,
    }
}

fn summary(desired: &Desired, plan: &Plan, applied: &Applied) -> (Reason, String) {
    let name = &desired.name;
    if let Some(error) = applied.errors.first() {
        let all: Vec<_> = applied.errors.iter().map(ToString::to_string).collect();
        return (
            Reason::of(error),
            format!("topic {name}: {}", all.join("; ")),
        );
    }
    if let Some((reason, _)) = plan.impossible.first() {
        let all: Vec<_> = plan
            .impossible
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        return (*reason, all.join("; "));
    }
    let differs = || {
        let all: Vec<_> = plan
            .drift
            .iter()
            .map(|d| format!("{} is {}, wanted {}", d.key, d.have, d.want))
            .collect();
        all.join("; ")
    };
    match &plan.verdict {
        Verdict::Create(_) => (Reason::Created, format!("topic {name} was created")),
        Verdict::Missing(_) => (
            Reason::TopicMissing,
            format!(
                "topic {name} was deleted by others and is not made again (driftPolicy: Report)"
            ),
        ),
        Verdict::Adopt => (
            Reason::Adopted,
            format!("topic {name} existed already and is now managed by this resource"),
        ),
        Verdict::AdoptRecreated => (
            Reason::Adopted,
            format!(
                "topic {name} was deleted and made anew by others; the new one is now managed by this resource"
            ),
        ),
        Verdict::Refuse(Reason::TopicRecreated) => (
            Reason::TopicRecreated,
            format!(
                "topic {name} was deleted and made anew by others, and adoptionPolicy forbids to take it over{}; \
                 set adoptionPolicy: Adopt, or delete the topic",
                if plan.drift.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", differs())
                }
            ),
        ),
        Verdict::Refuse(reason) => (
            *reason,
            format!(
                "topic {name} exists already and adoptionPolicy forbids to take it over{}; set adoptionPolicy: Adopt, or choose another name",
                if plan.drift.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", differs())
                }
            ),
        ),
        Verdict::Own if !plan.enforce && !plan.drift.is_empty() => (
            Reason::Synced,
            format!("driftPolicy: Report, nothing is changed: {}", differs()),
        ),
        Verdict::Own => (Reason::Synced, format!("topic {name} is as wanted")),
    }
}

/// Whether Kafka has refused to make the topic as this spec wants it.
pub fn was_refused(topic: &KafkaTopic) -> bool {
    let conditions = topic.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| {
        condition.reason == Reason::InvalidConfig.as_str()
            && condition.observed_generation == topic.metadata.generation
    })
}

/// Whether a topic is being made of which it is not known yet whether it was: said before, and not refused since.
pub fn is_creating(status: &KafkaTopicStatus) -> bool {
    let undecided = [Reason::Creating, Reason::KafkaUnreachable].map(Reason::as_str);
    status.topic_id.is_none()
        && status.plan.iter().any(|step| step.starts_with(CREATE))
        && status.conditions.iter().any(|condition| {
            condition.kind == "Ready" && undecided.contains(&condition.reason.as_str())
        })
}

/// Writes the status where it changed, and says so in an Event where the state did. The status as it is now.
pub async fn write(
    topic: &KafkaTopic,
    report: Report,
    context: &Context,
) -> Result<KafkaTopicStatus, kube::Error> {
    let old = topic.status.clone().unwrap_or_default();
    let mut new = KafkaTopicStatus {
        observed_generation: topic.metadata.generation,
        ..old.clone()
    };
    if report.disown {
        new.topic_id = None;
        new.managed_config = Vec::new();
        new.drift = Vec::new();
        new.plan = Vec::new();
    }
    if let Some(state) = report.topic {
        new.topic_name = Some(state.name);
        if let Some(observed) = &state.observed {
            new.partitions = Some(observed.topic.partitions);
            new.replicas = Some(observed.topic.replicas);
            if state.owned {
                new.topic_id = Some(observed.topic.id.clone());
            }
        }
        new.managed_config = state.managed;
        new.drift = state.drift;
        new.plan = state.plan;
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
    write_status(topic, &old, &new, context).await?;
    if report.reason == Reason::Creating {
        return Ok(new);
    }
    // Created or Adopted becoming Synced is no news.
    let settled = report.reason == Reason::Synced && report.done.is_empty() && was_ready;
    if (changed && !settled) || !report.done.is_empty() {
        let kind = match report.reason.ready() {
            "False" => EventType::Warning,
            _ => EventType::Normal,
        };
        // Events of one reason and action are counted as one: other work must be another action.
        let action: String = match report.done.is_empty() {
            true => "Reconcile".into(),
            false => report.done.join(", ").chars().take(120).collect(),
        };
        let note = if report.done.is_empty() {
            report.message
        } else {
            format!("{}; done: {}", report.message, report.done.join(", "))
        };
        context
            .event(
                &reference(topic),
                kind,
                report.reason.as_str(),
                &action,
                note,
            )
            .await;
    }
    Ok(new)
}
