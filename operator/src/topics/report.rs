//! What was found and done, as `Ready` says it. Pure: [`super::status`] writes it.

use std::time::Duration;

use bt_kafka::{ConfigOp, Error as KafkaError, Topic};
use kube::ResourceExt;

use super::apply::Task;
use super::batch::Work;
use super::plan::{CREATE, Plan, Verdict};
use crate::api::{Drift, KafkaTopic, KafkaTopicStatus};
use crate::clusters::{Cluster, Unconnected};

/// Why `Ready` is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum Reason {
    Synced,
    Created,
    Adopted,
    AdoptionRefused,
    ConflictingResource,
    PartitionDecreaseRefused,
    ReplicationChangeUnsupported,
    InvalidConfig,
    InvalidReplicationFactor,
    KafkaUnreachable,
    KafkaAuthFailed,
    KafkaTlsFailed,
    KafkaError,
    SecretNotFound,
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
            Self::InvalidReplicationFactor => "InvalidReplicationFactor",
            Self::KafkaUnreachable => "KafkaUnreachable",
            Self::KafkaAuthFailed => "KafkaAuthFailed",
            Self::KafkaTlsFailed => "KafkaTlsFailed",
            Self::KafkaError => "KafkaError",
            Self::SecretNotFound => "SecretNotFound",
            Self::Creating => "Creating",
            Self::TopicRecreated => "TopicRecreated",
            Self::TopicMissing => "TopicMissing",
            Self::Paused => "Paused",
        }
    }

    /// The status of `Ready`.
    pub fn ready(self) -> &'static str {
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
        } else if error.is_tls() {
            Self::KafkaTlsFailed
        } else if error.is_replication() {
            Self::InvalidReplicationFactor
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
    /// What was done, for Events.
    pub done: Vec<String>,
    /// What status says of the topic; `None` leaves what it said.
    pub topic: Option<TopicState>,
    /// The resource does not own the topic and must forget the id.
    pub disown: bool,
}

/// What status says of a topic.
#[derive(Debug)]
pub struct TopicState {
    pub name: String,
    pub observed: Option<Topic>,
    pub owned: bool,
    pub managed: Vec<String>,
    pub drift: Vec<Drift>,
    pub plan: Vec<String>,
}

impl Report {
    pub fn plain(reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            retry: false,
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
        let (namespace, owned_by) = (owner.namespace().unwrap_or_default(), owner.name_any());
        let message = if owner.metadata.deletion_timestamp.is_some() {
            format!(
                "topic {name} belongs to KafkaTopic {namespace}/{owned_by}, which is being deleted; this one waits for it"
            )
        } else {
            format!(
                "topic {name} belongs to the older KafkaTopic {namespace}/{owned_by}; this one changes nothing. Delete one of them"
            )
        };
        Self {
            disown: true,
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

    /// The cluster did not answer, or not as it must.
    pub fn kafka(error: &KafkaError, cluster: &Cluster) -> Self {
        let reason = Reason::of(error);
        let servers = &cluster.bootstrap_servers;
        let hint = match reason {
            Reason::KafkaUnreachable => "; check spec.kafka.bootstrapServers and the network",
            Reason::KafkaAuthFailed => {
                "; check spec.kafka.sasl, the password's Secret, and the user's ACLs in Kafka"
            }
            Reason::KafkaTlsFailed => {
                "; check spec.kafka.tls: the authority, the name in the brokers' certificates, the client certificate"
            }
            _ => "",
        };
        Self {
            retry: true,
            ..Self::plain(reason, format!("{servers}: {error}{hint}"))
        }
    }

    /// There is no client for the cluster.
    pub fn unconnected(error: &Unconnected, cluster: &Cluster) -> Self {
        match error {
            Unconnected::Client(error) => Self::kafka(error, cluster),
            Unconnected::Secret { .. } => Self {
                retry: true,
                ..Self::plain(Reason::SecretNotFound, error.to_string())
            },
        }
    }

    /// The report on a plan that was carried out as far as possible.
    pub fn of(work: &Work, task: &Task<'_>) -> Self {
        let plan = &work.plan;
        let applied = &task.applied;
        let mut observed = work
            .observed
            .as_ref()
            .map(|observed| observed.topic.clone());
        if let (Some(topic), Some((_, to)), true) = (&mut observed, plan.grow, applied.grown) {
            topic.partitions = to;
        }
        let observed = applied.created.clone().or(observed);
        let owned =
            !matches!(plan.verdict, Verdict::Refuse(_) | Verdict::Missing(_)) && observed.is_some();
        let (reason, message) = summary(work, task);
        let left = left(plan, task);
        Self {
            reason,
            message,
            retry: applied
                .errors
                .iter()
                .any(|error| !error.is_invalid() && !error.is_replication()),
            done: done(plan, task),
            topic: Some(TopicState {
                name: work.desired.name.clone(),
                observed,
                owned,
                managed: if owned {
                    managed(work, task)
                } else {
                    work.remembered.managed.clone()
                },
                drift: left.drift.clone(),
                plan: left.steps(),
            }),
            disown: false,
        }
    }
}

/// What of a plan was not done.
fn left(plan: &Plan, task: &Task<'_>) -> Plan {
    let applied = &task.applied;
    let mut left = plan.clone();
    left.config.retain(|key, _| !applied.altered.contains(key));
    left.drift.retain(|drift| match drift.key.as_str() {
        "partitions" => !applied.grown,
        key => !applied.altered.contains(key),
    });
    if applied.grown {
        left.grow = None;
    }
    if applied.created.is_some() {
        left.verdict = Verdict::Own;
    }
    left
}

fn done(plan: &Plan, task: &Task<'_>) -> Vec<String> {
    let grown = plan.grow.filter(|_| task.applied.grown);
    let grown = grown.map(|(from, to)| format!("grew from {from} to {to} partitions"));
    // Without the value: it may be one that Kafka keeps secret.
    let altered = task
        .applied
        .altered
        .iter()
        .map(|key| match plan.config.get(key) {
            Some(ConfigOp::Reset) => format!("reset {key}"),
            _ => format!("set {key}"),
        });
    grown.into_iter().chain(altered).collect()
}

/// The keys that are ours: those set, and those that could not be reset yet.
fn managed(work: &Work, task: &Task<'_>) -> Vec<String> {
    let (plan, applied) = (&work.plan, &task.applied);
    let wanted = work.desired.config.keys().filter(|key| {
        let refused = task.refused.config.contains_key(*key);
        let as_wanted = if applied.created.is_some() {
            !refused
        } else {
            !plan.config.contains_key(*key) || applied.altered.contains(*key)
        };
        as_wanted || work.remembered.managed.contains(key)
    });
    let resets = work.remembered.managed.iter().filter(|key| {
        plan.config.get(*key) == Some(&ConfigOp::Reset) && !applied.altered.contains(*key)
    });
    let mut managed: Vec<String> = wanted.chain(resets).cloned().collect();
    managed.sort();
    managed
}

fn summary(work: &Work, task: &Task<'_>) -> (Reason, String) {
    let (desired, plan) = (&work.desired, &work.plan);
    let name = &desired.name;
    let refused = task.refused.grow.iter().map(|error| ("partitions", error));
    let config = task
        .refused
        .config
        .iter()
        .map(|(key, error)| (key.as_str(), error));
    let refused: Vec<(Reason, String)> = refused
        .chain(config)
        .map(|(key, error)| (Reason::of(error), format!("{key}: {}", error.message)))
        .collect();
    let all = |problems: &[(Reason, String)]| -> String {
        problems
            .iter()
            .map(|(_, words)| words.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    };
    if let Verdict::Refuse(reason) = plan.verdict {
        let what = match reason {
            Reason::TopicRecreated => "was deleted and made anew by others",
            _ => "exists already",
        };
        let instead = match reason {
            Reason::TopicRecreated => "delete the topic",
            _ => "choose another name",
        };
        let differs = if plan.drift.is_empty() {
            String::new()
        } else {
            format!(" ({})", differences(plan))
        };
        let would = if refused.is_empty() {
            String::new()
        } else {
            format!(" (Kafka would refuse {})", all(&refused))
        };
        let message = format!(
            "topic {name} {what}, and adoptionPolicy forbids to take it over{differs}{would}; set adoptionPolicy: Adopt, or {instead}"
        );
        return (reason, message);
    }
    let errors = task.applied.errors.iter().map(|error| {
        let reason = Reason::of(error);
        let words = match reason {
            Reason::InvalidReplicationFactor => format!(
                "{error} (spec.replicas: {}): give at most as many replicas as there are brokers, or add brokers",
                desired.replicas.map_or("the broker's default".into(), |replicas| replicas.to_string())
            ),
            _ => error.to_string(),
        };
        (reason, words)
    });
    let mut problems: Vec<(Reason, String)> = errors.collect();
    problems.extend(plan.impossible.iter().cloned());
    problems.extend(refused);
    if let Some((reason, _)) = problems.first() {
        let made = if task.applied.created.is_some() {
            " was created, but not as wanted"
        } else {
            ""
        };
        return (*reason, format!("topic {name}{made}: {}", all(&problems)));
    }
    match &plan.verdict {
        Verdict::Create(_) => (Reason::Created, format!("topic {name} was created")),
        Verdict::Missing(_) => (
            Reason::TopicMissing,
            format!(
                "topic {name} was deleted by others and is not made again (driftPolicy: Report)"
            ),
        ),
        Verdict::Own if !plan.enforce && !plan.drift.is_empty() => (
            Reason::Synced,
            format!(
                "driftPolicy: Report, nothing is changed: {}",
                differences(plan)
            ),
        ),
        Verdict::Own => (Reason::Synced, format!("topic {name} is as wanted")),
        Verdict::AdoptRecreated => (
            Reason::Adopted,
            format!(
                "topic {name} was deleted and made anew by others; the new one is now managed by this resource"
            ),
        ),
        Verdict::Adopt | Verdict::Refuse(_) => (
            Reason::Adopted,
            format!("topic {name} existed already and is now managed by this resource"),
        ),
    }
}

fn differences(plan: &Plan) -> String {
    let told = |drift: &Drift| format!("{} is {}, wanted {}", drift.key, drift.have, drift.want);
    plan.drift.iter().map(told).collect::<Vec<_>>().join("; ")
}

/// Whether Kafka has refused to make the topic as this spec wants it.
pub fn was_refused(topic: &KafkaTopic) -> bool {
    let refused = [Reason::InvalidConfig, Reason::InvalidReplicationFactor].map(Reason::as_str);
    let conditions = topic.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| {
        refused.contains(&condition.reason.as_str())
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

/// How long a topic that is as it can be is left alone.
pub fn look_again(report: &Report, resync: Duration) -> super::queue::Next {
    if report.retry {
        super::queue::Next::Backoff
    } else {
        super::queue::Next::After(resync)
    }
}
