//! The way from an event to its series without building the series' labels: events of one series mostly have the same
//! JSON but for time and value, so the hash of the rest finds the series.
//!
//! A hash stands for what it was made of: it has 128 bits and its seeds are this process' secret, so two different
//! events do not have the same one.

use std::hash::{BuildHasher, Hasher};

use bt_events::{Business, Event, Metric, Text};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use super::sample::{MAX_HELP, MAX_UNIT};

/// A hash of an event's JSON, never zeros.
pub(super) type RawKey = [u64; 2];

/// Makes [`RawKey`]s.
pub(super) struct Keys {
    seeds: [SharedSeed; 2],
    starts: [u64; 2],
}

impl Default for Keys {
    fn default() -> Self {
        // The standard library's are seeded by the operating system, foldhash's are not.
        let random = || std::hash::RandomState::new().hash_one(0u8);
        Self {
            seeds: [random(), random()].map(SharedSeed::from_u64),
            starts: [random(), random()],
        }
    }
}

impl Keys {
    /// The key of a metric event's series; `None` where it must be looked at closely.
    pub fn metric(&self, event: &Event<'_>, metric: &Metric<'_>) -> Option<RawKey> {
        let long = |text: &Option<Text<'_>>, max| {
            text.as_ref()
                .is_some_and(|text| text.json().is_none_or(|json| json.len() > max))
        };
        if long(&metric.help, MAX_HELP) || long(&metric.unit, MAX_UNIT) {
            return None;
        }
        let mut hash = self.begin(1 + metric.kind as u8, event)?;
        hash.text(&metric.name)?;
        hash.optional(event.instance.as_ref())?;
        match metric.labels.raw() {
            Some(json) => hash.bytes(json.as_bytes()),
            None if metric.labels.is_empty() => hash.bytes(b""),
            None => return None,
        }
        if let Some(buckets) = &metric.buckets {
            hash.number(buckets.len() as u64);
            for bound in buckets {
                hash.number(bound.to_bits());
            }
        }
        Some(hash.finish())
    }

    /// The key of a business event's series.
    pub fn business(&self, event: &Event<'_>, business: &Business<'_>) -> Option<RawKey> {
        let mut hash = self.begin(0, event)?;
        hash.text(&business.r#type)?;
        Some(hash.finish())
    }

    fn begin(&self, what: u8, event: &Event<'_>) -> Option<Hash<'_>> {
        let [first, second] = &self.seeds;
        let mut hash = Hash([
            FoldHasher::with_seed(self.starts[0] ^ u64::from(what), first),
            FoldHasher::with_seed(self.starts[1] ^ u64::from(what), second),
        ]);
        hash.text(&event.service)?;
        Some(hash)
    }
}

struct Hash<'s>([FoldHasher<'s>; 2]);

impl Hash<'_> {
    fn text(&mut self, text: &Text<'_>) -> Option<()> {
        self.bytes(text.json()?.as_bytes());
        Some(())
    }

    fn optional(&mut self, text: Option<&Text<'_>>) -> Option<()> {
        match text {
            Some(text) => self.text(text),
            None => {
                self.bytes(b"");
                Some(())
            }
        }
    }

    /// foldhash takes the length in, so that parts do not run together.
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        for lane in &mut self.0 {
            lane.write(bytes);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn finish(self) -> RawKey {
        let [first, second] = self.0.map(|lane| lane.finish());
        [first.max(1), second]
    }
}
