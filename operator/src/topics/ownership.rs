//! Who owns a topic that several resources name: the oldest that is not being deleted.

use std::sync::Arc;

use bt_kafka::Connection;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::desired::identity;
use crate::api::KafkaTopic;

/// The resources that name the same topic of the same cluster, without the resource itself.
pub fn rivals<'a>(
    topic: &'a KafkaTopic,
    all: &'a [Arc<KafkaTopic>],
    default: &'a Connection,
) -> impl Iterator<Item = Arc<KafkaTopic>> + 'a {
    let wanted = identity(topic, default);
    all.iter()
        .filter(move |other| other.uid() != topic.uid() && identity(other, default) == wanted)
        .cloned()
}

/// The rival that owns the topic; none when `topic` owns it itself.
pub fn owner(
    topic: &KafkaTopic,
    all: &[Arc<KafkaTopic>],
    default: &Connection,
) -> Option<Arc<KafkaTopic>> {
    rivals(topic, all, default)
        .filter(|rival| rival.meta().deletion_timestamp.is_none())
        .min_by_key(|rival| age(rival))
        .filter(|rival| age(rival) < age(topic))
}

/// An older resource that has recorded this very topic as its own.
pub fn owner_by_id(
    topic: &KafkaTopic,
    id: &str,
    all: &[Arc<KafkaTopic>],
) -> Option<Arc<KafkaTopic>> {
    holders(topic, id, all)
        .find(|holder| age(holder) < age(topic))
        .cloned()
}

/// The other resources, not being deleted, that have recorded this very topic as their own.
pub fn holders<'a>(
    topic: &'a KafkaTopic,
    id: &'a str,
    all: &'a [Arc<KafkaTopic>],
) -> impl Iterator<Item = &'a Arc<KafkaTopic>> {
    all.iter().filter(move |other| {
        let recorded = other
            .status
            .as_ref()
            .and_then(|status| status.topic_id.as_deref());
        other.uid() != topic.uid()
            && other.meta().deletion_timestamp.is_none()
            && recorded == Some(id)
    })
}

/// Oldest first. Of two of the same second, for creation times have no finer grain, the one that has the topic already; else the
/// uid decides.
fn age(topic: &KafkaTopic) -> (Option<Timestamp>, bool, Option<String>) {
    let created = topic.meta().creation_timestamp.as_ref().map(|time| time.0);
    let has_it = topic
        .status
        .as_ref()
        .is_some_and(|status| status.topic_id.is_some());
    (created, !has_it, topic.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn topic(name: &str, created: i64, topic_name: &str) -> Arc<KafkaTopic> {
        let mut topic = KafkaTopic::new(name, Default::default());
        topic.metadata.uid = Some(name.into());
        topic.metadata.creation_timestamp =
            Some(Time(Timestamp::from_second(created).expect("in range")));
        topic.spec.topic_name = Some(topic_name.into());
        Arc::new(topic)
    }

    fn deleting(topic: &Arc<KafkaTopic>) -> Arc<KafkaTopic> {
        let mut topic = KafkaTopic::clone(topic);
        topic.metadata.deletion_timestamp =
            Some(Time(Timestamp::from_second(100).expect("in range")));
        Arc::new(topic)
    }

    #[test]
    fn the_oldest_that_stays_owns_the_topic() {
        let default = Connection::plaintext("kafka:9092");
        let (old, young, other) = (
            topic("old", 1, "t"),
            topic("young", 2, "t"),
            topic("other", 0, "u"),
        );
        let all = [old.clone(), young.clone(), other.clone()];
        let owner_of = |topic: &KafkaTopic, all: &[Arc<KafkaTopic>]| {
            owner(topic, all, &default).map(|o| o.name_any())
        };
        assert_eq!(owner_of(&old, &all), None);
        assert_eq!(owner_of(&young, &all), Some("old".into()));
        assert_eq!(owner_of(&other, &all), None);
        assert_eq!(
            owner_of(&young, &[deleting(&old), young.clone()]),
            None,
            "handed over"
        );
        let mut incumbent = KafkaTopic::clone(&old);
        incumbent.status.get_or_insert_default().topic_id = Some("id".into());
        let rival = topic("alpha", 1, "t");
        assert_eq!(
            owner_of(&incumbent, &[rival.clone(), Arc::new(incumbent.clone())]),
            None,
            "whoever has the topic keeps it"
        );
        assert_eq!(
            owner_of(&rival, &[rival.clone(), Arc::new(incumbent.clone())]),
            Some("old".into())
        );
        let twin = topic("alpha", 1, "t");
        assert_eq!(
            owner_of(&old, &[twin, old.clone()]),
            Some("alpha".into()),
            "the uid decides"
        );
    }

    #[test]
    fn one_topic_under_two_addresses_is_known_by_its_id() {
        let with_id = |topic: Arc<KafkaTopic>, id: &str| {
            let mut topic = KafkaTopic::clone(&topic);
            topic.status.get_or_insert_default().topic_id = Some(id.into());
            Arc::new(topic)
        };
        let old = with_id(topic("old", 1, "t"), "id");
        let young = with_id(topic("young", 2, "t"), "id");
        let all = [
            old.clone(),
            young.clone(),
            deleting(&with_id(topic("gone", 0, "t"), "id")),
        ];
        let owner = |topic: &KafkaTopic, id| owner_by_id(topic, id, &all).map(|o| o.name_any());
        assert_eq!(owner(&young, "id"), Some("old".into()));
        assert_eq!(owner(&old, "id"), None);
        assert_eq!(owner(&young, "another"), None);
        assert_eq!(
            holders(&old, "id", &all).count(),
            1,
            "the young one would inherit it"
        );
    }

    #[test]
    fn the_same_name_in_another_cluster_is_another_topic() {
        let default = Connection::plaintext("kafka:9092");
        let here = topic("here", 1, "t");
        let mut there = KafkaTopic::clone(&topic("there", 2, "t"));
        there.spec.kafka = Some(crate::api::KafkaSpec {
            bootstrap_servers: Some("elsewhere:9092".into()),
        });
        assert_eq!(owner(&there, &[here], &default), None);
    }
}
