//! The program as a process of its own. Included by path where it is needed.
#![allow(dead_code, reason = "no test needs all of it")]

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);

/// A running process; killed when dropped, as by a node that is lost.
pub struct Process {
    child: Child,
    http: u16,
    metrics: u16,
    log: PathBuf,
}

/// Of all processes, since making one takes long enough to be seen in when members join. Each request makes a connection of its own.
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(60));
    client.build().expect("an HTTP client")
});

impl Process {
    /// Starts the program with this configuration; its log is a file of this name.
    pub fn start(name: &str, pod: &str, config: &str, logs: &Path) -> Self {
        let path = logs.join(format!("{name}.yaml"));
        std::fs::write(&path, config).expect("the configuration can be written");
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).expect("the log can be written");
        let (http, metrics) = (free_port(), free_port());
        let child = Command::new(env!("CARGO_BIN_EXE_bt-consumers"))
            .args(["run", "--config"])
            .arg(&path)
            .args(["--http-port", &http.to_string()])
            .args(["--metrics-port", &metrics.to_string()])
            .env("POD_NAME", pod)
            .stderr(file.try_clone().expect("a second handle"))
            .stdout(file)
            .spawn()
            .expect("the program starts");
        Self {
            child,
            http,
            metrics,
            log,
        }
    }

    /// The number that the system gave it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port of the prometheus sink's page.
    pub fn metrics_port(&self) -> u16 {
        self.metrics
    }

    /// What it answers on its own port; empty where it does not.
    pub async fn get(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:{}/{path}", self.http);
        let answer = async { HTTP.get(url).send().await?.text().await };
        answer.await.unwrap_or_default()
    }

    /// Waits until `path` answers something that contains `text`.
    pub async fn says(&self, path: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.get(path).await;
            if said.contains(text) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "/{path}: expected {text:?}, found {said:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its memory (RSS), in bytes; 0 where it has ended.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_default();
        let kibibytes = line.split_whitespace().next().map(str::parse::<u64>);
        kibibytes.and_then(Result::ok).unwrap_or(0) * 1024
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the process is ours")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// SIGTERM; how it ended, if it did within the time.
    pub async fn terminate(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        // Before it listens to anything, a signal ends it.
        while self.get("healthz").await.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.signal("-TERM");
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(
            sent.expect("kill runs").success(),
            "the process is gone: {}",
            self.log.display()
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both only fail when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port below those that systems give to outgoing connections, which could take it before the process does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 21_000 + (std::process::id() % 100) as u16 * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
