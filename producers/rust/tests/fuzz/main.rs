//! Text that nobody meant to send: what serde_json takes for JSON is read, nothing else is, and nothing panics.

mod generate;
mod model;

use std::collections::HashMap;

use bt_events::{Body, Event, EventError, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::value::RawValue;

use generate::{event, json, mutation, number, time};

/// The same choices in each run, few enough for every day; `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=2` looks longer and elsewhere:
/// `cargo test --release -p bt-events --test fuzz`.
fn config() -> ProptestConfig {
    let set = |name: &str| std::env::var(name).ok()?.parse().ok();
    ProptestConfig {
        cases: set("PROPTEST_CASES").unwrap_or(600) as u32,
        rng_seed: RngSeed::Fixed(set("PROPTEST_RNG_SEED").unwrap_or(20_261_123)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// All events of a record, or why it has none.
fn read(value: &[u8]) -> Result<Vec<Result<Event<'_>, EventError>>, EventError> {
    Ok(parse(value)?.map(|element| element.event()).collect())
}

fn not_json<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Option<String> {
    serde_json::from_str::<T>(text)
        .err()
        .map(|error| error.to_string())
}

/// Checks a record against what serde_json says about it.
fn check(value: &[u8]) -> Result<(), TestCaseError> {
    let events = read(value);
    let Ok(text) = std::str::from_utf8(value) else {
        prop_assert!(matches!(events, Err(EventError::NotUtf8(_))));
        return Ok(());
    };
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let refused = match text.as_bytes().first() {
        Some(b'[') => not_json::<Vec<&RawValue>>(text),
        Some(b'{') => not_json::<HashMap<String, &RawValue>>(text),
        _ => not_json::<&RawValue>(text),
    };
    let found = match &events {
        Err(EventError::NotJson(why)) => Some(why.clone()),
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
        Ok(events) => match events.as_slice() {
            [Err(EventError::NotJson(why))] if !text.starts_with('[') => Some(why.clone()),
            _ => None,
        },
    };
    prop_assert_eq!(&refused, &found);
    if let (None, Err(why)) = (refused, serde_json::from_str::<serde_json::Value>(text)) {
        // What is passed on as text need not be a value that Rust can hold.
        let why = why.to_string();
        let held = [
            "number out of range",
            "recursion limit",
            "surrogate",
            "hex escape",
        ];
        prop_assert!(held.iter().any(|held| why.contains(held)), "{}", why);
    }
    for event in events.into_iter().flatten().flatten() {
        round_trip(&event)?;
    }
    Ok(())
}

/// An event that was read and is written is read as the same event.
fn round_trip(event: &Event<'_>) -> Result<(), TestCaseError> {
    let infinite = match &event.body {
        Body::Metric(metric) => metric.value.is_infinite(),
        Body::Health(health) => health.latency_ms.is_some_and(f64::is_infinite),
        _ => false,
    };
    if infinite {
        return Ok(());
    }
    let json = event.to_json();
    let again = parse(json.as_bytes())
        .ok()
        .and_then(|mut elements| elements.next()?.event().ok());
    let Some(again) = again else {
        return Err(TestCaseError::fail(format!("not read again: {json}")));
    };
    prop_assert_eq!(&again.to_json(), &json);
    prop_assert_eq!(again.ts.at(), event.ts.at());
    prop_assert_eq!(again.key(), event.key());
    prop_assert_eq!(format!("{:?}", again.body), format!("{:?}", event.body));
    prop_assert_eq!(format!("{:?}", again.extra), format!("{:?}", event.extra));
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_are_refused_or_read_as_serde_json_does(bytes in vec(any::<u8>(), 0..64)) {
        check(&bytes)?;
    }

    #[test]
    fn arbitrary_json_is_read_and_what_is_written_is_read_again(json in prop_oneof![json(), event()]) {
        check(json.as_bytes())?;
        check(format!(" [{json}\n,{json}] ").as_bytes())?;
    }

    #[test]
    fn mutated_events_are_refused_or_read_as_serde_json_does(
        events in vec(event(), 1..3),
        array in any::<bool>(),
        mutations in vec(mutation(), 1..4),
    ) {
        let mut bytes = match array {
            true => format!("[{}]", events.join(",")).into_bytes(),
            false => events[0].clone().into_bytes(),
        };
        for mutation in &mutations {
            mutation.apply(&mut bytes);
            check(&bytes)?;
        }
    }

    #[test]
    fn an_array_yields_each_element_as_if_it_were_alone(elements in vec(prop_oneof![json(), event()], 0..5)) {
        let array = format!("[ {} ]", elements.join(" ,\n"));
        let read: Vec<_> = parse(array.as_bytes()).expect("an array of JSON values").collect();
        prop_assert_eq!(read.len(), elements.len());
        for (place, (element, alone)) in read.iter().zip(&elements).enumerate() {
            prop_assert_eq!(element.place(), Some(place));
            prop_assert_eq!(element.json(), alone);
            // An array in an array is one element that is not an event.
            let wanted = match alone.starts_with('[') {
                true => Err(EventError::NotAnObject("an array")),
                false => parse(alone.as_bytes()).and_then(|mut e| e.next().expect("one element").event()),
            };
            prop_assert_eq!(format!("{:?}", element.event()), format!("{:?}", wanted));
        }
    }

    #[test]
    fn logs_and_business_events_have_the_words_that_serde_json_reads(
        json in event(),
        mutations in vec(mutation(), 0..3),
    ) {
        let mut bytes = json.into_bytes();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let element = parse(text.as_bytes()).ok().and_then(|mut elements| elements.next());
        let read = element.filter(|element| element.place().is_none()).and_then(|e| e.event().ok());
        let words = read.filter(model::is_text).map(|event| model::of_event(&event));
        prop_assert_eq!(words, model::of_json(&text), "{}", text);
    }

    #[test]
    fn a_time_is_what_jiff_reads(ts in time()) {
        let json = format!(r#"{{"ts":{ts},"service":"s","status":"up"}}"#);
        let read = parse(json.as_bytes()).expect("JSON").next().expect("one element").event();
        let wanted = model::time(&ts).and_then(Result::ok);
        prop_assert_eq!(read.ok().map(|event| event.ts.at()), wanted);
    }

    #[test]
    fn a_number_is_the_nearest_that_there_is(value in number()) {
        let json = format!(r#"{{"ts":1,"service":"s","name":"n","kind":"gauge","value":{value}}}"#);
        let event = parse(json.as_bytes()).expect("JSON").next().expect("one element").event();
        let Ok(Event { body: Body::Metric(metric), .. }) = event else {
            return Err(TestCaseError::fail(format!("no metric: {event:?}")));
        };
        prop_assert_eq!(metric.value.to_bits(), value.parse::<f64>().expect("a number").to_bits());
    }
}

#[test]
fn numbers_are_those_of_json() {
    let value = |value: &str| {
        let json = format!(r#"{{"ts":1,"service":"s","name":"n","kind":"gauge","value":{value}}}"#);
        let event = parse(json.as_bytes())
            .expect("UTF-8")
            .next()
            .expect("one element")
            .event();
        event
            .map_err(|error| error.reason())
            .map(|event| match event.body {
                Body::Metric(metric) => metric.value,
                body => panic!("not a metric: {body:?}"),
            })
    };
    assert_eq!(value("1E5"), Ok(100_000.0));
    assert_eq!(value("1e999"), Ok(f64::INFINITY));
    assert_eq!(value("-1e999"), Ok(f64::NEG_INFINITY));
    assert_eq!(value("-0").map(f64::to_bits), Ok((-0.0_f64).to_bits()));
    assert_eq!(
        value("12345678901234567890"),
        Ok(12_345_678_901_234_567_890.0)
    );
    assert_eq!(value("4294967296"), Ok(4_294_967_296.0));
    assert_eq!(value("0.1"), Ok(0.1));
    for wrong in [
        "01", "1.", ".5", "+1", "-", "1e", "1e+", "0x1", "1_000", "NaN", "Infinity", "- 1", "1 2",
        "",
    ] {
        assert_eq!(value(wrong), Err("invalid_json"), "{wrong}");
    }
    for wrong in ["\"1\"", "true", "[1]", "{\"1\":1}"] {
        assert_eq!(value(wrong), Err("invalid_field"), "{wrong}");
    }
    assert_eq!(value("null"), Err("missing_field"));
}

#[test]
fn no_depth_of_nesting_overflows_the_stack() {
    const DEPTH: usize = 50_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":[", "]}]")] {
        let deep = format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let fields = ["labels", "buckets", "name", "x"].map(|field| {
            format!(
                r#"{{"ts":1,"service":"s","name":"n","kind":"gauge","value":1,"{field}":{deep}}}"#
            )
        });
        for text in fields.iter().chain([&deep]) {
            for cut in [0, 1, DEPTH] {
                let text = &text[..text.len() - cut];
                let refused = match read(text.as_bytes()) {
                    Err(error) => error.reason() == "invalid_json",
                    Ok(events) => matches!(events.as_slice(), [Err(EventError::NotJson(_))]),
                };
                assert_eq!(refused, cut > 0, "{open} without its last {cut} bytes");
            }
        }
        let log = format!(
            r#"{{"ts":1,"service":"s","level":"i","message":"m","fields":{{"a":{deep}}}}}"#
        );
        let event = parse(log.as_bytes())
            .expect("JSON")
            .next()
            .expect("one element")
            .event()
            .expect("a log");
        let Body::Log(log) = &event.body else {
            panic!("a log")
        };
        assert_eq!(log.fields.iter().next(), Some(("a".into(), deep.as_str())));
        assert!(event.to_json().contains(&deep));
    }
}
