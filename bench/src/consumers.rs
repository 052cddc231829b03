//! TelemetryConsumers: 300 without pods at once, the operator at rest with them and their lag, and bursts that ask for more pods.

mod bursts;
mod kafka;
mod report;
mod run;
mod work;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::machine;
use report::Report;
use run::Run;

/// What is measured.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// Consumers of no pods that are created at once, each with a topic and a consumer group of its own.
    #[arg(long, default_value_t = 300)]
    consumers: usize,
    /// Partitions of each of their topics.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Requests at a time, of the users.
    #[arg(long, default_value_t = 48, value_name = "REQUESTS")]
    parallel: usize,
    /// How long the operator is looked at at rest, and its reading of lag with it; 0 leaves this out.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    rest: u64,
    /// Bursts of records, each for another consumer that scales by lag; 0 leaves this out.
    #[arg(long, default_value_t = 5)]
    bursts: usize,
    /// How long one phase may take.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    deadline: u64,
}

/// Measures, and prints the tables: those too of a run that failed on its way.
///
/// # Errors
/// When the work itself fails; a target that was missed is none.
pub async fn run(cluster: &Cluster, kafka: &str, options: &Options) -> Result<()> {
    let mut report = Report::new(machine::describe(), cluster.versions().await?, options);
    let run = Run::new(cluster, kafka, options).await?;
    let measured = run.measure(&mut report).await;
    let ended = run.end().await;
    println!("{report}");
    measured.and(ended)
}
