//! The reasons of conditions and of Kubernetes Events. A test finds those that the sources have and this page has not.

/// Where reasons stand.
pub struct Place {
    /// The kind of resource.
    pub kind: &'static str,
    /// The condition; none where they are only Events.
    pub condition: Option<&'static str>,
    /// A sentence about all.
    pub about: &'static str,
    reasons: &'static str,
}

impl Place {
    /// The reasons, each with its status (of an Event its type) and what it means.
    pub fn reasons(&self) -> impl Iterator<Item = [&'static str; 3]> {
        let parts = |line: &'static str| {
            let mut parts = line.splitn(3, " | ");
            [(); 3].map(|()| parts.next().unwrap_or_default())
        };
        self.reasons.lines().map(parts)
    }
}

/// All places.
pub const PLACES: &[Place] = &[
    Place {
        kind: "KafkaTopic",
        condition: Some("Ready"),
        about: "Each change is an Event of the same reason, too: Warning where `Ready` is False.",
        reasons: TOPIC,
    },
    Place {
        kind: "KafkaTopic",
        condition: None,
        about: "At its end.",
        reasons: TOPIC_END,
    },
    Place {
        kind: "TelemetryConsumer",
        condition: Some("Ready"),
        about: "Each change is an Event, too: Warning where `Ready` is False for another cause than that pods are changed.",
        reasons: READY,
    },
    Place {
        kind: "TelemetryConsumer",
        condition: Some("ConfigValid"),
        about: "`CredentialsInClear` is an Event, too (Warning).",
        reasons: CONFIG,
    },
    Place {
        kind: "TelemetryConsumer",
        condition: Some("SinkReady"),
        about: "As the pods see their sink.",
        reasons: SINK,
    },
    Place {
        kind: "TelemetryConsumer",
        condition: Some("Progressing"),
        about: "`RolledBack` and `ProgressDeadlineExceeded` are Events, too (Warning).",
        reasons: PROGRESSING,
    },
    Place {
        kind: "TelemetryConsumer",
        condition: Some("ScalingActive"),
        about: "A change of the number of pods is an Event, too. Where nothing could be decided, it is False with the reason of `Ready`.",
        reasons: SCALING,
    },
    Place {
        kind: "TelemetryConsumer",
        condition: None,
        about: "At its end.",
        reasons: CONSUMER_END,
    },
    Place {
        kind: "TelemetryConsumer",
        condition: None,
        about: "What its pods noticed (Warning, related to the pod). What is about the engine is also in the message of `SinkReady` as long as it is so.",
        reasons: NOTICES,
    },
];

const TOPIC: &str = "\
Synced | True | The topic is as wanted; or, under `driftPolicy: Report`, the message says what differs.
Created | True | It was made.
Adopted | True | It existed already, or was made anew by others, and is now managed by this resource.
Paused | Unknown | The annotation `monitoring.bt.dev/paused` is set.
Creating | False | It is being made.
AdoptionRefused | False | It exists already, and `adoptionPolicy` forbids to take it over.
ConflictingResource | False | An older KafkaTopic has it; this one changes nothing.
PartitionDecreaseRefused | False | The topic has more partitions than are wanted, and Kafka cannot take any away.
ReplicationChangeUnsupported | False | Replicas differ; they are not changed by the operator.
InvalidConfig | False | Kafka refuses a setting; the message names it. The others are applied.
InvalidReplicationFactor | False | More replicas are wanted than there are brokers.
KafkaUnreachable | False | No broker answers: address or network.
KafkaAuthFailed | False | User, password or ACLs.
KafkaTlsFailed | False | The authority, the name in the brokers' certificates, or the client certificate.
KafkaError | False | Another error of Kafka, in its own words.
SecretNotFound | False | A Secret, or the entry in it, that `spec.kafka` names.
TopicRecreated | False | It was deleted and made anew by others, and `adoptionPolicy` forbids to take it over.
TopicMissing | False | It was deleted by others and is not made again (`driftPolicy: Report`).
";

const TOPIC_END: &str = "\
TopicDeleted | Normal | The topic was deleted with its resource.
TopicRetained | Normal | The topic stays, as `deletionPolicy` says or since another resource has it.
TopicLeftBehind | Warning | The topic could not be deleted in time and stays; delete it by hand if it is not wanted.
";

const READY: &str = "\
Running | True | All pods are ready.
ScaledToZero | True | No pods are wanted: nothing is carried.
Paused | Unknown | The annotation `monitoring.bt.dev/paused` is set; the pods are left as they are.
RollingOut | False | Pods get a new configuration.
Scaling | False | Pods are added or taken away.
PodsNotReady | False | Pods that were ready are not, for less than `progressDeadlineSeconds`.
PodsFailing | False | … for longer; the message has the pods' own words.
SinkNotReady | False | The pods run, and the sink takes nothing: see `SinkReady`.
StateTopicNotReady | False | The KafkaTopic `<name>-state` is not Ready; the message has its reason.
ConfigInvalid | False | See `ConfigValid`; pods that run keep the last good configuration.
Conflict | False | An object of a name that is needed is somebody else's.
";

const CONFIG: &str = "\
Valid | True | The configuration was checked and applied.
CredentialsInClear | True | The same, but a login goes to an `http://` URL.
Invalid | False | Every field that is wrong; nothing was changed.
";

const SINK: &str = "\
Ready | True | Deliveries are taken; the message has the last rejection, if there was one.
Unreachable | False | It cannot be connected to.
Unauthorized | False | It refuses the login, or a right is missing.
Unavailable | False | It answers that it cannot take anything now (429, 5xx); of a prometheus sink: its state topic cannot be written.
Rejecting | False | It takes nothing of what it is given, or dead letters cannot be written.
Starting | Unknown | The pods have not reached it yet.
NoPods | Unknown | No pod runs that could tell.
PodsUnreachable | Unknown | Pods do not answer, or were not asked yet.
CustomSink | Unknown | Only your program knows.
";

const PROGRESSING: &str = "\
RollingOut | True | Pods get a new configuration.
Scaling | True | Pods are added or taken away.
PodsNotReady | True | Pods that were ready are not.
Settled | False | All pods run this configuration.
RolledBack | False | The new revision did not get ready; the pods went back to the last good one. The message says why.
ProgressDeadlineExceeded | False | It did not get ready, and there is no good one to go back to.
";

const SCALING: &str = "\
ScaledUp | True | Lag asked for more pods.
ScaledDown | True | Fewer were enough for `scaleDownDelay`.
AsWanted | True | There are as many as lag asks for.
AtMinimum | True | `minReplicas` are there.
AtMaximum | True | `maxReplicas`, or as many as there are partitions, are there.
Draining | True | Fewer would do when the lag is gone: more is carried than arrives.
ScalingDown | True | Fewer would do, but not for long enough yet.
RollingOut | False | It holds still during a rollout.
Rebalancing | False | It holds still while the group moves partitions.
Disabled | False | `spec.autoscaling` is not given.
LagUnknown | Unknown | Kafka could not be asked for the lag.
RatesUnknown | Unknown | How much arrives and is carried shows with the next reading.
GroupUnknown | Unknown | Kafka could not be asked for the state of the group.
";

const CONSUMER_END: &str = "\
GroupDeleted | Normal | The consumer group was deleted (`groupDeletionPolicy: Delete`).
GroupRetained | Normal | The group stays in Kafka with its offsets.
GroupLeftBehind | Warning | The group could not be deleted in time and stays; delete it by hand if it is not wanted.
";

const NOTICES: &str = "\
StateLost | Warning | The state of a partition's series is gone; they begin anew from the committed offset.
StateTopicRecreated | Warning | The state topic was made anew by others; what the pod holds is written into it once more.
OffsetsChanged | Warning | The group's offsets were set by hand; the partition's series begin anew.
RecordsLost | Warning | Records went, by the topic's retention or a loss in Kafka, before they were consumed.
DuplicatesPossible | Warning | Documents were sent again after their data stream may have rolled over, and the engine's user has no right to look.
NotADataStream | Warning | `dataStream` is an index or an alias there: mapping and retention do not reach it.
PatternTooWide | Warning | The index template also matches names that are others'.
RetentionNotEnforced | Warning | `template.retention` could not be put into effect.
RetentionNotRemoved | Warning | What enforced a retention that is gone could not be removed.
TemplateConflict | Warning | Another index template has a pattern in common and the same priority.
TemplateNotOurs | Warning | An index template of this name was made by others, and is left alone.
TemplateOfAnother | Warning | Another consumer keeps the index template, by other settings.
TemplateOverruled | Warning | Another index template comes before this one.
";

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use super::*;

    /// Where reasons are decided.
    const FOLDERS: [&str; 4] = [
        "operator/src/topics",
        "operator/src/consumers",
        "consumers/src/pipeline",
        "consumers/src/sink",
    ];

    /// Words there that are no reasons: kinds and types of Kubernetes, calls of Kafka, statuses, and others.
    const OTHERS: &str = "\
Always AlwaysAllow ConfigMap Consume ContainerCreating CrashLoopBackOff Default Delete Deployment DescribeTopics Egress
Elasticsearch Error Failed FallbackToLogsOnError False GroupCoordinator Ingress KafkaTopic ListConsumerGroupOffsets
Localhost MetricType NaN Namespace NamespaceTerminating NetworkPolicy New OpenSearch Pod PodDisruptionBudget
PodInitializing PodMonitor PodScheduled Reconcile ReplicaFailure RollingUpdate RuntimeDefault Service TelemetryConsumer
True Unknown Warning";

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && name != "tests" {
                sources(&path, found);
            } else if name.ends_with(".rs") && !name.contains("test") && name != "properties.rs" {
                found.push(path);
            }
        }
    }

    /// String literals that are words in CamelCase, with the file that has them.
    fn words() -> BTreeMap<String, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = Vec::new();
        for folder in FOLDERS {
            sources(&root.join(folder), &mut files);
        }
        files.extend(FOLDERS.map(|folder| root.join(format!("{folder}.rs"))));
        files.push(root.join("operator/src/context.rs"));
        files.push(root.join("consumers/src/sink_state.rs"));
        let mut words = BTreeMap::new();
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a source file");
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for literal in code
                .lines()
                .flat_map(|line| line.split('"').skip(1).step_by(2))
            {
                let camel = literal.len() > 2
                    && literal.starts_with(|first: char| first.is_ascii_uppercase())
                    && literal.chars().all(|char| char.is_ascii_alphanumeric())
                    && literal.contains(|char: char| char.is_ascii_lowercase());
                if camel {
                    words.insert(literal.to_owned(), file.display().to_string());
                }
            }
        }
        words
    }

    #[test]
    fn the_reasons_are_those_of_the_sources() {
        let told = PLACES.iter().flat_map(Place::reasons);
        let told: BTreeSet<&str> = told.map(|[reason, ..]| reason).collect();
        let mut known = told.clone();
        known.extend(PLACES.iter().filter_map(|place| place.condition));
        known.extend(OTHERS.split_whitespace());
        let words = words();
        for (word, file) in &words {
            assert!(
                known.contains(&**word),
                "{file} has \"{word}\": a reason belongs into operator/src/reference/reasons.rs, another word into its test"
            );
        }
        for reason in told {
            assert!(
                words.contains_key(reason),
                "{reason} is in the reference and nowhere in the sources"
            );
        }
    }

    #[test]
    fn each_reason_has_a_status_and_a_meaning() {
        for [reason, status, meaning] in PLACES.iter().flat_map(Place::reasons) {
            let statuses = ["True", "False", "Unknown", "Normal", "Warning"];
            assert!(statuses.contains(&status), "{reason}: {status}");
            assert!(meaning.len() > 10, "{reason}: {meaning}");
        }
    }

    #[test]
    fn a_topics_reasons_have_the_status_that_they_set() {
        use crate::topics::Reason as R;
        let all = [
            R::Synced,
            R::Created,
            R::Adopted,
            R::AdoptionRefused,
            R::ConflictingResource,
            R::PartitionDecreaseRefused,
            R::ReplicationChangeUnsupported,
            R::InvalidConfig,
            R::InvalidReplicationFactor,
            R::KafkaUnreachable,
            R::KafkaAuthFailed,
            R::KafkaTlsFailed,
            R::KafkaError,
            R::SecretNotFound,
            R::Creating,
            R::TopicRecreated,
            R::TopicMissing,
            R::Paused,
        ];
        let told: Vec<_> = PLACES[0]
            .reasons()
            .map(|[name, status, _]| (name, status))
            .collect();
        for reason in all {
            let expected = (reason.as_str(), reason.ready());
            assert!(told.contains(&expected), "{expected:?}");
        }
        assert_eq!(told.len(), all.len());
    }
}
