//! What an event and a series cost. Not a test of anything; run with
//! `cargo test --release -p bt-consumers --lib measure -- --ignored --nocapture`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use super::page::allocated;
use super::room::Room;
use super::series::{PartitionSeries, RecordTime, SeriesSettings, Source};

const SERIES: usize = 100_000;
const PARTITIONS: usize = 12;
const ROUNDS: usize = 10;

/// Counts what the current thread has allocated, rounded as the allocator rounds it.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends has no counter any more, and nothing to measure.
    let _ = BYTES.try_with(|total| total.set(total.get() + bytes));
}

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(allocated(layout.size()) as isize);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(allocated(layout.size()) as isize));
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated_now() -> isize {
    BYTES.with(Cell::get)
}

/// CPU seconds of this thread.
fn cpu() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs something and says what it took of CPU time, for each of so many things.
fn timed<T>(what: &str, each: usize, work: impl FnOnce() -> T) -> T {
    let began = cpu();
    let result = work();
    let took = cpu() - began;
    println!(
        "{what:44} {:>9.3} ms {:>8.0} ns each",
        took * 1e3,
        took * 1e9 / each as f64
    );
    result
}

/// An event of about 250 bytes.
fn event(series: usize, kind: &str) -> String {
    format!(
        r#"{{"ts":"2026-01-01T00:00:00.{:03}Z","service":"checkout-{}","instance":"checkout-{}-6d5f7c9b8-{:05x}","name":"{kind}_requests_{}_total","kind":"{kind}","value":{},"labels":{{"method":"GET","path":"/api/v1/orders/{}","status":"200","region":"eu-west-1"}}}}"#,
        series % 1000,
        series % 20,
        series % 20,
        series % 200 * 7919,
        series % 50,
        series % 7 + 1,
        series,
    )
}

fn series(partition: usize) -> PartitionSeries {
    PartitionSeries::new(
        Source {
            topic: "metrics.events".into(),
            topic_id: "mB9vT0bPQzqBqJmJ3Yk3Xw".to_owned(),
            partition: partition as i32,
        },
        Arc::new(SeriesSettings {
            histogram_buckets: [
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ]
            .into(),
            exactly_once: true,
        }),
    )
}

fn partitions() -> Vec<PartitionSeries> {
    (0..PARTITIONS).map(series).collect()
}

/// Events as they come from Kafka, each with its partition.
struct Feed(Vec<(usize, String)>);

impl Feed {
    fn new(kind: &str) -> Self {
        // In no order of memory: a large odd step visits each once.
        let order = (0..SERIES).map(|i| i * 7_919 % SERIES);
        Self(order.map(|i| (i % PARTITIONS, event(i, kind))).collect())
    }

    fn parse(&self, mut each: impl FnMut(usize, bt_events::Event<'_>)) {
        for (partition, json) in &self.0 {
            let mut elements = bt_events::parse(json.as_bytes()).expect("JSON");
            let event = elements.next().expect("one").event();
            each(*partition, event.expect("an event"));
        }
    }

    fn apply(&self, partitions: &mut [PartitionSeries], room: &mut Room) {
        let record = RecordTime {
            timestamp_ms: Some(1_767_225_600_000),
        };
        self.parse(|partition, event| {
            let applied = partitions[partition].apply(&event, record, 1_767_225_600, room);
            applied.expect("the event is in order");
        });
    }
}

fn measure(kind: &str) {
    println!("--- {SERIES} series, {PARTITIONS} partitions, {kind}");
    let feed = Feed::new(kind);
    println!("{:44} {}", "bytes of an event", feed.0[SERIES / 2].1.len());
    timed("parse", SERIES * ROUNDS, || {
        for _ in 0..ROUNDS {
            feed.parse(|_, event| {
                black_box(&event);
            });
        }
    });
    let keys = super::raw::Keys::default();
    timed("parse and hash", SERIES * ROUNDS, || {
        for _ in 0..ROUNDS {
            feed.parse(|_, event| {
                if let bt_events::Body::Metric(metric) = &event.body {
                    black_box(keys.metric(&event, metric));
                }
            });
        }
    });
    let mut room = Room::new(SERIES);
    let before = allocated_now();
    let mut all = partitions();
    timed("parse and apply, new series", SERIES, || {
        feed.apply(&mut all, &mut room);
    });
    let used = allocated_now() - before;
    let estimated: usize = all.iter().map(PartitionSeries::bytes).sum();
    println!(
        "{:44} {} B, estimated {} B",
        "memory of a series",
        used as usize / SERIES,
        estimated / SERIES
    );
    timed("parse and apply, steady", SERIES * ROUNDS, || {
        for _ in 0..ROUNDS {
            feed.apply(&mut all, &mut room);
        }
    });
    let mut records: Vec<Vec<_>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    timed("write, labels and values", SERIES, || {
        for (partition, out) in all.iter_mut().zip(&mut records) {
            partition.write(1, out);
            partition.committed();
        }
    });
    feed.apply(&mut all, &mut room);
    let values = timed("write, values", SERIES, || {
        let mut out = Vec::new();
        for partition in &mut all {
            partition.write(1, &mut out);
            partition.committed();
        }
        out
    });
    let bytes = |records: &[super::state::StateRecord]| -> usize {
        let value = |r: &super::state::StateRecord| r.value.as_ref().map_or(0, Vec::len);
        records.iter().map(|r| r.key.len() + value(r)).sum()
    };
    println!(
        "{:44} {} B, values {} B",
        "records of a series",
        records.iter().map(|r| bytes(r)).sum::<usize>() / SERIES,
        bytes(&values) / SERIES
    );
    timed("snapshot", SERIES, || {
        let snapshots: Vec<_> = all.iter().map(PartitionSeries::snapshot).collect();
        black_box(&snapshots);
        snapshots
    });
    timed("expire nothing", SERIES, || {
        for partition in &mut all {
            assert_eq!(partition.expire(1, &mut room), 0);
        }
    });
    let mut restored = partitions();
    let mut room = Room::new(SERIES);
    timed("load", SERIES, || {
        for (partition, records) in restored.iter_mut().zip(&records) {
            for record in records {
                let value = record.value.as_deref();
                partition.load(&record.key, value).expect("our record");
            }
            partition.loaded(&mut room).expect("our state");
        }
    });
    assert_eq!(room.used(), SERIES);
    timed("parse and apply, first of known series", SERIES, || {
        feed.apply(&mut restored, &mut room);
    });
    timed("expire all", SERIES, || {
        for partition in &mut restored {
            partition.expire(u32::MAX, &mut room);
        }
    });
    assert_eq!(room.used(), 0);
}

#[test]
#[ignore = "prints figures, for a release build"]
fn counters() {
    measure("counter");
}

#[test]
#[ignore = "prints figures, for a release build"]
fn histograms() {
    measure("histogram");
}
