//! The figures as a person reads them, each with its target and whether it was met.

use std::fmt;
use std::time::Duration;

use super::Options;
use super::bursts::{Burst, MOST, PARTITIONS, TARGET_LAG, TIMES};
use crate::histogram::Histogram;
use crate::load::{AtMost, AtWork, Rest};
use crate::operator::Usage;
use crate::table::Table;
use crate::words::{duration, mebibytes, seconds, verdict};

/// Until all consumers are Ready.
const MAX_READY: Duration = Duration::from_secs(20);
/// Seconds of one reading of lag.
const MAX_ROUND: f64 = 1.0;
/// From a burst to the wanted replicas, beside one interval.
const MAX_BEYOND_INTERVAL: Duration = Duration::from_secs(2);

/// All that was measured; what is absent was not.
pub struct Report {
    machine: String,
    versions: String,
    options: Options,
    /// Between two readings of lag.
    pub interval: Duration,
    /// All consumers at once.
    pub creation: Option<Creation>,
    /// The operator meanwhile, until it was quiet.
    pub at_work: Option<AtWork>,
    /// The operator with all consumers and nothing to do but to read lag.
    pub rest: Option<Rest>,
    /// The readings of lag meanwhile.
    pub rounds: Option<Histogram>,
    /// How many consumers had the right lag in status then.
    pub lag_right: Option<usize>,
    /// The bursts.
    pub bursts: Vec<Burst>,
    /// What the leader had used at the end of it all.
    pub usage: Option<Usage>,
}

/// All consumers at once.
#[derive(Debug, Clone, Copy)]
pub struct Creation {
    /// Until the user's writes were done.
    pub writes: Duration,
    /// Until every status told Ready.
    pub ready: Duration,
}

impl Report {
    /// A report without figures yet.
    pub fn new(machine: String, versions: String, options: &Options) -> Self {
        Self {
            machine,
            versions,
            options: options.clone(),
            interval: Duration::ZERO,
            creation: None,
            at_work: None,
            rest: None,
            rounds: None,
            lag_right: None,
            bursts: Vec::new(),
            usage: None,
        }
    }

    fn lag(&self) -> String {
        let mut table = Table::new(&["", "operator", "target"]);
        match &self.rounds {
            Some(rounds) => {
                let below = rounds.all_below();
                let target = format!("≤ {MAX_ROUND} s");
                let met = below.is_some_and(|bound| bound <= MAX_ROUND);
                let mean = rounds.mean().map(seconds).unwrap_or_default();
                let slowest = match below {
                    Some(bound) if bound.is_finite() => format!("≤ {bound} s"),
                    Some(_) => "more than the histogram can tell".into(),
                    None => "none".into(),
                };
                table.row(&[
                    "readings".to_owned(),
                    rounds.count().to_string(),
                    String::new(),
                ]);
                table.row(&["their mean".to_owned(), mean, String::new()]);
                table.row(&["the slowest".to_owned(), slowest, verdict(&target, met)]);
            }
            None => table.row(&[
                "readings",
                "unknown: the operator has no metric of them",
                "",
            ]),
        }
        if let Some(right) = self.lag_right {
            let all = self.options.consumers;
            table.row(&[
                "consumers with the right lag in status".to_owned(),
                right.to_string(),
                verdict(&all.to_string(), right == all),
            ]);
        }
        table.render()
    }

    fn bursts(&self) -> String {
        let most = self.interval + MAX_BEYOND_INTERVAL;
        let mut table = Table::new(&["after a reading by", "produced in", "in status", "target"]);
        for burst in &self.bursts {
            table.row(&[
                duration(burst.after),
                duration(burst.produce),
                duration(burst.took),
                verdict(&format!("≤ {} s", most.as_secs_f64()), burst.took <= most),
            ]);
        }
        table.render()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            consumers,
            partitions,
            parallel,
            ..
        } = self.options;
        writeln!(f, "\nTelemetryConsumers, measured\n")?;
        writeln!(f, "  machine   {}", self.machine)?;
        writeln!(f, "  versions  {}", self.versions)?;
        writeln!(
            f,
            "  consumers {consumers} of no pods, half with each kind of sink, each with a topic of {partitions} partitions and a group of its own;\n\
            \x20           {parallel} requests at a time; lag is read every {} s",
            self.interval.as_secs_f64()
        )?;
        if let Some(creation) = self.creation {
            writeln!(f, "\n{consumers} consumers at once\n")?;
            let mut table = Table::new(&["", "operator", "target"]);
            let writes = duration(creation.writes);
            table.row(&["users' writes", &writes, ""]);
            table.row(&[
                "all Ready",
                &duration(creation.ready),
                &verdict(
                    &format!("≤ {} s", MAX_READY.as_secs()),
                    creation.ready <= MAX_READY,
                ),
            ]);
            f.write_str(&table.render())?;
        }
        if let Some(at_work) = &self.at_work {
            writeln!(f, "\nThe operator meanwhile, until it was quiet\n")?;
            f.write_str(&at_work.table(consumers, "consumer", None))?;
        }
        if let Some(rest) = &self.rest {
            let lasted = rest.lasted.as_secs_f64();
            writeln!(f, "\nAt rest with {consumers} consumers, {lasted:.0} s\n")?;
            f.write_str(&rest.table(AtMost {
                may_read: true,
                cpu: None,
            }))?;
            writeln!(
                f,
                "\nLag of {consumers} groups × {partitions} partitions, read meanwhile\n"
            )?;
            f.write_str(&self.lag())?;
        }
        if !self.bursts.is_empty() {
            writeln!(
                f,
                "\nBursts of {} records to {PARTITIONS} partitions, {TIMES} times the target lag of a pod: until status wants {MOST} pods, the most\n",
                TIMES * TARGET_LAG
            )?;
            f.write_str(&self.bursts())?;
        }
        if let Some(usage) = self.usage {
            let peak = mebibytes(usage.peak_rss);
            writeln!(f, "  (peak resident memory at the end of it all: {peak})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
