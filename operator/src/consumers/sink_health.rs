//! How the sinks are, as the pods themselves see it: they are asked, so that the operator needs no way to the sinks.

mod notices;
mod pods;
mod verdict;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_consumers::{Ports, SinkReport};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use super::build::OWNED_SELECTOR;
use super::status::Verdict;
use crate::api::TelemetryConsumer;
pub use notices::Noticed;
use notices::Notices;
pub use pods::is_ready;

/// Pods that are asked at a time.
const CONCURRENCY: usize = 32;
/// How long a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// A consumer, by namespace and name.
type Key = (String, String);

/// What the consumers' pods say of their sinks, and why they are not ready. Cheap to clone.
#[derive(Clone)]
pub struct SinkHealth(Arc<Inner>);

struct Inner {
    client: Client,
    http: reqwest::Client,
    pods: Store<Pod>,
    /// For [`SinkHealth::watch`], which runs once.
    writer: Mutex<Option<reflector::store::Writer<Pod>>>,
    /// Of the last round; `None` before the first.
    seen: Mutex<Option<HashMap<Key, Seen>>>,
    notices: Mutex<Notices>,
    changes: UnboundedSender<ObjectRef<TelemetryConsumer>>,
}

/// What is known of one consumer's pods.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    verdict: Verdict,
    problem: Option<String>,
}

/// What one pod answered, or why it did not.
#[derive(Debug, Clone)]
struct Answer {
    sink: Result<SinkReport, String>,
    /// What `/readyz` of a pod says that is not ready.
    unready: Option<String>,
}

impl SinkHealth {
    /// Knows nothing before [`Self::watch`] runs. The stream has each consumer whose verdict, or whose pods' problem, changed, or of
    /// which there is something to tell.
    pub fn new(client: Client) -> (Self, impl Stream<Item = ObjectRef<TelemetryConsumer>>) {
        let (changes, changed) = unbounded();
        let (pods, writer) = reflector::store();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // Pods are reached directly, whatever the environment has for the world outside.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(3))
            .build()
            .expect("an HTTP client without settings of TLS can be made");
        let inner = Inner {
            client,
            http,
            pods,
            writer: Mutex::new(Some(writer)),
            seen: Mutex::default(),
            notices: Mutex::default(),
            changes,
        };
        (Self(Arc::new(inner)), changed)
    }

    /// Watches the pods and asks them once an interval, for ever.
    pub async fn watch(self, interval: Duration) {
        let Some(writer) = lock(&self.0.writer).take() else {
            tracing::error!("the consumers' pods are watched already");
            return;
        };
        let api = Api::<Pod>::all(self.0.client.clone());
        let pods = watcher(api, watcher::Config::default().labels(OWNED_SELECTOR))
            .default_backoff()
            .modify(pods::strip)
            .reflect(writer)
            .touched_objects()
            .for_each(|pod| {
                if let Err(error) = pod {
                    tracing::warn!(%error, "cannot watch the consumers' pods; trying again");
                }
                std::future::ready(())
            });
        let rounds = async {
            // Only fails when the reflector above is dropped, and this future with it.
            let _ = self.0.pods.wait_until_ready().await;
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.round().await;
            }
        };
        futures::join!(pods, rounds);
    }

    /// `SinkReady` of a consumer, as of the last round.
    pub fn of(&self, consumer: &TelemetryConsumer) -> Verdict {
        if consumer.spec.sink.custom.is_some() {
            return (
                "Unknown",
                "CustomSink",
                "only a custom sink's own pods know; see their logs".into(),
            );
        }
        match &*lock(&self.0.seen) {
            None => verdict::before(consumer.status.as_ref()),
            Some(seen) => match seen.get(&key(consumer)) {
                Some(seen) => seen.verdict.clone(),
                None => verdict::no_pods(),
            },
        }
    }

    /// Why pods of a consumer are not ready, in the words of the newest that is not; `None` when all are, or nothing is known.
    pub fn pod_problem(&self, consumer: &TelemetryConsumer) -> Option<String> {
        let seen = lock(&self.0.seen);
        seen.as_ref()?.get(&key(consumer))?.problem.clone()
    }

    /// What the consumer's pods have told since this was asked last, each to be told as an Event.
    pub fn take_notices(&self, consumer: &TelemetryConsumer) -> Vec<Noticed> {
        lock(&self.0.notices).take(&key(consumer))
    }

    async fn round(&self) {
        let pods = self.0.pods.state();
        let asked: Vec<_> = pods
            .iter()
            .filter(|pod| pods::can_be_asked(pod))
            .filter_map(|pod| Some((pod.uid()?, address(pod)?, pods::is_ready(pod))))
            .map(|(uid, address, ready)| {
                let http = self.0.http.clone();
                async move { (uid, ask(&http, address, ready).await) }
            })
            .collect();
        let answers: HashMap<String, Answer> = futures::stream::iter(asked)
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        // As they are now: asking may have taken seconds.
        let mut of_consumer: BTreeMap<Key, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in self.0.pods.state() {
            if let Some(key) = pods::consumer(&pod) {
                of_consumer.entry(key).or_default().push(pod);
            }
        }
        let noticed = self.hear(&of_consumer, &answers);
        let now: HashMap<Key, Seen> = of_consumer
            .into_iter()
            .map(|(key, pods)| (key, seen(&pods, &answers)))
            .collect();
        let before = lock(&self.0.seen).replace(now.clone()).unwrap_or_default();
        let gone = before.keys().filter(|key| !now.contains_key(*key));
        let changed = now
            .iter()
            .filter(|(key, seen)| before.get(*key) != Some(*seen) || noticed.contains(*key))
            .map(|(key, _)| key);
        for (namespace, name) in changed.chain(gone) {
            // Nobody listens only when the controller ends.
            let _ = self
                .0
                .changes
                .unbounded_send(ObjectRef::new(name).within(namespace));
        }
    }

    /// Takes notice of what happened to pods. The consumers of which there is something new.
    fn hear(
        &self,
        of_consumer: &BTreeMap<Key, Vec<Arc<Pod>>>,
        answers: &HashMap<String, Answer>,
    ) -> HashSet<Key> {
        let mut notices = lock(&self.0.notices);
        let (mut alive, mut noticed) = (HashSet::new(), HashSet::new());
        for (key, pods) in of_consumer {
            for pod in pods {
                let Some(uid) = pod.uid() else { continue };
                let report = answers.get(&uid).map(|answer| &answer.sink);
                if let Some(Ok(report)) = report
                    && notices.hear(key, &pod.name_any(), &uid, &report.notices)
                {
                    noticed.insert(key.clone());
                }
                alive.insert(uid);
            }
        }
        notices.keep_only(&alive, of_consumer);
        noticed
    }
}

fn seen(pods: &[Arc<Pod>], answers: &HashMap<String, Answer>) -> Seen {
    let answer = |pod: &Pod| pod.uid().and_then(|uid| answers.get(&uid));
    let mut newest_first: Vec<&Arc<Pod>> = pods.iter().collect();
    newest_first.sort_by_key(|pod| {
        let created = pod.creation_timestamp().map(|time| time.0);
        (std::cmp::Reverse(created), pod.name_any())
    });
    let asked: Vec<_> = newest_first
        .iter()
        .filter_map(|pod| Some((pods::is_ready(pod), &answer(pod)?.sink)))
        .collect();
    Seen {
        verdict: verdict::of(&asked),
        problem: newest_first.iter().find_map(|pod| {
            let unready = answer(pod).and_then(|answer| answer.unready.as_deref());
            pods::problem(pod, unready)
        }),
    }
}

fn address(pod: &Pod) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, Ports::default().http))
}

async fn ask(http: &reqwest::Client, pod: SocketAddr, ready: bool) -> Answer {
    let unready = match ready {
        true => None,
        // 503 with the reason; 200 when it has become ready just now.
        false => match get(http, pod, "readyz").await {
            Ok((503, why)) => Some(why.trim().to_owned()),
            _ => None,
        },
    };
    let sink = match get(http, pod, "sink").await {
        Ok((200, text)) => serde_json::from_str(&text)
            .map_err(|error| format!("http://{pod}/sink: not understood: {error}")),
        Ok((status, _)) => Err(format!("http://{pod}/sink: HTTP status {status}")),
        Err(why) => Err(why),
    };
    Answer { sink, unready }
}

/// Status and text of an answer.
async fn get(http: &reqwest::Client, pod: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let url = format!("http://{pod}/{path}");
    let answer = async {
        let mut response = http.get(&url).send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                break;
            }
        }
        Ok((response.status().as_u16(), body))
    };
    let (status, body) = answer
        .await
        .map_err(|error: reqwest::Error| format!("{url}: {}", innermost(&error.without_url())))?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The reason at the bottom: reqwest's own text says only that sending failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn key(consumer: &TelemetryConsumer) -> Key {
    (
        consumer.namespace().unwrap_or_default(),
        consumer.name_any(),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
