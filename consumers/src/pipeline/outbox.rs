use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::letter::Letter;

/// The letters of a partition that are not written yet. Each is written together with the offset that passes its record.
#[derive(Default)]
pub(super) struct Outbox {
    /// By the offset of the record.
    letters: BTreeMap<i64, Vec<Arc<Letter>>>,
    /// A transaction with this partition is under way: nobody else may commit it meanwhile.
    pub under_way: bool,
    /// When letters of this partition were last in a transaction that failed: they may be what Kafka does not take, and go
    /// without those of others until they are written.
    pub suspect: Option<Instant>,
}

impl Outbox {
    pub fn add(&mut self, letter: Arc<Letter>) {
        let offset = letter.original.offset;
        self.letters.entry(offset).or_default().push(letter);
    }

    /// The offset of the first letter.
    pub fn first(&self) -> Option<i64> {
        self.letters.keys().next().copied()
    }

    /// Whether committing this offset passes letters.
    pub fn is_passed_by(&self, offset: i64) -> bool {
        self.first().is_some_and(|first| first < offset)
    }

    /// How far below `position` a commit gets with letters of so many bytes; past the first in any case.
    pub fn reach(&self, position: i64, room: usize) -> i64 {
        let mut bytes = 0;
        for (offset, letters) in self.letters.range(..position) {
            let these: usize = letters.iter().map(|letter| letter.bytes).sum();
            if bytes > 0 && bytes + these > room {
                return *offset;
            }
            bytes += these;
        }
        position
    }

    /// Takes out what a commit of this offset passes, by offset.
    pub fn take_below(&mut self, offset: i64) -> Vec<Arc<Letter>> {
        let above = self.letters.split_off(&offset);
        let below = std::mem::replace(&mut self.letters, above);
        below.into_values().flatten().collect()
    }

    /// Takes out all.
    pub fn take(&mut self) -> Vec<Arc<Letter>> {
        std::mem::take(&mut self.letters)
            .into_values()
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Assignment, Original};
    use super::*;

    fn outbox(offsets: &[i64]) -> Outbox {
        let assignment = Arc::new(Assignment::new("t".into(), "id".into(), 0, 1));
        let mut outbox = Outbox::default();
        for offset in offsets {
            let original = Original {
                assignment: assignment.clone(),
                offset: *offset,
                timestamp: None,
                key: None,
                place: None,
                bytes: None,
            };
            outbox.add(Arc::new(Letter::new(original, "r", "e".into(), 1, 10)));
        }
        outbox
    }

    #[test]
    fn a_commit_takes_the_letters_that_it_passes_and_no_other() {
        let mut outbox = outbox(&[7, 3, 5, 5]);
        assert_eq!(outbox.first(), Some(3));
        assert!(!outbox.is_passed_by(3));
        assert!(outbox.is_passed_by(4));
        let offsets = |letters: Vec<Arc<Letter>>| -> Vec<i64> {
            letters.iter().map(|l| l.original.offset).collect()
        };
        assert_eq!(offsets(outbox.take_below(7)), [3, 5, 5]);
        assert_eq!(outbox.first(), Some(7));
        assert_eq!(offsets(outbox.take_below(7)), [0; 0]);
        assert_eq!(offsets(outbox.take()), [7]);
    }

    #[test]
    fn a_commit_goes_as_far_as_there_is_room_for_letters() {
        let outbox = outbox(&[3, 5, 5, 7]);
        // Position, room; the offset to commit.
        let cases = [
            (20, 100, 20),
            (20, 40, 20),
            (20, 39, 7),
            (20, 30, 7),
            (20, 29, 5),
            (20, 0, 5),
            (6, 100, 6),
            (6, 10, 5),
            (4, 0, 4),
        ];
        for (position, room, want) in cases {
            assert_eq!(outbox.reach(position, room), want, "{position} {room}");
        }
    }
}
