//! The logs sink: what two million logs cost it, beside the least they cost, rsyslog, and the consumer in Python that it replaces, all
//! into an engine that answers at once; its memory while that engine says nothing at all; and its share of the work with a real engine.

mod documents;
mod engine;
mod figures;
mod null_engine;
mod python;
mod report;
mod rsyslog;
mod run;
mod sink;
mod stall;
mod targets;
mod work;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::{child, machine};
use figures::Figures;
use report::Report;
use run::Run;

/// What is measured.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// Logs that are preloaded, of about 680 bytes.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    logs: u64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..1000))]
    partitions: i32,
    /// How often librdkafka alone, the floor, the sink without and with gzip, rsyslog and Python take turns; medians are reported.
    #[arg(long, default_value_t = 3, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these parts; all without.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// How long the engine that answers at once does not answer; `0s` leaves this out.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    stall: Duration,
    /// A real engine, whose index templates and data streams of other names are left alone.
    #[arg(long, env = "BENCH_ENGINE", value_name = "URL")]
    engine: Option<String>,
    /// Logs for the real engine.
    #[arg(long, default_value_t = 500_000, value_name = "LOGS", value_parser = clap::value_parser!(u64).range(1..))]
    engine_logs: u64,
    /// The program that is measured; the one beside this program without.
    #[arg(long, env = "BENCH_CONSUMER", value_name = "FILE")]
    consumer: Option<PathBuf>,
    /// A Python with confluent-kafka and elasticsearch.
    #[arg(
        long,
        env = "BENCH_PYTHON",
        default_value = "python3",
        value_name = "FILE"
    )]
    python: PathBuf,
    /// Logs for the consumer in Python, in a topic of their own.
    #[arg(long, default_value_t = 200_000, value_name = "LOGS", value_parser = clap::value_parser!(u64).range(1..))]
    python_logs: u64,
    /// Where Debian's packages rsyslog, rsyslog-kafka and rsyslog-elasticsearch are: the machine itself, or a folder they are unpacked in.
    #[arg(
        long,
        env = "BENCH_RSYSLOG",
        default_value = "/",
        value_name = "FOLDER"
    )]
    rsyslog: PathBuf,
    /// Where all figures are written to, as JSON.
    #[arg(long, env = "BENCH_LOGS_JSON", value_name = "FILE")]
    json: Option<PathBuf>,
    /// How long one run of a consumer may take, beside the stall.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    deadline: u64,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// librdkafka alone, without and with copies of the bytes.
    Floor,
    /// The sink without compression.
    Sink,
    /// The sink with gzip.
    Gzip,
    /// rsyslog.
    Rsyslog,
    /// The consumer in Python.
    Python,
    /// The sink's memory while the engine does not answer.
    Stall,
    /// The sink with a real engine.
    Engine,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Measures, prints the tables and writes the figures: those too of a run that failed on its way.
///
/// # Errors
/// When the work itself fails, or an engine was given other documents than were produced; a target that was missed is none.
pub async fn run(kafka: &str, options: &Options) -> Result<()> {
    let binary = child::consumers(options.consumer.as_deref())?;
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let id = format!("bench-logs-{:x}", unix.as_secs() & 0xff_ffff);
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let mut figures = Figures {
        machine: machine::describe(),
        versions: format!("Kafka at {kafka}, librdkafka {librdkafka}"),
        logs: options.logs,
        partitions: options.partitions,
        ..Figures::default()
    };
    let mut run = Run::new(kafka, id, binary, options)?;
    let measured = run.measure(&mut figures).await;
    let ended = run.end().await;
    let report = Report::new(figures);
    println!("{report}");
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, json).with_context(|| file.display().to_string())?;
    }
    measured.and(ended)
}
