//! KafkaTopics: 250 created, modified and deleted, phase by phase; 3,000 at once; and the operator at rest with them.

mod kafka;
mod report;
mod run;
mod wait;
mod work;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::machine;
use report::{Phases, Report};
use run::Run;

/// What is measured.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// Topics that are created, modified and deleted, one phase after the other; 0 leaves this out.
    #[arg(long, default_value_t = 250)]
    small: usize,
    /// Topics that are created at once, and later deleted; 0 leaves this out, and the operator at rest with it.
    #[arg(long, default_value_t = 3000)]
    topics: usize,
    /// Requests at a time, of the users and of the floor.
    #[arg(long, default_value_t = 48, value_name = "REQUESTS")]
    parallel: usize,
    /// Topics in one Admin call of the floor.
    #[arg(long, default_value_t = 100, value_name = "TOPICS")]
    batch: usize,
    /// How long the operator is looked at at rest; 0 leaves this out.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    rest: u64,
    /// How long one phase may take.
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    deadline: u64,
    /// Leave the floor out.
    #[arg(long)]
    no_floor: bool,
}

/// Measures, and prints the tables: those too of a run that failed on its way.
///
/// # Errors
/// When the work itself fails; a target that was missed is none.
pub async fn run(cluster: &Cluster, kafka: &str, options: &Options) -> Result<()> {
    let mut report = Report {
        machine: machine::describe(),
        versions: cluster.versions().await?,
        options: options.clone(),
        small: Phases::default(),
        large: Phases::default(),
        at_work: None,
        rest: None,
    };
    let run = Run::new(cluster, kafka, options).await?;
    let measured = run.measure(&mut report).await;
    let ended = run.end().await;
    println!("{report}");
    measured.and(ended)
}
