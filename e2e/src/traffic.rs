use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The service that is simulated.
const PROGRAM: &str = include_str!("traffic.py");
/// What `just produce` runs.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dev/sample-traffic");

/// Services that publish through the Python SDK.
pub struct Traffic {
    python: String,
    kafka: String,
}

/// What a service says that it has sent.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Sent {
    /// Log lines, numbered from 0.
    pub logs: u64,
    /// The sum of the increments of the counter `e2e_total`.
    pub increments: u64,
    /// Events that the SDK took.
    pub sent: u64,
    /// Events that Kafka has acknowledged.
    pub delivered: u64,
    /// Events that were lost.
    pub dropped: u64,
}

impl Traffic {
    pub(crate) fn new(python: &str, kafka: &str) -> Self {
        Self {
            python: python.to_owned(),
            kafka: kafka.to_owned(),
        }
    }

    /// Sends so many metrics and logs of service `e2e` and instance `run`, and one health event, as fast as it goes.
    ///
    /// # Errors
    /// When not all of it was delivered to Kafka.
    pub async fn burst(&self, run: &str, metrics: u64, logs: u64) -> Result<Sent> {
        let (metrics, logs) = (metrics.to_string(), logs.to_string());
        let mut child = self.start(&["burst", run, &metrics, &logs])?;
        let lines = output(&mut child)?;
        finish(child, lines).await
    }

    /// Starts to send logs, so many a second, until told to stop.
    ///
    /// # Errors
    /// When the service cannot be started.
    pub async fn steady(&self, run: &str, rate: u64) -> Result<Steady> {
        let mut child = self.start(&["steady", run, &rate.to_string()])?;
        let lines = output(&mut child)?;
        let mut steady = Steady { child, lines };
        steady.more().await?;
        Ok(steady)
    }

    /// Starts the traffic of `just produce`: so many events of each kind, spread over so many seconds. It ends when it is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn sample(&self, events: u64, seconds: u64) -> Result<Child> {
        let (events, seconds) = (events.to_string(), seconds.to_string());
        let args = ["--events", &events, "--seconds", &seconds, "--no-check"];
        self.run(&[&[SAMPLE][..], &args].concat())
    }

    fn start(&self, args: &[&str]) -> Result<Child> {
        self.run(&[&["-c", PROGRAM][..], args].concat())
    }

    fn run(&self, args: &[&str]) -> Result<Child> {
        let mut command = Command::new(&self.python);
        command
            .args(args)
            .env("KAFKA_BOOTSTRAP", &self.kafka)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
            .spawn()
            .with_context(|| format!("{} (E2E_PYTHON) cannot be run", self.python))
    }
}

/// A service that sends logs all the time.
pub struct Steady {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Steady {
    /// Waits until the service has sent for another second; what it has sent so far.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn more(&mut self) -> Result<Sent> {
        let line = self
            .lines
            .next_line()
            .await?
            .context("the service has ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Ends the service, which first waits until Kafka has all that it sent.
    ///
    /// # Errors
    /// When not all of it was delivered to Kafka.
    pub async fn stop(mut self) -> Result<Sent> {
        drop(self.child.stdin.take());
        finish(self.child, self.lines).await
    }
}

fn output(child: &mut Child) -> Result<Lines<BufReader<ChildStdout>>> {
    let stdout = child.stdout.take().context("the service has no output")?;
    Ok(BufReader::new(stdout).lines())
}

async fn finish(mut child: Child, mut lines: Lines<BufReader<ChildStdout>>) -> Result<Sent> {
    let mut last = None;
    while let Some(line) = lines.next_line().await? {
        last = Some(line);
    }
    let status = child.wait().await?;
    ensure!(
        status.success(),
        "the service ended with {status}; its output is above"
    );
    let sent: Sent = serde_json::from_str(&last.context("the service said nothing")?)?;
    ensure!(
        sent.delivered == sent.sent && sent.dropped == 0,
        "not everything reached Kafka: {sent:?}"
    );
    Ok(sent)
}
