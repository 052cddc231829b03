use std::collections::VecDeque;

/// Which offset of a partition may be committed: the one below which everything is done, though the parts of the
/// work end in any order.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// Records from the oldest unfinished on, with the number of their unfinished parts; offsets ascend, with gaps.
    open: VecDeque<(i64, u32)>,
    /// One above the last finished record that has no unfinished one before it.
    committable: Option<i64>,
    /// One above the last record begun.
    next: Option<i64>,
}

impl Watermark {
    /// Begins a record with one part. `false`, and nothing begun, when the offset is not above all earlier ones.
    pub fn begin(&mut self, offset: i64) -> bool {
        if self.next.is_some_and(|next| offset < next) {
            return false;
        }
        self.open.push_back((offset, 1));
        self.next = Some(offset + 1);
        true
    }

    /// The record has one more part.
    pub fn add(&mut self, offset: i64) {
        if let Some(parts) = self.parts(offset) {
            *parts += 1;
        }
    }

    /// A part of the record is finished.
    pub fn done(&mut self, offset: i64) {
        let Some(parts) = self.parts(offset) else {
            return;
        };
        *parts = parts.saturating_sub(1);
        while let Some((offset, 0)) = self.open.front() {
            self.committable = Some(offset + 1);
            self.open.pop_front();
        }
    }

    fn parts(&mut self, offset: i64) -> Option<&mut u32> {
        let (first, _) = self.open.front()?;
        // Without gaps, which are rare, the offset tells the place.
        let place = usize::try_from(offset - first).ok()?;
        let index = match self.open.get(place) {
            Some((found, _)) if *found == offset => place,
            _ => self.open.binary_search_by_key(&offset, |(o, _)| *o).ok()?,
        };
        self.open.get_mut(index).map(|(_, parts)| parts)
    }

    /// The offset to commit: the next to be consumed, as Kafka counts.
    pub fn committable(&self) -> Option<i64> {
        self.committable
    }

    /// How many offsets there are from this one to the last begun.
    pub fn begun_since(&self, offset: i64) -> usize {
        let next = self.next.unwrap_or(offset);
        usize::try_from(next - offset).unwrap_or(0)
    }

    /// Records from the oldest unfinished to the last begun.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Begin(i64),
        Add(i64),
        Done(i64),
    }
    use Step::{Add, Begin, Done};

    #[test]
    fn only_what_is_contiguous_is_committable() {
        let cases: [(&str, &[Step], Option<i64>, usize); 9] = [
            ("nothing", &[], None, 0),
            ("begun", &[Begin(5)], None, 1),
            ("in order", &[Begin(5), Begin(6), Done(5)], Some(6), 1),
            (
                "all done",
                &[Begin(5), Begin(6), Done(5), Done(6)],
                Some(7),
                0,
            ),
            (
                "out of order",
                &[Begin(5), Begin(6), Begin(7), Done(7), Done(6)],
                None,
                3,
            ),
            (
                "then the first",
                &[Begin(5), Begin(6), Begin(7), Done(6), Done(5)],
                Some(7),
                1,
            ),
            (
                "gaps of compaction",
                &[Begin(5), Begin(90), Done(90), Done(5)],
                Some(91),
                0,
            ),
            (
                "parts",
                &[Begin(5), Add(5), Add(5), Done(5), Done(5)],
                None,
                1,
            ),
            (
                "unknown and twice",
                &[Begin(5), Done(4), Done(5), Done(5), Begin(6)],
                Some(6),
                1,
            ),
        ];
        for (name, steps, committable, open) in cases {
            let mut watermark = Watermark::default();
            for step in steps {
                match *step {
                    Begin(offset) => assert!(watermark.begin(offset), "{name}"),
                    Add(offset) => watermark.add(offset),
                    Done(offset) => watermark.done(offset),
                }
            }
            assert_eq!(
                (watermark.committable(), watermark.open()),
                (committable, open),
                "{name}"
            );
        }
    }

    #[test]
    fn offsets_that_go_back_are_refused() {
        let mut watermark = Watermark::default();
        assert!(watermark.begin(10));
        assert!(!watermark.begin(10) && !watermark.begin(3));
        watermark.done(10);
        assert!(!watermark.begin(10));
        assert_eq!(watermark.committable(), Some(11));
    }

    /// Against a model: the committable offset is the lowest unfinished one, or one above the last.
    #[test]
    fn any_order_of_acknowledgements() {
        let mut seed = 7_u64;
        let mut random = |n: usize| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        for _ in 0..200 {
            let mut watermark = Watermark::default();
            let mut open: Vec<i64> = Vec::new();
            let mut last = -1;
            for _ in 0..100 {
                if open.is_empty() || random(2) == 0 {
                    last += 1 + random(3) as i64;
                    assert!(watermark.begin(last));
                    open.push(last);
                } else {
                    watermark.done(open.swap_remove(random(open.len())));
                }
                let lowest = open.iter().min().copied();
                match watermark.committable() {
                    // Gaps below an unfinished record are not known to be gaps.
                    Some(offset) => assert!(offset <= lowest.unwrap_or(last + 1)),
                    None => assert!(lowest.is_some()),
                }
                if open.is_empty() {
                    assert_eq!(watermark.committable(), Some(last + 1));
                }
            }
        }
    }
}
