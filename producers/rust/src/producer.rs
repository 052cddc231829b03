//! [`Producer`]: what a service sends its events with.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

use crate::client::Client;
use crate::counts::{Refusal, Stats, lock};
use crate::queue::{self, Item, Room, Source, Topic};
use crate::settings::{Builder, Settings};
use crate::valid::{self, InvalidEvent};
use crate::worker::{Shared, Worker};
use crate::{Body, Business, Health, Log, Metric, raw_json};

/// Publishes the events of one service to Kafka, in the background.
///
/// No method fails, panics or waits for Kafka, except `flush` and `close`, up to their timeout: an event that cannot be
/// queued is dropped, counted ([`Producer::stats`]) and reported through `tracing` (target `bt_events`). Cheap to clone;
/// when the last clone is dropped, what waits is delivered, for [`Builder::exit_timeout`] at most.
///
/// ```no_run
/// use bt_events::{Health, Log, Metric, Producer};
///
/// let events = Producer::builder().service("orders").version(env!("CARGO_PKG_VERSION")).build_or_drop();
/// events.send_metric(Metric::counter("orders_total", 1.0).label("channel", "web"));
/// events.send_log(Log::new("info", "order accepted").field("order_id", 42));
/// events.send_event("order.created", &serde_json::json!({"order_id": 42}));
/// events.send_health(Health::new(bt_events::Status::Up));
/// ```
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
    source: Arc<Source>,
}

/// Why there is no producer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// librdkafka refuses a setting.
    #[error("Kafka's client refuses its settings: {0}")]
    Config(rdkafka::error::KafkaError),
    /// The topics' names are no names of topics.
    #[error("{0}")]
    Topic(String),
    /// The system gives no thread.
    #[error("no thread to send events with: {0}")]
    Thread(std::io::Error),
}

/// Flushes and closes a producer when it is dropped: keep it until the end of `main`.
///
/// Needed where clones of the producer are still about at the end, in a static or in a layer of the global subscriber.
#[must_use = "dropping the guard closes the producer"]
#[derive(Debug)]
pub struct Guard(Producer);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close(self.0.handle.exit_timeout);
    }
}

/// What all clones share; the thread does not hold it, so that the last clone can end the thread.
struct Handle {
    shared: Arc<Shared>,
    /// `None`: the settings were wrong.
    running: Option<Running>,
    max_message_bytes: usize,
    exit_timeout: Duration,
}

struct Running {
    queue: Sender<Item>,
    thread: Thread,
    join: Mutex<Option<JoinHandle<()>>>,
}

impl Producer {
    /// A producer with all settings from the environment, see [`Builder`]. Wrong ones are logged, and all events dropped.
    pub fn from_env() -> Self {
        Self::builder().build_or_drop()
    }

    /// Puts a producer together.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(settings: Settings) -> Result<Self, BuildError> {
        let topics = settings.topics.clone();
        for topic in [&topics.metrics, &topics.logs, &topics.health] {
            valid::topic(topic.clone()).map_err(|error| BuildError::Topic(error.to_string()))?;
        }
        let mut producer = Self::without_thread(settings.clone());
        let Producer { handle, source } = &mut producer;
        let shared = handle.shared.clone();
        let config = settings.kafka;
        let client = Client::new(&config, shared.clone()).map_err(BuildError::Config)?;
        let (queue, receiver) = mpsc::channel();
        let worker = Worker::new(shared, source.clone(), config, receiver, client);
        let thread = thread::Builder::new().name("bt-events".to_owned());
        let join = thread.spawn(|| worker.run()).map_err(BuildError::Thread)?;
        let handle = Arc::get_mut(handle).expect("nobody has seen it yet");
        handle.running = Some(Running {
            queue,
            thread: join.thread().clone(),
            join: Mutex::new(Some(join)),
        });
        Ok(producer)
    }

    pub(crate) fn misconfigured(settings: Settings, error: &BuildError) -> Self {
        let producer = Self::without_thread(settings);
        let counts = &producer.handle.shared.counts;
        counts.explain(Refusal::Misconfigured, &error.to_string());
        producer
    }

    fn without_thread(settings: Settings) -> Self {
        let room = Room::new(settings.queue_events, settings.queue_bytes);
        let handle = Handle {
            shared: Arc::new(Shared::new(room, settings.topics)),
            running: None,
            max_message_bytes: settings.max_message_bytes,
            exit_timeout: settings.exit_timeout,
        };
        Producer {
            handle: Arc::new(handle),
            source: Arc::new(settings.source),
        }
    }

    /// The same producer for events of another service and instance (`""`: none), as a gateway or a batch job sends them.
    pub fn for_service(&self, service: impl Into<String>, instance: impl Into<String>) -> Self {
        Producer {
            handle: self.handle.clone(),
            source: Arc::new(Source::new(service.into(), Some(instance.into()), None)),
        }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.source.service
    }

    /// Which copy of the service this is.
    pub fn instance(&self) -> Option<&str> {
        self.source.instance.as_deref()
    }

    /// Publishes a metric; true when it was queued.
    pub fn send_metric(&self, metric: Metric<'static>) -> bool {
        self.send(Topic::Metrics, || Ok(Body::Metric(metric)))
    }

    /// Publishes a log line; true when it was queued.
    pub fn send_log(&self, log: Log<'static>) -> bool {
        self.send(Topic::Logs, || Ok(Body::Log(log)))
    }

    /// Publishes a business event to the topic `<service>.events`; true when it was queued.
    ///
    /// The payload is whatever serde writes as a JSON object; `&()` is an empty one.
    pub fn send_event(&self, r#type: impl Into<String>, payload: &impl Serialize) -> bool {
        self.send(Topic::Own, || business(r#type.into(), payload))
    }

    /// As [`Producer::send_event`], to another topic.
    pub fn send_event_to(
        &self,
        topic: impl Into<String>,
        r#type: impl Into<String>,
        payload: &impl Serialize,
    ) -> bool {
        match valid::topic(topic.into()) {
            Ok(topic) => self.send(Topic::Named(topic), || business(r#type.into(), payload)),
            Err(error) => self.invalid(&error),
        }
    }

    /// Publishes the service's health; true when it was queued.
    pub fn send_health(&self, health: Health<'static>) -> bool {
        self.send(Topic::Health, || Ok(Body::Health(health)))
    }

    /// What became of the events, those of [`Producer::for_service`] included.
    pub fn stats(&self) -> Stats {
        self.handle.shared.counts.stats()
    }

    /// Waits until Kafka has everything that was sent, up to `timeout`; false when something is left. Blocks its thread: in
    /// async code use `tokio::task::spawn_blocking`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.handle.shared.wait_until_settled(timeout)
    }

    /// Flushes, then stops; later events are dropped, and so is what could not be delivered in time: false then.
    pub fn close(&self, timeout: Duration) -> bool {
        self.handle.close(timeout)
    }

    /// A guard that flushes and closes this producer, all its clones included, when it is dropped.
    pub fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    /// Flushes and closes when it is called, without keeping the producer alive until then.
    #[cfg(feature = "signal")]
    pub(crate) fn weak_close(&self) -> impl Fn() + use<> {
        let handle = Arc::downgrade(&self.handle);
        move || {
            if let Some(handle) = handle.upgrade() {
                handle.close(handle.exit_timeout);
            }
        }
    }

    /// False when an event would be dropped in any case, which is then counted: whoever has work to do for one asks first.
    #[cfg(any(feature = "tracing", feature = "tower"))]
    pub(crate) fn takes_any(&self) -> bool {
        let refusal = self.handle.admits().err();
        refusal.inspect(|&refusal| self.handle.shared.counts.refused(refusal));
        refusal.is_none()
    }

    fn send(&self, topic: Topic, body: impl FnOnce() -> Result<Body<'static>, Unfit>) -> bool {
        let shared = &self.handle.shared;
        let running = match self.handle.admits() {
            Ok(running) => running,
            Err(refusal) => {
                shared.counts.refused(refusal);
                return false;
            }
        };
        let checked = body().and_then(|body| self.check(&topic, body));
        let body = match checked {
            Ok(body) => body,
            Err(Unfit::Invalid(error)) => return self.invalid(&error),
            Err(Unfit::Unserialisable(error)) => {
                let counts = &shared.counts;
                counts.refused_with(Refusal::Unserialisable, &error.to_string());
                return false;
            }
        };
        let size = queue::size(&body);
        if size
            > self
                .handle
                .max_message_bytes
                .saturating_add(size_of::<Item>())
        {
            shared.counts.refused(Refusal::TooLarge);
            return false;
        }
        if !shared.room.take(size) {
            shared.counts.refused(Refusal::QueueFull);
            return false;
        }
        shared.counts.sent();
        let item = Item {
            at: Timestamp::now(),
            source: self.source.clone(),
            topic,
            body,
            size,
            own: false,
        };
        if let Err(mpsc::SendError(item)) = running.queue.send(item) {
            let ticket = crate::client::Ticket {
                size: item.size,
                own: false,
            };
            shared.lost(ticket, Refusal::Closed.name(), "the producer was closed");
            return false;
        }
        shared.wake(&running.thread);
        true
    }

    fn check(&self, topic: &Topic, mut body: Body<'static>) -> Result<Body<'static>, Unfit> {
        if self.source.service.is_empty() {
            let error = InvalidEvent::new("the name of the service is empty");
            return Err(Unfit::Invalid(error));
        }
        if let (Topic::Own, Err(error)) = (topic, &self.source.events_topic) {
            return Err(Unfit::Invalid(error.clone()));
        }
        valid::check(&mut body).map_err(Unfit::Invalid)?;
        Ok(body)
    }

    fn invalid(&self, error: &InvalidEvent) -> bool {
        let counts = &self.handle.shared.counts;
        counts.refused_with(Refusal::Invalid, &error.to_string());
        false
    }
}

/// Why what was given makes no event.
enum Unfit {
    Invalid(InvalidEvent),
    Unserialisable(serde_json::Error),
}

fn business(r#type: String, payload: &impl Serialize) -> Result<Body<'static>, Unfit> {
    let payload = raw_json(payload).map_err(Unfit::Unserialisable)?;
    let payload = Some(payload).filter(|payload| payload.get() != "null");
    Ok(Body::Business(Business {
        r#type: r#type.into(),
        payload,
    }))
}

impl Handle {
    fn admits(&self) -> Result<&Running, Refusal> {
        let running = self.running.as_ref().ok_or(Refusal::Misconfigured)?;
        if self.shared.closed.load(Relaxed) {
            return Err(Refusal::Closed);
        }
        match self.shared.room.has_any() {
            true => Ok(running),
            false => Err(Refusal::QueueFull),
        }
    }

    fn close(&self, timeout: Duration) -> bool {
        self.shared.closed.store(true, Relaxed);
        let Some(running) = &self.running else {
            return true;
        };
        let flushed = self.shared.wait_until_settled(timeout);
        self.shared.stop.store(true, Relaxed);
        running.thread.unpark();
        let join = lock(&running.join).take();
        // The thread itself comes here when a subscriber that it logs through held the last clone.
        if let Some(join) = join
            && join.thread().id() != thread::current().id()
            && join.join().is_err()
        {
            tracing::error!(target: "bt_events", "the thread that sends events has panicked");
        }
        flushed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.shared.closed.load(Relaxed) {
            self.close(self.exit_timeout);
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("source", &self.source.key)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
