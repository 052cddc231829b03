//! What was aimed at, and what came of it.

use super::figures::{Consumed, Figures};
use crate::spread::{Spread, paired};
use crate::target::Targets;
use crate::told::Told;
use crate::words::MIB;

/// The most that the sink may have resident, at twelve partitions.
const MEMORY: f64 = (100 * MIB) as f64;
/// What does not count as growth: the allocator's own unrest.
const FLAT: f64 = (5 * MIB) as f64;

/// All whose figures were measured, by name.
pub fn of(figures: &Figures) -> Targets {
    let mut targets = Targets::default();
    let sink = median(&figures.sink);
    targets.most("sink", "≤ 1.6 s", sink, 1.6);
    let bare = figures.bare.iter().map(Told::per_million);
    let by_bare = paired(figures.sink.iter().map(Consumed::per_million), bare);
    targets.most("sinkBare", "≤ 2 × bare", by_bare, 2.0);
    let by_sink = |runs: &[Consumed]| {
        let sink = figures.sink.iter().map(Consumed::per_million);
        paired(runs.iter().map(Consumed::per_million), sink)
    };
    targets.least("rsyslog", "≥ 3 × sink", by_sink(&figures.rsyslog), 3.0);
    targets.least("python", "≥ 14 × sink", by_sink(&figures.python), 14.0);
    for (name, runs) in [("sinkPeak", &figures.sink), ("gzipPeak", &figures.gzip)] {
        let peak = runs.iter().map(|run| run.peak as f64).reduce(f64::max);
        targets.most(name, "≤ 100 MiB", peak, MEMORY);
    }
    if let Some(stall) = &figures.stall {
        let growth = Some(stall.growth() as f64);
        targets.most("stallFlat", "flat", growth, FLAT);
        targets.most("stallPeak", "≤ 100 MiB", Some(stall.peak as f64), MEMORY);
        let kept = Some(f64::from(u8::from(stall.member)));
        targets.least("stallMember", "kept", kept, 1.0);
    }
    // Where something else is the limit, the sink's share says nothing.
    if let Some(engine) = figures.engine.as_ref().filter(|e| e.is_saturated()) {
        let cores = Some(engine.sink_cores());
        targets.most("engine", "≤ 15 % of a core", cores, 0.15);
    }
    targets
}

/// CPU seconds a million logs, the median of the runs.
fn median(runs: &[Consumed]) -> Option<f64> {
    let costs = runs.iter().map(Consumed::per_million);
    Spread::of(costs).map(|spread| spread.median)
}
