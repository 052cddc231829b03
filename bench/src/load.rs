//! What the operator used, at work and at rest, as tables with targets.

use std::time::Duration;

use crate::health::Heard;
use crate::operator::Usage;
use crate::requests::Counts;
use crate::table::Table;
use crate::words::{MIB, health, mebibytes, seconds, verdict};

/// Bytes of the resident set, at any time.
const MAX_MEMORY: u64 = 64 * MIB;

/// The operator with something to do, until it was quiet again.
#[derive(Debug, Clone)]
pub struct AtWork {
    /// CPU seconds of the leader.
    pub cpu: f64,
    /// What the leader has used since it started.
    pub usage: Usage,
    /// Its requests.
    pub requests: Counts,
    /// The leader's `/healthz`.
    pub health: Heard,
    /// That of the replica that does nothing: what of it is the way there.
    pub standby: Option<Heard>,
    /// Restarts of the present pods, before and after.
    pub restarts: (i32, i32),
    /// Whether the same replica led from the beginning to the end.
    pub same_leader: bool,
}

impl AtWork {
    /// Both, the other being the later one.
    pub fn plus(self, later: Self) -> Self {
        Self {
            cpu: self.cpu + later.cpu,
            usage: later.usage,
            requests: self.requests.plus(&later.requests),
            health: self.health.plus(later.health),
            standby: self
                .standby
                .zip(later.standby)
                .map(|(earlier, later)| earlier.plus(later)),
            restarts: (self.restarts.0, later.restarts.1),
            same_leader: self.same_leader && later.same_leader,
        }
    }

    /// As a table, for so many resources, each of which is `one`; with a target for the CPU seconds where there is one.
    pub fn table(&self, count: usize, one: &str, most_cpu: Option<f64>) -> String {
        let mut table = Table::new(&["", "operator", "target"]);
        let mut add = |name: &str, value: String, target: String| {
            table.row(&[name.to_owned(), value, target]);
        };
        let cpu = if self.same_leader {
            seconds(self.cpu)
        } else {
            "unknown: another replica took over".into()
        };
        let target = most_cpu.map(|most| {
            let met = self.same_leader && self.cpu <= most;
            verdict(&format!("≤ {most} s"), met)
        });
        add("CPU", cpu, target.unwrap_or_default());
        add(
            "peak resident memory",
            mebibytes(self.usage.peak_rss),
            verdict("≤ 64 MiB", self.usage.peak_rss <= MAX_MEMORY),
        );
        if let Some(peak) = self.usage.peak_cgroup {
            let name = "peak of its cgroup, page cache included";
            add(name, mebibytes(peak), String::new());
        }
        let restarts = self.restarts.1 - self.restarts.0;
        let met = restarts == 0 && self.same_leader;
        add("restarts", restarts.to_string(), verdict("0", met));
        let work = self.requests.work();
        let count = count.max(1) as u64;
        add(
            &format!("API requests a {one}"),
            format!("{:.2}", work.total() as f64 / count as f64),
            String::new(),
        );
        add("worst /healthz", health(self.health), String::new());
        if let Some(standby) = self.standby {
            let name = "the same of the replica that waits";
            add(name, health(standby), String::new());
        }
        format!(
            "{}  (API requests a {one}: {}; beside them {})\n",
            table.render(),
            work.words(count),
            self.requests.standing().words(1)
        )
    }
}

/// The operator with nothing to do.
#[derive(Debug, Clone)]
pub struct Rest {
    /// Whether it had stopped asking Kubernetes before.
    pub quiet: bool,
    /// How long.
    pub lasted: Duration,
    /// CPU seconds of the leader.
    pub cpu: f64,
    /// Requests of all replicas.
    pub requests: Counts,
}

/// The targets of an operator at rest.
#[derive(Debug, Clone, Copy)]
pub struct AtMost {
    /// Whether it may ask, and only not write.
    pub may_read: bool,
    /// CPU seconds in two minutes.
    pub cpu: Option<f64>,
}

impl Rest {
    /// As a table.
    pub fn table(&self, most: AtMost) -> String {
        let mut table = Table::new(&["", "operator", "target"]);
        let (work, writes) = (self.requests.work(), self.requests.writes());
        let target = if most.may_read {
            String::new()
        } else {
            verdict("0", work.total() == 0)
        };
        let name = "API requests but watches and the Lease";
        table.row(&[name.to_owned(), work.total().to_string(), target]);
        if most.may_read {
            table.row(&[
                "of them writes".to_owned(),
                writes.total().to_string(),
                verdict("0", writes.total() == 0),
            ]);
        }
        let target = most.cpu.map(|most| {
            let most = most * self.lasted.as_secs_f64() / 120.0;
            verdict(&format!("≤ {most:.2} s"), self.cpu <= most)
        });
        table.row(&[
            "CPU".to_owned(),
            seconds(self.cpu),
            target.unwrap_or_default(),
        ]);
        let mut text = table.render();
        let standing = self.requests.standing();
        text.push_str(&format!("  (watches and the Lease: {}", standing.words(1)));
        if work.total() > 0 {
            text.push_str(&format!("; else: {}", work.words(1)));
        }
        text.push_str(")\n");
        if !self.quiet {
            text.push_str("  (it had not stopped asking before)\n");
        }
        text
    }
}
