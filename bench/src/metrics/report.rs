//! The figures as a person reads them, each with its target and whether it was met.

use std::fmt;

use serde::Serialize;

use super::figures::{Consumed, Figures, Memory};
use super::scrapes::{AT_ONCE, Cost};
use super::targets::{self, less};
use crate::spread::{Spread, paired};
use crate::table::Table;
use crate::target::Targets;
use crate::words::{MIB, mebibytes, seconds};

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

    /// What was shown and not produced, or the other way round.
    pub fn wrong(&self) -> &[String] {
        &self.figures.wrong
    }

    fn target(&self, names: &[&str]) -> String {
        self.targets.words(names)
    }

    fn cost(&self) -> String {
        let figures = &self.figures;
        let mut table = Table::new(&[
            "",
            "CPU s a million",
            "min–max",
            "× floor",
            "events/s",
            "events/CPU s",
            "target",
        ]);
        let floor = figures
            .floor
            .iter()
            .map(|told| (told.per_million(), told.rate()));
        let base: Vec<f64> = floor.clone().map(|(cpu, _)| cpu).collect();
        let mut add = |name: &str, runs: Vec<(f64, f64)>, targets: &[&str]| {
            let cpu = runs.iter().map(|(cpu, _)| *cpu);
            let by_floor = paired(cpu.clone(), base.iter().copied());
            let cpu = Spread::of(cpu);
            if let Some((cpu, rate)) = cpu.zip(Spread::of(runs.iter().map(|(_, rate)| *rate))) {
                table.row(&[
                    name.to_owned(),
                    format!("{:.2}", cpu.median),
                    format!("{:.2}–{:.2}", cpu.min, cpu.max),
                    by_floor.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                    thousands(rate.median),
                    thousands(1e6 / cpu.median),
                    self.target(targets),
                ]);
            }
        };
        add("floor: librdkafka alone", floor.collect(), &[]);
        add(
            "sink, exactly-once off",
            runs(&figures.off),
            &["off", "offByFloor"],
        );
        add("sink, exactly-once on", runs(&figures.on), &["onByOff"]);
        if let Some((half, all)) = &figures.python {
            let second = all.since(half);
            let pair = |told: &crate::told::Told| vec![(told.per_million(), told.rate())];
            add("Python, second half", pair(&second), &["pythonByOff"]);
            add("Python, first half with all series new", pair(half), &[]);
        }
        table.render()
    }

    fn memory(&self) -> String {
        let figures = &self.figures;
        let mut table = Table::new(&[
            "resident at rest",
            "1 series",
            "all series",
            "for the series",
            "a series",
            "by its own count",
            "after all events",
            "target",
        ]);
        for memory in &figures.memory {
            let (name, target, runs) = if memory.exactly_once {
                ("exactly-once on", "memoryOn", &figures.on)
            } else {
                ("exactly-once off", "memoryOff", &figures.off)
            };
            let series = memory.of_series();
            let each = series.map(|series| series / figures.series as f64);
            let after: Vec<u64> = runs.iter().map(|run| run.rss).collect();
            table.row(&[
                name.to_owned(),
                between(&memory.one),
                between(&memory.all),
                series.map_or_else(String::new, |series| mebibytes(series.max(0.0) as u64)),
                each.map_or_else(String::new, |each| format!("{each:.0} B")),
                own_count(memory.series_bytes),
                between(&after),
                self.target(&[target]),
            ]);
        }
        table.render()
    }

    fn scrapes(&self) -> String {
        let mut table = Table::new(&["scrape", "CPU", "answered in", "size", "target"]);
        for cost in &self.figures.scrapes {
            let name = format!(
                "{}{}{}",
                cost.format,
                if cost.gzip { ", gzip" } else { "" },
                if cost.at_once > 1 {
                    format!(", {AT_ONCE} at once")
                } else {
                    String::new()
                }
            );
            table.row(&[
                name,
                format!("{:.0} ms", cost.cpu * 1000.0),
                format!("{:.0} ms", cost.seconds * 1000.0),
                mebibytes(cost.bytes as u64),
                if cost.as_asked {
                    self.target(&[&target_name(cost)])
                } else {
                    "(not answered in this form)".into()
                },
            ]);
        }
        let mut text = table.render();
        if let Some(rss) = self.figures.rss_after_scrapes {
            text.push_str(&format!("  (resident after them: {})\n", mebibytes(rss)));
        }
        text
    }

    fn effect(&self) -> String {
        let figures = &self.figures;
        let mut table = Table::new(&[
            "events/s",
            "median",
            "min–max",
            "CPU s a million",
            "scrapes",
            "less",
            "target",
        ]);
        for (name, runs, target) in [
            ("without scrapes", &figures.off, ""),
            ("one scrape a second", &figures.scraped, "scraped"),
            (
                "50 scrapes at once, once",
                &figures.scraped_at_once,
                "scrapedAtOnce",
            ),
        ] {
            let cpu = Spread::of(runs.iter().map(Consumed::per_million));
            let Some((rate, cpu)) = Spread::of(runs.iter().map(|run| run.rate)).zip(cpu) else {
                continue;
            };
            let less = less(runs, &figures.off).filter(|_| !target.is_empty());
            let scrapes: Vec<String> = runs.iter().map(|run| run.scrapes.to_string()).collect();
            table.row(&[
                name.to_owned(),
                thousands(rate.median),
                format!("{}–{}", thousands(rate.min), thousands(rate.max)),
                format!("{:.2}", cpu.median),
                scrapes.join(" "),
                less.map_or_else(String::new, |less| format!("{:.1} %", less * 100.0)),
                self.target(&[target]),
            ]);
        }
        table.render()
    }

    fn restores(&self) -> String {
        let mut table = Table::new(&[
            "after",
            "start to assigned",
            "to all shown",
            "by its own metrics",
            "target",
        ]);
        for (restored, target) in self
            .figures
            .restores
            .iter()
            .zip(["restoreTerm", "restoreKill"])
        {
            table.row(&[
                restored.after.to_owned(),
                seconds(restored.assigned),
                seconds(restored.shown),
                restored.own.map(seconds).unwrap_or_default(),
                self.target(&[target]),
            ]);
        }
        table.render()
    }

    fn many(&self) -> String {
        let mut table = Table::new(&[
            "",
            "shown",
            "resident at rest",
            "a series",
            "by its own count",
            "page in",
            "target",
        ]);
        for many in &self.figures.many {
            let (name, target) = if many.exactly_once {
                ("exactly-once on", "manyOn")
            } else {
                ("exactly-once off", "manyOff")
            };
            let same = |memory: &&Memory| memory.exactly_once == many.exactly_once;
            let memory = self.figures.memory.iter().find(same);
            let one =
                memory.and_then(|memory| Spread::of(memory.one.iter().map(|rss| *rss as f64)));
            let each = one.map(|one| (many.rss as f64 - one.median) / many.series as f64);
            table.row(&[
                name.to_owned(),
                many.shown.to_string(),
                mebibytes(many.rss),
                each.map_or_else(String::new, |each| format!("{each:.0} B")),
                own_count(many.series_bytes),
                seconds(many.page_seconds),
                self.target(&[target]),
            ]);
        }
        table.render()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        let series = figures.series;
        writeln!(f, "\nThe metrics sink, measured\n")?;
        writeln!(f, "  machine   {}", figures.machine)?;
        writeln!(f, "  versions  {}", figures.versions)?;
        writeln!(
            f,
            "  events    {} of {:.0} B, {series} series in random order, {} partitions, snappy; written at {} events/s",
            figures.events,
            figures.mean_bytes,
            super::PARTITIONS,
            thousands(figures.events as f64 / figures.preload_seconds)
        )?;
        writeln!(
            f,
            "  exact     {} pages were compared with what was produced, series by series; {} differed: {}",
            figures.exact as usize + figures.wrong.len(),
            figures.wrong.len(),
            self.target(&["exact"])
        )?;
        for wrong in &figures.wrong {
            writeln!(f, "            {wrong}")?;
        }
        writeln!(
            f,
            "\nFrom start to the last event, by one process\n\n{}",
            self.cost()
        )?;
        if !figures.memory.is_empty() {
            writeln!(f, "Memory with {series} series\n\n{}", self.memory())?;
        }
        if !figures.scrapes.is_empty() {
            writeln!(
                f,
                "Scrapes of {series} series, at rest\n\n{}",
                self.scrapes()
            )?;
        }
        if !figures.scraped.is_empty() {
            writeln!(
                f,
                "Ingestion while it is scraped (OpenMetrics, gzip)\n\n{}",
                self.effect()
            )?;
        }
        if !figures.restores.is_empty() {
            writeln!(f, "Restore of {series} series\n\n{}", self.restores())?;
        }
        if let Some(many) = figures.many.first() {
            writeln!(f, "{} series\n\n{}", many.series, self.many())?;
        }
        Ok(())
    }
}

/// The name of the target of a scrape, whether it has one or not.
fn target_name(cost: &Cost) -> String {
    let gzip = if cost.gzip { "Gzip" } else { "" };
    let many = if cost.at_once > 1 { "AtOnce" } else { "" };
    format!("scrape{}{gzip}{many}", cost.format)
}

fn runs(consumed: &[Consumed]) -> Vec<(f64, f64)> {
    let runs = consumed.iter().map(|run| (run.per_million(), run.rate));
    runs.collect()
}

/// The median, and what all are between; empty where there are none.
fn between(rss: &[u64]) -> String {
    let mebibytes = rss.iter().map(|bytes| *bytes as f64 / MIB as f64);
    let spread = Spread::of(mebibytes);
    spread.map_or_else(String::new, |Spread { median, min, max }| {
        format!("{median:.0} ({min:.0}–{max:.0}) MiB")
    })
}

fn own_count(bytes: Option<f64>) -> String {
    bytes.map_or_else(String::new, |bytes| mebibytes(bytes as u64))
}

fn thousands(number: f64) -> String {
    format!("{:.0} k", number / 1000.0)
}

#[cfg(test)]
mod tests;
