use std::sync::Arc;

use bt_events::{Log, Time};
use proptest::prelude::*;

use super::*;
use crate::pipeline::Assignment;

const DAY: i64 = 86_400_000;

fn name(pattern: &str, service: &str, ts: Time<'_>, record: Option<i64>) -> String {
    let assignment = Arc::new(Assignment::new("logs.events".into(), "id".into(), 0, 1));
    let origin = Origin {
        assignment: &assignment,
        offset: 0,
        timestamp: record,
        key: None,
        place: None,
        bytes: None,
    };
    let event = Event::log(service, Log::new("info", "m")).at(ts.at());
    let mut out = Vec::new();
    let target = Target::parse(pattern).expect(pattern);
    target.name(&mut out, &event, &origin);
    String::from_utf8(out).expect("UTF-8")
}

fn millis(millis: i64) -> Time<'static> {
    Timestamp::from_millisecond(millis)
        .expect("in range")
        .into()
}

#[test]
fn placeholders_are_filled_in() {
    let at = millis(1_795_392_000_000);
    let cases = [
        ("logs-bt-default", "orders", "logs-bt-default"),
        ("logs-{service}-default", "orders", "logs-orders-default"),
        ("logs-bt-{date}", "orders", "logs-bt-2026.11.23"),
        (
            "logs-{service}-{date}",
            "Orders-API.v2",
            "logs-orders_api_v2-2026.11.23",
        ),
        ("logs-{service}", "../*,é😀\u{0}", "logs-________"),
        ("logs-{date}{service}x", "a", "logs-2026.11.23ax"),
        ("logs-{service}", "", "logs-_unknown"),
    ];
    for (pattern, service, want) in cases {
        assert_eq!(
            name(pattern, service, at, Some(1_795_392_000_000)),
            want,
            "{pattern}"
        );
    }
}

#[test]
fn names_that_cannot_be_are_refused_with_the_reason() {
    let cases = [
        ("", "1 to 233 bytes"),
        ("_logs", "must not begin"),
        ("Logs", "lower case"),
        ("logs-*", "without \\ / *"),
        ("logs-{x}", "unknown placeholder {x}"),
        ("logs-{Service}", "unknown placeholder {Service}"),
        ("logs-{}", "unknown placeholder {}"),
        ("logs-{{service}}", "unknown placeholder {{service}"),
        ("logs-{service", "without the other at \"{service\""),
        ("logs-service}", "without the other at \"}\""),
        ("{service}", "at least 3 characters before"),
        ("{date}-logs", "at least 3 characters before"),
        ("lo{service}", "at least 3 characters before"),
        ("logs-{service}-{service}-{service}", "it has 307"),
    ];
    for (name, want) in cases {
        let why = Target::parse(name).expect_err(name);
        assert!(why.contains(want), "{name}: {why}");
    }
    assert!(Target::parse(&"a".repeat(233)).is_ok());
    assert!(Target::parse(&"a".repeat(234)).is_err());
}

#[test]
fn only_names_without_placeholders_are_fixed() {
    let target = |name: &str| Target::parse(name).expect(name);
    assert_eq!(target("logs-bt-default").fixed(), Some("logs-bt-default"));
    assert_eq!(target("logs-bt-default").pattern(), "logs-bt-default");
    assert_eq!(target("logs-{service}-x-{date}").fixed(), None);
    assert_eq!(target("logs-{service}-x-{date}").pattern(), "logs-*-x-*");
}

#[test]
fn a_day_that_cannot_be_believed_is_the_records() {
    let record = 1_795_392_000_000;
    let day = |ts: i64, record: Option<i64>| name("logs-{date}", "s", millis(ts), record);
    assert_eq!(day(record - 7 * DAY, Some(record)), "logs-2026.11.16");
    assert_eq!(day(record - 7 * DAY - 1, Some(record)), "logs-2026.11.23");
    assert_eq!(day(record + DAY, Some(record)), "logs-2026.11.24");
    assert_eq!(day(record + DAY + 1, Some(record)), "logs-2026.11.23");
    assert_eq!(day(0, None), "logs-1970.01.01");
    assert_eq!(day(record, Some(i64::MAX)), "logs-2026.11.23");
    assert_eq!(day(-DAY, Some(-DAY)), "logs-1970.01.01");
}

#[test]
fn long_services_do_not_meet() {
    let long = "a".repeat(99);
    let name = |service: &str| name("logs-{service}", service, millis(0), None);
    assert_eq!(name(&(long.clone() + "b")), format!("logs-{long}b"));
    let [one, other] = ["bc", "bd"].map(|end| name(&(long.clone() + end)));
    assert_eq!(one.len(), "logs-".len() + 100);
    assert_eq!(one[..88], other[..88]);
    assert_ne!(one, other);
}

/// Whether a name matches a pattern, `*` standing for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|name| {
            let mut ends = (0..=name.len()).filter(|at| name.is_char_boundary(*at));
            ends.any(|at| matches(rest, &name[at..]))
        }),
    }
}

proptest! {
    #[test]
    fn every_name_is_one_of_an_index_and_stays_within_the_pattern(
        service in prop_oneof!["\\PC{0,120}", "[a-zA-Z0-9._*,{}-]{1,12}", ".{0,8}"],
        ts in -377_705_023_201_000..=253_402_207_199_999_i64,
        record in proptest::option::of(any::<i64>()),
        pattern in "[a-z][a-z0-9.]{2,8}(-(\\{service\\}|[a-z]{1,5}))?(-\\{date\\})?(\\{service\\})?-?[a-z]{0,4}",
    ) {
        let filled = name(&pattern, &service, millis(ts), record);
        // A produced name is a name that could have been configured.
        prop_assert!(Target::parse(&filled).is_ok(), "{}", filled);
        let target = Target::parse(&pattern).expect("a good pattern");
        prop_assert!(matches(&target.pattern(), &filled), "{} {}", pattern, filled);
        prop_assert_eq!(target.fixed().is_none(), pattern.contains('{'));
        // Data streams are told apart by their hyphens, and no event adds one.
        prop_assert_eq!(filled.matches('-').count(), pattern.matches('-').count());
        let prefix = pattern.split('{').next().expect("a first part");
        prop_assert!(filled.starts_with(prefix));
    }
}
