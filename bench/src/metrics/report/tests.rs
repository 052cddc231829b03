use super::super::figures::Many;
use super::super::restore::Restored;
use super::*;
use crate::told::Told;

const MILLION: u64 = 1_000_000;

fn consumed(cpu: f64, mebibytes: u64) -> Consumed {
    Consumed {
        events: MILLION,
        rate: 400_000.0,
        cpu,
        rss: mebibytes << 20,
        series_bytes: None,
        scrapes: 0,
    }
}

fn told(events: u64, seconds: f64, cpu: f64) -> Told {
    Told {
        events,
        seconds,
        cpu,
    }
}

fn figures() -> Figures {
    Figures {
        events: MILLION,
        series: 100_000,
        mean_bytes: 250.0,
        preload_seconds: 2.0,
        floor: vec![told(MILLION, 1.0, 0.6); 3],
        off: vec![consumed(1.2, 60), consumed(1.0, 50), consumed(1.5, 70)],
        on: vec![consumed(1.6, 90)],
        python: Some((told(500_000, 6.0, 6.0), told(MILLION, 10.0, 10.5))),
        memory: vec![Memory {
            exactly_once: false,
            one: vec![30 << 20],
            all: vec![60 << 20, 59 << 20, 61 << 20],
            series_bytes: Some(25e6),
        }],
        exact: 4,
        ..Figures::default()
    }
}

/// The words of the line that begins so.
fn line(report: &str, begin: &str) -> Vec<String> {
    let line = report
        .lines()
        .find(|line| line.trim_start().starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("no line {begin:?} in {report}"));
    line.split_whitespace().map(str::to_owned).collect()
}

fn ends(report: &str, begin: &str, end: &str) {
    let line = line(report, begin).join(" ");
    assert!(line.ends_with(end), "{line:?} does not end with {end:?}");
}

#[test]
fn the_median_is_measured_against_the_floor_and_python_against_the_sink() {
    let report = Report::new(figures()).to_string();
    ends(
        &report,
        "sink, exactly-once off",
        "1.20 1.00–1.50 2.00 400 k 833 k ≤ 1.3 s: met, ≤ 2 × floor: met",
    );
    ends(&report, "sink, exactly-once on", "≤ 1.25 × off: missed");
    // The second half: 9 s a million, without what new series cost.
    ends(&report, "Python, second half", "≥ 7 × off: met");
    ends(
        &report,
        "exact",
        "4 pages were compared with what was produced, series by series; 0 differed: 0: met",
    );
}

#[test]
fn memory_is_what_is_beyond_that_of_one_series() {
    let report = Report::new(figures()).to_string();
    ends(
        &report,
        "exactly-once off",
        "30 (30–30) MiB 60 (59–61) MiB 30.0 MiB 315 B 23.8 MiB 60 (50–70) MiB ≤ 40 MiB: met",
    );
    let of_on = |line: &str| line.trim_start().starts_with("exactly-once on");
    assert!(!report.lines().any(of_on), "{report}");
}

#[test]
fn a_scrape_in_another_form_than_asked_for_is_told_and_not_judged() {
    let cost = Cost {
        format: "Text",
        gzip: false,
        at_once: 1,
        cpu: 0.06,
        seconds: 0.1,
        bytes: 20 << 20,
        as_asked: true,
    };
    let other = Cost {
        format: "Protobuf",
        as_asked: false,
        ..cost.clone()
    };
    let scrapes = vec![cost, other];
    let report = Report::new(Figures {
        scrapes,
        ..figures()
    });
    let report = report.to_string();
    ends(&report, "Text", "60 ms 100 ms 20.0 MiB ≤ 50 ms: missed");
    ends(&report, "Protobuf", "(not answered in this form)");
}

#[test]
fn what_was_not_measured_has_no_table_and_no_target() {
    let report = Report::new(Figures::default());
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["targets"], serde_json::json!({}));
    let text = report.to_string();
    for table in ["Memory", "Scrapes", "Ingestion", "Restore"] {
        assert!(!text.contains(table), "{text}");
    }
}

#[test]
fn the_file_has_every_figure_and_the_targets() {
    let report = Report::new(Figures {
        restores: vec![Restored {
            after: "SIGTERM",
            assigned: 1.5,
            shown: 3.5,
            own: Some(2.0),
        }],
        many: vec![Many {
            exactly_once: false,
            series: 500_000,
            shown: 499_999,
            rss: 200 << 20,
            series_bytes: None,
            page_seconds: 0.5,
        }],
        ..figures()
    });
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["restores"][0]["shown"], 3.5);
    assert_eq!(json["off"][2]["cpu"], 1.5);
    assert_eq!(json["targets"]["restoreTerm"]["met"], false);
    assert_eq!(json["targets"]["manyOff"]["met"], false);
    assert_eq!(json["targets"]["off"]["met"], true);
}

#[test]
fn a_page_that_differs_is_told() {
    let report = Report::new(Figures {
        wrong: vec!["off-1: one".into()],
        ..figures()
    });
    assert_eq!(report.wrong(), ["off-1: one"]);
    let text = report.to_string();
    ends(&text, "exact", "1 differed: 0: missed");
    assert!(text.contains("off-1: one"), "{text}");
}
