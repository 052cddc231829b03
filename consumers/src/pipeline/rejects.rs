use super::Watermark;
use super::commits::Commits;
use super::record::Origin;
use crate::stats::Stats;

/// So many events of one record get letters of their own. A record of a megabyte can hold half a million that are none,
/// and their letters would take a thousand times its memory: then the record as a whole is one.
const MAX_LETTERS: usize = 1000;
const TOO_MANY: &str = "too_many_rejected";

/// What of a record at hand cannot be taken.
pub(super) struct Rejects<'r, 'm> {
    pub commits: &'r mut Commits,
    pub stats: &'r Stats,
    pub watermark: &'r mut Watermark,
    /// The record.
    pub whole: Origin<'m>,
    pub letters: usize,
    /// What its events occupy until they are done.
    pub bytes: usize,
}

impl Rejects<'_, '_> {
    /// Counts an event that cannot be taken, and writes it to the dead-letter topic.
    pub fn reject(&mut self, origin: &Origin<'_>, reason: &'static str, error: String) {
        let events = &self.stats.events;
        events.with_label_values(&["rejected", reason]).inc();
        self.letters += 1;
        if self.letters <= MAX_LETTERS {
            self.write(origin, reason, error);
        } else if self.letters == MAX_LETTERS + 1 {
            let error = format!(
                "more than {MAX_LETTERS} events of this record cannot be taken; the first have letters of their own, the last reason is: {error}"
            );
            let whole = self.whole;
            self.write(&whole, TOO_MANY, error);
        }
    }

    fn write(&mut self, origin: &Origin<'_>, reason: &'static str, error: String) {
        let rejected = self.commits.reject(origin, reason, error, self.stats);
        self.bytes += rejected.bytes;
        if rejected.acknowledged_later {
            self.watermark.add(origin.offset);
        }
    }
}
