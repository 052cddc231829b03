//! Programs that read so many events, and tell what that cost in lines of JSON.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

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

impl Told {
    /// CPU seconds a million events.
    pub fn per_million(&self) -> f64 {
        self.cpu * 1e6 / self.events as f64
    }

    /// Events a second.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    /// What came after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            events: self.events - earlier.events,
            seconds: self.seconds - earlier.seconds,
            cpu: self.cpu - earlier.cpu,
        }
    }
}

/// This program itself, which reads so many events of a topic and throws them away: as they come, or copied into bodies of requests.
///
/// # Errors
/// When it cannot be run, or Kafka does not give it the events.
pub async fn floor(
    kafka: &str,
    topic: &str,
    group: &str,
    events: u64,
    copied: bool,
    most: Duration,
) -> Result<Told> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "--kafka", kafka, "floor", "--topic", topic, "--group", group,
    ]);
    command.args(["--events", &events.to_string()]);
    command.args(copied.then_some("--copied"));
    let told = run(command, most).await.context("the floor")?;
    told.last().copied().context("the floor told nothing")
}

/// Runs a program to its end; what it told.
///
/// # Errors
/// When it cannot be run, ends with an error, or tells something else.
pub async fn run(mut command: Command, most: Duration) -> Result<Vec<Told>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_half_is_without_the_first() {
        let half = Told {
            events: 100,
            seconds: 2.0,
            cpu: 3.0,
        };
        let all = Told {
            events: 200,
            seconds: 3.0,
            cpu: 3.5,
        };
        let second = all.since(&half);
        assert_eq!((second.rate(), second.per_million()), (100.0, 5000.0));
    }
}
