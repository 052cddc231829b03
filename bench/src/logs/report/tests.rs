use super::super::figures::{Stall, WithEngine};
use super::*;

fn consumed(cpu: f64, peak: u64) -> Consumed {
    Consumed {
        logs: 2_000_000,
        rate: 400_000.0,
        cpu,
        peak: peak << 20,
        steady: 60 << 20,
        sent: 1_600_000_000,
    }
}

fn figures() -> Figures {
    let told = |cpu: f64| Told {
        events: 2_000_000,
        seconds: 2.0,
        cpu,
    };
    Figures {
        logs: 2_000_000,
        partitions: 12,
        mean_bytes: 680.0,
        preload_seconds: 4.0,
        bare: [1.6, 1.5, 1.7].map(told).into(),
        floor: vec![told(2.4); 3],
        sink: vec![consumed(3.2, 80), consumed(3.0, 90), consumed(3.4, 70)],
        rsyslog: vec![consumed(9.8, 300), consumed(9.0, 310)],
        python: vec![consumed(40.0, 280)],
        stall: Some(Stall {
            seconds: 60.0,
            before: 60 << 20,
            filled: 90 << 20,
            end: 96 << 20,
            after: 70 << 20,
            peak: 99 << 20,
            member: true,
        }),
        engine: Some(WithEngine {
            name: "OpenSearch 2.19.1".into(),
            processors: 2,
            logs: 500_000,
            seconds: 20.0,
            sink_cpu: 2.0,
            engine_cpu: 36.0,
            peak: 90 << 20,
        }),
        ..Figures::default()
    }
}

/// The line that begins so, without what only aligns it.
fn line(report: &str, begin: &str) -> String {
    let mut lines = report.lines().map(str::trim_start);
    let line = lines.find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("no line {begin:?} in {report}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn all_are_compared_with_bare_librdkafka_and_the_sink_of_their_round() {
    let report = Report::new(figures()).to_string();
    let sink = "sink 1.60 1.50–1.70 2.00 1.00 400 k 625 k 800 B 60 MiB 90.0 MiB ≤ 1.6 s: met, ≤ 2 × bare: met, ≤ 100 MiB: met";
    assert_eq!(line(&report, "sink  "), sink);
    let rsyslog = line(&report, "rsyslog");
    assert!(rsyslog.ends_with("≥ 3 × sink: met"), "{rsyslog}");
    assert!(report.contains("rsyslog does less"), "{report}");
    let floor = line(&report, "floor");
    assert_eq!(
        floor,
        "floor: and copies of the bytes 1.20 1.20–1.20 1.50 0.75 1000 k 833 k"
    );
    let python = line(&report, "Python");
    assert!(python.ends_with("≥ 14 × sink: missed"), "{python}");
}

#[test]
fn memory_that_grows_once_the_buffers_are_full_is_not_flat() {
    let report = Report::new(figures()).to_string();
    let sink = "sink 60.0 MiB 90.0 MiB 96.0 MiB 70.0 MiB 99.0 MiB flat: missed, ≤ 100 MiB: met";
    assert!(report.contains("does not answer for 60 s"), "{report}");
    let (_, stall) = report.split_once("does not answer").expect("a table");
    assert_eq!(line(stall, "sink  "), sink);
    assert_eq!(line(stall, "place"), "place in the group kept: met");
}

#[test]
fn the_sink_has_its_share_of_a_core_beside_a_real_engine() {
    let report = Report::new(figures()).to_string();
    let (_, engine) = report
        .split_once("OpenSearch 2.19.1: 500000")
        .expect("a table");
    let sink = "sink 25 k 4.00 0.10 90.0 MiB ≤ 15 % of a core: met";
    assert_eq!(line(engine, "sink  "), sink);
    assert_eq!(
        line(engine, "OpenSearch"),
        "OpenSearch 2.19.1 25 k 72.00 1.80 of 2"
    );
}

#[test]
fn an_engine_that_is_not_the_limit_says_nothing_of_the_sinks_share() {
    let mut figures = figures();
    let engine = figures.engine.as_mut().expect("an engine");
    engine.engine_cpu = 34.0;
    let report = Report::new(figures);
    assert!(report.targets.get("engine").is_none());
    let report = report.to_string();
    assert!(
        report.contains("no verdict: the engine was not the limit"),
        "{report}"
    );
}

#[test]
fn what_was_not_measured_has_no_table_and_no_target() {
    let report = Report::new(Figures {
        skipped: vec!["rsyslog: not there".into()],
        ..Figures::default()
    });
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["targets"], serde_json::json!({}));
    let text = report.to_string();
    for table in ["Into an engine", "does not answer", "each of which"] {
        assert!(!text.contains(table), "{text}");
    }
    assert!(text.contains("left out  rsyslog: not there"), "{text}");
}
