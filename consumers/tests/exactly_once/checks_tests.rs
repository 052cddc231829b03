use std::time::Duration;

use super::*;
use crate::model::{Event, Sender};

/// Member, when its scrape was sent and received, in milliseconds, and the counter of partition 0; no value: nothing is shown.
type Made = (u32, u64, u64, Option<f64>);
/// A name, scrapes, and how many findings there are.
type Case<'a> = (&'a str, &'a [Made], usize);

fn scrapes(of: &[Made]) -> Scrapes {
    let (start, mut scrapes) = (Instant::now(), Scrapes::default());
    let at = |millis| start + Duration::from_millis(millis);
    for (member, sent, received, value) in of {
        let page = value.map(|value| {
            format!("# TYPE c_total counter\nc_total{{source=\"t/0\"}} {value}\n# TYPE g gauge\ng{{source=\"t/1\"}} -{value}\n")
        });
        let page = page.unwrap_or_default();
        let added = scrapes.add(*member, at(*sent), at(*received), &page);
        added.expect("a page of samples");
    }
    scrapes
}

#[test]
fn a_counter_that_goes_down_is_found_whoever_shows_it_and_a_gauge_is_not() {
    let cases: [Case; 6] = [
        (
            "grows",
            &[
                (1, 0, 1, Some(1.0)),
                (1, 5, 6, Some(1.0)),
                (2, 7, 8, Some(3.0)),
            ],
            0,
        ),
        (
            "by one member",
            &[(1, 0, 1, Some(2.0)), (1, 5, 6, Some(1.5))],
            1,
        ),
        (
            "by the next owner",
            &[(1, 0, 1, Some(2.0)), (1, 2, 3, None), (2, 5, 6, Some(1.0))],
            1,
        ),
        (
            "at the same time, in an order that is not known",
            &[(1, 0, 9, Some(2.0)), (2, 5, 6, Some(1.0))],
            0,
        ),
        (
            "long after the highest",
            &[(1, 0, 1, Some(9.0)), (2, 2, 3, None), (2, 8, 9, Some(8.0))],
            1,
        ),
        (
            "twice is one finding",
            &[
                (1, 0, 1, Some(9.0)),
                (1, 2, 3, Some(8.0)),
                (1, 4, 5, Some(7.0)),
            ],
            1,
        ),
    ];
    for (name, of, expected) in cases {
        let findings = never_back(&scrapes(of));
        assert_eq!(findings.len(), expected, "{name}: {findings:?}");
        assert!(
            findings
                .iter()
                .all(|f| f.kind == Kind::WentBack && f.what.contains("c_total"))
        );
    }
}

#[test]
fn a_partition_that_two_members_show_is_found_and_one_that_moves_is_not() {
    let (shows, not) = (Some(1.0), None);
    let cases: [Case; 5] = [
        (
            "moves",
            &[
                (1, 0, 1, shows),
                (2, 2, 3, not),
                (1, 4, 5, not),
                (2, 6, 7, shows),
            ],
            0,
        ),
        (
            "moves there and back",
            &[
                (1, 0, 1, shows),
                (2, 4, 5, shows),
                (1, 6, 7, not),
                (2, 8, 9, not),
                (1, 10, 11, shows),
            ],
            0,
        ),
        (
            "a zombie",
            &[
                (1, 0, 1, shows),
                (2, 4, 5, shows),
                (1, 6, 7, shows),
                (1, 8, 9, not),
            ],
            2,
        ),
        (
            "one asked before the other had answered",
            &[(1, 0, 5, shows), (2, 4, 5, shows), (1, 6, 7, shows)],
            0,
        ),
        (
            "a member started again is another",
            &[(1, 0, 1, shows), (2, 2, 3, shows), (3, 4, 5, shows)],
            0,
        ),
    ];
    for (name, of, expected) in cases {
        // Both of its partitions.
        assert_eq!(shown_by_one(&scrapes(of)).len(), expected, "{name}");
    }
}

#[test]
fn what_differs_from_the_model_is_found() {
    let sender = Sender {
        service: "s".into(),
        instance: "i".into(),
    };
    let mut model = Model::default();
    model.take("t/0", &sender, &Event::Count("c_total", "k", 2.0));
    let page = |source: &str, value: f64| {
        format!(
            "# TYPE c_total counter\nc_total{{service=\"s\",instance=\"i\",kind=\"k\",source=\"{source}\"}} {value}\n"
        )
    };
    let now = Instant::now();
    // By member: what it shows; then how many findings there are of too much, and at the end.
    let cases: [(&str, &[String], usize, usize); 6] = [
        ("all of it", &[page("t/0", 2.0)], 0, 0),
        ("less", &[page("t/0", 1.0)], 0, 1),
        ("more", &[page("t/0", 3.0)], 1, 1),
        ("nothing", &[], 0, 1),
        ("twice", &[page("t/0", 2.0), page("t/0", 2.0)], 0, 1),
        ("another too", &[page("t/0", 2.0), page("t/1", 2.0)], 1, 1),
    ];
    for (name, pages, ahead, differs) in cases {
        let mut scrapes = Scrapes::default();
        let members: Vec<u32> = (0..pages.len() as u32).collect();
        for (member, page) in members.iter().zip(pages) {
            let added = scrapes.add(*member, now, now, page);
            added.expect("a page of samples");
        }
        let last = scrapes.scrapes.iter();
        let found: usize = last
            .map(|scrape| not_ahead(&scrapes, scrape, &model).len())
            .sum();
        assert_eq!(found, ahead, "{name}");
        assert_eq!(
            equal(&scrapes.shown(&members), &model).len(),
            differs,
            "{name}"
        );
    }
}

#[test]
fn letters_that_are_missing_doubled_or_unknown_are_found() {
    let bad = BTreeSet::from(["bad-1", "bad-2", "bad-3"].map(str::to_owned));
    let letters = [
        r#"{"x":"bad-1"}"#,
        r#"{"x":"bad-3"}"#,
        r#"{"x":"bad-3"}"#,
        r#"{"x":"bad-33"}"#,
    ];
    let findings = each_once(&bad, &letters.map(str::to_owned));
    let found: Vec<&str> = findings.iter().map(|finding| &*finding.what).collect();
    let expected = [
        "nobody sent {\"x\":\"bad-33\"}",
        "bad-2 is there 0 times",
        "bad-3 is there 2 times",
    ];
    assert_eq!(found, expected);
    assert!(
        report(&findings).contains("Letter, 3 times:"),
        "{}",
        report(&findings)
    );
}
