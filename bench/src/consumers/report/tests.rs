use clap::Parser;

use super::*;

const METRICS: &str = "\
round_bucket{le=\"0.25\"} 11
round_bucket{le=\"1\"} 12
round_bucket{le=\"+Inf\"} 12
round_sum 2.4
";

fn report() -> Report {
    let options = Options::parse_from(["consumers"]);
    let mut report = Report::new("a machine".into(), "versions".into(), &options);
    report.interval = Duration::from_secs(10);
    report
}

#[test]
fn what_was_not_measured_is_not_told() {
    let text = report().to_string();
    assert!(text.contains("300 of no pods"), "{text}");
    assert!(!text.contains("target"), "{text}");
}

#[test]
fn a_reading_of_lag_is_judged_by_the_slowest() {
    let mut report = report();
    report.rounds = Histogram::of(METRICS, "round");
    report.lag_right = Some(299);
    let text = report.lag();
    assert!(text.contains("their mean"), "{text}");
    assert!(text.contains("0.20 s"), "{text}");
    assert!(text.contains("≤ 1 s: met"), "{text}");
    assert!(text.contains("300: missed"), "{text}");
    report.rounds = Histogram::of(&METRICS.replace("Inf\"} 12", "Inf\"} 13"), "round");
    let text = report.lag();
    assert!(text.contains("≤ 1 s: missed"), "{text}");
}

#[test]
fn a_burst_has_one_interval_and_two_seconds() {
    let burst = |took| Burst {
        after: Duration::from_secs(2),
        produce: Duration::from_millis(300),
        took: Duration::from_millis(took),
    };
    let mut report = report();
    report.bursts = vec![burst(12_000), burst(12_001)];
    let text = report.bursts();
    let met: Vec<bool> = text
        .lines()
        .skip(1)
        .map(|line| line.ends_with("met"))
        .collect();
    assert_eq!(met, [true, false], "{text}");
}

#[test]
fn creation_is_judged_by_the_last_that_is_ready() {
    let mut report = report();
    report.creation = Some(Creation {
        writes: Duration::from_secs(3),
        ready: Duration::from_secs(21),
    });
    let text = report.to_string();
    assert!(text.contains("≤ 20 s: missed"), "{text}");
}
