//! `bt-consumers replay`: sends dead letters to their sink again, after what they were refused for was put right.
//!
//! A letter becomes the documents that its record would have become, under the same ids: what the engine has already is
//! left as it is, so that a replay can be repeated, or stopped at any moment. Nothing is written to Kafka, and the group's
//! offsets are not touched.

mod filter;
mod headers;
mod options;
mod progress;
mod read;
mod resend;
mod summary;
mod topic_ids;

use std::io::Write;
use std::time::Duration;

use bt_kafka::Admin;
use rdkafka::message::Message;
use thiserror::Error;

use crate::config::{Config, ConfigError};
use crate::pipeline::header;
use crate::sink::elasticsearch::StartError;
use progress::Progress;
use resend::Resender;
use topic_ids::TopicIds;

pub(crate) use filter::Filter;
pub(crate) use headers::LetterHeaders;
pub use options::{Moment, Options, Which};
pub(crate) use read::{Next, Reader, offsets_of};
pub use summary::Summary;

/// The longest wait between two rounds of timed work.
const TICK: Duration = Duration::from_millis(20);

/// Why a replay cannot begin, or not go on. What was sent by then stays sent, and a further replay does not send it twice.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The sink does not know its events again.
    #[error(
        "{consumer} has a prometheus sink, for which there is no replay: its samples have no ids, so that nothing would keep a second replay \
         from counting them twice. Read the letters in the topic {topic}, and write those that are right to their topic (header bt-topic) \
         once, with a producer of your own: they are then consumed like any others"
    )]
    Prometheus {
        /// The consumer of the configuration.
        consumer: String,
        /// Its dead-letter topic.
        topic: String,
    },
    /// A time span that nothing lies in.
    #[error(
        "--since and --until: nothing lies between them, since the first is not before the second"
    )]
    NoTime,
    /// The credentials of Kafka.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gives no threads.
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
    /// The sink cannot be made.
    #[error(transparent)]
    Sink(#[from] StartError),
    /// Kafka does not answer, or not what was asked.
    #[error("Kafka: {0}; run it again when this is put right: what was sent is not sent twice")]
    Kafka(String),
    /// The dead-letter topic does not exist.
    #[error(
        "the dead-letter topic {0} (deadLetterTopic in the configuration) does not exist: there are no letters in this Kafka"
    )]
    NoTopic(String),
}

impl From<bt_kafka::Error> for ReplayError {
    fn from(error: bt_kafka::Error) -> Self {
        Self::Kafka(error.to_string())
    }
}

impl From<rdkafka::error::KafkaError> for ReplayError {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self::Kafka(error.to_string())
    }
}

/// Sends the letters that the options pick, waiting for the engine as long as it takes; tells on `told` every few seconds
/// how far it is.
///
/// # Errors
/// When the options or the sink do not allow it, or Kafka does not give the letters.
pub fn replay(
    config: &Config,
    options: &Options,
    told: &mut dyn Write,
) -> Result<Summary, ReplayError> {
    let Some(sink) = &config.sink.elasticsearch else {
        return Err(ReplayError::Prometheus {
            consumer: config.consumer.clone(),
            topic: config.dead_letter_topic.clone(),
        });
    };
    let filter = Filter::new(&options.which, &config.consumer)?;
    let kafka = config.kafka.connection()?;
    let client_id = format!("{}-replay", config.consumer.replace('/', "."));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ReplayError::Start)?;
    let admin = Admin::new(&kafka, &client_id)?;
    let handle = runtime.handle();
    let reader = Reader::open(
        config,
        &kafka,
        &client_id,
        filter.since(),
        None,
        &admin,
        handle,
    )?;
    let resender = match options.dry_run {
        true => None,
        false => Some(Resender::new(
            sink,
            &config.consumer,
            &config.dead_letter_topic,
            handle,
        )?),
    };
    let replay = Replay {
        summary: Summary::new(config, &filter, options.dry_run),
        progress: Progress::new(reader.total(), told),
        limit: options.limit,
        topic_ids: TopicIds::new(admin, handle.clone()),
        filter,
        resender,
    };
    let result = replay.run(reader);
    // There is nothing under way, or it is given up.
    runtime.shutdown_background();
    result
}

/// A replay under way.
struct Replay<'t> {
    filter: Filter,
    limit: Option<u64>,
    topic_ids: TopicIds,
    /// None in a dry run.
    resender: Option<Resender>,
    summary: Summary,
    progress: Progress<'t>,
}

impl Replay<'_> {
    fn run(mut self, mut reader: Reader) -> Result<Summary, ReplayError> {
        while self.limit.is_none_or(|limit| self.summary.matched < limit) {
            match reader.next(TICK)? {
                Next::Letter(message) => self.letter(&message)?,
                Next::Nothing => {}
                Next::End => break,
            }
            self.settle(Duration::ZERO);
            while self.resender.as_ref().is_some_and(Resender::is_full) {
                self.settle(TICK);
            }
        }
        if let Some(resender) = &mut self.resender {
            resender.flush();
        }
        while self.resender.as_ref().is_some_and(|r| r.under_way() > 0) {
            self.settle(TICK);
        }
        if let Some(resender) = self.resender {
            self.summary.sent(resender.outcome());
        }
        Ok(self.summary)
    }

    /// Deals with what has been answered meanwhile, waiting for it so long.
    fn settle(&mut self, wait: Duration) {
        if let Some(resender) = &mut self.resender {
            resender.settle(wait);
        }
        self.progress.tell(&self.summary, self.resender.as_ref());
    }

    fn letter(&mut self, message: &impl Message) -> Result<(), ReplayError> {
        self.summary.read += 1;
        let headers = LetterHeaders::of(message);
        if !self.filter.picks(&headers, message.timestamp().to_millis()) {
            return Ok(());
        }
        self.summary.matched += 1;
        self.summary.count(&headers);
        let source = match headers.source() {
            Ok(source) => source,
            Err(why) => {
                self.summary
                    .skip(format!("no letter of a consumer's: {why}"));
                return Ok(());
            }
        };
        let Some(resender) = &mut self.resender else {
            return Ok(());
        };
        let topic_id = match source.topic_id {
            Some(id) => id.to_owned(),
            None => match self.topic_ids.present(source.topic)? {
                Some(id) => {
                    self.summary.without_topic_id(source.topic);
                    id
                }
                None if resend::have_ids(message.payload()) => String::new(),
                None => {
                    self.summary.skip(format!(
                        "no header {} (an older version wrote the letter), and the topic {} does not exist any more",
                        header::TOPIC_ID,
                        source.topic
                    ));
                    return Ok(());
                }
            },
        };
        resender.send(&source, topic_id, message.key(), message.payload());
        Ok(())
    }
}
