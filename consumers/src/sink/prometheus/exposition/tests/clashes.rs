//! Partitions that differ in what a name stands for.

use bt_events::Kind;

use super::fixture::*;
use super::strict::{self, Page as Read};
use super::*;
use crate::sink::prometheus::snapshot::{FamilyInfo, FamilySnapshot};

const ALL: [Format; 2] = [Format::Text, Format::OpenMetrics];

fn read(partitions: &[PartitionSnapshot], format: Format) -> (Read, usize) {
    let page = render(partitions, format, Encoding::Identity);
    let text = String::from_utf8(page.body.into()).expect("text");
    let open = format == Format::OpenMetrics;
    (strict::read(&text, open).expect(&text), page.hidden)
}

#[test]
fn of_two_kinds_under_one_name_the_one_with_more_series_is_shown() {
    let one = numbers("a", Kind::Counter, &[(r#"p="0""#, 1.0)]);
    let two = numbers("a", Kind::Gauge, &[(r#"p="1""#, 1.0), (r#"p="2""#, 2.0)]);
    let partitions = [partition(vec![one.clone()]), partition(vec![two])];
    for format in ALL {
        let (page, hidden) = read(&partitions, format);
        assert_eq!(page.types["a"], "gauge");
        assert_eq!((page.samples.len(), hidden), (2, 1));
    }
    // Two partitions of one kind together are more, and of equally many the first is shown.
    let gauge = numbers("a", Kind::Gauge, &[(r#"p="1""#, 1.0)]);
    let equal = [partition(vec![one]), partition(vec![gauge])];
    let (page, hidden) = read(&equal, Format::Text);
    assert_eq!((&*page.types["a"], hidden), ("counter", 1));
}

#[test]
fn a_name_of_a_histograms_part_is_shown_by_whom_has_more_series() {
    for part in ["h_bucket", "h_sum", "h_count", "h_created"] {
        let histogram = histograms("h", &[(r#"p="0""#, [1, 1, 1]), (r#"p="1""#, [1, 1, 1])]);
        let few = numbers(part, Kind::Gauge, &[(r#"p="1""#, 1.0)]);
        let many = numbers(part, Kind::Gauge, &[(r#"p="1""#, 1.0); 3]);
        for format in ALL {
            let partitions = [
                partition(vec![few.clone()]),
                partition(vec![histogram.clone()]),
            ];
            let (page, hidden) = read(&partitions, format);
            assert_eq!((page.types.len(), hidden), (1, 1));
            assert!(page.types.contains_key("h"));
        }
        let page = render(
            &[partition(vec![histogram]), partition(vec![many])],
            Format::Text,
            Encoding::Identity,
        );
        assert_eq!(page.hidden, 2);
        assert!(!page.body.starts_with(b"# TYPE h histogram"));
    }
}

#[test]
fn a_counter_whose_family_would_be_anothers_is_unknown_in_openmetrics() {
    let unknown = |others: Vec<FamilySnapshot>, name: &str| {
        let mut families = others;
        families.push(numbers(name, Kind::Counter, &[(r#"p="0""#, 1.0)]));
        let partitions = [partition(families)];
        let (page, hidden) = read(&partitions, Format::OpenMetrics);
        assert_eq!(hidden, 0);
        page.types.get(name).is_some_and(|kind| kind == "unknown")
    };
    let gauge = |name| numbers(name, Kind::Gauge, &[(r#"p="0""#, 1.0)]);
    let counter = |name| numbers(name, Kind::Counter, &[(r#"p="0""#, 1.0)]);
    assert!(!unknown(vec![], "a_total"));
    assert!(!unknown(vec![gauge("ab"), gauge("a_sum")], "a_total"));
    assert!(unknown(vec![gauge("a")], "a_total"));
    assert!(unknown(vec![gauge("a_created")], "a_total"));
    assert!(unknown(vec![counter("a")], "a_total"));
    assert!(unknown(vec![counter("a_total")], "a_created_total"));
    let histogram = histograms("a", &[(r#"p="0""#, [1, 1, 1])]);
    assert!(unknown(vec![histogram], "a_count_total"));
    assert!(unknown(vec![], "_total"));
}

#[test]
fn help_and_unit_are_the_first_partitions_that_has_them() {
    let with = |help: Option<&str>, unit: Option<&str>| {
        let info = FamilyInfo {
            help: help.map(Into::into),
            unit: unit.map(Into::into),
            ..info("a_seconds", Kind::Gauge)
        };
        partition(vec![numbers_of(info, &[(r#"p="0""#, 1.0)])])
    };
    let partitions = [
        with(None, None),
        with(Some(""), Some("seconds")),
        with(Some("Two."), Some("s")),
        with(Some("Three."), None),
    ];
    let families = Families::merge(&partitions);
    let family = families.iter().next().expect("a family");
    assert_eq!((family.help, family.unit), (Some("Two."), Some("seconds")));
}
