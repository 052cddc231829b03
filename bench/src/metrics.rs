//! The metrics sink: what five million events cost it, beside the least they cost and what they cost in Python; its memory, its
//! scrapes, and its restores. Every page is compared with what was produced.

mod comparison;
mod events;
mod figures;
mod page;
mod report;
mod restore;
mod run;
mod scrapes;
mod sink;
mod targets;
mod work;

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::child;
use crate::cluster::Cluster;
use crate::machine;
use figures::Figures;
use report::Report;
use run::Run;

/// Partitions of every topic, the state's too.
const PARTITIONS: i32 = 12;

/// What is measured.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// Metric events that are preloaded, of about 250 bytes.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Different series among them; at most as many as events.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2..1_000_000))]
    series: u64,
    /// How often the floor and the sink take turns; medians are reported.
    #[arg(long, default_value_t = 3, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Events for the consumer in Python; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000, value_name = "EVENTS")]
    python_events: u64,
    /// Scrapes in each format; 0 leaves scrapes out, and their effect on ingestion with them.
    #[arg(long, default_value_t = 20)]
    scrapes: u32,
    /// Series of a further topic, to see many of them; 0 leaves this out.
    #[arg(long, default_value_t = 500_000, value_name = "SERIES", value_parser = clap::value_parser!(u64).range(..1_000_000))]
    many: u64,
    /// Leave exactly-once out, and restores with it.
    #[arg(long)]
    no_exactly_once: bool,
    /// The program that is measured; the one beside this program without.
    #[arg(long, env = "BENCH_CONSUMER", value_name = "FILE")]
    consumer: Option<PathBuf>,
    /// A Python with confluent-kafka and prometheus-client.
    #[arg(
        long,
        env = "BENCH_PYTHON",
        default_value = "python3",
        value_name = "FILE"
    )]
    python: PathBuf,
    /// Where all figures are written to, as JSON.
    #[arg(long, env = "BENCH_JSON", value_name = "FILE")]
    json: Option<PathBuf>,
    /// How long one run of a consumer may take.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    deadline: u64,
}

/// Measures, prints the tables and writes the figures: those too of a run that failed on its way.
///
/// # Errors
/// When the work itself fails, or a page is not what was produced; a target that was missed is none.
pub async fn run(cluster: Option<&Cluster>, kafka: &str, options: &Options) -> Result<()> {
    let binary = child::consumers(options.consumer.as_deref())?;
    if options.series > options.events {
        bail!("--series: at most as many as --events, {}", options.events);
    }
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let id = format!("bench-metrics-{:x}", unix.as_secs() & 0xff_ffff);
    let mut figures = Figures {
        machine: machine::describe(),
        versions: versions(cluster, kafka).await,
        events: options.events,
        series: options.series,
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
    measured.and(ended)?;
    match report.wrong() {
        [] => Ok(()),
        wrong => bail!(
            "what was shown is not what was produced: {}",
            wrong.join("; ")
        ),
    }
}

/// The cluster's versions where one can be asked, which may be another one than Kafka's.
async fn versions(cluster: Option<&Cluster>, kafka: &str) -> String {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let ours = format!("librdkafka {librdkafka}");
    match cluster {
        Some(cluster) => match cluster.versions().await {
            Ok(versions) => format!("{versions}, {ours}"),
            Err(_) => format!("Kafka at {kafka}, {ours}"),
        },
        None => format!("Kafka at {kafka}, {ours}"),
    }
}
