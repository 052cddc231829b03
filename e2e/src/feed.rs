use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::producer::FutureRecord;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::consumers::log_event;
use crate::kafka::{Kafka, TIMEOUT};
use crate::wait::{eventually, seconds};
use crate::{E2e, exactly_once, ktopic};

/// Logs that are written to a topic all the time, in the background.
pub struct Feed {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<u64>>,
}

impl Kafka {
    /// Starts to write log lines of a run, numbered from 0, about so many a second, spread over the partitions.
    pub fn feed(&self, topic: &str, run: &str, rate: u32) -> Feed {
        let (producer, topic, run) = (self.producer.clone(), topic.to_owned(), run.to_owned());
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
            let mut sent = 0;
            loop {
                tokio::select! {
                    _ = &mut stopped => return Ok(sent),
                    _ = tick.tick() => {}
                }
                let (key, value) = line(&run, sent);
                let record = FutureRecord::<str, [u8]>::to(&topic)
                    .key(&key)
                    .payload(&value);
                let sending = producer.send(record, TIMEOUT).await;
                sending
                    .map_err(|(error, _)| error)
                    .with_context(|| format!("line {sent} for {topic}"))?;
                sent += 1;
            }
        });
        Feed { stop, task }
    }

    /// Writes the first so many log lines of a run, spread over the partitions.
    ///
    /// # Errors
    /// When Kafka does not take one.
    pub async fn produce_logs(&self, topic: &str, run: &str, lines: u64) -> Result<()> {
        let records: Vec<_> = (0..lines).map(|number| line(run, number)).collect();
        self.produce_all(topic, &records).await
    }
}

/// Key and value.
fn line(run: &str, number: u64) -> (String, Vec<u8>) {
    (format!("e2e/{}", number % 64), log_event(run, number))
}

impl Feed {
    /// Stops; how many lines Kafka has taken.
    ///
    /// # Errors
    /// When Kafka did not take one.
    pub async fn stop(self) -> Result<u64> {
        // A feed that failed listens no more; it says why below.
        let _ = self.stop.send(());
        let sent = self.task.await??;
        ensure!(sent > 0, "nothing was sent");
        Ok(sent)
    }
}

impl E2e {
    /// A topic for this test alone, named `e2e.<what>.…`, which goes with its namespace.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn topic(&self, namespace: &str, what: &str, partitions: u32) -> Result<String> {
        let name = format!("e2e.{what}.{}", self.run);
        let spec = format!("{{partitions: {partitions}, replicas: 1, deletionPolicy: Delete}}");
        self.cluster.apply(namespace, &ktopic(&name, &spec)).await?;
        self.cluster.topic_is_ready(namespace, &name).await?;
        Ok(name)
    }

    /// Waits until the log lines 0 to `lines` of a run are in a data stream, and checks that each is there once.
    ///
    /// # Errors
    /// When they do not come within the time, or are not there once.
    pub async fn indexed_once(
        &self,
        stream: &str,
        run: &str,
        lines: u64,
        within: u64,
    ) -> Result<()> {
        let what = format!("{lines} logs are in {stream}");
        eventually(&what, seconds(within), async || {
            let count = self.search.count(stream, run).await?;
            ensure!(count >= lines, "{count} of {lines}");
            Ok(())
        })
        .await?;
        exactly_once(&self.search.documents(stream, run).await?, lines)
    }
}

/// An elasticsearch sink with a data stream of its own.
pub fn logs_into(stream: &str) -> Value {
    json!({"elasticsearch": {"dataStream": stream}})
}
