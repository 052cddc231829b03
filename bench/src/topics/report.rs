//! The figures as a person reads them, each with its target and whether it was met.

use std::fmt;
use std::iter::Sum;
use std::time::Duration;

use super::Options;
use super::work::Step;
use crate::load::{AtMost, AtWork, Rest};
use crate::table::Table;
use crate::words::{duration, verdict};

/// Times the floor, for all phases together.
const MAX_RATIO: f64 = 1.5;
/// CPU seconds for all topics at once.
const MAX_CPU: f64 = 15.0;
/// CPU seconds at rest in two minutes.
const MAX_CPU_AT_REST: f64 = 1.0;

/// All that was measured; what is absent was not.
pub struct Report {
    /// The machine, in one line.
    pub machine: String,
    /// The versions, in one line.
    pub versions: String,
    /// What was asked for.
    pub options: Options,
    /// Phases one after the other.
    pub small: Phases,
    /// All topics at once.
    pub large: Phases,
    /// The operator with all topics at once.
    pub at_work: Option<AtWork>,
    /// The operator with all topics and nothing to do.
    pub rest: Option<Rest>,
}

/// The same work by bare requests and by the operator.
#[derive(Default)]
pub struct Phases {
    /// By bare requests: the best run.
    pub floor: Vec<(Step, Floor)>,
    /// By the operator.
    pub took: Vec<(Step, Took)>,
}

/// One phase by bare requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Floor {
    /// Kubernetes' part.
    pub api: Duration,
    /// Kafka's part.
    pub kafka: Duration,
    /// CPU seconds of the bench itself.
    pub own: f64,
}

/// One phase by the operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    /// Until the user's writes were done.
    pub writes: Duration,
    /// Until every status told it.
    pub status: Duration,
    /// Until Kafka showed it too.
    pub all: Duration,
    /// CPU seconds of the bench itself.
    pub own: f64,
}

impl Floor {
    fn all(self) -> Duration {
        self.api + self.kafka
    }
}

impl Sum for Floor {
    fn sum<I: Iterator<Item = Self>>(phases: I) -> Self {
        phases.fold(Self::default(), |sum, phase| Self {
            api: sum.api + phase.api,
            kafka: sum.kafka + phase.kafka,
            own: sum.own + phase.own,
        })
    }
}

impl Sum for Took {
    fn sum<I: Iterator<Item = Self>>(phases: I) -> Self {
        phases.fold(Self::default(), |sum, phase| Self {
            writes: sum.writes + phase.writes,
            status: sum.status + phase.status,
            all: sum.all + phase.all,
            own: sum.own + phase.own,
        })
    }
}

impl Phases {
    /// Keeps the floor of another run if it is the better one.
    pub fn better_floor(&mut self, other: Vec<(Step, Floor)>) {
        let sum = |floor: &[(Step, Floor)]| floor.iter().map(|(_, floor)| floor.all()).sum();
        let (present, new): (Duration, Duration) = (sum(&self.floor), sum(&other));
        if self.floor.is_empty() || new < present {
            self.floor = other;
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new(&[
            "",
            "floor",
            "of it Kafka",
            "operator",
            "of it users' writes",
            "in status",
            "ratio",
            "target",
        ]);
        let mut steps: Vec<Step> = self.floor.iter().map(|(step, _)| *step).collect();
        for (step, _) in &self.took {
            if !steps.contains(step) {
                steps.push(*step);
            }
        }
        for step in &steps {
            let name = step.name();
            table.row(&row(name, of(&self.floor, *step), of(&self.took, *step)));
        }
        // Only where every phase was measured.
        let floor: Option<Floor> = steps.iter().map(|step| of(&self.floor, *step)).sum();
        let took: Option<Took> = steps.iter().map(|step| of(&self.took, *step)).sum();
        let mut all = row("all", floor, took);
        if let Some((floor, took)) = floor.zip(took) {
            let ratio = ratio(floor, took);
            all.push(verdict(&format!("≤ {MAX_RATIO}"), ratio <= MAX_RATIO));
        }
        table.row(&all);
        let own_floor: f64 = self.floor.iter().map(|(_, floor)| floor.own).sum();
        let own: f64 = self.took.iter().map(|(_, took)| took.own).sum();
        format!(
            "{}  (CPU of the bench itself: {own_floor:.1} s for the floor, {own:.1} s with the operator)\n",
            table.render()
        )
    }
}

fn of<T: Copy>(phases: &[(Step, T)], step: Step) -> Option<T> {
    let found = phases.iter().find(|(known, _)| *known == step);
    found.map(|(_, measured)| *measured)
}

fn row(name: &str, floor: Option<Floor>, took: Option<Took>) -> Vec<String> {
    let cell = |took: Option<Duration>| took.map(duration).unwrap_or_default();
    let ratio = floor.zip(took).map(|(floor, took)| ratio(floor, took));
    vec![
        name.into(),
        cell(floor.map(Floor::all)),
        cell(floor.map(|floor| floor.kafka)),
        cell(took.map(|took| took.all)),
        cell(took.map(|took| took.writes)),
        cell(took.map(|took| took.status)),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
    ]
}

fn ratio(floor: Floor, took: Took) -> f64 {
    took.all.as_secs_f64() / floor.all().as_secs_f64()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            small,
            topics,
            parallel,
            batch,
            ..
        } = self.options;
        writeln!(f, "\nKafkaTopics, measured\n")?;
        writeln!(f, "  machine   {}", self.machine)?;
        writeln!(f, "  versions  {}", self.versions)?;
        writeln!(
            f,
            "  floor     the same work without the operator, {parallel} requests at a time: the users' writes; for a new topic a finalizer and a\n\
            \x20           status, for a modified one a status, for a deleted one the finalizer off; then Kafka's Admin calls, {batch} topics each"
        )?;
        writeln!(
            f,
            "  operator  the users' writes in the same way, until the status (Ready of this generation; gone) and Kafka show it"
        )?;
        if !(self.small.floor.is_empty() && self.small.took.is_empty()) {
            writeln!(f, "\n{small} topics, one phase after the other\n")?;
            f.write_str(&self.small.table())?;
        }
        if !(self.large.floor.is_empty() && self.large.took.is_empty()) {
            writeln!(f, "\n{topics} topics at once\n")?;
            f.write_str(&self.large.table())?;
        }
        if let Some(at_work) = &self.at_work {
            let phases = if self.large.took.len() == 2 {
                "their creation and deletion, each until it was quiet"
            } else {
                "their creation alone, until it was quiet"
            };
            writeln!(f, "\nThe operator with {topics} topics: {phases}\n")?;
            f.write_str(&at_work.table(topics, "topic", Some(MAX_CPU)))?;
        }
        if let Some(rest) = &self.rest {
            let lasted = rest.lasted.as_secs_f64();
            writeln!(f, "\nAt rest with {topics} topics, {lasted:.0} s\n")?;
            f.write_str(&rest.table(AtMost {
                may_read: false,
                cpu: Some(MAX_CPU_AT_REST),
            }))?;
        }
        Ok(())
    }
}
