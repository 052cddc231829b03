//! A topic, its consumer group and time, second by second.

/// Partitions of the topic.
pub(super) const PARTITIONS: usize = 12;
/// Records that one pod carries in a second.
pub(super) const CAPACITY: f64 = 100.0;
/// Seconds between two commits.
const COMMIT: u32 = 5;
/// Seconds until a new pod is in the group.
const START: u32 = 8;
/// Seconds in which nothing is carried after the group's members changed.
const REBALANCE: u32 = 3;

/// What happens to the topic.
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) seconds: u32,
    /// Records a second that arrive in all, and the first partition's part of them.
    pub(super) arrives: fn(u32) -> f64,
    pub(super) first_partition: f64,
    /// Whether the brokers are away.
    pub(super) is_away: fn(u32) -> bool,
    /// Whether the group rebalances for a reason of its own.
    pub(super) is_shaken: fn(u32) -> bool,
}

/// The state at one second.
pub(super) struct World {
    pub(super) second: u32,
    pub(super) replicas: i32,
    pub(super) away: bool,
    pub(super) rebalancing: u32,
    /// By pod, the second from which it is in the group.
    pods: Vec<u32>,
    pub(super) ends: [f64; PARTITIONS],
    positions: [f64; PARTITIONS],
    pub(super) committed: [f64; PARTITIONS],
    /// What producers hold back while the brokers are away.
    held: [f64; PARTITIONS],
}

impl World {
    pub(super) fn new(replicas: i32) -> Self {
        Self {
            second: 0,
            replicas,
            away: false,
            rebalancing: 0,
            pods: vec![0; replicas as usize],
            ends: [0.0; PARTITIONS],
            positions: [0.0; PARTITIONS],
            committed: [0.0; PARTITIONS],
            held: [0.0; PARTITIONS],
        }
    }

    /// Records between what is committed and the end.
    pub(super) fn lag(&self) -> f64 {
        let partitions = self.ends.iter().zip(&self.committed);
        partitions.map(|(end, committed)| end - committed).sum()
    }

    /// Partitions with lag.
    pub(super) fn behind(&self) -> usize {
        let partitions = self.ends.iter().zip(&self.committed);
        partitions
            .filter(|(end, committed)| **end - **committed >= 1.0)
            .count()
    }

    /// Pods in the group.
    pub(super) fn members(&self) -> usize {
        let joined = self.pods.iter().filter(|joins| **joins <= self.second);
        joined.count()
    }

    pub(super) fn scale(&mut self, replicas: i32) {
        if replicas < self.replicas {
            self.rebalancing = REBALANCE;
        }
        self.replicas = replicas;
        self.pods.resize(replicas as usize, self.second + START);
    }

    /// One second goes by.
    pub(super) fn step(&mut self, load: &Load) {
        let before = self.members();
        self.second += 1;
        let was_away = std::mem::replace(&mut self.away, (load.is_away)(self.second));
        if self.members() > before || (was_away && !self.away) {
            self.rebalancing = REBALANCE;
        }
        self.arrive(load);
        if self.away {
            return;
        }
        if (load.is_shaken)(self.second) {
            self.rebalancing = self.rebalancing.max(1);
        }
        if self.rebalancing > 0 {
            self.rebalancing -= 1;
            return;
        }
        self.carry();
        if self.second.is_multiple_of(COMMIT) {
            self.committed = self.positions;
        }
    }

    fn arrive(&mut self, load: &Load) {
        let arrives = (load.arrives)(self.second);
        for partition in 0..PARTITIONS {
            let part = match partition {
                0 => load.first_partition,
                _ => (1.0 - load.first_partition) / (PARTITIONS - 1) as f64,
            };
            self.held[partition] += arrives * part;
            if !self.away {
                self.ends[partition] += std::mem::take(&mut self.held[partition]);
            }
        }
    }

    fn carry(&mut self) {
        let members = self.members();
        for member in 0..members {
            let mut left = CAPACITY;
            // Even shares, and what one partition leaves goes to the next ones.
            let own: Vec<usize> = (member..PARTITIONS).step_by(members).collect();
            for round in 0..2 {
                for (place, partition) in own.iter().enumerate() {
                    let share = match round {
                        0 => left / (own.len() - place) as f64,
                        _ => left,
                    };
                    let carried = share.min(self.ends[*partition] - self.positions[*partition]);
                    self.positions[*partition] += carried;
                    left -= carried;
                }
            }
        }
    }
}
