//! Owners of one partition come and go, at any moment, with commits that arrive, fail, or nobody knows; whatever they
//! show is compared with a model of a few lines.
//!
//! A record's timestamp is its offset here, so that a series' `created` says where in the partition its life began: its
//! value must be that of the events from there to the owner's position, not one more or less.

use std::collections::BTreeMap;

use bt_events::Kind;
use proptest::prelude::*;

use super::fixture::{Compacted, Shown, apply_record, series, shown};
use super::room::Room;
use super::series::PartitionSeries;
use super::state::StateRecord;

#[derive(Debug, Clone)]
struct Produced {
    name: &'static str,
    kind: Kind,
    label: u8,
    value: i8,
    /// Of a gauge.
    add: bool,
}

impl Produced {
    fn fields(&self) -> String {
        let Self {
            name,
            kind,
            label,
            value,
            add,
        } = self;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let op = if *add { r#","op":"add""# } else { "" };
        format!(r#""name":"{name}","kind":"{kind}","value":{value},"labels":{{"n":{label}}}{op}"#)
    }

    fn series(&self) -> String {
        format!("{},n=\"{}\"", self.name, self.label)
    }

    fn is_good(&self) -> bool {
        self.kind != Kind::Counter || self.value >= 0
    }
}

/// The model: the value of one series after these events, and how many there were.
fn value_of<'e>(events: impl Iterator<Item = &'e Produced>) -> (f64, u64) {
    events.fold((0.0, 0), |(value, count), event| {
        let change = f64::from(event.value);
        match event.kind == Kind::Gauge && !event.add {
            true => (change, count + 1),
            false => (value + change, count + 1),
        }
    })
}

#[derive(Debug, Clone)]
enum Step {
    Produce(Vec<Produced>),
    /// So many events, where there are.
    Consume(u8),
    BeginCommit,
    Committed,
    Failed,
    /// The producer gives up without knowing; whether the transaction was committed after all.
    Unknown(bool),
    /// Another owner takes over; whether what was in flight was committed.
    Crash(bool),
    /// Seconds go by.
    Pass(u8),
    /// What had no event for so many seconds is dropped.
    Expire(u8),
    Limit(u8),
    Scrape,
}

fn produced() -> impl Strategy<Value = Produced> {
    let families = prop::sample::select(vec![
        ("c", Kind::Counter),
        ("c", Kind::Counter),
        ("g", Kind::Gauge),
        ("h", Kind::Histogram),
        // Of two kinds, whichever comes first.
        ("x", Kind::Counter),
        ("x", Kind::Histogram),
    ]);
    let label = prop_oneof![0..4u8, 0..80u8];
    (families, label, -2..20i8, any::<bool>()).prop_map(|((name, kind), label, value, add)| {
        Produced {
            name,
            kind,
            label,
            value,
            add: add && kind == Kind::Gauge,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(produced(), 1..60).prop_map(Step::Produce),
        6 => (1..40u8).prop_map(Step::Consume),
        4 => Just(Step::BeginCommit),
        4 => Just(Step::Committed),
        1 => Just(Step::Failed),
        1 => any::<bool>().prop_map(Step::Unknown),
        1 => any::<bool>().prop_map(Step::Crash),
        4 => Just(Step::Scrape),
    ]
}

fn step_with_bounds() -> impl Strategy<Value = Step> {
    prop_oneof![
        25 => step(),
        1 => (1..20u8).prop_map(Step::Pass),
        2 => (0..30u8).prop_map(Step::Expire),
        1 => (0..100u8).prop_map(Step::Limit),
    ]
}

/// The partition, the state topic, and the present owner.
struct World {
    log: Vec<Produced>,
    state: Compacted,
    /// The group's offset.
    committed: usize,
    owner: PartitionSeries,
    room: Room,
    position: usize,
    /// Below this the owner does not show anything.
    end_when_assigned: usize,
    in_flight: Option<(Vec<StateRecord>, usize)>,
    now: u32,
    /// What was last seen of each series.
    seen: BTreeMap<String, Shown>,
}

impl World {
    fn new() -> Self {
        Self {
            log: Vec::new(),
            state: Compacted::default(),
            committed: 0,
            owner: series(true),
            room: Room::new(1000),
            position: 0,
            end_when_assigned: 0,
            in_flight: None,
            now: 1000,
            seen: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Produce(events) => self.log.extend(events),
            Step::Consume(events) => self.consume(events as usize),
            Step::BeginCommit if self.in_flight.is_none() => {
                let mut records = Vec::new();
                self.owner.write(self.position as i64, &mut records);
                assert!(!self.owner.is_dirty());
                self.in_flight = Some((records, self.position));
            }
            Step::BeginCommit => {}
            Step::Committed => {
                if self.in_flight.is_some() {
                    self.arrive(true);
                    self.owner.committed();
                }
            }
            Step::Failed | Step::Unknown(false) => {
                self.arrive(false);
                self.owner.not_committed();
            }
            Step::Unknown(true) => {
                self.arrive(true);
                self.owner.not_committed();
            }
            Step::Crash(arrives) => {
                self.arrive(arrives);
                self.take_over();
            }
            Step::Pass(seconds) => self.now += u32::from(seconds),
            Step::Expire(age) => {
                let before = self.owner.len();
                let expired = self.owner.expire(self.now - u32::from(age), &mut self.room);
                assert_eq!(self.owner.len(), before - expired);
            }
            Step::Limit(series) => self.room.set_limit(series.into()),
            Step::Scrape => self.scrape(),
        }
        assert_eq!(self.room.used(), self.owner.len());
    }

    fn consume(&mut self, events: usize) {
        for _ in 0..events {
            let Some(event) = self.log.get(self.position) else {
                return;
            };
            let offset = self.position as i64;
            let fields = event.fields();
            let applied = apply_record(&mut self.owner, &fields, offset, self.now, &mut self.room);
            match applied {
                Err(why) if why.reason == "negative_increment" => assert!(!event.is_good()),
                Err(why) => assert_eq!((event.name, why.reason), ("x", "type_clash")),
                Ok(_) => assert!(event.is_good()),
            }
            self.position += 1;
        }
    }

    fn arrive(&mut self, arrives: bool) {
        if let Some((records, offset)) = self.in_flight.take()
            && arrives
        {
            self.state.append(&records);
            self.committed = offset;
        }
    }

    fn take_over(&mut self) {
        self.room.release(self.owner.len());
        let (owner, loaded) = self.state.load(&mut self.room).expect("our state");
        let offset = loaded.meta.map_or(0, |meta| meta.offset);
        assert_eq!(offset, self.committed as i64);
        self.owner = owner;
        self.position = self.committed;
        self.end_when_assigned = self.log.len();
    }

    fn scrape(&mut self) {
        if self.position < self.end_when_assigned {
            return;
        }
        for (name, series) in shown(&self.owner.snapshot()) {
            self.check(&name, &series);
            self.seen.insert(name, series);
        }
    }

    fn check(&self, name: &str, series: &Shown) {
        let life = self.log[series.created as usize..self.position]
            .iter()
            .filter(|e| e.series() == name && e.kind == series.kind && e.is_good());
        let (value, count) = value_of(life);
        assert_eq!(series.value, value, "{name}");
        if let Some(histogram) = &series.histogram {
            let native = &histogram.native;
            let of_native = native.positive.iter().chain(&native.negative);
            let of_native: u64 = of_native.map(|(_, count)| count).sum();
            assert_eq!(histogram.counts.iter().sum::<u64>(), count, "{name}");
            assert_eq!(native.zero_count + of_native, count, "{name}");
        }
        let Some(before) = self.seen.get(name) else {
            return;
        };
        assert!(series.created >= before.created, "{name} was there before");
        if series.created > before.created {
            return;
        }
        match (series.kind, &before.histogram, &series.histogram) {
            (Kind::Gauge, ..) => {}
            (_, Some(before), Some(now)) => {
                let pairs = before.counts.iter().zip(&now.counts);
                assert!(pairs.into_iter().all(|(b, n)| b <= n), "{name} went back");
            }
            _ => assert!(series.value >= before.value, "{name} went back"),
        }
    }

    /// Everything consumed and committed, by an owner that has only the state.
    fn finish(&mut self) {
        self.room.set_limit(1000);
        self.consume(usize::MAX);
        self.scrape();
        for _ in 0..2 {
            self.owner.not_committed();
            self.in_flight = None;
            self.step(Step::BeginCommit);
            self.step(Step::Committed);
            self.scrape();
            self.take_over();
            self.scrape();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_becomes_of_owners_and_commits_the_sums_are_those_of_the_events(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
        let shown = shown(&world.owner.snapshot());
        let mut first = BTreeMap::new();
        for (offset, event) in world.log.iter().enumerate() {
            // The first kind of `x` is the one.
            let is_first = |e: &&Produced| e.name == event.name && e.is_good();
            let kind = world.log.iter().find(is_first).map(|e| e.kind);
            if event.is_good() && Some(event.kind) == kind {
                first.entry(event.series()).or_insert(offset as i64);
            }
        }
        let created: BTreeMap<_, _> = shown.into_iter().map(|(n, s)| (n, s.created)).collect();
        prop_assert_eq!(created, first);
    }

    #[test]
    fn with_expiry_and_a_limit_too_no_life_of_a_series_loses_or_repeats_an_event(
        steps in prop::collection::vec(step_with_bounds(), 1..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
