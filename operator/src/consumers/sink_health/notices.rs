//! What pods tell that happened once: each pod tells it for a while, the operator once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use bt_consumers::Notice;

use super::Key;

/// The most notices of a pod that count; ours tell no more.
const MOST: usize = 20;

/// A notice, with the pod that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticed {
    /// The pod's name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// What it tells.
    pub notice: Notice,
}

/// What was heard of the pods that are there.
#[derive(Default)]
pub struct Notices {
    /// Digests of what a pod told when it was asked last, by its uid.
    heard: HashMap<String, HashSet<u64>>,
    hasher: RandomState,
    untold: HashMap<Key, Vec<Noticed>>,
}

impl Notices {
    /// Takes notice of what a pod of this consumer tells. Whether any of it is new.
    pub fn hear(&mut self, consumer: &Key, pod: &str, uid: &str, notices: &[Notice]) -> bool {
        if notices.is_empty() {
            self.heard.remove(uid);
            return false;
        }
        let digest =
            |notice: &Notice| (self.hasher).hash_one((&notice.reason, &notice.message, &notice.at));
        let newest = &notices[notices.len().saturating_sub(MOST)..];
        let before = self.heard.get(uid);
        let is_new =
            |notice: &&Notice| before.is_none_or(|before| !before.contains(&digest(notice)));
        let new: Vec<Noticed> = newest
            .iter()
            .filter(is_new)
            .map(|notice| Noticed {
                pod: pod.to_owned(),
                uid: uid.to_owned(),
                notice: notice.clone(),
            })
            .collect();
        let now = newest.iter().map(digest).collect();
        self.heard.insert(uid.to_owned(), now);
        let any = !new.is_empty();
        if any {
            self.untold.entry(consumer.clone()).or_default().extend(new);
        }
        any
    }

    /// What is to be told of a consumer.
    pub fn take(&mut self, consumer: &Key) -> Vec<Noticed> {
        self.untold.remove(consumer).unwrap_or_default()
    }

    /// Forgets the pods and the consumers that are gone.
    pub fn keep_only<T>(&mut self, pods: &HashSet<String>, consumers: &BTreeMap<Key, T>) {
        self.heard.retain(|uid, _| pods.contains(uid));
        self.untold.retain(|key, _| consumers.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(at: u32) -> Notice {
        Notice {
            reason: "StateLost".into(),
            message: "the state topic is another one".into(),
            at: format!("2026-01-01T00:00:{at:02}.000Z"),
        }
    }

    fn key() -> Key {
        ("shop".into(), "metrics".into())
    }

    #[test]
    fn each_notice_of_each_pod_is_new_once() {
        let mut notices = Notices::default();
        let mut hear = |pod: &str, told: &[u32]| {
            let told: Vec<_> = told.iter().copied().map(notice).collect();
            let any = notices.hear(&key(), pod, pod, &told);
            let new: Vec<_> = notices
                .take(&key())
                .into_iter()
                .map(|n| n.notice.at)
                .collect();
            assert_eq!(any, !new.is_empty());
            new.iter()
                .map(|at| at[17..19].parse::<u32>().expect("seconds"))
                .collect::<Vec<_>>()
        };
        assert!(hear("a", &[]).is_empty());
        assert_eq!(hear("a", &[1]), [1]);
        assert!(hear("a", &[1]).is_empty());
        assert_eq!(hear("a", &[1, 2, 3]), [2, 3]);
        assert_eq!(hear("b", &[1]), [1], "another pod has its own");
        // The oldest is no longer told.
        assert_eq!(hear("a", &[2, 3, 4]), [4]);
        assert!(hear("a", &[]).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut notices = Notices::default();
        let many: Vec<_> = (0..50).map(notice).collect();
        assert!(notices.hear(&key(), "a", "a", &many));
        assert_eq!(notices.heard["a"].len(), MOST);
        let untold = &notices.untold[&key()];
        assert_eq!((untold.len(), &untold[MOST - 1].notice), (MOST, &many[49]));

        let pods = HashSet::from(["b".to_owned()]);
        notices.keep_only(&pods, &BTreeMap::<Key, ()>::new());
        assert!(notices.heard.is_empty() && notices.untold.is_empty());
    }
}
