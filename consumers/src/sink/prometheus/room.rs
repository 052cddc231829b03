use std::collections::BTreeMap;

/// Services whose refusals are counted by name; the rest together are `other`.
const NAMED: usize = 100;

/// The room for series that all partitions of this pod share, and what found none.
#[derive(Debug, Default)]
pub(crate) struct Room {
    used: usize,
    limit: usize,
    refused: BTreeMap<Box<str>, u64>,
    other: u64,
}

impl Room {
    /// Room for so many series.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Changes the limit. Series that are there already stay, also beyond it.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many series there are.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes the room for one new series, if there is any.
    pub fn take(&mut self) -> bool {
        let room = self.used < self.limit;
        self.used += usize::from(room);
        room
    }

    /// Counts series that were restored: they are never refused.
    pub fn restored(&mut self, series: usize) {
        self.used += series;
    }

    /// Gives back the room of series that are no more, or not ours any more.
    pub fn release(&mut self, series: usize) {
        self.used = self.used.saturating_sub(series);
    }

    /// Counts an event that found no room for one of its series.
    pub fn refuse(&mut self, service: &str) {
        if let Some(count) = self.refused.get_mut(service) {
            *count += 1;
        } else if self.refused.len() < NAMED {
            self.refused.insert(service.into(), 1);
        } else {
            self.other += 1;
        }
    }

    /// The events refused since the last call, by service. The first 100 services of the process have their names, all
    /// others are `other`, so that a metric with this label is bounded.
    pub fn take_refused(&mut self) -> impl Iterator<Item = (&str, u64)> {
        let other = std::mem::take(&mut self.other);
        self.refused
            .iter_mut()
            .map(|(service, count)| (&**service, std::mem::take(count)))
            .chain([("other", other)])
            .filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_series_are_refused_at_the_limit_and_restored_ones_never() {
        let mut room = Room::new(2);
        assert!(room.take());
        room.restored(5);
        assert!(!room.take());
        room.release(5);
        assert!(room.take());
        assert_eq!(room.used(), 2);
        room.set_limit(1);
        assert!(!room.take());
        assert_eq!(room.used(), 2);
    }

    #[test]
    fn refusals_are_counted_for_a_hundred_services_by_name() {
        let mut room = Room::new(0);
        for n in 0..150 {
            room.refuse(&format!("s{n:03}"));
        }
        room.refuse("s007");
        let counts: BTreeMap<String, u64> = room
            .take_refused()
            .map(|(service, count)| (service.to_owned(), count))
            .collect();
        assert_eq!(counts.len(), 101);
        assert_eq!(counts["s007"], 2);
        assert_eq!(counts["other"], 50);
        assert_eq!(room.take_refused().count(), 0);
        // The names stay the same ones.
        room.refuse("s120");
        assert_eq!(room.take_refused().collect::<Vec<_>>(), [("other", 1)]);
    }
}
