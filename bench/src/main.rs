//! Measurements on a real cluster: what the operator needs for its work, beside what the same work needs at least.
//!
//! `./justw bench` makes the cluster and runs this program; on a cluster that is there it can be run by itself, with `KUBECONFIG` and
//! `--kafka` set. It scales the operator and makes topics by the thousand: not for a cluster that others use.

mod board;
mod child;
mod cluster;
mod consumers;
mod floor;
mod health;
mod histogram;
mod load;
mod log;
mod logs;
mod machine;
mod metrics;
mod operator;
mod preload;
mod process;
mod requests;
mod samples;
mod session;
mod spread;
mod table;
mod target;
mod told;
mod topics;
mod words;

use clap::{Parser, Subcommand};

use crate::cluster::Cluster;

#[derive(Parser)]
#[command(about = "Measurements on a real cluster; without a command, all of them")]
struct Cli {
    /// Kafka, as it is reached from here: comma-separated host:port pairs.
    #[arg(
        long,
        env = "BENCH_KAFKA",
        default_value = "localhost:9092",
        global = true
    )]
    kafka: String,
    /// The namespace that the chart is installed in.
    #[arg(long, env = "BT_NAMESPACE", default_value = "default", global = true)]
    namespace: String,
    /// Only check the arguments.
    #[arg(long, hide = true)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// KafkaTopics: created, modified and deleted by the hundred, by the thousand at once, and left alone.
    Topics(topics::Options),
    /// TelemetryConsumers: 300 at once, left alone while their lag is read, and scaled by it.
    Consumers(consumers::Options),
    /// The metrics sink: five million events beside the floor and a consumer in Python; scrapes, memory, restores. Needs Kafka alone.
    Metrics(metrics::Options),
    /// The logs sink: two million logs beside the floor, rsyslog and a consumer in Python; memory, a real engine. Needs Kafka alone,
    /// and an engine where one is named.
    Logs(logs::Options),
    /// Only read a topic: what `metrics` and `logs` compare with.
    #[command(hide = true)]
    Floor(floor::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if cli.check {
        return Ok(());
    }
    let cluster = async || Cluster::connect(&cli.namespace).await;
    match cli.command {
        Some(Command::Topics(options)) => {
            topics::run(&cluster().await?, &cli.kafka, &options).await
        }
        Some(Command::Consumers(options)) => {
            consumers::run(&cluster().await?, &cli.kafka, &options).await
        }
        Some(Command::Metrics(options)) => {
            metrics::run(cluster().await.ok().as_ref(), &cli.kafka, &options).await
        }
        Some(Command::Logs(options)) => logs::run(&cli.kafka, &options).await,
        Some(Command::Floor(options)) => floor::run(&cli.kafka, &options),
        None => everything(&cluster().await?, &cli.kafka).await,
    }
}

/// Each of them, even if one before it failed.
async fn everything(cluster: &Cluster, kafka: &str) -> anyhow::Result<()> {
    let topics = topics::Options::parse_from(["topics"]);
    let consumers = consumers::Options::parse_from(["consumers"]);
    let metrics = metrics::Options::parse_from(["metrics"]);
    // As long as an engine may well be away.
    let logs = logs::Options::parse_from(["logs", "--stall", "600s"]);
    let outcomes = [
        ("topics", topics::run(cluster, kafka, &topics).await),
        (
            "consumers",
            consumers::run(cluster, kafka, &consumers).await,
        ),
        (
            "metrics",
            metrics::run(Some(cluster), kafka, &metrics).await,
        ),
        ("logs", logs::run(kafka, &logs).await),
    ];
    let mut failed = Ok(());
    for (what, outcome) in outcomes {
        if let Err(error) = outcome {
            eprintln!("{what}: {error:#}");
            failed = Err(anyhow::anyhow!("{what}: {error:#}"));
        }
    }
    failed
}
