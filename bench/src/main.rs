//! Measurements on a real cluster: what the operator needs for its work, beside what the same work needs at least.
//!
//! `./justw bench` makes the cluster and runs this program; on a cluster that is there it can be run by itself, with `KUBECONFIG` and
//! `--kafka` set. It scales the operator and makes topics by the thousand: not for a cluster that others use.

mod board;
mod cluster;
mod consumers;
mod health;
mod histogram;
mod load;
mod machine;
mod operator;
mod process;
mod requests;
mod session;
mod table;
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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if cli.check {
        return Ok(());
    }
    let cluster = Cluster::connect(&cli.namespace).await?;
    match cli.command {
        Some(Command::Topics(options)) => topics::run(&cluster, &cli.kafka, &options).await,
        Some(Command::Consumers(options)) => consumers::run(&cluster, &cli.kafka, &options).await,
        None => {
            let topics = topics::Options::parse_from(["topics"]);
            let consumers = consumers::Options::parse_from(["consumers"]);
            // The second even if the first failed.
            let first = topics::run(&cluster, &cli.kafka, &topics).await;
            let second = consumers::run(&cluster, &cli.kafka, &consumers).await;
            if let (Err(error), Err(_)) = (&first, &second) {
                eprintln!("topics: {error:#}");
            }
            second.and(first)
        }
    }
}
