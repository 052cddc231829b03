//! The consumer in Python that this project replaces.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::child::Child;

const PROGRAM: &str = include_str!("../../python/logs_consumer.py");

/// Whether this Python has what it needs.
///
/// # Errors
/// When it cannot be run, or a package is missing; in words, with what to do.
pub async fn check(python: &Path) -> Result<()> {
    let mut command = Command::new(python);
    command.args(["-c", "import confluent_kafka, elasticsearch"]);
    let what = || format!("{} cannot be run", python.display());
    let output = command.output().await.with_context(what)?;
    ensure!(
        output.status.success(),
        "{} has not all of bench/python/requirements.txt (name another by --python): {}",
        python.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Starts it; it asks the engine what it is, reads so many logs, commits, and then waits to be ended by SIGTERM.
///
/// # Errors
/// When it cannot be run.
pub fn start(
    python: &Path,
    kafka: &str,
    topic: &str,
    group: &str,
    logs: u64,
    port: u16,
) -> Result<Child> {
    let mut command = Command::new(python);
    let url = format!("http://127.0.0.1:{port}");
    command.args(["-c", PROGRAM, kafka, topic, group, &logs.to_string(), &url]);
    Child::start("the consumer in Python", command)
}
