use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::write::GzEncoder;
use reqwest::Method;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::answer::{
    self, Answer, FILTER_PATH, RequestVerdict, Verdict, WITH_INDEX, request_verdict,
};
use super::backoff::Backoff;
use super::batch::{Batch, Finished, Spare};
use super::client::{Client, NoAnswer, Response};
use super::doubt::{Streams, Suspect, Unclear};
use super::engine::{self, Engine, segment};
use super::failure::Failure;
use super::limit::{Gate, Pass};
use super::settle::{self, Settled, Settling};
use super::target::Target;
use crate::config::{Compression, ElasticsearchSink};
use crate::pipeline::{Acks, Refused};
use crate::sink::SinkStatus;
use crate::sink_state::{SinkCondition, SinkState};
use crate::stats::Stats;

const LOG_INTERVAL: Duration = Duration::from_secs(15);
/// A request that takes longer is told of.
const SLOW: Duration = Duration::from_secs(10);
/// How often an engine that has nothing to do is asked whether it is there.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// After so many waits in a row, which are seconds, a batch of which nothing was taken is no matter of a moment.
const STUCK: u32 = 4;

/// So often documents are sent again to an index that should have room for their labels by then.
const MOST_WITHOUT_ROOM: u32 = 5;

/// Delivers batches until every document is in the index, or refused for good.
pub(super) struct Deliverer {
    client: Client,
    config: ElasticsearchSink,
    /// Whose sink it is: `namespace/name`.
    consumer: String,
    /// Of `_bulk` requests.
    path: String,
    /// The data stream, where it is the same for all documents.
    stream: Option<String>,
    acks: Acks,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
    gate: Gate,
    streams: Streams,
    pub(super) spare: Spare,
    /// For the halves of batches that were refused as a whole.
    batches: UnboundedSender<Batch>,
    /// The engine and since when, once it is set up; again `None` when it went away, for it may come back empty.
    set_up: tokio::sync::Mutex<Option<(Engine, Instant)>>,
    ready: AtomicBool,
    /// What waits for the engine to come right.
    failing: AtomicUsize,
    /// Batches that wait for it to be set up.
    setting_up: AtomicUsize,
    /// Requests with bodies of so many bytes are too large for the engine, or something before it.
    too_large: AtomicUsize,
    failures_told: Seldom,
    doubts_told: Seldom,
}

/// When something was logged that may happen all the time.
#[derive(Debug, Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time to log it again, as is done then.
    fn is_due(&self) -> bool {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = at.is_none_or(|at| at.elapsed() > LOG_INTERVAL);
        if due {
            *at = Some(Instant::now());
        }
        due
    }
}

/// What is to be done next with a batch that was sent.
enum Next {
    Nothing,
    /// These documents are left.
    Again(Batch, Option<Duration>),
    /// The same, without waiting: to another node.
    Elsewhere(Batch),
    Halves(Batch),
}

/// Something that waits for the engine to come right.
struct Waiting<'d>(&'d Deliverer);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.failing.fetch_sub(1, Ordering::Relaxed);
        self.0.stats.bulk_waiting.dec();
    }
}

impl Deliverer {
    /// `batches` leads to [`Deliverer::run`].
    pub fn new(
        config: &ElasticsearchSink,
        consumer: &str,
        target: &Target,
        acks: Acks,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
        batches: UnboundedSender<Batch>,
    ) -> Result<Self, reqwest::Error> {
        let stream = target.fixed().map(str::to_owned);
        let prefix = stream.iter().map(|s| format!("/{}", segment(s)));
        let prefix = prefix.collect::<String>();
        Ok(Self {
            client: Client::new(config)?,
            path: format!("{prefix}/_bulk?{FILTER_PATH}"),
            stream,
            acks,
            gate: Gate::new(
                config.bulk.concurrency as usize,
                stats.bulk_concurrency.clone(),
            ),
            stats,
            state,
            streams: Streams::default(),
            spare: Spare::new(config.bulk.max_bytes as usize),
            batches,
            set_up: tokio::sync::Mutex::new(None),
            ready: AtomicBool::new(false),
            failing: AtomicUsize::new(0),
            setting_up: AtomicUsize::new(0),
            too_large: AtomicUsize::new(usize::MAX),
            failures_told: Seldom::default(),
            doubts_told: Seldom::default(),
            config: config.clone(),
            consumer: consumer.to_owned(),
        })
    }

    pub fn status(&self) -> SinkStatus {
        let ready = self.ready.load(Ordering::Relaxed);
        SinkStatus {
            ready,
            waiting: !ready || self.failing.load(Ordering::Relaxed) > 0,
        }
    }

    /// Whether a batch would be sent at once: one that is not full had better wait for more documents otherwise.
    pub fn has_room(&self) -> bool {
        self.gate.is_open() && self.setting_up.load(Ordering::Relaxed) == 0
    }

    /// Sets up the engine, then delivers batches as they come.
    pub async fn run(self: Arc<Self>, mut batches: UnboundedReceiver<Batch>) {
        self.ensure_set_up().await;
        while let Some(batch) = batches.recv().await {
            tokio::spawn(self.clone().deliver(batch));
        }
    }

    async fn deliver(self: Arc<Self>, mut batch: Batch) {
        let mut backoff = Backoff::default();
        let (mut waiting, mut stuck) = (None, None);
        loop {
            let data_streams = self.ensure_set_up().await;
            let pass = self.gate.enter().await;
            waiting.take();
            self.without_revoked(&mut batch);
            if batch.is_empty() {
                return;
            }
            let documents = batch.documents();
            let next = match self.is_too_large(&batch) {
                true => Next::Halves(batch),
                false => self.send(batch, data_streams, pass).await,
            };
            match next {
                Next::Nothing => return,
                Next::Again(left, after) => {
                    if left.documents() < documents {
                        backoff = Backoff::default();
                        stuck.take();
                    } else if backoff.waits() >= STUCK {
                        stuck.get_or_insert_with(|| self.state.stuck());
                    }
                    batch = left;
                    waiting = Some(self.waiting());
                    tokio::time::sleep(backoff.next(after)).await;
                }
                Next::Elsewhere(left) => batch = left,
                Next::Halves(whole) => {
                    let (first, second) = whole.halves();
                    // The other end is only gone when the process ends.
                    let _ = self.batches.send(second);
                    batch = first;
                }
            }
        }
    }

    /// Partitions may have gone meanwhile: their next owner has their documents.
    /// Which are left, where not all are.
    fn without_revoked(&self, batch: &mut Batch) -> Option<Vec<usize>> {
        if !batch.assignments().iter().any(|a| a.is_revoked()) {
            return None;
        }
        let (gone, left): (Vec<_>, Vec<_>) =
            (0..batch.documents()).partition(|i| batch.assignment(*i).is_revoked());
        let mut finished = Finished::default();
        for item in gone {
            finished.add(batch, item);
        }
        finished.acknowledge(batch, &self.acks);
        *batch = batch.pick(left.iter().copied());
        Some(left)
    }

    /// Sends all documents, and deals with the answers.
    async fn send(self: &Arc<Self>, mut batch: Batch, data_streams: bool, pass: Pass<'_>) -> Next {
        batch.attempts = batch.attempts.saturating_add(1);
        let unsure = data_streams && batch.has_doubts();
        let began = Instant::now();
        let answer = self.telling_if_slow(self.request(&batch, unsure)).await;
        let took = began.elapsed().as_secs_f64();
        self.stats.bulk_seconds.observe(took);
        let status = match &answer {
            Ok(response) => response.status.as_str(),
            Err(_) => "error",
        };
        self.stats.bulk_requests.with_label_values(&[status]).inc();
        let response = match answer {
            Ok(response) => response,
            Err(error) => return self.unanswered(batch, error, began, pass).await,
        };
        match request_verdict(response.status.as_u16(), &response.body) {
            RequestVerdict::Answered => {}
            RequestVerdict::Split => return self.refused(batch, &response),
            RequestVerdict::Again => return self.put_off(batch, &response, pass),
        }
        let Some(answer) = answer::parse(&response.body, batch.documents()) else {
            let what = format!("_bulk: not an answer for {} documents", batch.documents());
            let failure = Failure::nonsense(&what, &response);
            batch.doubt_all();
            pass.failed(false, response.retry_after);
            self.failed(&failure, batch.documents());
            return Next::Again(batch, response.retry_after);
        };
        let settling = Settling {
            acks: &self.acks,
            stats: &self.stats,
            state: &self.state,
            stream: self.stream.as_deref(),
            data_streams,
            room: self.make_room(&mut batch, &answer).await,
        };
        let settled = settling.settle(&mut batch, answer);
        self.settled(batch, settled, began, pass, response.retry_after)
            .await
    }

    /// Where documents have labels with more names than their index may have fields, sees to it that it takes them all the same.
    /// Whether they are worth sending again.
    async fn make_room(&self, batch: &mut Batch, answer: &Answer<'_>) -> bool {
        let full = settle::without_room(batch, answer, self.stream.as_deref());
        if full.is_empty() || !self.config.template.manage {
            return false;
        }
        let mut made = false;
        for index in full {
            match engine::freeze_labels(&self.client, &index).await {
                Ok(true) => made = true,
                Ok(false) => return false,
                Err(failure) => self.log(&failure.why, batch.documents()),
            }
        }
        batch.no_room += u32::from(made);
        // With a template of somebody else it can be other fields that are too many.
        batch.no_room < MOST_WITHOUT_ROOM
    }

    async fn request(&self, batch: &Batch, with_index: bool) -> Result<Response, NoAnswer> {
        let path = match with_index {
            true => format!("{}{WITH_INDEX}", self.path),
            false => self.path.clone(),
        };
        let plain = batch.body().clone();
        let (body, encoding) = match self.config.bulk.compression {
            Compression::None => (plain, None),
            Compression::Gzip => {
                let copy = plain.clone();
                // It takes milliseconds, in which the others' answers would wait.
                match tokio::task::spawn_blocking(move || gzip(&copy)).await {
                    Ok(Ok(compressed)) => (compressed, Some("gzip")),
                    // Never happens in memory; and it does as well without.
                    _ => (plain, None),
                }
            }
        };
        self.stats.bulk_bytes.inc_by(body.len() as u64);
        self.client
            .send_encoded(
                Method::POST,
                &path,
                "application/x-ndjson",
                Some(body),
                encoding,
            )
            .await
    }

    /// There is no answer: the documents may be there or not.
    async fn unanswered(
        &self,
        mut batch: Batch,
        error: NoAnswer,
        began: Instant,
        pass: Pass<'_>,
    ) -> Next {
        if error.may_be_done() {
            batch.doubt_all();
        }
        let (overload, lost) = (error.is_timeout(), error.is_of_the_node());
        self.failed(&error.into(), batch.documents());
        if lost && self.client.has_good_node() {
            if overload {
                pass.partly();
            }
            return Next::Elsewhere(batch);
        }
        pass.failed(overload, None);
        if lost && !overload {
            self.went_away(began).await;
        }
        Next::Again(batch, None)
    }

    /// The request as a whole is to be sent again.
    fn put_off(&self, mut batch: Batch, response: &Response, pass: Pass<'_>) -> Next {
        let status = response.status.as_u16();
        if status >= 500 || status == 408 {
            // A proxy may say so of a request that the engine has got.
            batch.doubt_all();
        }
        self.failed(&Failure::answer("_bulk", response), batch.documents());
        let after = response.retry_after;
        if matches!(status, 502..=504) && after.is_none() && self.client.has_good_node() {
            pass.partly();
            return Next::Elsewhere(batch);
        }
        pass.failed(matches!(status, 429 | 503 | 504), after);
        Next::Again(batch, after)
    }

    /// The engine refuses the request as a whole.
    fn refused(&self, batch: Batch, response: &Response) -> Next {
        let too_large = response.status.as_u16() == 413;
        if batch.documents() > 1 {
            if too_large {
                self.too_large
                    .fetch_min(batch.body().len(), Ordering::Relaxed);
            }
            return Next::Halves(batch);
        }
        let reason = match too_large {
            true => "too_large_for_sink",
            false => "rejected_by_sink",
        };
        let error = format!("{}: {}", response.status, response.excerpt());
        self.stats
            .bulk_items
            .with_label_values(&[Verdict::Never.outcome(), reason])
            .inc();
        self.state.answered();
        self.state.rejected(&error);
        for item in 0..batch.documents() {
            let refused = Refused {
                original: batch.original(item),
                reason,
                error: error.clone(),
                attempts: batch.attempts,
            };
            self.acks.refused(refused, batch.occupies(item));
        }
        Next::Nothing
    }

    /// Sending it would be in vain, as experience says.
    fn is_too_large(&self, batch: &Batch) -> bool {
        batch.documents() > 1 && batch.body().len() >= self.too_large.load(Ordering::Relaxed)
    }

    /// Each document has had its answer.
    async fn settled(
        self: &Arc<Self>,
        batch: Batch,
        settled: Settled,
        began: Instant,
        pass: Pass<'_>,
        after: Option<Duration>,
    ) -> Next {
        let Settled {
            again,
            unsure,
            failure,
            overload,
            lacks_index,
        } = settled;
        let progress = again.len() < batch.documents();
        match (overload, progress) {
            (true, true) => pass.partly(),
            (_, true) => pass.succeeded(),
            (_, false) if overload || after.is_some() => pass.failed(overload, after),
            // An index that takes nothing does not keep the others from going on.
            (_, false) => pass.unused(),
        }
        if lacks_index {
            self.went_away(began).await;
        }
        match failure {
            Some(failure) if !progress => self.failed(&failure, again.len()),
            Some(failure) => self.log(&failure.why, again.len()),
            None => {}
        }
        if !unsure.is_empty() {
            let (items, suspects): (Vec<_>, Vec<_>) = unsure.into_iter().unzip();
            // After a time-out these are mostly all, and a copy would take as much memory again.
            if items.len() == batch.documents() {
                tokio::spawn(self.clone().clear(batch, suspects));
                return Next::Nothing;
            }
            tokio::spawn(self.clone().clear(batch.pick(items), suspects));
        }
        if again.is_empty() {
            self.spare.give(batch);
            return Next::Nothing;
        }
        Next::Again(batch.pick(again), after)
    }

    /// Sees to it that there is one copy only of documents that are in the engine and may have been there before.
    async fn clear(self: Arc<Self>, mut batch: Batch, mut suspects: Vec<(Suspect, Verdict)>) {
        let mut backoff = Backoff::default();
        let mut waiting = None;
        loop {
            let pass = self.gate.enter().await;
            waiting.take();
            // Their next owner finds them in doubt too.
            if let Some(left) = self.without_revoked(&mut batch) {
                suspects = left.iter().map(|item| suspects[*item].clone()).collect();
            }
            let documents: Vec<_> = suspects
                .iter()
                .map(|(suspect, _)| suspect.clone())
                .collect();
            let doubts = |result: &str, count: usize| {
                let counter = self.stats.bulk_doubts.with_label_values(&[result]);
                counter.inc_by(count as u64);
            };
            let had_copy = match self.streams.clear(&self.client, &documents).await {
                Ok(had_copy) => {
                    let copies = had_copy.iter().filter(|had| **had).count();
                    doubts("removed", copies);
                    doubts("unique", had_copy.len() - copies);
                    had_copy
                }
                Err(Unclear::Failed(failure) | Unclear::TooLarge(failure)) => {
                    pass.unused();
                    self.failed(&failure, documents.len());
                    waiting = Some(self.waiting());
                    tokio::time::sleep(backoff.next(None)).await;
                    continue;
                }
                Err(Unclear::Never(failure)) => {
                    doubts("unchecked", documents.len());
                    self.unchecked(&failure, documents.len());
                    vec![false; documents.len()]
                }
            };
            let settling = Settling {
                acks: &self.acks,
                stats: &self.stats,
                state: &self.state,
                stream: self.stream.as_deref(),
                data_streams: true,
                room: false,
            };
            let verdicts = suspects.iter().map(|(_, verdict)| *verdict).zip(had_copy);
            settling.cleared(&batch, verdicts);
            self.spare.give(batch);
            return;
        }
    }

    fn unchecked(&self, failure: &Failure, documents: usize) {
        let message = format!(
            "{documents} documents were sent again after the data stream may have rolled over, and may be there twice: to look, the \
             engine's user needs the rights to read, delete and view the metadata of the stream's indices, which must be open ({})",
            failure.why
        );
        if self.doubts_told.is_due() {
            tracing::warn!(message, "duplicates are possible");
        }
        self.state.notice("DuplicatesPossible", message);
    }

    /// Waits for an answer, and tells while it takes long: the time-out is far away.
    async fn telling_if_slow<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        let began = Instant::now();
        let mut waiting = None;
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                () = tokio::time::sleep(SLOW) => {
                    waiting.get_or_insert_with(|| self.waiting());
                    let seconds = began.elapsed().as_secs();
                    let why = format!("_bulk: no answer for {seconds} s");
                    self.failed(&Failure { kind: SinkCondition::Unreachable, why }, 0);
                }
            }
        }
    }

    /// Whether the engine has data streams, when it is set up at last.
    async fn ensure_set_up(&self) -> bool {
        // Whoever comes first does it; the others wait here.
        self.setting_up.fetch_add(1, Ordering::Relaxed);
        let mut set_up = self.set_up.lock().await;
        let mut backoff = Backoff::default();
        let mut waiting = None;
        let data_streams = loop {
            if let Some((engine, _)) = &*set_up {
                break engine.data_streams;
            }
            match engine::set_up(&self.client, &self.config, &self.consumer).await {
                Ok(engine) => {
                    self.too_large.store(usize::MAX, Ordering::Relaxed);
                    self.streams.forget_sizes();
                    self.state.set_up();
                    self.state.remarks(engine.remarks.clone());
                    if !self.ready.swap(true, Ordering::Relaxed) {
                        tracing::info!(
                            engine = engine.name,
                            version = engine.version,
                            data_streams = engine.data_streams,
                            index = self.config.data_stream,
                            "the search engine is set up"
                        );
                    }
                    *set_up = Some((engine, Instant::now()));
                }
                Err(failure) => {
                    self.failed(&failure, 0);
                    waiting.get_or_insert_with(|| self.waiting());
                    tokio::time::sleep(backoff.next(None)).await;
                }
            }
        };
        self.setting_up.fetch_sub(1, Ordering::Relaxed);
        data_streams
    }

    /// The engine may come back empty; unless it was set up later than `since`, it is set up again.
    async fn went_away(&self, since: Instant) {
        let mut set_up = self.set_up.lock().await;
        set_up.take_if(|(_, at)| *at < since);
    }

    /// Something waits for the engine to come right, as long as the answer is kept.
    fn waiting(&self) -> Waiting<'_> {
        self.failing.fetch_add(1, Ordering::Relaxed);
        self.stats.bulk_waiting.inc();
        Waiting(self)
    }

    /// Makes again what others have changed or deleted of what is kept in the engine.
    async fn check(&self) {
        if !self.set_up.try_lock().is_ok_and(|set_up| set_up.is_some()) {
            return;
        }
        // What was too large need not be so for ever.
        self.too_large.store(usize::MAX, Ordering::Relaxed);
        self.streams.forget_sizes();
        match engine::set_up(&self.client, &self.config, &self.consumer).await {
            Ok(engine) => self.state.remarks(engine.remarks),
            // Whether documents are taken, deliveries show.
            Err(failure) => tracing::debug!(why = failure.why, "the set-up cannot be checked"),
        }
    }

    /// Whether nothing is under way, and nothing waits for the engine to come right.
    fn is_idle(&self) -> bool {
        self.gate.is_idle() && self.failing.load(Ordering::Relaxed) == 0
    }

    /// While there is nothing to deliver nothing would be known of the engine: asks it at an interval.
    pub async fn probe(self: Arc<Self>, interval: Duration) {
        let mut checked = Instant::now();
        loop {
            tokio::time::sleep(interval).await;
            if checked.elapsed() >= engine::CHECK_INTERVAL {
                checked = Instant::now();
                self.check().await;
            }
            // Who is setting it up sees for itself.
            let set_up = self.set_up.try_lock().is_ok_and(|set_up| set_up.is_some());
            if !self.is_idle() || !(set_up || self.state.is_failing()) {
                continue;
            }
            let probe = tokio::time::timeout(SLOW, engine::probe(&self.client)).await;
            let probe = probe.unwrap_or_else(|_| {
                let kind = SinkCondition::Unreachable;
                let why = format!("GET /: no answer for {} s", SLOW.as_secs());
                Err(Failure { kind, why })
            });
            match probe {
                // An engine that answers may refuse documents all the same: a delivery knows better.
                Ok(()) if self.is_idle() => self.state.answered(),
                Ok(()) => {}
                Err(failure) => {
                    if failure.kind == SinkCondition::Unreachable {
                        self.went_away(Instant::now()).await;
                    }
                    self.failed(&failure, 0);
                }
            }
        }
    }

    fn failed(&self, failure: &Failure, documents: usize) {
        self.state.failed(failure.kind, &failure.why);
        self.log(&failure.why, documents);
    }

    fn log(&self, why: &str, documents: usize) {
        if self.failures_told.is_due() {
            tracing::warn!(
                why,
                documents,
                "the search engine does not take documents; trying again until it does"
            );
        }
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let capacity = body.len() / 8;
    let mut encoder = GzEncoder::new(Vec::with_capacity(capacity), flate2::Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
