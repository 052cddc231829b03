//! The figures as a person reads them, each with its target and whether it was met.

use std::fmt;

use serde::Serialize;

use super::figures::{Consumed, Figures};
use super::targets;
use crate::spread::{Spread, paired};
use crate::table::Table;
use crate::target::Targets;
use crate::told::Told;
use crate::words::{MIB, mebibytes};

/// What the comparison leaves out.
const RSYSLOG: &str = "
  rsyslog does less: it sends records as they are, without ids, and commits what is still in its queue in memory, which a crash
  loses; the sink and Python commit what the engine has answered for.
";

/// All figures, and what they are measured against.
#[derive(Serialize)]
pub struct Report {
    #[serde(flatten)]
    figures: Figures,
    targets: Targets,
}

impl Report {
    /// With the targets of these figures.
    pub fn new(figures: Figures) -> Self {
        Self {
            targets: targets::of(&figures),
            figures,
        }
    }

    fn cost(&self) -> String {
        let figures = &self.figures;
        let mut table = Table::new(&[
            "",
            "CPU s a million",
            "min–max",
            "× bare",
            "× sink",
            "documents/s",
            "per CPU s",
            "sent a log",
            "resident",
            "at most",
            "target",
        ]);
        let costs =
            |runs: &[Consumed]| -> Vec<f64> { runs.iter().map(Consumed::per_million).collect() };
        let bare: Vec<f64> = figures.bare.iter().map(Told::per_million).collect();
        let sink = costs(&figures.sink);
        let mut add = |name: &str, cpu: Vec<f64>, rate: Vec<f64>, rest: [String; 4]| {
            let Some((spread, rate)) = Spread::of(cpu.iter().copied()).zip(Spread::of(rate)) else {
                return;
            };
            let times = |ratio: Option<f64>| ratio.map_or_else(String::new, |x| format!("{x:.2}"));
            let [sent, steady, peak, target] = rest;
            table.row(&[
                name.to_owned(),
                format!("{:.2}", spread.median),
                format!("{:.2}–{:.2}", spread.min, spread.max),
                times(paired(cpu.iter().copied(), bare.iter().copied())),
                times(paired(cpu.iter().copied(), sink.iter().copied())),
                thousands(rate.median),
                thousands(1e6 / spread.median),
                sent,
                steady,
                peak,
                target,
            ]);
        };
        for (name, told) in [
            ("bare: librdkafka alone", &figures.bare),
            ("floor: and copies of the bytes", &figures.floor),
        ] {
            let cpu = told.iter().map(Told::per_million).collect();
            let rates = told.iter().map(Told::rate).collect();
            add(name, cpu, rates, [const { String::new() }; 4]);
        }
        let compared: [(&str, &[Consumed], &[&str]); 4] = [
            ("sink", &figures.sink, &["sink", "sinkBare", "sinkPeak"]),
            ("sink, gzip", &figures.gzip, &["gzipPeak"]),
            ("rsyslog, as it is", &figures.rsyslog, &["rsyslog"]),
            ("Python", &figures.python, &["python"]),
        ];
        for (name, runs, targets) in compared {
            let rest = [
                sent(runs),
                median_of(runs, |run| run.steady),
                most_of(runs),
                self.targets.words(targets),
            ];
            let rates = runs.iter().map(|run| run.rate).collect();
            add(name, costs(runs), rates, rest);
        }
        let notes = if figures.rsyslog.is_empty() {
            ""
        } else {
            RSYSLOG
        };
        format!("{}{notes}", table.render())
    }

    fn stall(&self) -> Option<String> {
        let stall = self.figures.stall?;
        let mut table = Table::new(&[
            "resident",
            "before",
            "buffers full",
            "at the end",
            "when all was committed",
            "at most",
            "target",
        ]);
        let memory = self.targets.words(&["stallFlat", "stallPeak"]);
        let rss = [
            stall.before,
            stall.filled,
            stall.end,
            stall.after,
            stall.peak,
        ];
        let mut row = vec!["sink".to_owned()];
        row.extend(rss.map(mebibytes));
        row.push(memory);
        table.row(&row);
        Some(format!(
            "An engine that does not answer for {:.0} s\n\n{}  place in the group  {}\n",
            stall.seconds,
            table.render(),
            self.targets.words(&["stallMember"])
        ))
    }

    fn engine(&self) -> Option<String> {
        let engine = self.figures.engine.as_ref()?;
        let mut table = Table::new(&[
            "",
            "documents/s",
            "CPU s a million",
            "cores in use",
            "at most",
            "target",
        ]);
        let per_million = |cpu: f64| format!("{:.2}", cpu * 1e6 / engine.logs as f64);
        let rate = thousands(engine.logs as f64 / engine.seconds);
        let verdict = match self.targets.get("engine") {
            Some(target) => target.words(),
            None => "no verdict: the engine was not the limit".into(),
        };
        table.row(&[
            "sink".to_owned(),
            rate.clone(),
            per_million(engine.sink_cpu),
            format!("{:.2}", engine.sink_cores()),
            mebibytes(engine.peak),
            verdict,
        ]);
        table.row(&[
            engine.name.clone(),
            rate,
            per_million(engine.engine_cpu),
            format!("{:.2} of {}", engine.engine_cores(), engine.processors),
        ]);
        Some(format!(
            "{}: {} logs, each of which it has once\n\n{}",
            engine.name,
            engine.logs,
            table.render()
        ))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        writeln!(f, "\nThe logs sink, measured\n")?;
        writeln!(f, "  machine   {}", figures.machine)?;
        writeln!(f, "  versions  {}", figures.versions)?;
        if figures.preload_seconds > 0.0 {
            writeln!(
                f,
                "  logs      {} of {:.0} B, {} partitions, snappy; written at {} logs/s",
                figures.logs,
                figures.mean_bytes,
                figures.partitions,
                thousands(figures.logs as f64 / figures.preload_seconds)
            )?;
        }
        for skipped in &figures.skipped {
            writeln!(f, "  left out  {skipped}")?;
        }
        let runs = [
            &figures.sink,
            &figures.gzip,
            &figures.rsyslog,
            &figures.python,
        ];
        let told = [&figures.bare, &figures.floor];
        if told.iter().any(|told| !told.is_empty()) || runs.iter().any(|runs| !runs.is_empty()) {
            writeln!(
                f,
                "\nInto an engine that answers at once, from start to all committed, by one process\n\n{}",
                self.cost()
            )?;
        }
        for part in [self.stall(), self.engine()].into_iter().flatten() {
            writeln!(f, "{part}")?;
        }
        Ok(())
    }
}

/// Bytes of bodies by log, of the last run.
fn sent(runs: &[Consumed]) -> String {
    runs.last().map_or_else(String::new, |run| {
        format!("{:.0} B", run.sent as f64 / run.logs as f64)
    })
}

fn median_of(runs: &[Consumed], of: impl Fn(&Consumed) -> u64) -> String {
    let spread = Spread::of(runs.iter().map(|run| of(run) as f64 / MIB as f64));
    spread.map_or_else(String::new, |spread| format!("{:.0} MiB", spread.median))
}

fn most_of(runs: &[Consumed]) -> String {
    let most = runs.iter().map(|run| run.peak).max();
    most.map_or_else(String::new, mebibytes)
}

fn thousands(number: f64) -> String {
    format!("{:.0} k", number / 1000.0)
}

#[cfg(test)]
mod tests;
