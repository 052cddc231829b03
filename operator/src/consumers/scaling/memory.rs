//! What is remembered of one consumer between decisions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Inputs, Known};
use crate::api::Lag;

/// How long what one pod carries is believed without being seen again.
const CAPACITY_LASTS: Duration = Duration::from_secs(24 * 3600);
/// How long it is believed that so many pods are not enough for so much: the reason may have been a passing one.
const TOO_MUCH_LASTS: Duration = Duration::from_secs(2 * 3600);
/// Pods are busy all the time while they have work for at least this long.
const BACKLOG: Duration = Duration::from_secs(10);
/// Intervals that are averaged before one that is better than what is known counts: commits come in lumps.
const AVERAGED: usize = 3;

/// Of one consumer.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The number of partitions, as last known.
    pub(super) partitions: Option<i32>,
    pub(super) change: Option<Change>,
    pub(super) wants: Wants,
    capacity: Option<(f64, Instant)>,
    /// Records a second for each pod that were too much.
    too_much: Option<(f64, Instant)>,
    last: Option<Last>,
    /// The intervals of late in which no pod came or went, the latest last.
    settled: VecDeque<Interval>,
}

/// From one reading to the next.
#[derive(Debug)]
struct Interval {
    /// Records that each pod carried in a second.
    of_one: f64,
    /// Records that are behind more than before.
    growth: i64,
    /// Whether there was more to do all the time than could be done.
    backlog: bool,
}

/// What was changed, and because of which reading.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) read: Instant,
    pub(super) at: Instant,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) why: String,
}

/// The reading before.
#[derive(Debug)]
struct Last {
    at: Instant,
    lag: i64,
    /// The pods that were ready, where the group and their revision were settled.
    pods: Option<i32>,
}

impl Memory {
    /// Whether this reading was not seen before.
    pub(super) fn is_new(&self, read: Instant) -> bool {
        self.last.as_ref().is_none_or(|last| read > last.at)
    }

    /// What one pod carries in a second at most, if that was ever seen.
    pub(super) fn capacity(&self, now: Instant) -> Option<f64> {
        fresh(self.capacity, now, CAPACITY_LASTS)
    }

    /// What one pod can be trusted with in a second: what it carries, and less than what was too much for it.
    pub(super) fn bearable(&self, now: Instant) -> Option<f64> {
        let (capacity, too_much) = (
            self.capacity(now),
            fresh(self.too_much, now, TOO_MUCH_LASTS),
        );
        capacity.into_iter().chain(too_much).min_by(f64::total_cmp)
    }

    /// An interval of which nothing is known.
    pub(super) fn interrupted(&mut self) {
        self.last = None;
        self.settled.clear();
        self.wants.clear();
    }

    /// More pods are asked for: where lag grew and nothing else happened, those that are there are too few for what arrives.
    pub(super) fn not_enough(&mut self, inputs: &Inputs<'_>, known: &Known<'_>) {
        let of_one = known.produced / f64::from(inputs.current.max(1));
        let grew = self.settled.back().is_some_and(|last| last.growth > 0);
        if inputs.ready == inputs.current && grew && of_one > 0.0 {
            self.too_much = Some((of_one, inputs.now));
        }
    }

    /// Takes in a new reading: what one pod carries is seen when all of them had more to do than they could.
    pub(super) fn learn(&mut self, inputs: &Inputs<'_>, known: &Known<'_>) {
        let pods =
            (known.stable && !inputs.rolling_out && inputs.ready > 0).then_some(inputs.ready);
        let last = self.last.replace(Last {
            at: known.at,
            lag: known.lag.total,
            pods,
        });
        let (Some(pods), Some(last)) = (pods, last) else {
            self.settled.clear();
            return;
        };
        if last.pods != Some(pods) {
            self.settled.clear();
            return;
        }
        self.settled.push_back(Interval {
            of_one: known.rate / f64::from(pods),
            growth: known.lag.total - last.lag,
            backlog: false,
        });
        if self.settled.len() > AVERAGED {
            self.settled.pop_front();
        }
        let carried = self.average(self.settled.len()).unwrap_or(0.0) * f64::from(pods);
        let time = known.at.duration_since(last.at).max(BACKLOG);
        // More than what is on its way between two commits or readings.
        let backlog = last.lag.min(known.lag.total) as f64 >= carried * time.as_secs_f64();
        if let Some(interval) = self.settled.back_mut() {
            interval.backlog = backlog;
        }
        let asks_for_more = known.lag.total
            > inputs
                .autoscaling
                .target_lag
                .saturating_mul(i64::from(pods));
        let full = self.settled.iter().rev().take_while(|of| of.backlog);
        let busy = match full.count() {
            0 if self.is_growing(2) && asks_for_more => self.average(2),
            0 => None,
            full => self.average(full),
        };
        // With lag on few partitions only, some pods may have nothing to do.
        let busy = busy.filter(|of_one| *of_one > 0.0 && 4 * known.behind >= 3 * known.partitions);
        match (self.capacity(inputs.now), busy) {
            (None, Some(of_one)) => self.capacity = Some((of_one, inputs.now)),
            // Less than that is not busy but stuck: the sink or Kafka is in trouble.
            (Some(capacity), Some(of_one)) if of_one > capacity / 4.0 => {
                self.capacity = Some((0.7 * capacity + 0.3 * of_one, inputs.now));
            }
            _ => self.raise(inputs.now),
        }
    }

    /// What pods carry for a while, they can carry.
    fn raise(&mut self, now: Instant) {
        let Some(average) = self.average(AVERAGED) else {
            return;
        };
        if let Some((capacity, seen)) = &mut self.capacity
            && average > 0.9 * *capacity
        {
            (*capacity, *seen) = (average.max(*capacity), now);
        }
        self.too_much = self.too_much.filter(|(too_much, _)| average < *too_much);
    }

    /// Of the last settled intervals, if there are so many.
    fn average(&self, intervals: usize) -> Option<f64> {
        let last = self.settled.iter().rev().take(intervals);
        (self.settled.len() >= intervals)
            .then(|| last.map(|interval| interval.of_one).sum::<f64>() / intervals as f64)
    }

    fn is_growing(&self, intervals: usize) -> bool {
        let mut last = self.settled.iter().rev().take(intervals);
        self.settled.len() >= intervals && last.all(|interval| interval.growth > 0)
    }
}

fn fresh(known: Option<(f64, Instant)>, now: Instant, lasts: Duration) -> Option<f64> {
    let (value, seen) = known?;
    (now.saturating_duration_since(seen) < lasts).then_some(value)
}

/// The most pods that were wanted of late: fewer must have been enough for a while before there are fewer.
#[derive(Debug, Default)]
pub(super) struct Wants {
    since: Option<Instant>,
    /// Falling, so that the first is the most and there are never more than distinct numbers.
    falling: VecDeque<(Instant, i32)>,
}

impl Wants {
    pub(super) fn push(&mut self, now: Instant, wanted: i32) {
        self.since.get_or_insert(now);
        while self
            .falling
            .back()
            .is_some_and(|(_, other)| *other <= wanted)
        {
            self.falling.pop_back();
        }
        self.falling.push_back((now, wanted));
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    /// The most of the last `delay`; none where it is not that long that wants are known without a gap.
    pub(super) fn most(&mut self, now: Instant, delay: Duration) -> Option<i32> {
        let age = |at: Instant| now.saturating_duration_since(at);
        // The latest one stands until there is another.
        while self.falling.len() > 1 && age(self.falling[0].0) > delay {
            self.falling.pop_front();
        }
        let (_, most) = self.falling.front()?;
        (age(self.since?) >= delay).then_some(*most)
    }
}

impl<'a> Known<'a> {
    /// All that a decision needs of a reading, or what of it is not known.
    pub(super) fn of(reading: &'a super::Reading) -> Result<Self, (&'static str, &'static str)> {
        let lag: &Lag = reading
            .lag
            .as_ref()
            .ok_or(("LagUnknown", "Kafka did not say enough to tell the lag"))?;
        let partitions = reading
            .partitions
            .ok_or(("LagUnknown", "the number of partitions is unknown"))?;
        let rates = reading.rate.zip(reading.produced);
        let (rate, produced) = rates.ok_or((
            "RatesUnknown",
            "how much arrives and is carried shows with the next reading",
        ))?;
        let stable = reading.group.ok_or((
            "GroupUnknown",
            "Kafka did not say whether the group is stable",
        ))?;
        Ok(Self {
            at: reading.at,
            lag,
            rate,
            produced,
            partitions,
            behind: reading.behind.unwrap_or(0),
            uncommitted: reading.uncommitted,
            stable,
        })
    }
}
