//! Numbers of pods that spread partitions evenly: the fullest pod has one partition more than the emptiest at most, and no
//! smaller number of pods would leave the fullest with as few.

/// Between which numbers of pods to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) floor: i32,
    pub(super) cap: i32,
    partitions: i32,
}

impl Steps {
    /// At most one pod a partition, whatever the least and the most are.
    pub(super) fn new(min: i32, max: i32, partitions: i32) -> Self {
        let partitions = partitions.max(1);
        let cap = max.min(partitions);
        Self {
            floor: min.clamp(0, cap),
            cap,
            partitions,
        }
    }

    pub(super) fn clamp(&self, replicas: i32) -> i32 {
        replicas.clamp(self.floor, self.cap)
    }

    /// The step that has at least `wanted` pods' worth of even load, or the most there can be.
    pub(super) fn up(&self, wanted: i32) -> i32 {
        if wanted <= self.floor {
            return self.floor;
        }
        let of_fullest = self.partitions / wanted.min(self.partitions);
        self.clamp(ceil(self.partitions, of_fullest))
    }

    /// The next step with fewer pods; the same number where there is none.
    pub(super) fn below(&self, current: i32) -> i32 {
        let below = match current {
            ..=1 => 0,
            _ => ceil(self.partitions, ceil(self.partitions, current - 1)),
        };
        self.clamp(below).min(current)
    }
}

fn ceil(dividend: i32, divisor: i32) -> i32 {
    dividend / divisor + i32::from(dividend % divisor != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_evenly() {
        // Up, the fullest of 5 partitions' 2 pods would have 3 of them: more than one pod's worth.
        for (partitions, ups, downs) in [
            (1, vec![1], vec![1]),
            (5, vec![1, 3, 5], vec![1, 2, 3, 5]),
            (12, vec![1, 2, 3, 4, 6, 12], vec![1, 2, 3, 4, 6, 12]),
            (16, vec![1, 2, 4, 6, 8, 16], vec![1, 2, 3, 4, 6, 8, 16]),
        ] {
            let all = Steps::new(0, 1000, partitions);
            let mut found: Vec<_> = (1..=partitions).map(|wanted| all.up(wanted)).collect();
            found.dedup();
            assert_eq!(found, ups, "{partitions}");
            let mut found = vec![partitions];
            while found[found.len() - 1] > 0 {
                found.push(all.below(found[found.len() - 1]));
            }
            found.reverse();
            assert_eq!(found[1..], downs, "{partitions}");
            assert_eq!(found[0], 0);
        }
    }

    #[test]
    fn the_least_and_the_most_are_steps_too() {
        let steps = Steps::new(5, 8, 12);
        assert_eq!([0, 4, 5, 6, 7, 50].map(|n| steps.up(n)), [5, 5, 5, 6, 8, 8]);
        assert_eq!([8, 7, 6, 5].map(|n| steps.below(n)), [6, 6, 5, 5]);
        let few = Steps::new(5, 8, 3);
        assert_eq!((few.floor, few.cap, few.up(9), few.below(3)), (3, 3, 3, 3));
        let none = Steps::new(0, 8, 0);
        assert_eq!((none.floor, none.cap), (0, 1));
    }
}
