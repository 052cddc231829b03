//! What holds for every plan, whatever is wanted, remembered and found.

use std::collections::{BTreeMap, BTreeSet};

use bt_kafka::{ConfigEntry, Topic};
use proptest::prelude::*;

use super::*;
use crate::api::DeletionPolicy;

const DEFAULT: &str = "the default";

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["1", "2", "true", DEFAULT]).prop_map(str::to_owned)
}

prop_compose! {
    fn any_desired()(
        partitions in prop::option::of(1..6),
        replicas in prop::option::of(1..3),
        config in prop::collection::btree_map(key(), value(), 0..4),
        handed_back in prop::collection::btree_set(key(), 0..2),
        adoption in prop::sample::select(vec![AdoptionPolicy::Adopt, AdoptionPolicy::AdoptIfEqual, AdoptionPolicy::Refuse]),
        drift in prop::sample::select(vec![DriftPolicy::Enforce, DriftPolicy::Report]),
    ) -> Desired {
        let handed_back: BTreeSet<String> = handed_back.into_iter().filter(|key| !config.contains_key(key)).collect();
        Desired { name: "orders".into(), partitions, replicas, config, handed_back, adoption, drift, deletion: DeletionPolicy::Delete }
    }
}

prop_compose! {
    fn any_remembered()(
        topic_id in prop::option::of(prop::sample::select(vec!["this", "another"])),
        managed in prop::collection::btree_set(key(), 0..4),
        creating in any::<bool>(),
    ) -> Remembered {
        let managed = if topic_id.is_some() { managed.into_iter().collect() } else { Vec::new() };
        Remembered { creating: creating && topic_id.is_none(), topic_id: topic_id.map(Into::into), managed }
    }
}

prop_compose! {
    fn any_observed()(
        partitions in 1..6,
        replicas in 1..3,
        own in prop::collection::btree_map(key(), value(), 0..4),
    ) -> Observed {
        let entry = |value: &str, source| ConfigEntry { value: Some(value.into()), source, sensitive: false };
        let config = ["a", "b", "c", "d"].map(|key| {
            let set = own.get(key).map(|value| entry(value, ConfigSource::Topic));
            (key.to_owned(), set.unwrap_or_else(|| entry(DEFAULT, ConfigSource::Default)))
        });
        Observed { topic: Topic { id: "this".into(), partitions, replicas, internal: false }, config: config.into() }
    }
}

/// What Kafka has after a plan was carried out, and what the status then remembers.
fn carried_out(plan: &Plan, desired: &Desired, observed: &Observed) -> (Observed, Remembered) {
    let mut after = observed.clone();
    if let Some((_, to)) = plan.grow {
        after.topic.partitions = to;
    }
    for (key, op) in &plan.config {
        let entry = after.config.get_mut(key).expect("every key is known");
        (entry.value, entry.source) = match op {
            ConfigOp::Set(value) => (Some(value.clone()), ConfigSource::Topic),
            ConfigOp::Reset => (Some(DEFAULT.into()), ConfigSource::Default),
        };
    }
    let remembered = Remembered {
        topic_id: Some(after.topic.id.clone()),
        managed: desired.config.keys().cloned().collect(),
        creating: false,
    };
    (after, remembered)
}

proptest! {
    #[test]
    fn no_plan_shrinks_or_makes_anew_what_is_there(desired in any_desired(), remembered in any_remembered(), observed in any_observed()) {
        let plan = decide(&desired, &remembered, Some(&observed));
        prop_assert!(!matches!(plan.verdict, Verdict::Create(_) | Verdict::Missing(_)));
        if let Some((from, to)) = plan.grow {
            prop_assert_eq!(from, observed.topic.partitions);
            prop_assert!(to > from);
        }
        let words = plan.steps().join("\n");
        prop_assert!(!words.contains("delete"), "{}", words);
    }

    #[test]
    fn only_keys_that_are_or_were_ours_are_altered(desired in any_desired(), remembered in any_remembered(), observed in any_observed()) {
        let plan = decide(&desired, &remembered, Some(&observed));
        for (key, op) in &plan.config {
            match op {
                ConfigOp::Set(value) => prop_assert_eq!(Some(value), desired.config.get(key)),
                ConfigOp::Reset => {
                    prop_assert!(remembered.managed.contains(key) && !desired.config.contains_key(key));
                    prop_assert!(!desired.handed_back.contains(key));
                }
            }
        }
    }

    #[test]
    fn policy_that_forbids_makes_a_plan_that_is_only_told(desired in any_desired(), remembered in any_remembered(), observed in any_observed()) {
        let plan = decide(&desired, &remembered, Some(&observed));
        let forbidden = desired.drift == DriftPolicy::Report || matches!(plan.verdict, Verdict::Refuse(_));
        prop_assert_eq!(plan.acts(), !forbidden);
    }

    #[test]
    fn carried_out_twice_it_changes_nothing_the_second_time(desired in any_desired(), remembered in any_remembered(), observed in any_observed()) {
        let plan = decide(&desired, &remembered, Some(&observed));
        prop_assume!(plan.acts());
        let (after, remembered) = carried_out(&plan, &desired, &observed);
        let again = decide(&desired, &remembered, Some(&after));
        prop_assert_eq!(again.verdict, Verdict::Own);
        prop_assert_eq!(again.grow, None);
        prop_assert_eq!(again.config, BTreeMap::new());
    }
}
