//! What the sink is compared with: programs that read so many events, and tell what that cost in lines of JSON.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// The consumer that this project replaces.
const PYTHON: &str = include_str!("../../python/metrics_consumer.py");

/// What a program tells of itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Told {
    /// Events so far.
    pub events: u64,
    /// Since the first one.
    pub seconds: f64,
    /// CPU seconds, user and system, since the program was started.
    pub cpu: f64,
}

/// This program itself, which reads and throws away.
///
/// # Errors
/// When it cannot be run, or Kafka does not give it the events.
pub async fn floor(
    kafka: &str,
    topic: &str,
    group: &str,
    events: u64,
    most: Duration,
) -> Result<Told> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "--kafka", kafka, "floor", "--topic", topic, "--group", group,
    ]);
    command.args(["--events", &events.to_string()]);
    let told = run(command, most).await.context("the floor")?;
    told.last().copied().context("the floor told nothing")
}

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

async fn run(mut command: Command, most: Duration) -> Result<Vec<Told>> {
    let run = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(most, run)
        .await
        .with_context(|| format!("no end within {} s", most.as_secs()))?
        .context("cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        said.trim()
    );
    let text = String::from_utf8(output.stdout)?;
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("said {line:?}")));
    lines.collect()
}
