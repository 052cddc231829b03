//! What a call costs the service.

use std::time::{Duration, Instant};

use bt_events::{Metric, Producer};

use crate::mock::builder;

/// The 99th percentile of what `call` takes, in the best of many rounds: whatever else the machine does only ever adds.
fn p99<T>(mut prepare: impl FnMut() -> T, mut call: impl FnMut(T)) -> Duration {
    let mut round = || {
        let prepared: Vec<T> = (0..1000).map(|_| prepare()).collect();
        let mut times = Vec::with_capacity(prepared.len());
        for input in prepared {
            let began = Instant::now();
            call(input);
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times[times.len() * 99 / 100]
    };
    (0..100).map(|_| round()).min().expect("a round")
}

fn full() -> Producer {
    let producer = builder().queue_events(1).build().expect("a producer");
    assert!(producer.send_metric(Metric::counter("a", 1.0)));
    producer
}

#[test]
fn a_call_with_a_full_queue_takes_no_microsecond() {
    let producer = full();
    let metric = || Metric::counter("orders_total", 1.0).label("channel", "web");
    let time = p99(metric, |metric| assert!(!producer.send_metric(metric)));
    println!("p99 with a full queue: {time:?}");
    assert!(time <= Duration::from_micros(1), "{time:?}");
    assert_eq!(producer.stats().dropped["queue_full"], 100_000);
}
