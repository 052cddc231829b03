use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::{Kind, Live};
use crate::api::TelemetryConsumer;

/// Namespace and name.
type Name = (String, String);

/// All objects with the operator's label, as last seen.
#[derive(Default)]
pub struct Store {
    objects: Mutex<HashMap<Kind, HashMap<Name, Live>>>,
    /// What a new list has had so far.
    listed: Mutex<HashMap<Kind, HashSet<Name>>>,
    /// The kinds of which all objects are known.
    complete: watch::Sender<HashSet<Kind>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Resolves once the objects of all kinds that every cluster has are known.
    pub async fn ready(&self) {
        let all = |complete: &HashSet<Kind>| {
            let mut kinds = Kind::ALL.iter().filter(|kind| **kind != Kind::PodMonitor);
            kinds.all(|kind| complete.contains(kind))
        };
        // The sender is in `self`, so that it is not closed.
        let _ = self.complete.subscribe().wait_for(all).await;
    }

    /// Whether the cluster has PodMonitors, and those of consumers are known.
    pub fn has_pod_monitors(&self) -> bool {
        self.complete.borrow().contains(&Kind::PodMonitor)
    }

    /// The object of that name.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Live> {
        let name = (namespace.to_owned(), name.to_owned());
        lock(&self.objects).get(&kind)?.get(&name).cloned()
    }

    /// Takes notice of an object as the API server answered, which the watch tells only later.
    pub fn put(&self, kind: Kind, object: &DynamicObject) -> Live {
        let live = Live::of(kind, object);
        self.insert(kind, object, live.clone());
        live
    }

    /// Takes notice of a deletion. What was made since of that name stays.
    pub fn remove(&self, kind: Kind, namespace: &str, name: &str, uid: &str) {
        let name = (namespace.to_owned(), name.to_owned());
        if let Some(objects) = lock(&self.objects).get_mut(&kind)
            && objects.get(&name).is_some_and(|live| live.uid == uid)
        {
            objects.remove(&name);
        }
    }

    /// Forgets a kind that the cluster no longer has.
    pub fn clear(&self, kind: Kind) {
        lock(&self.objects).remove(&kind);
        self.complete.send_if_modified(|kinds| kinds.remove(&kind));
    }

    /// Takes notice of what the watch says; the consumers whose objects have changed.
    pub fn watched(
        &self,
        kind: Kind,
        event: Event<DynamicObject>,
    ) -> Vec<ObjectRef<TelemetryConsumer>> {
        match event {
            Event::Init => {
                lock(&self.listed).insert(kind, HashSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                lock(&self.listed)
                    .entry(kind)
                    .or_default()
                    .insert(name(&object));
                self.changed(kind, &object)
            }
            Event::InitDone => {
                let listed = lock(&self.listed).remove(&kind).unwrap_or_default();
                let mut gone = Vec::new();
                if let Some(objects) = lock(&self.objects).get_mut(&kind) {
                    objects.retain(|name, live| {
                        let there = listed.contains(name);
                        if !there {
                            gone.extend(reference(&name.0, live));
                        }
                        there
                    });
                }
                self.complete.send_if_modified(|kinds| kinds.insert(kind));
                gone
            }
            Event::Apply(object) => self.changed(kind, &object),
            Event::Delete(object) => {
                let live = Live::of(kind, &object);
                let (namespace, name) = name(&object);
                self.remove(kind, &namespace, &name, &live.uid);
                reference(&namespace, &live).into_iter().collect()
            }
        }
    }

    fn changed(&self, kind: Kind, object: &DynamicObject) -> Vec<ObjectRef<TelemetryConsumer>> {
        let live = Live::of(kind, object);
        let namespace = object.namespace().unwrap_or_default();
        let owner = reference(&namespace, &live);
        let changed = self.insert(kind, object, live);
        owner.filter(|_| changed).into_iter().collect()
    }

    /// Whether anything is other than it was. What is older than what is known is left out: an answer may come before the watch
    /// tells of the state before it.
    fn insert(&self, kind: Kind, object: &DynamicObject, live: Live) -> bool {
        let mut objects = lock(&self.objects);
        let objects = objects.entry(kind).or_default();
        let name = name(object);
        let Some(old) = objects.get(&name) else {
            objects.insert(name, live);
            return true;
        };
        if old.uid == live.uid && old.version > live.version {
            return false;
        }
        let changed = Live {
            version: live.version,
            ..old.clone()
        } != live;
        objects.insert(name, live);
        changed
    }
}

fn name(object: &DynamicObject) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn reference(namespace: &str, live: &Live) -> Option<ObjectRef<TelemetryConsumer>> {
    let (name, _) = live.owner.as_ref()?;
    Some(ObjectRef::new(name).within(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, uid: &str, version: u64, data: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": name, "namespace": "shop", "uid": uid, "resourceVersion": version.to_string(),
                "ownerReferences": [{
                    "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "TelemetryConsumer",
                    "name": name, "uid": "c", "controller": true,
                }],
            },
            "data": {"key": data},
        }))
        .expect("an object")
    }

    fn told(store: &Store, event: Event<DynamicObject>) -> Vec<String> {
        let told = store.watched(Kind::ConfigMap, event);
        told.into_iter().map(|reference| reference.name).collect()
    }

    fn data(store: &Store, name: &str) -> Option<String> {
        let live = store.get(Kind::ConfigMap, "shop", name)?;
        live.content["key"].as_str().map(Into::into)
    }

    #[test]
    fn an_answer_counts_before_the_watch_tells_of_it() {
        let store = Store::default();
        assert_eq!(
            told(&store, Event::Apply(object("a", "1", 5, "old"))),
            ["a"]
        );
        store.put(Kind::ConfigMap, &object("a", "1", 8, "new"));
        assert!(told(&store, Event::Apply(object("a", "1", 6, "between"))).is_empty());
        assert_eq!(data(&store, "a").as_deref(), Some("new"));
        assert!(told(&store, Event::Apply(object("a", "1", 8, "new"))).is_empty());
        assert_eq!(
            told(&store, Event::Apply(object("a", "1", 9, "edited"))),
            ["a"]
        );
        // Of another object of that name the version says nothing.
        assert_eq!(
            told(&store, Event::Apply(object("a", "2", 3, "made anew"))),
            ["a"]
        );
        assert_eq!(
            told(&store, Event::Delete(object("a", "1", 9, "edited"))),
            ["a"]
        );
        assert_eq!(data(&store, "a").as_deref(), Some("made anew"));
    }

    #[test]
    fn a_new_list_takes_away_what_it_does_not_have() {
        let store = Store::default();
        for (name, uid) in [("a", "1"), ("b", "2")] {
            told(&store, Event::Apply(object(name, uid, 5, "x")));
        }
        assert!(told(&store, Event::Init).is_empty());
        assert!(told(&store, Event::InitApply(object("b", "2", 5, "x"))).is_empty());
        assert_eq!(told(&store, Event::InitDone), ["a"]);
        assert_eq!(data(&store, "a"), None);
        assert_eq!(data(&store, "b").as_deref(), Some("x"));
    }
}
