//! The least that reading the events costs: librdkafka, with the sinks' fetch settings, and what it hands out is
//! thrown away: at once, or when it has been copied into bodies of requests.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bt_kafka::Connection;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::process::own_cpu_seconds;
use crate::told::Told;

/// Until the first event, and between any two.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a body: the default of the elasticsearch sink's `bulk.maxBytes`.
const BODY: usize = 5 * 1024 * 1024;

/// What to read.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// The topic.
    #[arg(long)]
    topic: String,
    /// The consumer group.
    #[arg(long)]
    group: String,
    /// How many events.
    #[arg(long)]
    events: u64,
    /// Copy them into bodies as large as those of requests.
    #[arg(long)]
    copied: bool,
}

/// Reads so many events, and tells what that cost as a line of JSON.
///
/// # Errors
/// When Kafka does not give them.
pub fn run(kafka: &str, options: &Options) -> Result<()> {
    let consumer: BaseConsumer = Connection::plaintext(kafka)
        .reader_config("bt-bench-floor", &options.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[&options.topic])?;
    let (mut events, mut bytes) = (0, 0);
    let mut body = Vec::with_capacity(if options.copied { BODY } else { 0 });
    let mut first = Instant::now();
    let mut last = first;
    while events < options.events {
        match consumer.poll(Duration::from_millis(20)) {
            Some(message) => {
                let message = message?;
                bytes += message.payload_len();
                if options.copied {
                    let value = message.payload().unwrap_or_default();
                    // Each body is memory of its own, as that of a request that is sent.
                    if body.len() + value.len() > BODY {
                        black_box(std::mem::replace(&mut body, Vec::with_capacity(BODY)));
                    }
                    body.extend_from_slice(value);
                }
                if events == 0 {
                    first = Instant::now();
                }
                events += 1;
                // The clock is not what is measured.
                if events % 1024 == 0 {
                    last = Instant::now();
                }
            }
            None if last.elapsed() > PATIENCE => {
                bail!(
                    "only {events} of {} events ({bytes} bytes) came",
                    options.events
                )
            }
            None => {}
        }
    }
    let told = Told {
        events,
        seconds: first.elapsed().as_secs_f64(),
        cpu: own_cpu_seconds().context("no CPU time under /proc")?,
    };
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}
