use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::pipeline::{Acks, Assignment, Origin, Original};

/// Beside its document and original, what an event occupies: its [`Item`] and what the pipeline notes down of it.
const OVERHEAD: usize = 256;
/// As many pairs of buffers are kept to be used again.
const SPARE: usize = 4;

/// Documents on their way: the body of a `_bulk` request, and beside it what dead letters would be made of.
#[derive(Debug, Default)]
pub(super) struct Batch {
    body: Bytes,
    rest: Rest,
    /// How often all of these documents have been sent.
    pub attempts: u32,
    /// How often one of them had labels with more names than its index has room for.
    pub no_room: u32,
}

/// A batch that grows.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    body: Vec<u8>,
    rest: Rest,
}

/// What belongs to the documents of a body.
#[derive(Debug, Default)]
struct Rest {
    /// Keys and bytes of the events, one after the other.
    originals: Vec<u8>,
    /// Those that the documents come from.
    assignments: Vec<Arc<Assignment>>,
    items: Vec<Item>,
}

/// One document of a batch. It begins where the one before ends, in the body as among the originals.
#[derive(Debug, Clone)]
struct Item {
    end: usize,
    original_end: usize,
    offset: i64,
    /// Kafka's timestamp of the record, in milliseconds since the epoch.
    timestamp: Option<i64>,
    /// The event's own time, in milliseconds since the epoch.
    event_at: i64,
    /// Among the batch's assignments.
    assignment: u32,
    place: Option<u32>,
    /// Of the original, how many bytes are the key.
    key: Option<u32>,
    has_bytes: bool,
    in_doubt: bool,
}

impl Rest {
    fn start(&self, item: usize) -> (usize, usize) {
        match item {
            0 => (0, 0),
            _ => {
                let before = &self.items[item - 1];
                (before.end, before.original_end)
            }
        }
    }

    /// What a document occupies of the bytes in flight.
    fn occupies(&self, item: usize) -> usize {
        let (start, original) = self.start(item);
        let Item {
            end, original_end, ..
        } = self.items[item];
        end - start + original_end - original + OVERHEAD
    }

    fn assignment(&mut self, assignment: &Arc<Assignment>) -> u32 {
        let same = |known: &Arc<Assignment>| Arc::ptr_eq(known, assignment);
        // Records come partition by partition.
        let place = match self.assignments.iter().rposition(same) {
            Some(place) => place,
            None => {
                self.assignments.push(assignment.clone());
                self.assignments.len() - 1
            }
        };
        place as u32
    }
}

impl Gathering {
    /// For so many bytes, of bodies as of originals, which are about as large.
    fn with_capacity(bytes: usize) -> Self {
        Self {
            body: Vec::with_capacity(bytes),
            rest: Rest {
                originals: Vec::with_capacity(bytes),
                ..Rest::default()
            },
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.items.is_empty()
    }

    /// Bytes of the body so far.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    pub fn documents(&self) -> usize {
        self.rest.items.len()
    }

    /// Adds a document that `write` appends to the body; `event_at` is the event's own time in milliseconds since the epoch.
    /// Returns what it occupies.
    ///
    /// # Errors
    /// That of `write`; then nothing is added.
    pub fn add<E>(
        &mut self,
        origin: &Origin<'_>,
        event_at: i64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let start = self.body.len();
        if let Err(error) = write(&mut self.body) {
            self.body.truncate(start);
            return Err(error);
        }
        let rest = &mut self.rest;
        let before = rest.originals.len();
        for part in [origin.key, origin.bytes].into_iter().flatten() {
            rest.originals.extend_from_slice(part);
        }
        let item = Item {
            end: self.body.len(),
            original_end: rest.originals.len(),
            offset: origin.offset,
            timestamp: origin.timestamp,
            event_at,
            assignment: rest.assignment(origin.assignment),
            place: origin.place.map(|place| place as u32),
            key: origin.key.map(|key| key.len() as u32),
            has_bytes: origin.bytes.is_some(),
            in_doubt: origin.assignment.may_have_been_sent(origin.offset),
        };
        let occupies = item.end - start + item.original_end - before + OVERHEAD;
        rest.items.push(item);
        Ok(occupies)
    }

    /// The batch as it is; what comes now is gathered in buffers of `spare`.
    pub fn ship(&mut self, spare: &Spare) -> Batch {
        let batch = |body: Vec<u8>, rest| Batch {
            body: Bytes::from(body),
            rest,
            attempts: 0,
            no_room: 0,
        };
        if self.body.len() > self.body.capacity() / 4 {
            let next = spare.take();
            let full = std::mem::replace(self, next);
            return batch(full.body, full.rest);
        }
        // A small batch may wait for long, and should not do so in large buffers.
        let rest = Rest {
            originals: self.rest.originals.clone(),
            assignments: std::mem::take(&mut self.rest.assignments),
            items: self.rest.items.clone(),
        };
        let batch = batch(self.body.clone(), rest);
        self.clear();
        batch
    }

    fn clear(&mut self) {
        self.body.clear();
        self.rest.originals.clear();
        self.rest.assignments.clear();
        self.rest.items.clear();
    }
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.rest.items.is_empty()
    }

    pub fn documents(&self) -> usize {
        self.rest.items.len()
    }

    /// The body of the request.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// A document with its action, as it stands in the body.
    pub fn document(&self, item: usize) -> &[u8] {
        &self.body[self.rest.start(item).0..self.rest.items[item].end]
    }

    pub fn assignments(&self) -> &[Arc<Assignment>] {
        &self.rest.assignments
    }

    pub fn assignment(&self, item: usize) -> &Arc<Assignment> {
        &self.rest.assignments[self.rest.items[item].assignment as usize]
    }

    pub fn offset(&self, item: usize) -> i64 {
        self.rest.items[item].offset
    }

    /// Kafka's timestamp of the document's record, in milliseconds since the epoch.
    pub fn timestamp(&self, item: usize) -> Option<i64> {
        self.rest.items[item].timestamp
    }

    /// The event's own time, in milliseconds since the epoch.
    pub fn event_at(&self, item: usize) -> i64 {
        self.rest.items[item].event_at
    }

    /// What a document occupies of the bytes in flight.
    pub fn occupies(&self, item: usize) -> usize {
        self.rest.occupies(item)
    }

    /// The document may be in the engine already.
    pub fn is_in_doubt(&self, item: usize) -> bool {
        self.rest.items[item].in_doubt
    }

    pub fn has_doubts(&self) -> bool {
        self.rest.items.iter().any(|item| item.in_doubt)
    }

    /// From now on the document may be in the engine already.
    pub fn doubt(&mut self, item: usize) {
        self.rest.items[item].in_doubt = true;
    }

    /// As [`Batch::doubt`], of all of them.
    pub fn doubt_all(&mut self) {
        for item in &mut self.rest.items {
            item.in_doubt = true;
        }
    }

    /// What a dead letter is made of.
    pub fn original(&self, item: usize) -> Original {
        let (_, start) = self.rest.start(item);
        let Item {
            original_end,
            offset,
            timestamp,
            place,
            key,
            has_bytes,
            ..
        } = self.rest.items[item];
        let original = &self.rest.originals[start..original_end];
        let (key_bytes, bytes) = original.split_at(key.unwrap_or(0) as usize);
        Original {
            assignment: self.assignment(item).clone(),
            offset,
            timestamp,
            key: key.map(|_| key_bytes.into()),
            place: place.map(|place| place as usize),
            bytes: has_bytes.then(|| bytes.into()),
        }
    }

    /// A batch of some of the documents, in order; nothing of the others stays in memory.
    pub fn pick(&self, items: impl IntoIterator<Item = usize>) -> Batch {
        let mut picked = Gathering::default();
        for place in items {
            let (_, start) = self.rest.start(place);
            let item = &self.rest.items[place];
            picked.body.extend_from_slice(self.document(place));
            let rest = &mut picked.rest;
            let original = &self.rest.originals[start..item.original_end];
            rest.originals.extend_from_slice(original);
            let item = Item {
                end: picked.body.len(),
                original_end: rest.originals.len(),
                assignment: rest.assignment(self.assignment(place)),
                ..item.clone()
            };
            rest.items.push(item);
        }
        Batch {
            body: picked.body.into(),
            rest: picked.rest,
            attempts: self.attempts,
            no_room: self.no_room,
        }
    }

    /// Both halves, to find out which document a request is refused for.
    pub fn halves(&self) -> (Batch, Batch) {
        let middle = self.documents() / 2;
        (self.pick(0..middle), self.pick(middle..self.documents()))
    }
}

/// Documents of a batch that are finished, to be acknowledged together.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// Offsets and occupied bytes for each of the batch's assignments.
    assignments: SmallVec<[(Vec<i64>, usize); 16]>,
}

impl Finished {
    pub fn add(&mut self, batch: &Batch, item: usize) {
        let assignment = batch.rest.items[item].assignment as usize;
        if self.assignments.len() <= assignment {
            self.assignments
                .resize_with(assignment + 1, Default::default);
        }
        let (offsets, bytes) = &mut self.assignments[assignment];
        offsets.push(batch.offset(item));
        *bytes += batch.occupies(item);
    }

    /// Acknowledges them; how many there are.
    pub fn acknowledge(self, batch: &Batch, acks: &Acks) -> u64 {
        let mut count = 0;
        for ((offsets, bytes), assignment) in self.assignments.into_iter().zip(batch.assignments())
        {
            if !offsets.is_empty() {
                count += offsets.len() as u64;
                acks.done(assignment, offsets, bytes);
            }
        }
        count
    }
}

/// Buffers of batches that are done. New ones of megabytes would be new memory of the system's each time.
#[derive(Debug)]
pub(super) struct Spare {
    buffers: Mutex<Vec<Gathering>>,
    /// Of a body that is about to be sent.
    bytes: usize,
}

impl Spare {
    /// For bodies of about so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            buffers: Mutex::default(),
            bytes,
        }
    }

    fn take(&self) -> Gathering {
        // Growing would copy what is there over and over, and leave holes in the memory.
        self.lock()
            .pop()
            .unwrap_or_else(|| Gathering::with_capacity(self.bytes + self.bytes / 16))
    }

    /// Takes back what a batch was made of.
    pub fn give(&self, batch: Batch) {
        // Somebody may still have a part of it.
        let Ok(mut body) = batch.body.try_into_mut() else {
            return;
        };
        // The empty one becomes a vector without being copied.
        body.clear();
        let mut buffers = Gathering {
            body: body.into(),
            rest: batch.rest,
        };
        buffers.clear();
        let fits = |capacity| capacity <= 2 * self.bytes;
        let keep = fits(buffers.body.capacity()) && fits(buffers.rest.originals.capacity());
        // The small ones would only have to grow.
        if keep && buffers.body.capacity() > self.bytes / 8 {
            let mut spare = self.lock();
            if spare.len() < SPARE {
                spare.push(buffers);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Gathering>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn gathering(assignments: &[Arc<Assignment>], documents: &[&str]) -> (Gathering, Vec<usize>) {
        let mut gathering = Gathering::default();
        let mut occupied = Vec::new();
        for (i, text) in documents.iter().enumerate() {
            let key = format!("key-{i}");
            let bytes = text.to_uppercase();
            let origin = Origin {
                assignment: &assignments[i % assignments.len()],
                offset: i as i64,
                timestamp: (i > 0).then_some(i as i64),
                key: (i % 2 == 0).then_some(key.as_bytes()),
                place: (i > 1).then_some(i),
                bytes: (i != 3).then_some(bytes.as_bytes()),
            };
            let bytes = gathering.add(&origin, 7 * i as i64, |out| {
                out.extend_from_slice(text.as_bytes());
                Ok::<_, Infallible>(())
            });
            occupied.push(bytes.expect("written"));
        }
        (gathering, occupied)
    }

    fn seen(batch: &Batch) -> Vec<(i64, String, Original, usize, i64)> {
        (0..batch.documents())
            .map(|i| {
                let text = String::from_utf8_lossy(batch.document(i)).into_owned();
                let (original, bytes) = (batch.original(i), batch.occupies(i));
                (batch.offset(i), text, original, bytes, batch.event_at(i))
            })
            .collect()
    }

    fn assignments() -> [Arc<Assignment>; 2] {
        [0, 1].map(|p| Arc::new(Assignment::new("t".into(), "id".into(), p, 1)))
    }

    #[test]
    fn documents_and_their_originals_stay_together_however_a_batch_is_taken_apart() {
        let (mut gathering, occupied) =
            gathering(&assignments(), &["a\n", "bb\n", "ccc\n", "d\n", "ee\n"]);
        let batch = gathering.ship(&Spare::new(1));
        assert!(gathering.is_empty());
        let all = seen(&batch);
        assert_eq!(all.iter().map(|s| s.3).collect::<Vec<_>>(), occupied);
        let texts: Vec<_> = all.iter().map(|s| &*s.1).collect();
        assert_eq!(texts, ["a\n", "bb\n", "ccc\n", "d\n", "ee\n"]);
        let (first, second, fourth) = (&all[0].2, &all[1].2, &all[3].2);
        assert_eq!(first.key.as_deref(), Some(&b"key-0"[..]));
        assert_eq!(first.bytes.as_deref(), Some(&b"A\n"[..]));
        assert_eq!((second.key.as_deref(), second.timestamp), (None, Some(1)));
        assert_eq!(second.assignment.partition, 1);
        assert_eq!((fourth.bytes.as_deref(), fourth.place), (None, Some(3)));

        let debug = |all: &[_]| format!("{all:?}");
        let (head, tail) = batch.halves();
        assert_eq!(debug(&[seen(&head), seen(&tail)].concat()), debug(&all));
        assert_eq!(&tail.body()[..], b"ccc\nd\nee\n");
        let picked = seen(&batch.pick([1, 4]));
        assert_eq!(debug(&picked), debug(&[all[1].clone(), all[4].clone()]));
    }

    #[test]
    fn a_document_that_cannot_be_written_leaves_nothing_behind() {
        let (mut gathering, _) = gathering(&assignments(), &["a\n"]);
        let assignment = &assignments()[0];
        let origin = Origin {
            assignment,
            offset: 9,
            timestamp: None,
            key: Some(b"k"),
            place: None,
            bytes: Some(b"b"),
        };
        let refused = gathering.add(&origin, 0, |out| {
            out.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(refused, Err("no"));
        let batch = gathering.ship(&Spare::new(1));
        assert_eq!((batch.documents(), &batch.body()[..]), (1, &b"a\n"[..]));
    }

    #[test]
    fn what_is_read_again_is_in_doubt() {
        let assignments = assignments();
        assignments[0].reread_until(1);
        let (mut gathering, _) = gathering(&assignments, &["a\n", "b\n", "c\n"]);
        let mut batch = gathering.ship(&Spare::new(1));
        let doubts = |batch: &Batch| [0, 1, 2].map(|i| batch.is_in_doubt(i));
        assert_eq!(doubts(&batch), [true, false, false]);
        batch.doubt(2);
        assert_eq!(doubts(&batch), [true, false, true]);
        assert!(!batch.pick([1]).has_doubts());
        assert!(batch.pick([1, 2]).has_doubts());
    }

    #[test]
    fn buffers_are_used_again() {
        let spare = Spare::new(1024);
        let document = "x".repeat(600);
        let (mut gathering, _) = gathering(&assignments(), &[&document]);
        let batch = gathering.ship(&spare);
        let at = batch.body().as_ptr();
        spare.give(batch);
        let again = spare.take();
        assert_eq!((again.body.as_ptr(), again.body.len()), (at, 0));
        assert!(again.rest.items.is_empty() && again.rest.originals.is_empty());

        let (mut large, _) = self::gathering(&assignments(), &[&"x".repeat(5000)]);
        spare.give(large.ship(&spare));
        assert!(spare.take().body.capacity() < 2048, "too large to be kept");
    }
}
