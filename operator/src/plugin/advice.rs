//! What to do about each reason of a condition, in one line. A reason that is new does not compile, or does not pass the test,
//! without.

use bt_consumers::SinkCondition;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use crate::topics::Reason;

/// How much a reason matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Fine,
    /// It passes by itself, or somebody wants it so.
    Note,
    /// It works, but somebody should look.
    Warn,
    /// It does not work.
    Bad,
}

/// What a reason means to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    pub level: Level,
    /// What to do; empty where there is nothing to do.
    pub what: &'static str,
}

const fn bad(what: &'static str) -> Advice {
    let level = Level::Bad;
    Advice { level, what }
}

const fn warn(what: &'static str) -> Advice {
    let level = Level::Warn;
    Advice { level, what }
}

const fn note(what: &'static str) -> Advice {
    let level = Level::Note;
    Advice { level, what }
}

const FINE: Advice = Advice {
    level: Level::Fine,
    what: "",
};

/// Of a reason that this version does not know.
const UNKNOWN: Advice =
    warn("this kubectl-bt is older than the operator: install that of the operator's version");

/// Of a KafkaTopic's `Ready`.
pub fn of_topic(reason: &str) -> Advice {
    read::<Reason>(reason).map_or(UNKNOWN, |reason| match reason {
        Reason::Synced | Reason::Created | Reason::Adopted => FINE,
        Reason::Creating => note("wait; if it stays, see `kubectl bt doctor`"),
        Reason::Paused => note("take the annotation monitoring.bt.dev/paused off when the operator is to go on"),
        Reason::AdoptionRefused => bad("set spec.adoptionPolicy: Adopt, or choose another topicName"),
        Reason::ConflictingResource => bad("delete one of the two KafkaTopics; the older one owns the topic"),
        Reason::PartitionDecreaseRefused => bad("set spec.partitions to at least what the topic has: Kafka takes none away"),
        Reason::ReplicationChangeUnsupported => bad("set spec.replicas to what the topic has, or move its replicas with Kafka's own kafka-reassign-partitions.sh"),
        Reason::InvalidConfig => bad("correct the key in spec.config that the message names"),
        Reason::InvalidReplicationFactor => bad("set spec.replicas to at most the number of brokers, or add brokers"),
        Reason::KafkaUnreachable => bad("check that Kafka runs, and spec.kafka.bootstrapServers or the chart's kafka.bootstrapServers"),
        Reason::KafkaAuthFailed => bad("check spec.kafka.sasl, its Secret, and the user's ACLs in Kafka"),
        Reason::KafkaTlsFailed => bad("check spec.kafka.tls: the authority, the brokers' names, the client certificate"),
        Reason::KafkaError => bad("read Kafka's error in the message; the operator tries again by itself"),
        Reason::SecretNotFound => bad("create the Secret, or the key in it, that the message names"),
        Reason::TopicRecreated => bad("the topic is another one now: set adoptionPolicy: Adopt to take it over, or delete it"),
        Reason::TopicMissing => bad("set driftPolicy: Enforce to have it made again, or delete the resource"),
    })
}

/// The reasons of a TelemetryConsumer's conditions, but `SinkReady`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Why {
    Running,
    ScaledToZero,
    RollingOut,
    Scaling,
    PodsNotReady,
    PodsFailing,
    SinkNotReady,
    StateTopicNotReady,
    ConfigInvalid,
    Conflict,
    Paused,
    Valid,
    CredentialsInClear,
    Invalid,
    Settled,
    RolledBack,
    ProgressDeadlineExceeded,
    ScaledUp,
    ScaledDown,
    AsWanted,
    AtMinimum,
    AtMaximum,
    Draining,
    ScalingDown,
    Rebalancing,
    Disabled,
    LagUnknown,
    RatesUnknown,
    GroupUnknown,
}

/// What `SinkReady` says beside what pods say of their sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Unseen {
    NoPods,
    PodsUnreachable,
    CustomSink,
}

/// Of a condition of a TelemetryConsumer.
pub fn of_consumer(condition: &str, reason: &str) -> Advice {
    match condition {
        "SinkReady" => of_sink(reason),
        _ => read::<Why>(reason).map_or(UNKNOWN, of_why),
    }
}

fn of_why(why: Why) -> Advice {
    match why {
        Why::Running | Why::Valid | Why::Settled | Why::Disabled => FINE,
        Why::ScaledUp
        | Why::ScaledDown
        | Why::AsWanted
        | Why::AtMinimum
        | Why::AtMaximum
        | Why::Draining
        | Why::ScalingDown => FINE,
        Why::ScaledToZero => {
            note("`kubectl scale tcon/NAME --replicas=1` when it is to carry again")
        }
        Why::RollingOut | Why::Scaling => {
            note("wait; if it stays, see `kubectl describe tcon NAME` and its pods")
        }
        Why::Rebalancing => note("wait; if it stays, pods come and go: see their restarts"),
        Why::Paused => {
            note("take the annotation monitoring.bt.dev/paused off when the operator is to go on")
        }
        Why::PodsNotReady => warn(
            "see why in the message; then `kubectl logs` and `kubectl describe pod` of the pod that it names",
        ),
        Why::PodsFailing => {
            bad("see why in the message; then `kubectl logs --previous` of the pod that it names")
        }
        Why::SinkNotReady => bad("see SinkReady"),
        Why::StateTopicNotReady => {
            bad("`kubectl describe ktopic NAME-state`: what it says is to be put right")
        }
        Why::ConfigInvalid | Why::Invalid => bad(
            "correct the fields of spec that the message names; running pods keep the last good configuration",
        ),
        Why::Conflict => bad("rename the consumer, or delete the object that the message names"),
        Why::CredentialsInClear => warn("use https:// URLs: the login can be read on the way"),
        Why::RolledBack => {
            bad("correct spec: its last change did not become ready, and pods run the one before")
        }
        Why::ProgressDeadlineExceeded => {
            bad("see why in the message; correct spec, or the cluster (image, memory, nodes)")
        }
        Why::LagUnknown => {
            warn("the operator cannot ask Kafka for the lag: check Kafka, and the operator's log")
        }
        Why::RatesUnknown => note("wait for two rounds of lag (20 s)"),
        Why::GroupUnknown => warn(
            "the operator cannot ask Kafka about the group: check Kafka and its ACLs (Describe on the group)",
        ),
    }
}

fn of_sink(reason: &str) -> Advice {
    if let Some(condition) = read::<SinkCondition>(reason) {
        return match condition {
            SinkCondition::Ready => FINE,
            SinkCondition::Starting => {
                note("wait; if it stays, the sink was never reached: see the pods' logs")
            }
            SinkCondition::Rejecting => bad(
                "`kubectl bt dead-letters list` has the reason; then correct mapping or events, and replay",
            ),
            SinkCondition::Unavailable => bad(
                "the sink answers that it is busy or broken: look at its own health (disk, heap, cluster state)",
            ),
            SinkCondition::Unauthorized => bad(
                "check spec.sink.elasticsearch.auth, its Secret, and the user's privileges in the engine",
            ),
            SinkCondition::Unreachable => {
                bad("check that the sink runs, its urls or address, TLS, and network policies")
            }
        };
    }
    read::<Unseen>(reason).map_or(UNKNOWN, |unseen| match unseen {
        Unseen::CustomSink => FINE,
        Unseen::NoPods => note("no pod runs that could tell: scale it up, or see Ready"),
        Unseen::PodsUnreachable => {
            warn("the operator cannot ask the pods (port 8080): check network policies")
        }
    })
}

fn read<'d, R: Deserialize<'d>>(reason: &'d str) -> Option<R> {
    R::deserialize(IntoDeserializer::<Error>::into_deserializer(reason)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Condition and reasons, from the table in docs/telemetryconsumer.md.
    fn documented() -> Vec<(String, String)> {
        let docs = include_str!("../../../docs/telemetryconsumer.md");
        let rows = docs
            .lines()
            .skip_while(|line| !line.starts_with("| condition | reasons |"));
        let table = rows.skip(2).take_while(|line| line.starts_with('|'));
        let mut all = Vec::new();
        for row in table {
            let cells: Vec<_> = row.split('|').collect();
            let condition = cells[1].split('`').nth(1).expect("a condition");
            for reason in cells[2].split('`').skip(1).step_by(2) {
                if reason.chars().all(|c| c.is_ascii_alphabetic()) {
                    all.push((condition.to_owned(), reason.to_owned()));
                }
            }
        }
        all
    }

    #[test]
    fn there_is_advice_for_every_documented_reason_of_consumers() {
        let documented = documented();
        assert!(documented.len() > 30, "{documented:?}");
        for (condition, reason) in documented {
            let advice = of_consumer(&condition, &reason);
            assert_ne!(advice, UNKNOWN, "{condition} {reason}");
            let idle = matches!(advice.level, Level::Fine);
            assert_eq!(advice.what.is_empty(), idle, "{condition} {reason}");
        }
    }

    #[test]
    fn what_does_not_work_has_a_line_of_advice() {
        for reason in [
            "KafkaUnreachable",
            "SecretNotFound",
            "TopicMissing",
            "ConflictingResource",
        ] {
            let advice = of_topic(reason);
            assert!(
                advice.level == Level::Bad && !advice.what.contains('\n'),
                "{reason}"
            );
        }
        assert_eq!(of_topic("Synced"), FINE);
        assert_eq!(of_topic("FromTheFuture"), UNKNOWN);
        assert_eq!(of_consumer("SinkReady", "Unreachable").level, Level::Bad);
        assert_eq!(of_consumer("Ready", "Unreachable"), UNKNOWN);
    }
}
