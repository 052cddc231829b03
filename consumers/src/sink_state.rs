//! How the sink is, from what it really answered: what `GET /sink` of a pod shows and the operator sums up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// Counts are shown for this long.
const WINDOW: Duration = Duration::from_secs(60);
/// Between two points of the history of counts.
const STEP: Duration = Duration::from_secs(5);
/// A failure that is over sooner is not shown: one dropped connection, one busy moment.
const STANDS: Duration = Duration::from_secs(2);
/// So many rejections in a row, and nothing taken for a minute: it is not the events.
const IN_A_ROW: u64 = 10;
/// How long a notice is shown.
const NOTICED: Duration = Duration::from_secs(3600);
const MAX_NOTICES: usize = 20;
/// The longest message, in bytes.
const MAX_MESSAGE: usize = 600;
/// The longest quotation of a reason, in bytes.
const MAX_REASON: usize = 300;

/// How a sink is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SinkCondition {
    /// It takes what it is given.
    Ready,
    /// It has not been reached yet, nor failed.
    Starting,
    /// It takes nothing of what it is given, or its rejects cannot be written to the dead-letter topic.
    Rejecting,
    /// It answers that it cannot take anything now.
    Unavailable,
    /// It does not accept our credentials, or they do not suffice.
    Unauthorized,
    /// It does not answer.
    Unreachable,
}

impl SinkCondition {
    /// The name as it stands in the JSON, and in the reason of a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Starting => "Starting",
            Self::Rejecting => "Rejecting",
            Self::Unavailable => "Unavailable",
            Self::Unauthorized => "Unauthorized",
            Self::Unreachable => "Unreachable",
        }
    }
}

/// What `GET /sink` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    /// How the sink is.
    pub state: SinkCondition,
    /// Why, for people; may be empty while all is well. Never a secret.
    pub message: String,
    /// Since when it is in this state (RFC 3339).
    pub since: String,
    /// Events of the last minute that went to the dead-letter topic.
    pub rejected: u64,
    /// Events of the last minute that the sink has.
    pub taken: u64,
    /// What happened once and people should hear of; the newest last, of the last hour, at most 20.
    #[serde(default)]
    pub notices: Vec<Notice>,
}

/// Something that happened once, for the operator to tell as an Event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// CamelCase, as an Event's reason, for example `StateLost`.
    pub reason: String,
    /// What, where, what to do.
    pub message: String,
    /// When (RFC 3339 with milliseconds).
    pub at: String,
}

/// What people should know although the sink is ready: it is shown as long as it is so, and noticed when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    /// CamelCase, as an Event's reason, for example `RetentionNotEnforced`.
    pub reason: &'static str,
    /// What, where, what to do.
    pub message: String,
}

/// Collects what the sink answers.
pub(crate) struct SinkState {
    dead_letter_topic: String,
    taken: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
    /// Rejections by the sink since it last took something.
    in_a_row: AtomicU64,
    inner: Mutex<Inner>,
}

/// Something that the sink has refused for long, as long as this is kept: that it takes something else does not make it ready.
pub(crate) struct Stuck<'s>(&'s SinkState);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.lock().stuck -= 1;
        self.0.answered();
    }
}

struct Inner {
    set_up: bool,
    failure: Option<Failure>,
    /// How many [`Stuck`] there are.
    stuck: usize,
    last_rejection: String,
    /// Why rejected events cannot be written to the dead-letter topic.
    dead_letters: Option<String>,
    history: VecDeque<(Instant, Counts)>,
    notices: VecDeque<(Instant, Notice)>,
    remarks: Vec<Remark>,
    /// The state last reported, and since when.
    shown: (SinkCondition, SystemTime),
}

struct Failure {
    kind: SinkCondition,
    why: String,
    since: Instant,
    at: SystemTime,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    taken: u64,
    rejected: u64,
    dropped: u64,
}

impl SinkState {
    /// Of a sink that is set up already, or has yet to be.
    pub fn new(dead_letter_topic: &str, set_up: bool) -> Self {
        Self {
            dead_letter_topic: dead_letter_topic.to_owned(),
            taken: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            in_a_row: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                set_up,
                failure: None,
                stuck: 0,
                last_rejection: String::new(),
                dead_letters: None,
                history: VecDeque::from([(Instant::now(), Counts::default())]),
                notices: VecDeque::new(),
                remarks: Vec::new(),
                shown: match set_up {
                    true => (SinkCondition::Ready, SystemTime::now()),
                    false => (SinkCondition::Starting, SystemTime::now()),
                },
            }),
        }
    }

    /// The sink is set up. What failed before the first time is over with it; later the next delivery decides that.
    pub fn set_up(&self) {
        let mut inner = self.lock();
        if !inner.set_up {
            inner.set_up = true;
            inner.failure = None;
        }
    }

    /// What there is to remark from now on. What was not remarked before is noticed; what is over is not shown any more.
    pub fn remarks(&self, remarks: Vec<Remark>) {
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.remarks, remarks.clone());
        drop(inner);
        for remark in remarks {
            if !before.contains(&remark) {
                self.notice(remark.reason, remark.message);
            }
        }
    }

    /// The sink has answered as it should: what failed is over, unless something is stuck.
    pub fn answered(&self) {
        let mut inner = self.lock();
        if inner.stuck == 0 {
            inner.failure = None;
        }
    }

    /// The sink has refused something time and again, and goes on failing until this is dropped.
    pub fn stuck(&self) -> Stuck<'_> {
        self.lock().stuck += 1;
        Stuck(self)
    }

    /// The sink takes nothing; `why` in its own words.
    pub fn failed(&self, kind: SinkCondition, why: &str) {
        let mut inner = self.lock();
        let (since, at) = match &inner.failure {
            Some(failure) => (failure.since, failure.at),
            None => (Instant::now(), SystemTime::now()),
        };
        inner.failure = Some(Failure {
            kind,
            why: why.to_owned(),
            since,
            at,
        });
    }

    /// The last attempt failed, and none succeeded since.
    pub fn is_failing(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// The sink has events.
    pub fn taken(&self, events: u64) {
        self.taken.fetch_add(events, Ordering::Relaxed);
        if events > 0 && self.in_a_row.load(Ordering::Relaxed) > 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// The sink does not take this event, ever.
    pub fn rejected(&self, why: &str) {
        self.in_a_row.fetch_add(1, Ordering::Relaxed);
        self.malformed(why);
    }

    /// What came from Kafka is no event: no fault of the sink, but dead-lettered like its rejects.
    pub fn malformed(&self, why: &str) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.lock();
        inner.last_rejection.clear();
        inner.last_rejection.push_str(quotation(why));
    }

    /// A limit left an event out.
    pub fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether rejected events can be written down, or why not.
    pub fn dead_letters(&self, trouble: Option<String>) {
        self.lock().dead_letters = trouble;
    }

    /// Called now and then, so that the counts have a history.
    pub fn tick(&self, now: Instant) {
        let counts = self.counts();
        let mut inner = self.lock();
        let history = &mut inner.history;
        if history
            .back()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) < STEP)
        {
            return;
        }
        history.push_back((now, counts));
        // The first one stays as long as it is the last that is older than the window.
        while history
            .get(1)
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
        {
            history.pop_front();
        }
        drop(inner);
        // Looks, so that `since` is right when somebody asks much later.
        self.report(now);
    }

    /// How the sink is now.
    pub fn report(&self, now: Instant) -> SinkReport {
        let total = self.counts();
        let mut inner = self.lock();
        let before = inner.history.front().map(|(_, counts)| *counts);
        let before = before.unwrap_or_default();
        let counts = Counts {
            taken: total.taken - before.taken,
            rejected: total.rejected - before.rejected,
            dropped: total.dropped - before.dropped,
        };
        let (state, message) = self.judge(&inner, counts, now);
        if inner.shown.0 != state {
            // A failure is shown a little later than it began.
            let at = inner
                .failure
                .as_ref()
                .filter(|failure| failure.kind == state);
            inner.shown = (state, at.map_or_else(SystemTime::now, |failure| failure.at));
        }
        SinkReport {
            state,
            message: cut(&message, MAX_MESSAGE).to_owned(),
            since: humantime::format_rfc3339_seconds(inner.shown.1).to_string(),
            rejected: counts.rejected,
            taken: counts.taken,
            notices: inner
                .notices
                .iter()
                .map(|(_, notice)| notice.clone())
                .collect(),
        }
    }

    /// Something happened once that people should hear of.
    pub fn notice(&self, reason: &str, message: String) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner
            .notices
            .retain(|(at, _)| now.duration_since(*at) < NOTICED);
        if inner.notices.len() == MAX_NOTICES {
            inner.notices.pop_front();
        }
        let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let notice = Notice {
            reason: reason.to_owned(),
            message: cut(&message, MAX_MESSAGE).to_owned(),
            at,
        };
        inner.notices.push_back((now, notice));
    }

    fn judge(&self, inner: &Inner, counts: Counts, now: Instant) -> (SinkCondition, String) {
        if let Some(failure) = &inner.failure
            && now.saturating_duration_since(failure.since) >= STANDS
        {
            return (failure.kind, failure.why.clone());
        }
        if !inner.set_up {
            return (SinkCondition::Starting, "the sink is not set up yet".into());
        }
        if let Some(why) = &inner.dead_letters {
            return (SinkCondition::Rejecting, why.clone());
        }
        let (rejected, topic) = (counts.rejected, &self.dead_letter_topic);
        let last = &inner.last_rejection;
        let row = self.in_a_row.load(Ordering::Relaxed);
        if rejected > 0 && counts.taken == 0 && row >= IN_A_ROW {
            let message = format!(
                "nothing was taken in the last minute, {rejected} events were rejected into the topic {topic}; the last one: {last}"
            );
            return (SinkCondition::Rejecting, message);
        }
        let mut messages = Vec::new();
        if rejected > 0 {
            let of = counts.taken + rejected;
            messages.push(format!(
                "{rejected} of {of} events of the last minute were rejected into the topic {topic}; the last one: {last}"
            ));
        }
        if counts.dropped > 0 {
            messages.push(format!(
                "maxSeries is reached: {} events of the last minute were of new series and left out",
                counts.dropped
            ));
        }
        messages.extend(inner.remarks.iter().map(|remark| remark.message.clone()));
        (SinkCondition::Ready, messages.join("; "))
    }

    fn counts(&self) -> Counts {
        Counts {
            taken: self.taken.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reason without what engines quote of the event itself.
fn quotation(why: &str) -> &str {
    let end = why.find(" Preview of field's value").unwrap_or(why.len());
    cut(why[..end].trim_end_matches(['.', ' ']), MAX_REASON)
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
#[path = "sink_state/tests.rs"]
mod tests;
