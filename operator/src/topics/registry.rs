//! All KafkaTopics as they are known now, found by uid, by the topic that they name and by the topic that they have.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::desired;
use crate::api::{KafkaTopic, is_paused};
use crate::clusters::Cluster;

/// A resource's uid.
pub type Uid = Arc<str>;

/// The topic that a resource speaks of: the servers of its cluster, and its name there. Two resources cannot both own it.
type Identity = (String, String);

/// Fed by the watch and by the answers to our own writes; of two versions the newer counts, whichever way it came first.
pub struct Registry {
    default_servers: String,
    topics: HashMap<Uid, Arc<KafkaTopic>>,
    named: HashMap<Identity, BTreeSet<Uid>>,
    held: HashMap<String, BTreeSet<Uid>>,
    /// What the list that is being read has brought so far.
    listed: HashSet<Uid>,
}

impl Registry {
    pub fn new(default_servers: &str) -> Self {
        Self {
            default_servers: default_servers.to_owned(),
            topics: HashMap::new(),
            named: HashMap::new(),
            held: HashMap::new(),
            listed: HashSet::new(),
        }
    }

    /// Takes in what a list has.
    pub fn extend(&mut self, topics: impl IntoIterator<Item = KafkaTopic>) {
        for topic in topics {
            self.saw(topic);
        }
    }

    /// Takes in what the watch brings. Whoever has something to do now: the resource itself, those that share its topic.
    pub fn watched(&mut self, event: Event<KafkaTopic>) -> Vec<Uid> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(topic) => {
                self.listed.extend(topic.uid().map(Uid::from));
                self.saw(topic)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let missing: Vec<Uid> = self
                    .topics
                    .keys()
                    .filter(|uid| !listed.contains(*uid))
                    .cloned()
                    .collect();
                missing.iter().flat_map(|uid| self.forget(uid)).collect()
            }
            Event::Apply(topic) => self.saw(topic),
            Event::Delete(topic) => topic
                .uid()
                .map(|uid| self.forget(&uid.into()))
                .unwrap_or_default(),
        }
    }

    /// Takes in the answer to a write of our own, which is no news to anybody.
    pub fn wrote(&mut self, topic: KafkaTopic) {
        let known = topic
            .uid()
            .is_some_and(|uid| self.topics.contains_key(uid.as_str()));
        if known {
            self.saw(topic);
        }
    }

    pub fn get(&self, uid: &str) -> Option<Arc<KafkaTopic>> {
        self.topics.get(uid).cloned()
    }

    /// The cluster of a resource.
    pub fn cluster(&self, topic: &KafkaTopic) -> Cluster {
        let namespace = topic.namespace().unwrap_or_default();
        Cluster::of(topic.spec.kafka.as_ref(), &namespace, &self.default_servers)
    }

    /// The other resources that name the same topic of the same cluster.
    pub fn rivals(&self, topic: &KafkaTopic) -> Vec<Arc<KafkaTopic>> {
        self.others(topic, self.named.get(&self.identity(topic)))
    }

    /// The other resources that have recorded this very topic as their own.
    pub fn holders(&self, topic: &KafkaTopic, id: &str) -> Vec<Arc<KafkaTopic>> {
        self.others(topic, self.held.get(id))
    }

    /// All resources.
    pub fn all(&self) -> impl Iterator<Item = &KafkaTopic> {
        self.topics.values().map(Arc::as_ref)
    }

    /// How many resources there are, by `Ready`'s status and reason.
    pub fn counts(&self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for topic in self.topics.values() {
            let conditions = topic.status.iter().flat_map(|status| &status.conditions);
            let ready = conditions
                .into_iter()
                .find(|condition| condition.kind == "Ready");
            let of = ready.map_or(("Unknown".into(), "New".into()), |ready| {
                (ready.status.clone(), ready.reason.clone())
            });
            *counts.entry(of).or_default() += 1;
        }
        counts
    }

    fn saw(&mut self, mut topic: KafkaTopic) -> Vec<Uid> {
        let Some(uid) = topic.uid().map(Uid::from) else {
            return Vec::new();
        };
        // Half of what a resource takes in memory, and nothing that we read.
        topic.metadata.managed_fields = None;
        topic
            .annotations_mut()
            .remove("kubectl.kubernetes.io/last-applied-configuration");
        let old = self.topics.get(&uid).cloned();
        if old
            .as_ref()
            .is_some_and(|old| version(old) >= version(&topic))
        {
            return Vec::new();
        }
        let news = old.as_ref().is_none_or(|old| facts(old) != facts(&topic));
        let mut affected = if news {
            self.affected(old.as_deref(), &uid)
        } else {
            Vec::new()
        };
        if let Some(old) = old {
            self.unlink(&uid, &old);
        }
        self.named
            .entry(self.identity(&topic))
            .or_default()
            .insert(uid.clone());
        if let Some(id) = topic_id(&topic) {
            self.held
                .entry(id.to_owned())
                .or_default()
                .insert(uid.clone());
        }
        let topic = Arc::new(topic);
        self.topics.insert(uid.clone(), topic.clone());
        if news {
            affected.extend(self.affected(Some(&topic), &uid));
            affected.push(uid);
        }
        affected
    }

    fn forget(&mut self, uid: &Uid) -> Vec<Uid> {
        let Some(old) = self.topics.remove(uid) else {
            return Vec::new();
        };
        let mut affected = self.affected(Some(&old), uid);
        self.unlink(uid, &old);
        // The resource itself too: whoever keeps something about it drops that now.
        affected.push(uid.clone());
        affected
    }

    /// Those that share a topic with the resource.
    fn affected(&self, topic: Option<&KafkaTopic>, uid: &Uid) -> Vec<Uid> {
        let Some(topic) = topic else {
            return Vec::new();
        };
        let named = self.named.get(&self.identity(topic)).into_iter().flatten();
        let held = topic_id(topic)
            .and_then(|id| self.held.get(id))
            .into_iter()
            .flatten();
        named
            .chain(held)
            .filter(|other| *other != uid)
            .cloned()
            .collect()
    }

    fn unlink(&mut self, uid: &Uid, topic: &KafkaTopic) {
        let identity = self.identity(topic);
        remove(&mut self.named, &identity, uid);
        if let Some(id) = topic_id(topic) {
            remove(&mut self.held, &id.to_owned(), uid);
        }
    }

    fn identity(&self, topic: &KafkaTopic) -> Identity {
        (self.cluster(topic).bootstrap_servers, desired::name(topic))
    }

    fn others(&self, topic: &KafkaTopic, uids: Option<&BTreeSet<Uid>>) -> Vec<Arc<KafkaTopic>> {
        let uid = topic.uid().unwrap_or_default();
        let others = uids.into_iter().flatten().filter(|other| ***other != *uid);
        others.filter_map(|other| self.get(other)).collect()
    }
}

fn remove<I: std::hash::Hash + Eq>(index: &mut HashMap<I, BTreeSet<Uid>>, entry: &I, uid: &Uid) {
    if let Some(uids) = index.get_mut(entry) {
        uids.remove(uid);
        if uids.is_empty() {
            index.remove(entry);
        }
    }
}

fn topic_id(topic: &KafkaTopic) -> Option<&str> {
    topic.status.as_ref()?.topic_id.as_deref()
}

/// Resource versions of one resource type can be compared (KEP-5504); one that is no number counts as the newest.
fn version(topic: &KafkaTopic) -> u64 {
    topic
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or(u64::MAX)
}

/// What makes a change of a resource news: a status write changes none of it, so it does not come back as work.
fn facts(topic: &KafkaTopic) -> (Option<i64>, bool, bool) {
    let meta = topic.meta();
    (
        meta.generation,
        meta.deletion_timestamp.is_some(),
        is_paused(topic),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::KafkaTopicStatus;

    fn topic(uid: &str, version: u64, generation: i64, name: &str, id: Option<&str>) -> KafkaTopic {
        let mut topic = KafkaTopic::new(uid, Default::default());
        topic.metadata.uid = Some(uid.into());
        topic.metadata.resource_version = Some(version.to_string());
        topic.metadata.generation = Some(generation);
        topic.spec.topic_name = Some(name.into());
        topic.status = Some(KafkaTopicStatus {
            topic_id: id.map(Into::into),
            ..Default::default()
        });
        topic
    }

    fn uids(mut found: Vec<Uid>) -> Vec<String> {
        found.sort();
        found.dedup();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_status_write_is_no_news_and_an_older_version_does_not_undo_it() {
        let mut registry = Registry::new("kafka:9092");
        assert_eq!(
            uids(registry.watched(Event::Apply(topic("a", 1, 1, "t", None)))),
            ["a"]
        );
        registry.wrote(topic("a", 5, 1, "t", Some("id")));
        assert!(
            registry
                .watched(Event::Apply(topic("a", 3, 1, "t", None)))
                .is_empty()
        );
        assert!(
            registry
                .watched(Event::Apply(topic("a", 5, 1, "t", Some("id"))))
                .is_empty()
        );
        assert_eq!(topic_id(&registry.get("a").expect("known")), Some("id"));
        assert_eq!(
            uids(registry.watched(Event::Apply(topic("a", 6, 2, "t", Some("id"))))),
            ["a"]
        );
    }

    #[test]
    fn those_that_share_a_topic_hear_of_each_other() {
        let mut registry = Registry::new("kafka:9092");
        registry.watched(Event::Apply(topic("a", 1, 1, "t", Some("id"))));
        assert_eq!(
            uids(registry.watched(Event::Apply(topic("b", 2, 1, "t", None)))),
            ["a", "b"]
        );
        assert_eq!(
            uids(registry.watched(Event::Apply(topic("c", 3, 1, "other", None)))),
            ["c"]
        );
        assert_eq!(registry.rivals(&topic("b", 2, 1, "t", None)).len(), 1);
        assert_eq!(
            registry.holders(&topic("b", 2, 1, "t", None), "id").len(),
            1
        );
        assert_eq!(
            uids(registry.watched(Event::Delete(topic("a", 4, 1, "t", None)))),
            ["a", "b"]
        );
        assert!(registry.rivals(&topic("b", 2, 1, "t", None)).is_empty());
    }

    #[test]
    fn what_a_new_list_does_not_have_is_gone() {
        let mut registry = Registry::new("kafka:9092");
        registry.watched(Event::Apply(topic("a", 1, 1, "t", None)));
        registry.watched(Event::Apply(topic("b", 2, 1, "t", None)));
        registry.watched(Event::Init);
        assert!(
            registry
                .watched(Event::InitApply(topic("b", 2, 1, "t", None)))
                .is_empty()
        );
        assert_eq!(uids(registry.watched(Event::InitDone)), ["a", "b"]);
        assert!(registry.get("a").is_none());
        registry.wrote(topic("a", 9, 1, "t", None));
        assert!(
            registry.get("a").is_none(),
            "an answer that comes late brings nobody back"
        );
    }
}
