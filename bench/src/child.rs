//! A program that is measured from outside: what Linux tells of it under `/proc`, and what it logs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::log::Log;
use crate::process::{bytes, cpu_seconds};
use crate::samples::Samples;

/// For it to finish what is under way after SIGTERM.
const UNTIL_STOPPED: Duration = Duration::from_secs(60);

/// A running program; it is killed with this value.
pub struct Child {
    name: &'static str,
    child: tokio::process::Child,
    pid: u32,
    log: Log,
    started: Instant,
}

/// CPU seconds and resident bytes.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system, of all threads, since it was started.
    pub cpu: f64,
    /// Resident now.
    pub rss: u64,
    /// The most that was resident at any time.
    pub peak: u64,
}

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                let program = command.as_std().get_program().to_string_lossy();
                format!("{program} cannot be run")
            })?;
        let log = Log::default();
        log.follow(child.stdout.take());
        log.follow(child.stderr.take());
        Ok(Self {
            name,
            pid: child.id().context("it has ended already")?,
            child,
            log,
            started: Instant::now(),
        })
    }

    /// An error when the process has ended, or runs for longer than that.
    ///
    /// # Errors
    /// See above; with the end of its log.
    pub fn alive(&mut self, most: Duration, what: &str) -> Result<()> {
        let name = self.name;
        if let Some(status) = self.child.try_wait()? {
            bail!("{name} ended ({status}): {}", self.log.last_lines());
        }
        if self.started.elapsed() > most {
            let seconds = most.as_secs();
            bail!(
                "{name} did not {what} within {seconds} s: {}",
                self.log.last_lines()
            );
        }
        Ok(())
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When it had its partitions by its log.
    pub fn assigned(&self) -> Option<Instant> {
        self.log.assigned()
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.pid);
            std::fs::read_to_string(&path).with_context(|| path)
        };
        let status = read("status")?;
        Ok(Usage {
            cpu: cpu_seconds(&read("stat")?)?,
            rss: bytes(&status, "VmRSS")?,
            peak: bytes(&status, "VmHWM")?,
        })
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it does not stop, or with an error.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await?;
        ensure!(sent.success(), "kill -TERM: {sent}");
        let name = self.name;
        let ended = tokio::time::timeout(UNTIL_STOPPED, self.child.wait())
            .await
            .with_context(|| format!("{name} did not stop: {}", self.log.last_lines()))??;
        ensure!(
            ended.success(),
            "{name} ended ({ended}): {}",
            self.log.last_lines()
        );
        Ok(())
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When it had ended already.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Its own metrics, where it shows some.
#[derive(Clone)]
pub struct Own {
    http: reqwest::Client,
    url: String,
}

impl Own {
    /// Those at a port of this machine.
    pub fn at(port: u16) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: format!("http://127.0.0.1:{port}/metrics"),
        }
    }

    /// As they are now.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn samples(&self) -> Result<Samples> {
        let answer = self.http.get(&self.url).send().await?;
        Ok(Samples::new(answer.text().await?))
    }
}

/// A port of this machine that nobody listens at.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The `bt-consumers` that was given, or the one beside this program.
///
/// # Errors
/// When it is not there.
pub fn consumers(given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("bt-consumers"),
    };
    ensure!(
        path.is_file(),
        "no {}: build it by `cargo build --release -p bt-consumers`, or name another by --consumer",
        path.display()
    );
    Ok(path)
}

/// A file or folder of a run; it is deleted with this value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A file with this text, among the machine's temporary ones.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(name: &str, text: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// `bt-consumers run` with its configuration and its two ports.
pub fn consumer(binary: &Path, config: &Scratch, own: u16, page: u16) -> Command {
    let mut command = Command::new(binary);
    command.arg("run").arg("--config").arg(config.path());
    command.args(["--http-port", &own.to_string()]);
    command.args(["--metrics-port", &page.to_string()]);
    command.env("POD_NAME", "bench-0");
    command
}
