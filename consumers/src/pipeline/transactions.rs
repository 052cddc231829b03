//! Commits in transactions: offsets, state and dead letters together, fenced by the group's generation (KIP-447).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Connection};
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::letter::{Letter, Letters};
use crate::sink::StateRecord;

/// After which Kafka aborts a transaction whose producer does nothing more, so that a pod that was killed in the middle
/// of one does not keep the next owner waiting for long.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one call to Kafka may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the outcome of a transaction is asked for before the producer is made anew, which decides it.
const PATIENCE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(1);
/// A batch of so many bytes leaves much memory behind that the allocator would keep for the next such batch, which may
/// never come: most are small, as series change less often than they come.
const LARGE: usize = 1024 * 1024;
/// Between two times that memory is given back to the system.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);

/// What is committed together.
pub(super) struct Batch {
    /// Each with its partition of the state topic.
    pub records: Vec<(i32, StateRecord)>,
    pub letters: Vec<Arc<Letter>>,
    pub offsets: TopicPartitionList,
    /// The group's generation under which all of it was consumed.
    pub group: ConsumerGroupMetadata,
}

impl Batch {
    fn bytes(&self) -> usize {
        let bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let records = self.records.iter();
        records.map(|(_, record)| bytes(&record.value)).sum()
    }
}

/// Gives memory that is free back to the system.
fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What became of a batch: in Kafka, or to be written again. State and offsets without letters may be in Kafka all the same, which
/// does no harm: they are whole values. Of letters it is found out.
pub(super) type Outcome = Result<(), Failure>;

/// Why a batch is not known to be in Kafka.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: KafkaError,
    /// The topic of a record that Kafka refused, where that is why.
    pub topic: Option<String>,
    /// It is not this process' own to commit any more, or not under this generation.
    pub fenced: bool,
    /// A topic is not there.
    pub no_topic: bool,
}

/// The thread that commits, one batch after the other.
pub(super) struct Transactions {
    batches: Sender<Batch>,
    outcomes: Receiver<Outcome>,
    deciding: Arc<AtomicBool>,
}

/// Who commits, and where to.
pub(super) struct Settings {
    pub kafka: Connection,
    pub client_id: String,
    pub group_id: String,
    /// `transactional.id`: the same for a pod and for the one that takes its place under its name, which thereby ends what
    /// the former has left open.
    pub transactional_id: String,
    /// Of a sink that has state. Without, the producer is made with the first batch: there may never be one.
    pub state_topic: Option<String>,
    pub letters: Letters,
    pub runtime: tokio::runtime::Handle,
}

impl Transactions {
    /// Starts the thread.
    ///
    /// # Errors
    /// When librdkafka refuses the settings, or the system gives no thread.
    pub fn new(settings: Settings) -> KafkaResult<Self> {
        let producer = match &settings.state_topic {
            Some(_) => Some(settings.producer()?),
            None => None,
        };
        let (batches, incoming) = channel();
        let (outgoing, outcomes) = channel();
        let deciding = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            settings,
            producer,
            ready: false,
            deciding: deciding.clone(),
        };
        std::thread::Builder::new()
            .name("commits".into())
            .spawn(move || worker.run(&incoming, &outgoing))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            batches,
            outcomes,
            deciding,
        })
    }

    /// Takes a batch, to be committed when the former ones are.
    pub fn commit(&self, batch: Batch) {
        // The thread is there as long as this is.
        let _ = self.batches.send(batch);
    }

    /// Kafka has yet to say whether a batch with letters is committed; that takes as long as Kafka is away.
    pub fn is_deciding(&self) -> bool {
        self.deciding.load(Ordering::Relaxed)
    }

    /// The outcome of the oldest batch, if it is known by then.
    ///
    /// # Panics
    /// When the thread has ended, which it does only by a defect: nothing would ever be committed any more.
    pub fn outcome(&self, wait: Duration) -> Option<Outcome> {
        match self.outcomes.recv_timeout(wait) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the commits thread has ended"),
        }
    }
}

struct Worker {
    settings: Settings,
    producer: Option<ThreadedProducer<Deliveries>>,
    /// The producer has its epoch.
    ready: bool,
    deciding: Arc<AtomicBool>,
}

impl Worker {
    fn run(&mut self, batches: &Receiver<Batch>, outcomes: &Sender<Outcome>) {
        // At once, not with the first batch: this ends what a predecessor has left open.
        if self.producer.is_some()
            && let Err(error) = self.prepare()
        {
            tracing::warn!(error = text(&error), "cannot start transactions yet");
        }
        let mut to_trim = false;
        let mut trimmed = Instant::now();
        for batch in batches {
            to_trim |= batch.bytes() > LARGE;
            let outcome = self.transact(&batch);
            let failed = outcome.is_err();
            if outcomes.send(outcome).is_err() {
                return;
            }
            drop(batch);
            if to_trim && trimmed.elapsed() > TRIM_INTERVAL {
                trim();
                (to_trim, trimmed) = (false, Instant::now());
            }
            if failed {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Makes the producer, and gets its epoch, as far as that is not done.
    fn prepare(&mut self) -> KafkaResult<()> {
        if self.producer.is_none() {
            self.ready = false;
            self.producer = Some(self.settings.producer()?);
        }
        let producer = self.producer.as_ref().expect("it was just made");
        if self.ready {
            return Ok(());
        }
        let result = producer.init_transactions(CALL_TIMEOUT * 2);
        self.ready = result.is_ok();
        if result.as_ref().is_err_and(is_fatal) {
            self.producer = None;
        }
        result
    }

    fn transact(&mut self, batch: &Batch) -> Outcome {
        self.prepare().map_err(|error| Failure::new(error, None))?;
        let producer = self.producer.as_ref().expect("it is prepared");
        producer.context().take();
        let filled = producer
            .begin_transaction()
            .and_then(|()| self.settings.fill(producer, batch));
        let in_doubt = filled.is_ok();
        let result = filled.and_then(|()| patiently(|| producer.commit_transaction(CALL_TIMEOUT)));
        let Err(error) = result else { return Ok(()) };
        // Whatever it was: it must not stay open. A producer that cannot end its transaction, or one whose commit may yet
        // be decided either way, is given up; the one that takes its place ends what is open.
        let unanswered = in_doubt && is_retriable(&error);
        let aborted = !unanswered && patiently(|| producer.abort_transaction(CALL_TIMEOUT)).is_ok();
        // What Kafka refused says more than that the transaction failed.
        let failure = match producer.context().take() {
            Some((error, topic)) => Failure::new(error, Some(topic)),
            None => Failure::new(error, None),
        };
        if !aborted {
            self.producer = None;
        }
        if in_doubt && !aborted && !batch.letters.is_empty() && self.is_committed(batch) {
            return Ok(());
        }
        Err(failure)
    }

    /// Whether a batch of ours that has letters is in Kafka after all, however long it takes to find out: they must neither be
    /// lost nor written twice. The next producer of our name ends the transaction if it is still open.
    fn is_committed(&mut self, batch: &Batch) -> bool {
        tracing::warn!(
            "Kafka has not said whether dead letters are committed; asking until it does"
        );
        self.deciding.store(true, Ordering::Relaxed);
        let committed = loop {
            let decided = match self.prepare() {
                Ok(()) => self.settings.is_committed(batch),
                Err(error) => Err(text(&error)),
            };
            match decided {
                Ok(committed) => break committed,
                Err(error) => tracing::debug!(error, "not decided yet"),
            }
            std::thread::sleep(RETRY);
        };
        self.deciding.store(false, Ordering::Relaxed);
        tracing::info!(committed, "Kafka has decided on the dead letters");
        committed
    }
}

impl Failure {
    fn new(error: KafkaError, topic: Option<String>) -> Self {
        use RDKafkaErrorCode::{
            Fenced, FencedInstanceId, IllegalGeneration, ProducerFenced, RebalanceInProgress,
            UnknownMemberId, UnknownPartition, UnknownTopic, UnknownTopicOrPartition,
        };
        let code = code(&error);
        Self {
            fenced: matches!(
                code,
                Some(
                    IllegalGeneration
                        | UnknownMemberId
                        | FencedInstanceId
                        | RebalanceInProgress
                        | ProducerFenced
                        | Fenced
                )
            ),
            no_topic: matches!(
                code,
                Some(UnknownTopic | UnknownTopicOrPartition | UnknownPartition)
            ),
            error,
            topic,
        }
    }
}

impl Settings {
    fn producer(&self) -> KafkaResult<ThreadedProducer<Deliveries>> {
        self.kafka
            .writer_config(&self.client_id)
            .set("transactional.id", &self.transactional_id)
            .set(
                "transaction.timeout.ms",
                TRANSACTION_TIMEOUT.as_millis().to_string(),
            )
            .set(
                "message.timeout.ms",
                TRANSACTION_TIMEOUT.as_millis().to_string(),
            )
            // Sooner than that: a topic that is not there is told as such.
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("message.max.bytes", "100000000")
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "1048576")
            .create_with_context(Deliveries::default())
    }

    fn fill(&self, producer: &ThreadedProducer<Deliveries>, batch: &Batch) -> KafkaResult<()> {
        let state_topic = self.state_topic.as_deref().unwrap_or_default();
        for (partition, record) in &batch.records {
            let mut out = BaseRecord::<[u8], [u8]>::to(state_topic)
                .partition(*partition)
                .key(&record.key[..]);
            out.payload = record.value.as_deref();
            send(producer, out)?;
        }
        for letter in &batch.letters {
            send(producer, self.letters.record(letter))?;
        }
        patiently(|| {
            producer.send_offsets_to_transaction(&batch.offsets, &batch.group, CALL_TIMEOUT)
        })
    }

    /// Whether the group has the offsets of a batch, of partitions with letters.
    fn is_committed(&self, batch: &Batch) -> Result<bool, String> {
        let mut wanted = BTreeMap::new();
        let mut assignments = BTreeMap::new();
        for letter in &batch.letters {
            let assignment = &letter.original.assignment;
            let (topic, partition) = (&assignment.topic, assignment.partition);
            if let Some(element) = batch.offsets.find_partition(topic, partition) {
                let name = (topic.to_string(), partition);
                assignments.insert(name.clone(), assignment);
                wanted.insert(name, element.offset().to_raw());
            }
        }
        let admin = Admin::new(&self.kafka, &format!("{}-decide", self.client_id));
        let admin = admin.map_err(|error| error.to_string())?;
        let partitions = wanted.keys().cloned().collect();
        let committed = admin.stable_committed_offsets(&self.group_id, partitions);
        let committed = self.runtime.block_on(committed);
        let committed = committed.map_err(|error| error.to_string())?;
        decide(wanted.iter().map(|(partition, wanted)| Decided {
            // Such a partition's offset is of its next owner's making.
            ours: !assignments[partition].is_revoked(),
            reached: committed.get(partition) >= wanted.as_ref(),
        }))
        .ok_or_else(|| "another has partitions of ours, and which is not known yet".into())
    }
}

/// What Kafka says of a partition once a transaction is decided.
#[derive(Clone, Copy)]
struct Decided {
    /// It is not known to be another's.
    ours: bool,
    /// The group has the transaction's offset, or a later one: each is above what the group had before.
    reached: bool,
}

/// Whether the transaction was committed: it has moved all of its partitions or none. Where they differ, others have some of them,
/// which is known before long.
fn decide(partitions: impl Iterator<Item = Decided>) -> Option<bool> {
    let ours = partitions.filter(|partition| partition.ours);
    let mut reached = ours.map(|partition| partition.reached);
    // Where nothing is ours any more, the letters are their next owners' to write.
    let first = reached.next().unwrap_or(false);
    reached.all(|other| other == first).then_some(first)
}

fn send(
    producer: &ThreadedProducer<Deliveries>,
    record: BaseRecord<'_, [u8], [u8]>,
) -> KafkaResult<()> {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                // The producer's own thread makes room.
                std::thread::sleep(Duration::from_millis(5));
            }
            Err((error, record)) => {
                producer.context().note(&error, record.topic);
                return Err(error);
            }
        }
    }
}

/// Calls again while librdkafka says that this helps.
fn patiently(mut call: impl FnMut() -> KafkaResult<()>) -> KafkaResult<()> {
    let began = Instant::now();
    loop {
        let result = call();
        let again = result.as_ref().is_err_and(is_retriable);
        if !again || began.elapsed() > PATIENCE {
            return result;
        }
        std::thread::sleep(RETRY / 10);
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(_) => true,
        _ => false,
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
}

fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    }
}

fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        error => error.to_string(),
    }
}

/// Keeps the first error of a record that Kafka refused: a transaction only tells that there was one.
#[derive(Default)]
struct Deliveries {
    /// With the record's topic.
    first: Mutex<Option<(KafkaError, String)>>,
}

impl Deliveries {
    fn note(&self, error: &KafkaError, topic: &str) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| (error.clone(), topic.to_owned()));
    }

    fn take(&self) -> Option<(KafkaError, String)> {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, record)) = result else { return };
        // Those that were thrown away with the transaction say nothing of why.
        let purged = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
        );
        if !purged {
            self.note(error, record.topic());
        }
    }
}

#[cfg(test)]
#[path = "transactions/tests.rs"]
mod tests;
