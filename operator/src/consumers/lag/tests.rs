use StartFrom::{Earliest, Latest};

use super::measure::{Carried, Committed, Log, Look, reading};
use super::*;
use bt_consumers::config::StartFrom;
use bt_kafka::Offsets;

const TOPIC: &str = "t";

fn offsets(known: &[(i32, i64)]) -> Offsets {
    let entry = |(partition, offset): &(i32, i64)| ((TOPIC.to_owned(), *partition), *offset);
    known.iter().map(entry).collect()
}

/// A look after so many seconds at a topic of two partitions.
fn look(
    base: Instant,
    seconds: u64,
    starts: &[(i32, i64)],
    ends: &[(i32, i64)],
    committed: &[(i32, i64)],
) -> Look {
    let at = base + Duration::from_secs(seconds);
    Look {
        log: Arc::new(Log {
            partitions: BTreeMap::from([(TOPIC.into(), 2)]),
            starts: offsets(starts),
            ends: offsets(ends),
            at,
        }),
        committed: Arc::new(Committed {
            offsets: offsets(committed),
            at,
        }),
    }
}

fn read(start_from: StartFrom, now: &Look, before: Option<&Look>) -> Reading {
    let topics = [TOPIC.to_owned()];
    let carried = Carried {
        topics: &topics,
        start_from,
    };
    reading(carried, now, before, None)
}

#[test]
fn lag_counts_only_what_is_there_to_be_carried() {
    for (start, end, committed, start_from, expected) in [
        (0, 10, Some(4), Earliest, 6),
        (0, 10, Some(10), Earliest, 0),
        (0, 10, None, Earliest, 10),
        (0, 10, None, Latest, 0),
        (7, 10, Some(4), Earliest, 3),
        (7, 10, Some(4), Latest, 3),
        (7, 10, None, Earliest, 3),
        (0, 10, Some(50), Earliest, 10),
        (0, 10, Some(50), Latest, 0),
    ] {
        let committed: Vec<_> = committed.map(|offset| (0, offset)).into_iter().collect();
        let look = look(
            Instant::now(),
            0,
            &[(0, start), (1, 0)],
            &[(0, end), (1, 0)],
            &committed,
        );
        let reading = read(start_from, &look, None);
        let lag = reading.lag.expect("all is known");
        assert_eq!(
            lag.total, expected,
            "{start} {end} {committed:?} {start_from:?}"
        );
        assert_eq!((lag.topics[0].partitions, reading.partitions), (2, Some(2)));
        assert_eq!(reading.behind, Some(i32::from(expected > 0)));
        assert!(reading.uncommitted, "the second partition is");
    }
}

#[test]
fn a_partition_that_is_not_known_makes_the_lag_unknown() {
    let base = Instant::now();
    let unknown = look(base, 0, &[(0, 0), (1, 0)], &[(0, 5)], &[(0, 5), (1, 5)]);
    let reading = read(Earliest, &unknown, None);
    assert_eq!((reading.lag, reading.behind), (None, None));
    assert_eq!((reading.partitions, reading.uncommitted), (Some(2), false));
    let topics = [TOPIC.to_owned(), "other".to_owned()];
    let carried = Carried {
        topics: &topics,
        start_from: Earliest,
    };
    let known = look(base, 0, &[(0, 0), (1, 0)], &[(0, 5), (1, 5)], &[]);
    let reading = measure::reading(carried, &known, Some(&known), None);
    assert_eq!(
        (
            reading.lag,
            reading.partitions,
            reading.rate,
            reading.produced
        ),
        (None, None, None, None)
    );
}

#[test]
fn rates_are_between_two_looks() {
    let base = Instant::now();
    let starts = [(0, 0), (1, 0)];
    let at = |seconds, ends: [i64; 2], committed: &[(i32, i64)]| {
        look(
            base,
            seconds,
            &starts,
            &[(0, ends[0]), (1, ends[1])],
            committed,
        )
    };
    let before = at(0, [100, 100], &[(0, 10)]);
    for (now, start_from, rate, produced, eta) in [
        (
            at(10, [110, 110], &[(0, 60)]),
            Earliest,
            Some(5.0),
            Some(2.0),
            Some(54),
        ),
        // The first commit of a partition began at its start, or nobody knows where.
        (
            at(10, [110, 110], &[(0, 60), (1, 30)]),
            Earliest,
            Some(8.0),
            Some(2.0),
            Some(22),
        ),
        (
            at(10, [110, 110], &[(0, 60), (1, 30)]),
            Latest,
            Some(5.0),
            Some(2.0),
            Some(44),
        ),
        // More arrives than is carried.
        (
            at(10, [200, 100], &[(0, 60)]),
            Earliest,
            Some(5.0),
            Some(10.0),
            None,
        ),
        (
            at(10, [100, 100], &[(0, 100), (1, 100)]),
            Earliest,
            Some(19.0),
            Some(0.0),
            Some(0),
        ),
        // Offsets that went back, or are gone; a topic that was made anew.
        (
            at(10, [110, 110], &[(0, 5)]),
            Earliest,
            None,
            Some(2.0),
            None,
        ),
        (at(10, [110, 110], &[]), Earliest, None, Some(2.0), None),
        (
            at(10, [110, 20], &[(0, 60)]),
            Earliest,
            Some(5.0),
            None,
            None,
        ),
        (at(0, [110, 110], &[(0, 60)]), Earliest, None, None, None),
    ] {
        let reading = read(start_from, &now, Some(&before));
        let found = (reading.rate, reading.produced, reading.drain_eta);
        let expected = (rate, produced, eta.map(Duration::from_secs));
        assert_eq!(found, expected, "{now:?} {start_from:?}");
    }
    let first = read(Earliest, &before, None);
    assert_eq!((first.rate, first.produced), (None, None));
}
