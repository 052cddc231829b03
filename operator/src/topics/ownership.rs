//! Who owns a topic that several resources name: the oldest that is not gone.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::deletion::is_held;
use crate::api::KafkaTopic;

/// The rival that owns the topic, or still has to deal with it; none when `topic` owns it itself.
pub fn owner(topic: &KafkaTopic, rivals: &[Arc<KafkaTopic>]) -> Option<Arc<KafkaTopic>> {
    rivals
        .iter()
        // One that is being deleted is the owner until it has seen to its topic: it hands the topic over, or deletes it.
        .filter(|rival| stays(rival) || (has_topic(rival) && is_held(rival)))
        .min_by_key(|rival| age(rival))
        .filter(|rival| age(rival) < age(topic))
        .cloned()
}

/// Of those that have recorded this very topic as their own, an older one.
pub fn owner_by_id(topic: &KafkaTopic, holders: &[Arc<KafkaTopic>]) -> Option<Arc<KafkaTopic>> {
    let mut older = holders
        .iter()
        .filter(|holder| stays(holder) && age(holder) < age(topic));
    older.next().cloned()
}

/// Of those that name the topic, or have recorded it, one that will own it when `topic` is gone.
pub fn heir<'a>(
    rivals: &'a [Arc<KafkaTopic>],
    holders: &'a [Arc<KafkaTopic>],
) -> Option<&'a Arc<KafkaTopic>> {
    let mut heirs = rivals.iter().chain(holders).filter(|heir| stays(heir));
    heirs.next()
}

fn stays(topic: &KafkaTopic) -> bool {
    topic.meta().deletion_timestamp.is_none()
}

fn has_topic(topic: &KafkaTopic) -> bool {
    let status = topic.status.as_ref();
    status.is_some_and(|status| status.topic_id.is_some())
}

/// Oldest first. Of two of the same second, for creation times have no finer grain, the one that has the topic already; else the
/// uid decides.
fn age(topic: &KafkaTopic) -> (Option<Timestamp>, bool, Option<String>) {
    let created = topic.meta().creation_timestamp.as_ref().map(|time| time.0);
    (created, !has_topic(topic), topic.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::deletion::FINALIZER;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn at(second: i64) -> Option<Time> {
        Some(Time(Timestamp::from_second(second).expect("in range")))
    }

    fn topic(name: &str, created: i64) -> Arc<KafkaTopic> {
        let mut topic = KafkaTopic::new(name, Default::default());
        topic.metadata.uid = Some(name.into());
        topic.metadata.creation_timestamp = at(created);
        Arc::new(topic)
    }

    fn with_topic(topic: &Arc<KafkaTopic>) -> Arc<KafkaTopic> {
        let mut topic = KafkaTopic::clone(topic);
        topic.status.get_or_insert_default().topic_id = Some("id".into());
        Arc::new(topic)
    }

    fn deleting(topic: &Arc<KafkaTopic>, held: bool) -> Arc<KafkaTopic> {
        let mut topic = KafkaTopic::clone(topic);
        topic.metadata.deletion_timestamp = at(100);
        topic.metadata.finalizers = Some(vec![if held { FINALIZER } else { "another/one" }.into()]);
        Arc::new(topic)
    }

    #[test]
    fn the_oldest_that_stays_owns_the_topic() {
        let (old, young) = (topic("old", 1), topic("young", 2));
        let twin = topic("alpha", 1);
        for (of, rival, owned_by, why) in [
            (&old, young.clone(), None, "older than its rival"),
            (&young, old.clone(), Some("old"), "younger than its rival"),
            (&young, deleting(&old, false), None, "handed over"),
            (
                &young,
                deleting(&old, true),
                None,
                "a rival without the topic has nothing to see to",
            ),
            (
                &young,
                deleting(&with_topic(&old), true),
                Some("old"),
                "not yet handed over",
            ),
            (
                &young,
                deleting(&with_topic(&old), false),
                None,
                "seen to, and held by somebody else",
            ),
            (
                &old,
                deleting(&with_topic(&young), true),
                None,
                "a younger one never had it",
            ),
            (
                &old,
                twin.clone(),
                Some("alpha"),
                "of the same second: the uid decides",
            ),
            (
                &with_topic(&old),
                twin.clone(),
                None,
                "of the same second: it has the topic",
            ),
            (
                &twin,
                with_topic(&old),
                Some("old"),
                "of the same second: the rival has the topic",
            ),
        ] {
            let owner = owner(of, &[rival]).map(|owner| owner.name_any());
            assert_eq!(owner.as_deref(), owned_by, "{why}");
        }
    }

    #[test]
    fn of_several_that_have_recorded_one_topic_the_oldest_owns_it() {
        let (old, young) = (with_topic(&topic("old", 1)), with_topic(&topic("young", 2)));
        let gone = deleting(&with_topic(&topic("gone", 0)), true);
        let owner = owner_by_id(&young, &[gone.clone(), old.clone()]);
        assert_eq!(owner.map(|owner| owner.name_any()).as_deref(), Some("old"));
        assert_eq!(owner_by_id(&old, &[young.clone(), gone.clone()]), None);
        assert_eq!(
            heir(&[], &[gone.clone(), young.clone()])
                .map(|heir| heir.name_any())
                .as_deref(),
            Some("young")
        );
        assert_eq!(heir(&[gone], &[]), None);
    }
}
