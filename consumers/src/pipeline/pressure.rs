/// How many bytes may be under way, and which partitions have to stop for it.
///
/// What a partition has under way may be stuck, and must not stop the others: above its fair share it is held back as soon as
/// half of all is occupied, and what it holds does not count against the others any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most bytes that the sink and the dead letters may have unacknowledged.
    pub all: usize,
    /// What the sink sends at once; a partition may always have as much.
    pub bulk: usize,
}

impl Limits {
    /// Whether a partition with `own` of the bytes under way has to wait. One that does goes on when a good part of it is
    /// done: librdkafka throws away what it has fetched ahead of a partition that is paused.
    pub fn holds_back(self, own: usize, total: usize, partitions: usize, waits: bool) -> bool {
        let share = (self.all / partitions.max(1)).max(self.bulk);
        match waits {
            false => own > share && total > self.all / 2,
            true => own > share / 2 && total > self.all / 3,
        }
    }

    /// Whether all have to wait, where `held` of the bytes under way are of partitions that are held back.
    pub fn is_over(self, total: usize, held: usize) -> bool {
        // Partitions with less can never be more than all.
        total > self.all && total.saturating_sub(held) > self.room(held)
    }

    /// Whether all can go on that had to wait.
    pub fn is_relieved(self, total: usize, held: usize) -> bool {
        total.saturating_sub(held) <= self.room(held) / 2
    }

    /// What the others have. A partition that once was the only one may hold all.
    fn room(self, held: usize) -> usize {
        self.all.saturating_sub(held).max(self.all / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { all: 60, bulk: 10 };

    #[test]
    fn a_partition_above_its_share_waits_once_half_is_occupied() {
        // Own, total, partitions, whether it waits already; and whether it has to.
        let cases = [
            ("little is under way", 30, 30, 3, false, false),
            ("half is occupied", 31, 31, 3, false, true),
            ("its share is not used up", 20, 59, 3, false, false),
            ("above its share", 21, 59, 3, false, true),
            ("the only one has all", 60, 60, 1, false, false),
            ("one of many may have a bulk", 10, 60, 100, false, false),
            ("and not more", 11, 60, 100, false, true),
            ("it goes on waiting below its share", 20, 40, 3, true, true),
            ("until half of its share is done", 10, 59, 3, true, false),
            ("or little is under way", 20, 20, 3, true, false),
            ("no partitions", 0, 0, 0, false, false),
        ];
        for (name, own, total, partitions, waits, want) in cases {
            let is = LIMITS.holds_back(own, total, partitions, waits);
            assert_eq!(is, want, "{name}");
        }
    }

    #[test]
    fn what_is_held_back_leaves_the_others_their_room() {
        // Total, held; whether all have to wait, and whether they can go on if they do.
        let cases = [
            ("nothing", 0, 0, false, true),
            ("full", 61, 0, true, false),
            ("half of it is free again", 30, 0, false, true),
            (
                "more than half is stuck, the others are done",
                35,
                35,
                false,
                true,
            ),
            (
                "more than half is stuck, the others are busy",
                50,
                35,
                false,
                false,
            ),
            ("the others have used up what is left", 61, 35, true, false),
            ("the others are through half of it", 47, 35, false, true),
            (
                "all is stuck, and a quarter is left to the others",
                75,
                60,
                false,
                false,
            ),
            ("and not more", 76, 60, true, false),
        ];
        for (name, total, held, over, relieved) in cases {
            assert_eq!(LIMITS.is_over(total, held), over, "{name}");
            assert_eq!(LIMITS.is_relieved(total, held), relieved, "{name}");
        }
    }

    /// Partitions that never get anything done do not stop one that does, unless a bulk for each of them is half of all.
    #[test]
    fn one_that_gets_on_is_not_stopped_by_those_that_do_not() {
        for partitions in 2..20 {
            for stuck in 1..partitions {
                let mut own = vec![0; stuck];
                let mut waits = vec![false; stuck];
                // Each takes as much as it is let.
                for _ in 0..LIMITS.all * 2 {
                    for which in 0..stuck {
                        let total = own.iter().sum();
                        waits[which] =
                            LIMITS.holds_back(own[which], total, partitions, waits[which]);
                        own[which] += usize::from(!waits[which] && total <= LIMITS.all);
                    }
                }
                let total: usize = own.iter().sum();
                let held = own.iter().zip(&waits).filter(|(_, waits)| **waits);
                let held = held.map(|(own, _)| own).sum();
                assert!(
                    !LIMITS.is_over(total, held) || stuck * LIMITS.bulk >= LIMITS.all / 2,
                    "{stuck} of {partitions} are stuck with {own:?}"
                );
            }
        }
    }
}
