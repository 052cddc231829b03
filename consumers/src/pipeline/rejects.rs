use std::sync::Arc;

use super::letter::Letter;
use super::outbox::Outbox;
use super::record::Origin;
use crate::stats::Stats;

/// So many events of one record get letters of their own. A record of a megabyte can hold half a million that are none,
/// and their letters would take a thousand times its memory: of the others those that follow one another share one.
const MAX_LETTERS: usize = 1000;
/// Why a letter holds several events, as an array; its place is that of the first.
pub(crate) const TOO_MANY: &str = "too_many_rejected";

/// What of a record at hand cannot be taken.
pub(super) struct Rejects<'r, 'm> {
    outbox: &'r mut Outbox,
    stats: &'r Stats,
    /// The record.
    whole: Origin<'m>,
    letters: usize,
    /// Of those that share a letter, the last, to which more may be added.
    run: Option<Run>,
    /// What its events occupy until they are done.
    pub bytes: usize,
}

/// Events that follow one another in the record's array.
struct Run {
    first: usize,
    events: usize,
    /// An array of them that is still open.
    json: Vec<u8>,
    /// Why the first is here.
    why: String,
}

impl<'r, 'm> Rejects<'r, 'm> {
    pub fn new(outbox: &'r mut Outbox, stats: &'r Stats, whole: Origin<'m>) -> Self {
        Self {
            outbox,
            stats,
            whole,
            letters: 0,
            run: None,
            bytes: 0,
        }
    }

    /// Counts an event that cannot be taken, and has it written to the dead-letter topic.
    pub fn reject(&mut self, origin: &Origin<'_>, reason: &'static str, error: String) {
        let events = &self.stats.events;
        events.with_label_values(&["rejected", reason]).inc();
        self.letters += 1;
        match (origin.place, origin.bytes) {
            (Some(place), Some(json)) if self.letters > MAX_LETTERS => {
                self.share(place, json, &format!("{reason}: {error}"));
            }
            _ => self.write(origin, reason, error),
        }
    }

    fn share(&mut self, place: usize, json: &[u8], why: &str) {
        if let Some(run) = &mut self.run
            && run.first + run.events == place
        {
            run.events += 1;
            run.json.push(b',');
            run.json.extend_from_slice(json);
            return;
        }
        self.finish();
        self.run = Some(Run {
            first: place,
            events: 1,
            json: [b"[", json].concat(),
            why: why.to_owned(),
        });
    }

    /// There are no more events in the record.
    pub fn finish(&mut self) {
        let Some(mut run) = self.run.take() else {
            return;
        };
        run.json.push(b']');
        let origin = Origin {
            place: Some(run.first),
            bytes: Some(&run.json),
            ..self.whole
        };
        let error = format!(
            "more than {MAX_LETTERS} events of this record cannot be taken; here are the {} from place {} on, the first of them for {}",
            run.events, run.first, run.why
        );
        self.write(&origin, TOO_MANY, error);
    }

    fn write(&mut self, origin: &Origin<'_>, reason: &'static str, error: String) {
        let letter = Letter::at_once(origin, reason, error);
        self.bytes += letter.bytes;
        self.stats.dead_letters_pending.inc();
        self.outbox.add(Arc::new(letter));
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Assignment;
    use super::*;

    #[test]
    fn each_rejected_event_is_in_one_letter_however_many_they_are() {
        let assignment = Arc::new(Assignment::new("t".into(), "id".into(), 0, 1));
        let whole = Origin {
            assignment: &assignment,
            offset: 7,
            timestamp: None,
            key: Some(b"k"),
            place: None,
            bytes: Some(b"the record"),
        };
        let (mut outbox, stats) = (Outbox::default(), Stats::new());
        let mut rejects = Rejects::new(&mut outbox, &stats, whole);
        // Two that were taken lie between those that share letters.
        let places = (0..MAX_LETTERS + 10).filter(|p| ![3, MAX_LETTERS + 4].contains(p));
        for place in places.clone() {
            let json = place.to_string();
            let origin = Origin {
                place: Some(place),
                bytes: Some(json.as_bytes()),
                ..whole
            };
            rejects.reject(&origin, "not_an_object", "a number".into());
        }
        rejects.finish();
        let bytes = rejects.bytes;
        let letters = outbox.take();
        assert_eq!(letters.iter().map(|l| l.bytes).sum::<usize>(), bytes);
        assert_eq!(stats.dead_letters_pending.get(), letters.len() as i64);
        let mut found = Vec::new();
        let mut shared = Vec::new();
        for letter in &letters {
            let original = &letter.original;
            assert_eq!(
                (original.offset, original.key.as_deref()),
                (7, Some(&b"k"[..]))
            );
            let first = original.place.expect("a place");
            let json = original.bytes.as_deref().expect("bytes");
            if letter.reason == TOO_MANY {
                let events: Vec<usize> = serde_json::from_slice(json).expect("an array");
                shared.push((first, events.len()));
                found.extend(events);
            } else {
                found.push(serde_json::from_slice(json).expect("an event"));
            }
        }
        assert_eq!(found, places.collect::<Vec<_>>());
        assert_eq!(shared, [(MAX_LETTERS + 1, 3), (MAX_LETTERS + 5, 5)]);
        let error = &letters[MAX_LETTERS].error;
        assert!(
            error.ends_with(
                "the 3 from place 1001 on, the first of them for not_an_object: a number"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_record_that_is_no_array_is_a_letter_as_it_is() {
        let assignment = Arc::new(Assignment::new("t".into(), "id".into(), 0, 1));
        let whole = Origin {
            assignment: &assignment,
            offset: 7,
            timestamp: None,
            key: None,
            place: None,
            bytes: Some(b"{"),
        };
        let (mut outbox, stats) = (Outbox::default(), Stats::new());
        let mut rejects = Rejects::new(&mut outbox, &stats, whole);
        rejects.reject(&whole, "not_json", "it ends".into());
        rejects.finish();
        let letters = outbox.take();
        let [letter] = &letters[..] else {
            panic!("{} letters", letters.len());
        };
        assert_eq!((letter.reason, letter.original.place), ("not_json", None));
        assert_eq!(letter.original.bytes.as_deref(), Some(&b"{"[..]));
    }
}
