use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

use super::bulk::{Answer, Batch, FILTER_PATH, Item, RequestVerdict, Verdict, request_verdict};
use super::client::{Client, Response};
use super::engine;
use super::failure::Failure;
use crate::config::ElasticsearchSink;
use crate::pipeline::{Acks, DeadLetters};
use crate::sink::SinkStatus;
use crate::sink_state::{SinkCondition, SinkState};
use crate::stats::Stats;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const LOG_INTERVAL: Duration = Duration::from_secs(15);
/// A request that takes longer is told of.
const SLOW: Duration = Duration::from_secs(10);
/// How often an engine that has nothing to do is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Delivers batches until every document is in the index or in the dead-letter topic.
pub(super) struct Deliverer {
    client: Client,
    config: ElasticsearchSink,
    path: String,
    acks: Acks,
    dead_letters: DeadLetters,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
    requests: Arc<Semaphore>,
    /// Whether the engine is set up; again `false` when it went away, for it may come back empty.
    set_up: tokio::sync::Mutex<bool>,
    ready: AtomicBool,
    /// Batches that wait for the engine to come right.
    failing: AtomicUsize,
    logged_at: Mutex<Option<Instant>>,
}

/// How one request for a batch went.
enum Sent {
    /// These documents are to be sent again.
    Left(Batch, Option<Duration>),
    /// The engine refuses the request as a whole.
    Refused(Batch, Response),
    /// No usable answer.
    Failed(Batch, Failure, Option<Duration>),
}

impl Deliverer {
    pub fn new(
        config: &ElasticsearchSink,
        acks: Acks,
        dead_letters: DeadLetters,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: Client::new(&config.urls)?,
            path: format!("/{}/_bulk?filter_path={FILTER_PATH}", config.data_stream),
            acks,
            dead_letters,
            stats,
            state,
            requests: Arc::new(Semaphore::new(config.bulk.concurrency as usize)),
            set_up: tokio::sync::Mutex::new(false),
            ready: AtomicBool::new(false),
            failing: AtomicUsize::new(0),
            logged_at: Mutex::new(None),
            config: config.clone(),
        })
    }

    pub fn status(&self) -> SinkStatus {
        let ready = self.ready.load(Ordering::Relaxed);
        SinkStatus {
            ready,
            waiting: !ready || self.failing.load(Ordering::Relaxed) > 0,
        }
    }

    /// Sets up the engine, then delivers batches as they come, so many at a time.
    pub async fn run(self: Arc<Self>, mut batches: UnboundedReceiver<Batch>) {
        self.ensure_set_up().await;
        while let Some(batch) = batches.recv().await {
            let permit = self.requests.clone().acquire_owned().await;
            let deliverer = self.clone();
            tokio::spawn(async move {
                let _permit = permit;
                deliverer.deliver(batch).await;
            });
        }
    }

    async fn deliver(&self, batch: Batch) {
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            let mut wait = Wait::default();
            while let Some(next) = self.without_revoked(batch) {
                self.ensure_set_up().await;
                let after = match self.send(next).await {
                    Sent::Left(left, _) if left.is_empty() => break,
                    Sent::Left(left, after) => {
                        batch = left;
                        after
                    }
                    Sent::Refused(refused, response) => {
                        if refused.items.len() > 1 {
                            let (first, second) = refused.halves();
                            batches.extend([second, first]);
                        } else {
                            self.refuse(refused, &response);
                        }
                        break;
                    }
                    Sent::Failed(failed, failure, after) => {
                        self.failed(&failure, failed.items.len());
                        batch = failed;
                        after
                    }
                };
                self.failing.fetch_add(1, Ordering::Relaxed);
                wait.wait(after).await;
                self.failing.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// What is left when partitions have gone meanwhile: their next owner has their documents. `None` when nothing is.
    fn without_revoked(&self, batch: Batch) -> Option<Batch> {
        let revoked = |item: &Item| item.original.assignment.is_revoked();
        if !batch.items.iter().any(revoked) {
            return (!batch.is_empty()).then_some(batch);
        }
        let (gone, left): (Vec<_>, Vec<_>) = batch.items.into_iter().partition(revoked);
        for item in &gone {
            self.acknowledge(item);
        }
        Some(Batch::of(left, &batch.body)).filter(|batch| !batch.is_empty())
    }

    async fn send(&self, batch: Batch) -> Sent {
        let Batch { body, items } = batch;
        let body = Bytes::from(body);
        let began = Instant::now();
        let answer = self.client.send(
            Method::POST,
            &self.path,
            "application/x-ndjson",
            Some(body.clone()),
        );
        let answer = self.telling_if_slow(answer).await;
        self.stats
            .bulk_seconds
            .observe(began.elapsed().as_secs_f64());
        let batch = |items| Batch {
            body: body.clone().into(),
            items,
        };
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                self.stats.bulk_requests.with_label_values(&["error"]).inc();
                *self.set_up.lock().await = false;
                return Sent::Failed(batch(items), error.into(), None);
            }
        };
        let status = response.status;
        self.stats
            .bulk_requests
            .with_label_values(&[status.as_str()])
            .inc();
        match request_verdict(status.as_u16()) {
            RequestVerdict::Answered => {}
            RequestVerdict::Split => return Sent::Refused(batch(items), response),
            RequestVerdict::Again => {
                let failure = Failure::answer("_bulk", &response);
                return Sent::Failed(batch(items), failure, response.retry_after);
            }
        }
        match serde_json::from_slice::<Answer>(&response.body) {
            Ok(answer) if answer.items.len() == items.len() => {
                Sent::Left(self.settle(items, &answer, &body), response.retry_after)
            }
            _ => {
                let what = format!("_bulk: not an answer for {} documents", items.len());
                let failure = Failure::nonsense(&what, &response);
                Sent::Failed(batch(items), failure, None)
            }
        }
    }

    /// Waits for an answer, and tells while it takes long: the time-out is far away.
    async fn telling_if_slow<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        let began = Instant::now();
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                () = tokio::time::sleep(SLOW) => {
                    let seconds = began.elapsed().as_secs();
                    let why = format!("_bulk: no answer for {seconds} s");
                    self.failed(&Failure { kind: SinkCondition::Unreachable, why }, 0);
                }
            }
        }
    }

    /// Deals with each document by its answer; returns those to be sent again.
    fn settle(&self, items: Vec<Item>, answer: &Answer, body: &Bytes) -> Batch {
        let mut again = Vec::new();
        let mut last_failure = None;
        let mut counts = [
            ("created", 0),
            ("duplicate", 0),
            ("retried", 0),
            ("rejected", 0),
        ];
        for (item, answer) in items.into_iter().zip(&answer.items) {
            let outcome = &answer.create;
            let error = || match &outcome.error {
                Some(error) => format!("{} {error}", outcome.status),
                None => outcome.status.to_string(),
            };
            let verdict = outcome.verdict();
            counts[verdict as usize].1 += 1;
            match verdict {
                Verdict::Created | Verdict::Duplicate => self.acknowledge(&item),
                Verdict::Again => {
                    last_failure = Some(Failure::document(outcome));
                    again.push(item);
                }
                Verdict::Never => {
                    let error = error();
                    tracing::debug!(
                        offset = item.original.offset,
                        error,
                        "rejected by the engine"
                    );
                    self.state.rejected(&error);
                    self.dead_letters
                        .send(item.original, "rejected_by_sink", error, item.bytes);
                }
            }
        }
        for (outcome, count) in counts {
            self.stats
                .bulk_items
                .with_label_values(&[outcome])
                .inc_by(count);
        }
        let [created, duplicate, _, rejected] = counts.map(|(_, count)| count);
        self.state.taken(created + duplicate);
        if created + duplicate + rejected > 0 {
            self.state.answered();
        }
        match last_failure {
            Some(failure) if created + duplicate + rejected == 0 => {
                self.failed(&failure, again.len());
            }
            Some(failure) => self.log(&failure.why, again.len()),
            None => {}
        }
        Batch::of(again, body)
    }

    /// A single document that the engine refuses to read.
    fn refuse(&self, batch: Batch, response: &Response) {
        let reason = match response.status.as_u16() {
            413 => "too_large_for_sink",
            _ => "rejected_by_sink",
        };
        let error = format!("{}: {}", response.status, response.excerpt());
        self.stats.bulk_items.with_label_values(&["rejected"]).inc();
        self.state.answered();
        for item in batch.items {
            self.state.rejected(&error);
            self.dead_letters
                .send(item.original, reason, error.clone(), item.bytes);
        }
    }

    fn acknowledge(&self, item: &Item) {
        self.acks
            .done(&item.original.assignment, item.original.offset, item.bytes);
    }

    async fn ensure_set_up(&self) {
        // Whoever comes first does it; the others wait here.
        let mut set_up = self.set_up.lock().await;
        let mut wait = Wait::default();
        while !*set_up {
            match engine::set_up(&self.client, &self.config).await {
                Ok(engine) => {
                    *set_up = true;
                    self.ready.store(true, Ordering::Relaxed);
                    self.state.set_up();
                    tracing::info!(
                        engine = engine.name,
                        version = engine.version,
                        data_streams = engine.data_streams,
                        index = self.config.data_stream,
                        "the search engine is set up"
                    );
                }
                Err(failure) => {
                    self.failed(&failure, 0);
                    self.failing.fetch_add(1, Ordering::Relaxed);
                    wait.wait(None).await;
                    self.failing.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// While there is nothing to deliver nothing would be known of the engine: asks it now and then.
    pub async fn probe(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PROBE_INTERVAL).await;
            let idle = self.requests.available_permits() == self.config.bulk.concurrency as usize;
            // Who is setting it up sees for itself.
            let set_up = self.set_up.try_lock().is_ok_and(|set_up| *set_up);
            if !idle || !(set_up || self.state.is_failing()) {
                continue;
            }
            let probe = tokio::time::timeout(SLOW, engine::probe(&self.client)).await;
            let probe = probe.unwrap_or_else(|_| {
                let kind = SinkCondition::Unreachable;
                let why = format!("GET /: no answer for {} s", SLOW.as_secs());
                Err(Failure { kind, why })
            });
            match probe {
                Ok(()) => self.state.answered(),
                Err(failure) => {
                    if failure.kind == SinkCondition::Unreachable {
                        *self.set_up.lock().await = false;
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
        let mut logged_at = self
            .logged_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if logged_at.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            *logged_at = Some(Instant::now());
            tracing::warn!(
                why,
                documents,
                "the search engine does not take documents; trying again until it does"
            );
        }
    }
}

/// Longer and longer waits.
#[derive(Default)]
struct Wait {
    attempts: u32,
}

impl Wait {
    async fn wait(&mut self, at_least: Option<Duration>) {
        let wait = FIRST_WAIT * 2_u32.saturating_pow(self.attempts.min(10));
        self.attempts += 1;
        let wait = wait.min(LONGEST_WAIT).max(at_least.unwrap_or_default());
        // So that not all come back at the same moment.
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.subsec_nanos());
        let jitter = 0.75 + f64::from(nanos % 1000) / 2000.0;
        tokio::time::sleep(wait.mul_f64(jitter)).await;
    }
}
