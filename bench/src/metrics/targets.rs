//! What was aimed at, and what came of it.

use super::figures::{Consumed, Figures};
use super::scrapes::Cost;
use crate::spread::{Spread, paired};
use crate::target::Targets;
use crate::told::Told;
use crate::words::MIB;

/// All whose figures were measured, by name.
pub fn of(figures: &Figures) -> Targets {
    let mut targets = Targets::default();
    let off = median(&figures.off, Consumed::per_million);
    let costs =
        |runs: &[Consumed]| -> Vec<f64> { runs.iter().map(Consumed::per_million).collect() };
    let floor = figures.floor.iter().map(Told::per_million);
    let python = figures
        .python
        .map(|(half, all)| all.since(&half).per_million());
    targets.most("off", "≤ 1.3 s", off, 1.3);
    let by_floor = paired(costs(&figures.off), floor);
    targets.most("offByFloor", "≤ 2 × floor", by_floor, 2.0);
    let by_off = paired(costs(&figures.on), costs(&figures.off));
    targets.most("onByOff", "≤ 1.25 × off", by_off, 1.25);
    targets.least("pythonByOff", "≥ 7 × off", ratio(python, off), 7.0);
    for memory in &figures.memory {
        let name = if memory.exactly_once {
            "memoryOn"
        } else {
            "memoryOff"
        };
        // Of any number of series, the part of it.
        let most = 40.0 * MIB as f64 * figures.series as f64 / 100_000.0;
        let words = format!("≤ {:.0} MiB", most / MIB as f64);
        targets.most(name, &words, memory.of_series(), most);
    }
    scrapes(&mut targets, &figures.scrapes);
    for (name, scraped) in [
        ("scraped", &figures.scraped),
        ("scrapedAtOnce", &figures.scraped_at_once),
    ] {
        targets.most(name, "≤ 5 %", less(scraped, &figures.off), 0.05);
    }
    for (name, restored) in ["restoreTerm", "restoreKill"].iter().zip(&figures.restores) {
        targets.most(name, "≤ 3 s", Some(restored.shown), 3.0);
    }
    for many in &figures.many {
        let name = if many.exactly_once {
            "manyOn"
        } else {
            "manyOff"
        };
        targets.least(
            name,
            "all shown",
            Some(many.shown as f64),
            many.series as f64,
        );
    }
    if figures.exact > 0 || !figures.wrong.is_empty() {
        targets.most("exact", "0", Some(figures.wrong.len() as f64), 0.0);
    }
    targets
}

fn scrapes(targets: &mut Targets, scrapes: &[Cost]) {
    let cpu = |format: &str, gzip: bool, many: bool| {
        let fits = |cost: &&Cost| {
            cost.format == format
                && cost.gzip == gzip
                && (cost.at_once > 1) == many
                && cost.as_asked
        };
        scrapes.iter().find(fits).map(|cost| cost.cpu)
    };
    targets.most("scrapeText", "≤ 50 ms", cpu("Text", false, false), 0.05);
    let name = "scrapeOpenMetricsGzipAtOnce";
    let (one, many) = (
        cpu("OpenMetrics", true, false),
        cpu("OpenMetrics", true, true),
    );
    targets.most(name, "≤ 2 × one", ratio(many, one), 2.0);
}

/// By which part of the events a second scraped runs took less, round by round.
pub fn less(scraped: &[Consumed], without: &[Consumed]) -> Option<f64> {
    let rates = |runs: &[Consumed]| -> Vec<f64> { runs.iter().map(|run| run.rate).collect() };
    paired(rates(scraped), rates(without)).map(|ratio| 1.0 - ratio)
}

fn median(runs: &[Consumed], of: impl Fn(&Consumed) -> f64) -> Option<f64> {
    Spread::of(runs.iter().map(of)).map(|spread| spread.median)
}

fn ratio(value: Option<f64>, by: Option<f64>) -> Option<f64> {
    value.zip(by).map(|(value, by)| value / by)
}
