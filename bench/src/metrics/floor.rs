//! The least that reading the events costs: librdkafka, with the sink's fetch settings, and nothing done with what it hands out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bt_kafka::Connection;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::comparison::Told;
use crate::process::own_cpu_seconds;

/// Until the first event, and between any two.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let mut first = Instant::now();
    let mut last = first;
    while events < options.events {
        match consumer.poll(Duration::from_millis(20)) {
            Some(message) => {
                bytes += message?.payload_len();
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
