//! The background thread: it encodes the events, hands them to Kafka's client, and reports.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::ClientConfig;

use crate::client::{Client, Record, Refused, Ticket};
use crate::counts::{Counts, lock};
use crate::queue::{self, Item, Room, Source, Topic, Topics};
use crate::report::Reporter;
use crate::{Body, Metric};

/// After so many events Kafka's client is looked after.
const ROUND: usize = 2000;
/// How often drops are looked at.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The least time between a client and the next.
const CLIENT_EVERY: Duration = Duration::from_secs(1);
/// How often the gauge `bt_service_info` is sent.
const INFO_EVERY: Duration = Duration::from_secs(300);

/// What the service's threads and the background thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) counts: Counts,
    pub(crate) room: Room,
    pub(crate) topics: Topics,
    /// Nothing more is taken.
    pub(crate) closed: AtomicBool,
    /// The thread shall end.
    pub(crate) stop: AtomicBool,
    /// The thread has nothing to do and wants to be woken.
    asleep: AtomicBool,
    /// For those who wait for the room to be unused.
    settled: (Mutex<()>, Condvar),
}

impl Shared {
    pub(crate) fn new(room: Room, topics: Topics) -> Self {
        Shared {
            counts: Counts::default(),
            room,
            topics,
            closed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            settled: Default::default(),
        }
    }

    pub(crate) fn delivered(&self, ticket: Ticket) {
        if !ticket.own {
            self.counts.delivered();
        }
        self.settle(ticket);
    }

    pub(crate) fn lost(&self, ticket: Ticket, reason: &str, detail: &str) {
        if !ticket.own {
            self.counts.lost(reason, detail);
        }
        self.settle(ticket);
    }

    fn settle(&self, ticket: Ticket) {
        self.room.give_back(ticket.size);
        if self.room.is_unused() {
            drop(lock(&self.settled.0));
            self.settled.1.notify_all();
        }
    }

    /// Waits until nothing waits for Kafka; false when that takes too long.
    pub(crate) fn wait_until_settled(&self, timeout: Duration) -> bool {
        let (mutex, settled) = &self.settled;
        let waited = settled.wait_timeout_while(lock(mutex), timeout, |()| !self.room.is_unused());
        waited.is_ok_and(|(_, result)| !result.timed_out())
    }

    /// Wakes the thread if it sleeps; to be called after an event was put into the queue. A thread that is awake looks
    /// again by itself, which spares a system call for each event.
    pub(crate) fn wake(&self, thread: &thread::Thread) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            thread.unpark();
        }
    }
}

/// The thread's own.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    source: Arc<Source>,
    config: ClientConfig,
    queue: Receiver<Item>,
    /// `None` between a broken client and the next.
    client: Option<Client>,
    client_made: Instant,
    /// What was encoded but not taken by the client yet, oldest last.
    backlog: Vec<Record>,
    reporter: Reporter,
    next_report: Instant,
    next_info: Instant,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        source: Arc<Source>,
        config: ClientConfig,
        queue: Receiver<Item>,
        client: Client,
    ) -> Self {
        let now = Instant::now();
        Worker {
            shared,
            source,
            config,
            queue,
            client: Some(client),
            client_made: now,
            backlog: Vec::new(),
            reporter: Reporter::default(),
            next_report: now,
            next_info: now,
        }
    }

    pub(crate) fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.say_what_is_due();
            let moved = self.move_events();
            self.look_after_client();
            match (&self.client, moved) {
                (None, _) => thread::sleep(Duration::from_millis(100)),
                (Some(client), ROUND..) => client.poll(Duration::from_millis(1)),
                (Some(client), _) if moved > 0 || client.is_busy() || !self.backlog.is_empty() => {
                    client.poll(Duration::from_millis(10));
                }
                (Some(client), _) => {
                    client.poll(Duration::ZERO);
                    self.sleep();
                }
            }
        }
        self.give_up();
    }

    /// Sleeps until there is an event, or it is time to look after the rest.
    fn sleep(&mut self) {
        self.shared.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        match self.queue.try_recv() {
            Ok(item) => self.send(item),
            Err(_) if self.shared.stop.load(Ordering::Relaxed) => {}
            Err(_) => thread::park_timeout(REPORT_EVERY),
        }
        self.shared.asleep.store(false, Ordering::Relaxed);
    }

    /// Moves events from the queue to Kafka's client; how many.
    fn move_events(&mut self) -> usize {
        while let Some(record) = self.backlog.pop() {
            if !self.hand_over(record) {
                return 0;
            }
        }
        for moved in 0..ROUND {
            match self.queue.try_recv() {
                Ok(item) => self.send(item),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return moved,
            }
            if !self.backlog.is_empty() {
                return moved;
            }
        }
        ROUND
    }

    fn send(&mut self, mut item: Item) {
        let own = item.own;
        let value = match item.encode() {
            Ok(value) => value,
            Err(error) => {
                let size = item.size;
                self.shared
                    .lost(Ticket { size, own }, "unserialisable", &error.to_string());
                return;
            }
        };
        let (topic, key) = (item.topic(&self.shared.topics), &item.source.key);
        let size = value.len() + key.len();
        self.shared.room.change(item.size, size);
        let ticket = Ticket { size, own };
        let refused = match &self.client {
            Some(client) => client.send(topic, key, &value, ticket).err(),
            None => Some(Refused::Later),
        };
        if let Some(Refused::Later) = refused {
            let (topic, key) = (topic.to_owned(), key.clone());
            self.backlog.push(Record {
                topic,
                key,
                value,
                ticket,
            });
        }
    }

    /// False when the record has to wait; it is in the backlog again then.
    fn hand_over(&mut self, record: Record) -> bool {
        let sent = self
            .client
            .as_ref()
            .map(|client| client.send(&record.topic, &record.key, &record.value, record.ticket));
        if let None | Some(Err(Refused::Later)) = sent {
            self.backlog.push(record);
            return false;
        }
        true
    }

    /// An idempotent producer's fatal error ends its client for good: what it had not sent goes to a new one.
    fn look_after_client(&mut self) {
        if let Some(broken) = self.client.take_if(|client| client.is_broken()) {
            tracing::error!(
                target: "bt_events",
                "kafka: fatal error, starting a new client; what was being sent may be lost"
            );
            let mut rescued = broken.rescue();
            rescued.reverse();
            self.backlog.append(&mut rescued);
        }
        if self.client.is_none() && self.client_made.elapsed() > CLIENT_EVERY {
            self.client_made = Instant::now();
            match Client::new(&self.config, self.shared.clone()) {
                Ok(client) => self.client = Some(client),
                Err(error) => tracing::error!(target: "bt_events", "kafka: no new client: {error}"),
            }
        }
    }

    fn say_what_is_due(&mut self) {
        let now = Instant::now();
        if now >= self.next_info {
            self.next_info = now + INFO_EVERY;
            if let Some(version) = &self.source.version {
                let info = Metric::gauge("bt_service_info", 1.0)
                    .help("The version of the service.")
                    .label("version", version);
                self.send_own(info);
            }
        }
        if now >= self.next_report {
            self.next_report = now + REPORT_EVERY;
            let shared = self.shared.clone();
            let mut reporter = std::mem::take(&mut self.reporter);
            reporter.log(&shared.counts, now, false);
            let idle = shared.room.is_unused();
            reporter.send(&shared.counts, idle, |metric| self.send_own(metric));
            self.reporter = reporter;
        }
    }

    /// Sends what the SDK has to say about itself: rare, so that it need not fit what may wait.
    fn send_own(&mut self, metric: Metric<'static>) {
        let body = Body::Metric(metric);
        let size = queue::size(&body);
        self.shared.room.take_anyway(size);
        self.send(Item {
            at: Timestamp::now(),
            source: self.source.clone(),
            topic: Topic::Metrics,
            body,
            size,
            own: true,
        });
    }

    /// Counts what is left, at the end.
    fn give_up(&mut self) {
        const LEFT: &str = "not delivered when the producer was closed";
        if let Some(client) = self.client.take() {
            client.purge();
        }
        for record in self.backlog.drain(..) {
            self.shared.lost(record.ticket, "purge_queue", LEFT);
        }
        while let Ok(Item { size, own, .. }) = self.queue.try_recv() {
            self.shared.lost(Ticket { size, own }, "purge_queue", LEFT);
        }
        self.reporter.log(&self.shared.counts, Instant::now(), true);
    }
}
