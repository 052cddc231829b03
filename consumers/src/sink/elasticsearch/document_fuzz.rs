//! Whatever is read as an event becomes an action and a document that are a line of JSON each, with nothing in them that an engine is
//! known to refuse.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bt_events::EventError;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::*;
use crate::pipeline::Assignment;
use crate::sink::elasticsearch::{generate, malformed};

/// The same choices in each run, few enough for every day; `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=2` looks longer and elsewhere:
/// `cargo test --release -p bt-consumers fuzz`.
fn config() -> ProptestConfig {
    let set = |name: &str| std::env::var(name).ok()?.parse().ok();
    ProptestConfig {
        cases: set("PROPTEST_CASES").unwrap_or(600) as u32,
        rng_seed: RngSeed::Fixed(set("PROPTEST_RNG_SEED").unwrap_or(20_261_123)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// An object with each member as often as it is there.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

fn of<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, TestCaseError> {
    serde_json::from_str(json).map_err(|error| TestCaseError::fail(format!("{error}: {json}")))
}

/// Checks all levels of JSON for what engines refuse.
fn check_json(json: &str, depth: usize) -> Result<(), TestCaseError> {
    prop_assert!(depth <= 21, "too deep: {}", json);
    match json.as_bytes()[0] {
        b'{' => {
            let mut names = HashSet::new();
            for (name, value) in of::<Members<'_>>(json)?.0 {
                prop_assert!(!name.trim().is_empty() && name.len() < 400, "{:?}", name);
                check_json(value.get(), depth + 1)?;
                prop_assert!(names.insert(name), "a name twice: {}", json);
            }
        }
        b'[' => {
            for element in of::<Vec<&RawValue>>(json)? {
                check_json(element.get(), depth + 1)?;
            }
        }
        b'"' => drop(of::<String>(json)?),
        _ => prop_assert!(json.len() <= 400, "too long: {}", json),
    }
    Ok(())
}

/// Checks what was appended: the members of the action and of the document.
fn check_lines(out: &[u8]) -> Result<[Vec<(String, &RawValue)>; 2], TestCaseError> {
    let text = std::str::from_utf8(out).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let lines: Vec<&str> = text.split('\n').collect();
    prop_assert_eq!(lines.len(), 3, "two lines, each ended: {}", text);
    prop_assert_eq!((lines[2], lines[0].contains('\r')), ("", false));
    check_json(lines[0], 0)?;
    check_json(lines[1], 0)?;
    let action = of::<Members<'_>>(lines[0])?.0;
    prop_assert_eq!((action.len(), &*action[0].0), (1, "create"));
    Ok([
        of::<Members<'_>>(action[0].1.get())?.0,
        of::<Members<'_>>(lines[1])?.0,
    ])
}

fn member<'a>(members: &[(String, &'a RawValue)], wanted: &str) -> Option<&'a str> {
    let found = members.iter().find(|(name, _)| name == wanted);
    found.map(|(_, value)| value.get())
}

/// A string decoded, all else as it is: what is no scalar becomes a label that is its text.
fn word(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

/// The labels that an event has, in their order.
fn labels_of(event: &Event<'_>) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    if event.ts.is_out_of_range() || event.ts.at() < FIRST_TIME {
        let mut ts = Vec::new();
        event.ts.write_json(&mut ts);
        pairs.push(("event_ts".into(), String::from_utf8(ts).expect("JSON")));
    }
    let owned = |(name, value): (std::borrow::Cow<'_, str>, &str)| (name.into(), value.into());
    match &event.body {
        Body::Log(Log { fields, .. }) | Body::Metric(Metric { labels: fields, .. }) => {
            pairs.extend(fields.iter().map(owned));
        }
        Body::Health(health) => {
            let checks = health.checks.iter();
            let checks = checks
                .map(|(name, of_check)| (name.to_string(), format!("\"{}\"", status(*of_check))));
            pairs.extend(checks);
        }
        Body::Business(_) => {}
    }
    let extra = event.extra.iter();
    pairs.extend(extra.map(|(name, value)| (name.to_string(), value.get().to_owned())));
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, json) in pairs.into_iter().filter(|(_, json)| json != "null") {
        let mut name = name.replace(|c: char| c.is_control() || ".*\"".contains(c), "_");
        if name.trim().is_empty() {
            name = "_".into();
        }
        while labels.iter().any(|(other, _)| *other == name) {
            name.push('_');
        }
        labels.push((name, word(&json)));
    }
    labels
}

fn check(record: &[u8], stream: &str, timestamp: Option<i64>) -> Result<(), TestCaseError> {
    let assignment = Arc::new(Assignment::new("logs.events".into(), "aBc_-".into(), 2, 1));
    let target = Target::parse(stream).expect(stream);
    let whole = Origin {
        assignment: &assignment,
        offset: 77,
        timestamp,
        key: None,
        place: None,
        bytes: Some(record),
    };
    let events: Vec<(Origin<'_>, Result<Event<'_>, EventError>)> = match bt_events::parse(record) {
        Err(error) => vec![(whole, Err(error))],
        Ok(elements) => elements
            .map(|element| {
                let bytes = Some(element.json().as_bytes());
                let place = element.place();
                (
                    Origin {
                        bytes,
                        place,
                        ..whole
                    },
                    element.event(),
                )
            })
            .collect(),
    };
    for (origin, event) in events {
        let mut out = Vec::new();
        match &event {
            Ok(event) if write(&mut out, event, &origin, &target).is_err() => {
                prop_assert!(out.is_empty(), "nothing is left of what is refused");
                continue;
            }
            Ok(_) => {}
            Err(error) => malformed::write(&mut out, error, &origin, &target),
        }
        let [action, document] = check_lines(&out)?;
        let id: String = of(member(&action, "_id").unwrap_or_default())?;
        prop_assert!((1..=MAX_ID).contains(&id.len()));
        let index = member(&action, "_index").map(of::<String>).transpose()?;
        prop_assert_eq!(index.is_none(), target.fixed().is_some());
        if let Some(index) = index {
            prop_assert!(Target::parse(&index).is_ok() && index.starts_with("logs-"));
        }
        let text: Option<String> = member(&document, "message").map(of).transpose()?;
        let wanted = match &event {
            Ok(Event {
                body: Body::Log(log),
                ..
            }) => Some(log.message.as_str().into_owned()),
            Ok(_) => None,
            Err(_) => Some(String::from_utf8_lossy(origin.bytes.unwrap_or_default()).into()),
        };
        prop_assert_eq!(text, wanted);
        if let Ok(event) = &event {
            let labels = member(&document, "labels")
                .map(of::<Members<'_>>)
                .transpose()?;
            let labels = labels.map_or_else(Vec::new, |labels| labels.0);
            let found = labels.into_iter();
            let found: Vec<_> = found
                .map(|(name, value)| (name, word(value.get())))
                .collect();
            prop_assert_eq!(found, labels_of(event));
        }
        prop_assert!(member(&document, "@timestamp").is_some());
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn all_that_is_read_becomes_a_document_that_engines_take(
        events in vec(prop_oneof![generate::event(), generate::json()], 1..3),
        array in any::<bool>(),
        mutations in vec(generate::mutation(), 0..4),
        stream in prop_oneof![Just("logs-bt-default"), Just("logs-{service}-x-{date}")],
        timestamp in proptest::option::of(any::<i64>()),
    ) {
        let mut bytes = match array {
            true => format!("[{}]", events.join(",")).into_bytes(),
            false => events[0].clone().into_bytes(),
        };
        check(&bytes, stream, timestamp)?;
        for mutation in &mutations {
            mutation.apply(&mut bytes);
            check(&bytes, stream, timestamp)?;
        }
    }
}
