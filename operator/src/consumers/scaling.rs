//! How many pods a consumer should have. Nothing here asks Kafka, Kubernetes or a clock.
//!
//! Lag asks for one pod for each `targetLag` records; with `targetDrain`, rates ask for what carries the arriving records and
//! drains the lag in that time. More pods come at once, fewer one step at a time, when fewer had been enough with room to
//! spare for `scaleDownDelay`. What is not known changes nothing.

mod memory;
mod steps;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bt_consumers::config::StartFrom;

use self::memory::{Change, Memory};
use self::steps::Steps;
use super::lag::Reading;
use super::status::Verdict;
use crate::api::{Autoscaling, Lag};

/// Fewer pods must be enough for this many times the load: more than lies between a load's 90 % and its 110 %.
const ROOM: f64 = 1.25;
/// Steps down are this part of `scaleDownDelay` apart.
const STEPS_IN_DELAY: u32 = 4;

/// What a decision is made from.
pub struct Inputs<'a> {
    /// The time of the decision.
    pub now: Instant,
    /// What the resource asks for.
    pub autoscaling: &'a Autoscaling,
    /// Where a partition starts that the group has no offset for.
    pub start_from: StartFrom,
    /// The number of pods that was decided last.
    pub current: i32,
    /// The number of pods that are ready.
    pub ready: i32,
    /// Whether a new revision of the pods is on its way.
    pub rolling_out: bool,
    /// What is known of lag; none where it could not be read.
    pub reading: Option<&'a Reading>,
}

/// How many pods, and the condition `ScalingActive` that says why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The number of pods.
    pub replicas: i32,
    /// `ScalingActive`.
    pub verdict: Verdict,
}

/// A reading of which nothing is missing.
struct Known<'a> {
    at: Instant,
    lag: &'a Lag,
    rate: f64,
    produced: f64,
    partitions: i32,
    behind: i32,
    uncommitted: bool,
    stable: bool,
}

/// What is remembered of all consumers between decisions, by their key.
#[derive(Debug, Default)]
pub struct Scalers {
    memories: Mutex<HashMap<String, Memory>>,
}

impl Scalers {
    /// Decides how many pods a consumer should have now. Given the same reading again, what was decided stands.
    pub fn decide(&self, key: &str, inputs: Inputs<'_>) -> Decision {
        let mut memories = self.lock();
        let memory = memories.entry(key.to_owned()).or_default();
        decide(memory, &inputs)
    }

    /// Nothing is decided for a while: whether fewer pods would have been enough meanwhile is not known.
    pub fn interrupt(&self, key: &str) {
        if let Some(memory) = self.lock().get_mut(key) {
            memory.interrupted();
        }
    }

    /// Drops what is remembered of a consumer that is gone, or that is not autoscaled any more.
    pub fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decide(memory: &mut Memory, inputs: &Inputs<'_>) -> Decision {
    let reading = inputs.reading;
    memory.partitions = reading
        .and_then(|reading| reading.partitions)
        .or(memory.partitions);
    // Whoever asks may not yet have seen what was decided.
    if let Some(change) = &memory.change
        && reading.is_some_and(|reading| reading.at == change.read)
        && (inputs.current == change.from || inputs.current == change.to)
    {
        let reason = match change.to > change.from {
            true => "ScaledUp",
            false => "ScaledDown",
        };
        return Decision {
            replicas: bounded(memory, inputs, change.to),
            verdict: ("True", reason, change.why.clone()),
        };
    }
    let known = reading.map_or(
        Err(("LagUnknown", "Kafka could not be asked for the lag")),
        Known::of,
    );
    let hold = |memory: &Memory, status, reason, why: &str| {
        let replicas = bounded(memory, inputs, inputs.current);
        let message = match replicas == inputs.current {
            true => format!("{}: {why}", stay(replicas)),
            false => format!(
                "from {} to {}, as minReplicas and maxReplicas say: {why}",
                inputs.current,
                pods(replicas)
            ),
        };
        Decision {
            replicas,
            verdict: (status, reason, message),
        }
    };
    let known = match known {
        Ok(known) => known,
        Err((reason, why)) => {
            memory.interrupted();
            return hold(memory, "Unknown", reason, why);
        }
    };
    let needs = Needs::of(memory, inputs, &known);
    if inputs.rolling_out {
        return hold(
            memory,
            "False",
            "RollingOut",
            "a new revision is being rolled out",
        );
    }
    if !known.stable {
        return hold(
            memory,
            "False",
            "Rebalancing",
            "the group moves partitions between its members",
        );
    }
    let current = needs.steps.clamp(inputs.current);
    let (replicas, reason) = needs.weigh(memory, inputs, &known, current);
    let why = needs.message(inputs, &known, replicas, reason);
    if replicas != inputs.current {
        memory.change = Some(Change {
            read: known.at,
            at: inputs.now,
            from: inputs.current,
            to: replicas,
            why: why.clone(),
        });
    }
    Decision {
        replicas,
        verdict: ("True", reason, why),
    }
}

/// Between the least and the most. More than the partitions that there were are not asked for: they would go again at once.
fn bounded(memory: &Memory, inputs: &Inputs<'_>, replicas: i32) -> i32 {
    let (min, max) = (
        inputs.autoscaling.min_replicas,
        inputs.autoscaling.max_replicas,
    );
    let floor = min.min(memory.partitions.unwrap_or(min)).min(max);
    replicas.clamp(floor, max)
}

/// How many pods a reading asks for.
struct Needs {
    steps: Steps,
    /// Now.
    wanted: i32,
    /// Before rounding, and not bounded by anything.
    asked: i32,
}

impl Needs {
    fn of(memory: &mut Memory, inputs: &Inputs<'_>, known: &Known<'_>) -> Self {
        let autoscaling = inputs.autoscaling;
        let mut steps = Steps::new(
            autoscaling.min_replicas,
            autoscaling.max_replicas,
            known.partitions,
        );
        // Without a pod that commits where it starts, what arrives would be skipped.
        if known.uncommitted && inputs.start_from == StartFrom::Latest {
            steps.floor = steps.floor.max(1);
        }
        let new = memory.is_new(known.at);
        if new {
            memory.learn(inputs, known);
        }
        let capacity = memory.capacity(inputs.now);
        let asked = asked_for(autoscaling, known, capacity, 1.0);
        if new {
            let bearable = memory.bearable(inputs.now);
            let arrives = bearable.map_or(0, |one| count(known.produced * ROOM / one));
            let with_room = asked_for(autoscaling, known, capacity, ROOM).max(arrives);
            memory.wants.push(inputs.now, with_room.min(steps.cap));
        }
        Self {
            wanted: steps.up(asked),
            steps,
            asked,
        }
    }

    /// The number of pods, and the reason for it.
    fn weigh(
        &self,
        memory: &mut Memory,
        inputs: &Inputs<'_>,
        known: &Known<'_>,
        current: i32,
    ) -> (i32, &'static str) {
        if self.wanted > current {
            memory.not_enough(inputs, known);
            return (self.wanted, "ScaledUp");
        }
        if current < inputs.current {
            return (current, "ScaledDown");
        }
        if current > inputs.current {
            return (current, "ScaledUp");
        }
        let delay = inputs.autoscaling.scale_down_delay.0;
        let below = self.steps.below(current);
        let enough = memory
            .wants
            .most(inputs.now, delay)
            .is_some_and(|most| self.steps.up(most) <= below);
        let apart = memory.change.as_ref().is_none_or(|change| {
            inputs.now.saturating_duration_since(change.at) >= delay / STEPS_IN_DELAY
        });
        if below < current && enough && apart {
            return (below, "ScaledDown");
        }
        let reason = match () {
            () if self.asked > self.steps.cap => "AtMaximum",
            () if current == self.steps.floor => "AtMinimum",
            () if self.wanted == self.steps.cap => "AtMaximum",
            () if self.wanted == current => "AsWanted",
            () if known.lag.total > 0 && known.rate > known.produced => "Draining",
            () => "ScalingDown",
        };
        (current, reason)
    }

    fn message(
        &self,
        inputs: &Inputs<'_>,
        known: &Known<'_>,
        replicas: i32,
        reason: &str,
    ) -> String {
        let autoscaling = inputs.autoscaling;
        let numbers = format!(
            "{} behind, {}/s arrive, {}/s are carried",
            records(known.lag.total),
            rounded(known.produced),
            rounded(known.rate)
        );
        let limit = match known.partitions < autoscaling.max_replicas {
            true if known.partitions == 1 => "there is 1 partition".into(),
            true => format!("one for each of {} partitions", known.partitions),
            false => format!("maxReplicas {}", autoscaling.max_replicas),
        };
        match reason {
            "ScaledUp" | "ScaledDown" => {
                format!("from {} to {}: {numbers}", inputs.current, pods(replicas))
            }
            "AtMaximum" if self.asked > self.steps.cap => format!(
                "{}, the most there can be ({limit}), where {} are asked for: {numbers}",
                pods(replicas),
                self.asked
            ),
            "AtMaximum" => format!(
                "{}, the most there can be ({limit}): {numbers}",
                pods(replicas)
            ),
            "AtMinimum" => format!("{}, the fewest: {numbers}", pods(replicas)),
            "AsWanted" => format!("{} as wanted: {numbers}", pods(replicas)),
            _ => format!(
                "{} where {} would do now; fewer come one step at a time, when they were enough with room to spare for {}: {numbers}",
                pods(replicas),
                self.wanted,
                autoscaling.scale_down_delay
            ),
        }
    }
}

/// How many pods are asked for, for `load` times what there is.
fn asked_for(
    autoscaling: &Autoscaling,
    known: &Known<'_>,
    capacity: Option<f64>,
    load: f64,
) -> i32 {
    let lag = known.lag.total as f64 * load;
    let by_lag = count(lag / autoscaling.target_lag.max(1) as f64);
    let by_rates = autoscaling
        .target_drain
        .zip(capacity)
        .map_or(0, |(drain, one)| {
            let drained = lag / drain.0.as_secs_f64().max(1.0);
            count((known.produced * load + drained) / one)
        });
    let any = known.lag.total > 0 || known.produced > 0.0;
    by_lag.max(by_rates).max(any.into())
}

/// Up to whole pods; what only arithmetic adds is none.
fn count(pods: f64) -> i32 {
    (pods - 1e-9).ceil().clamp(0.0, 1e6) as i32
}

fn pods(count: i32) -> String {
    match count {
        1 => "1 pod".into(),
        _ => format!("{count} pods"),
    }
}

fn stay(count: i32) -> String {
    match count {
        1 => "1 pod stays".into(),
        _ => format!("{count} pods stay"),
    }
}

fn records(count: i64) -> String {
    match count {
        1 => "1 record is".into(),
        _ => format!("{count} records are"),
    }
}

fn rounded(rate: f64) -> f64 {
    if rate < 10.0 {
        (rate * 10.0).round() / 10.0
    } else {
        rate.round()
    }
}
