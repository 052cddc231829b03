//! What a scrape of 100,000 series takes:
//! `cargo test --release -p bt-consumers --lib exposition::tests::speed -- --ignored --nocapture`.

use bt_events::Kind;

use super::fixture::*;
use super::*;
use crate::sink::prometheus::snapshot::{FamilyInfo, FamilySnapshot, HistogramSnapshot, Native};

const SERIES: usize = 100_000;
const PARTITIONS: usize = 12;
const RUNS: usize = 15;

/// The processor time of this thread, in milliseconds.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = stat.split(' ').next().expect("a first field");
    nanos.parse::<f64>().expect("a number") / 1e6
}

/// Nine of ten are counters; one of a hundred is a histogram of twelve buckets.
fn snapshots() -> Vec<PartitionSnapshot> {
    let per_partition = SERIES / PARTITIONS;
    let partitions = 0..PARTITIONS;
    let label = |p: usize, n: usize| {
        format!(
            r#"service="checkout-{}",instance="checkout-7d9f8b-{:05}",method="GET",path="/api/v1/orders/{}",status="200",source="metrics.events/{p}""#,
            n % 40,
            (n * 7919 + p * 104_729) % 100_000,
            n % 500,
        )
    };
    partitions
        .map(|p| {
            let mut families: Vec<FamilySnapshot> = Vec::new();
            for (index, begin) in (0..per_partition).step_by(100).enumerate() {
                let end = (begin + 100).min(per_partition);
                let labels: Vec<_> = (begin..end).map(|n| label(p, n)).collect();
                let value = |n: usize| match n % 4 {
                    0 => n as f64 * 0.37,
                    _ => (n * 977) as f64,
                };
                let series: Vec<_> = labels
                    .iter()
                    .enumerate()
                    .map(|(n, l)| (l.as_str(), value(begin + n)))
                    .collect();
                families.push(match index {
                    0 => {
                        let info = FamilyInfo {
                            buckets: (0..11).map(|b| 0.005 * f64::from(1 << b)).collect(),
                            ..info("http_request_duration_seconds", Kind::Histogram)
                        };
                        let of = |value: f64| HistogramSnapshot {
                            native: Native {
                                zero_count: 0,
                                positive: (0..40).map(|i| (i, 3)).collect(),
                                ..Native::default()
                            },
                            ..observed(&[10; 12], value)
                        };
                        let series: Vec<_> = series.iter().map(|(l, v)| (*l, of(*v))).collect();
                        histograms_of(info, &series)
                    }
                    1..=8 => numbers(&format!("app_queue_depth_{index}"), Kind::Gauge, &series),
                    _ => numbers(
                        &format!("app_requests_{index}_total"),
                        Kind::Counter,
                        &series,
                    ),
                });
            }
            partition(families)
        })
        .collect()
}

#[test]
#[ignore = "a measurement, of a release build"]
fn a_scrape_of_100_000_series() {
    let partitions = snapshots();
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        for encoding in [Encoding::Identity, Encoding::Gzip] {
            let mut times: Vec<f64> = (0..RUNS)
                .map(|_| {
                    let began = cpu_ms();
                    let page = render(&partitions, format, encoding);
                    assert_eq!(page.hidden, 0);
                    let took = cpu_ms() - began;
                    drop(page);
                    took
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let bytes = render(&partitions, format, encoding).body.len();
            println!(
                "{format:?} {encoding:?}: {:.1} ms CPU (median of {RUNS}; {:.1} to {:.1}), {:.1} MB",
                times[RUNS / 2],
                times[0],
                times[RUNS - 1],
                bytes as f64 / 1e6
            );
        }
    }
}
