//! What the sink is compared with, beside the floor.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::told::{Told, run};

/// The consumer that this project replaces.
const PYTHON: &str = include_str!("../../python/metrics_consumer.py");

/// The consumer in Python: when it has half of the events, and when it has them all.
///
/// # Errors
/// When it cannot be run, or ends with an error.
pub async fn python(
    python: &Path,
    kafka: &str,
    topic: &str,
    group: &str,
    events: u64,
    most: Duration,
) -> Result<(Told, Told)> {
    let mut command = Command::new(python);
    command.args(["-c", PYTHON, kafka, topic, group, &events.to_string()]);
    let what = || format!("the consumer in Python ({})", python.display());
    let told = run(command, most).await.with_context(what)?;
    match told[..] {
        [half, all] => Ok((half, all)),
        _ => anyhow::bail!("{} told {} lines, not 2", what(), told.len()),
    }
}
