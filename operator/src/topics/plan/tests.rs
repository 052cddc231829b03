use std::collections::BTreeSet;

use bt_kafka::{ConfigEntry, Topic};

use super::*;
use crate::api::DeletionPolicy;

fn desired(config: &[(&str, &str)]) -> Desired {
    Desired {
        name: "orders".into(),
        partitions: Some(3),
        replicas: Some(1),
        config: config
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
        handed_back: BTreeSet::new(),
        adoption: AdoptionPolicy::Adopt,
        drift: DriftPolicy::Enforce,
        deletion: DeletionPolicy::Retain,
    }
}

fn observed(id: &str, partitions: i32, config: &[(&str, &str, ConfigSource)]) -> Observed {
    Observed {
        topic: Topic {
            id: id.into(),
            partitions,
            replicas: 1,
            internal: false,
        },
        config: config
            .iter()
            .map(|(key, value, source)| {
                let entry = ConfigEntry {
                    value: Some(value.to_string()),
                    source: *source,
                    sensitive: false,
                };
                (key.to_string(), entry)
            })
            .collect(),
    }
}

fn remembered(id: Option<&str>, managed: &[&str]) -> Remembered {
    Remembered {
        topic_id: id.map(Into::into),
        managed: managed.iter().map(ToString::to_string).collect(),
        creating: false,
    }
}

#[test]
fn how_the_resource_comes_to_the_topic() {
    use AdoptionPolicy::{Adopt, AdoptIfEqual, Refuse};
    let same = [("a", "1", ConfigSource::Topic)];
    let other = [("a", "2", ConfigSource::Topic)];
    for (adoption, known, found, expected) in [
        (Adopt, None, &same, Verdict::Adopt),
        (AdoptIfEqual, None, &same, Verdict::Adopt),
        (
            AdoptIfEqual,
            None,
            &other,
            Verdict::Refuse(Reason::AdoptionRefused),
        ),
        (
            Refuse,
            None,
            &same,
            Verdict::Refuse(Reason::AdoptionRefused),
        ),
        (Refuse, Some("id"), &other, Verdict::Own),
        (Adopt, Some("former"), &same, Verdict::AdoptRecreated),
        (
            Refuse,
            Some("former"),
            &same,
            Verdict::Refuse(Reason::TopicRecreated),
        ),
    ] {
        let wanted = Desired {
            adoption,
            ..desired(&[("a", "1")])
        };
        let plan = decide(
            &wanted,
            &remembered(known, &[]),
            Some(&observed("id", 3, found)),
        );
        assert_eq!(plan.verdict, expected, "{adoption:?} {known:?} {found:?}");
        assert_eq!(plan.enforce, !matches!(expected, Verdict::Refuse(_)));
    }
}

#[test]
fn a_topic_that_is_not_there_is_made_unless_policy_only_reports() {
    let plan = decide(&desired(&[("a", "1")]), &remembered(None, &[]), None);
    assert!(
        matches!(plan.verdict, Verdict::Create(ref new) if new.partitions == Some(3) && new.config["a"] == "1")
    );
    let report = Desired {
        drift: DriftPolicy::Report,
        ..desired(&[])
    };
    assert!(matches!(
        decide(&report, &remembered(None, &[]), None).verdict,
        Verdict::Create(_)
    ));
    assert!(matches!(
        decide(&report, &remembered(Some("id"), &[]), None).verdict,
        Verdict::Missing(_)
    ));
}

#[test]
fn only_owned_keys_are_altered() {
    let found = observed(
        "id",
        3,
        &[
            ("kept", "1", ConfigSource::Topic),
            ("drifted", "9", ConfigSource::Topic),
            ("default", "1", ConfigSource::Default),
            ("removed", "5", ConfigSource::Topic),
            ("handed.back", "6", ConfigSource::Topic),
            ("foreign", "7", ConfigSource::Topic),
        ],
    );
    let mut wanted = desired(&[("kept", "1"), ("drifted", "2"), ("default", "1")]);
    wanted.handed_back.insert("handed.back".into());
    let known = remembered(
        Some("id"),
        &["kept", "drifted", "removed", "handed.back", "vanished"],
    );
    let plan = decide(&wanted, &known, Some(&found));
    let expected = BTreeMap::from([
        ("drifted".to_owned(), ConfigOp::Set("2".into())),
        ("default".to_owned(), ConfigOp::Set("1".into())),
        ("removed".to_owned(), ConfigOp::Reset),
    ]);
    assert_eq!(plan.config, expected);
    let drift: Vec<_> = plan
        .drift
        .iter()
        .map(|d| (d.key.as_str(), d.have.as_str()))
        .collect();
    assert_eq!(drift, [("drifted", "9"), ("removed", "5")]);
}

#[test]
fn partitions_grow_and_never_shrink() {
    let known = remembered(Some("id"), &[]);
    let plan = decide(&desired(&[]), &known, Some(&observed("id", 2, &[])));
    assert_eq!((plan.grow, plan.impossible.len()), (Some((2, 3)), 0));
    let plan = decide(&desired(&[]), &known, Some(&observed("id", 6, &[])));
    assert_eq!(plan.grow, None);
    assert_eq!(plan.impossible[0].0, Reason::PartitionDecreaseRefused);
}

#[test]
fn another_replication_factor_is_told_and_not_tried() {
    let wanted = Desired {
        replicas: Some(3),
        ..desired(&[])
    };
    let plan = decide(
        &wanted,
        &remembered(Some("id"), &[]),
        Some(&observed("id", 3, &[])),
    );
    assert_eq!(plan.impossible[0].0, Reason::ReplicationChangeUnsupported);
    assert!(plan.steps().is_empty());
}

#[test]
fn a_topic_that_we_were_making_is_ours_whatever_the_policy() {
    let wanted = Desired {
        adoption: AdoptionPolicy::Refuse,
        ..desired(&[])
    };
    let making = Remembered {
        creating: true,
        ..remembered(None, &[])
    };
    let plan = decide(&wanted, &making, Some(&observed("id", 3, &[])));
    assert_eq!(plan.verdict, Verdict::Own);
}

#[test]
fn values_that_mean_the_same_are_the_same() {
    for (want, have, same) in [
        ("1", "1.0", true),
        ("0.50", "0.5", true),
        ("True", "true", true),
        ("compact, delete", "compact,delete", true),
        ("9223372036854775807", "9223372036854775806", false),
        ("1000", "10000", false),
        ("true", "1", false),
        ("snappy", "Snappy", false),
    ] {
        assert_eq!(same_value(want, have), same, "{want} {have}");
    }
}
