//! A member of a consumer group: the program as a process of its own, scraped all the time as by Prometheus.

use std::collections::HashMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::checks::{Finding, Kind, not_ahead};
use crate::scrapes::Scrapes;
use crate::traffic::Traffic;

/// Between two scrapes of a member.
const SCRAPES: Duration = Duration::from_millis(200);

/// Everything that a group's members showed, and what was wrong with it.
pub struct Watch {
    scrapes: Mutex<Scrapes>,
    findings: Mutex<Vec<Finding>>,
    /// What a process answered last instead of a page.
    refused: Mutex<HashMap<u32, (Instant, String)>>,
    traffic: Arc<Traffic>,
    /// Each request makes a connection of its own; one that is not answered does not hold up the next.
    http: reqwest::Client,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(traffic: Arc<Traffic>) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0);
        Self {
            scrapes: Mutex::default(),
            findings: Mutex::default(),
            refused: Mutex::default(),
            traffic,
            http: http
                .timeout(Duration::from_secs(60))
                .build()
                .expect("an HTTP client"),
        }
    }

    /// The scrapes so far.
    pub fn scrapes(&self) -> MutexGuard<'_, Scrapes> {
        self.scrapes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found so far.
    pub fn findings(&self) -> MutexGuard<'_, Vec<Finding>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a process answered last instead of a page, if that was after this moment.
    pub fn refused(&self, member: u32, since: Instant) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, what) = refused.get(&member)?;
        (*at > since).then(|| what.clone())
    }

    /// The status and the text of an answer.
    async fn get(&self, port: u16, path: &str) -> reqwest::Result<(u16, String)> {
        let url = format!("http://127.0.0.1:{port}/{path}");
        let answer = self.http.get(url).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    fn keep(&self, member: u32, sent: Instant, received: Instant, page: &str) {
        let mut scrapes = self.scrapes();
        if let Err(line) = scrapes.add(member, sent, received, page) {
            let what = format!("process {member} answered {line:?}");
            return self.findings().push(Finding::new(Kind::Unreadable, what));
        }
        let last = scrapes.scrapes.last().expect("it was just put there");
        let ahead = not_ahead(&scrapes, last, &self.traffic.model());
        self.findings().extend(ahead);
    }
}

/// A running process.
pub struct Member {
    /// Its number among all processes of its group.
    pub id: u32,
    /// The pod that it is said to be in; a container that is started again is in the same.
    pub pod: String,
    process: Child,
    http: u16,
    log: PathBuf,
    watch: Arc<Watch>,
    scraper: JoinHandle<()>,
    halt: Arc<Halt>,
}

/// Whether the process is stopped, so that nobody takes a scrape for older than it can be.
#[derive(Default)]
struct Halt {
    /// No scrape is sent, so that none is under way when the process is stopped.
    hold: AtomicBool,
    /// When it was stopped and went on last.
    spans: Mutex<Vec<(Instant, Option<Instant>)>>,
}

impl Member {
    /// Starts the program.
    pub fn start(id: u32, pod: &str, config: &str, logs: &Path, watch: &Arc<Watch>) -> Self {
        let path = logs.join(format!("{pod}-{id}.yaml"));
        std::fs::write(&path, config).expect("the configuration can be written");
        let log = logs.join(format!("{pod}-{id}.log"));
        let file = File::create(&log).expect("the log can be written");
        let (http, metrics) = (free_port(), free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_bt-consumers"))
            .args(["run", "--config"])
            .arg(&path)
            .args(["--http-port", &http.to_string()])
            .args(["--metrics-port", &metrics.to_string()])
            .env("POD_NAME", pod)
            .stderr(file.try_clone().expect("a second handle"))
            .stdout(file)
            .spawn()
            .expect("the program starts");
        let halt = Arc::<Halt>::default();
        Self {
            id,
            pod: pod.to_owned(),
            process,
            http,
            log,
            watch: watch.clone(),
            scraper: tokio::spawn(scrape(id, metrics, watch.clone(), halt.clone())),
            halt,
        }
    }

    /// What it answers on its own port; empty where it does not.
    pub async fn get(&self, path: &str) -> String {
        let answer = self.watch.get(self.http, path).await;
        answer.map_or_else(|_| String::new(), |(_, text)| text)
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("the process is ours")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill().expect("the process is ours");
        self.process.wait().expect("the process is ours");
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

    /// SIGSTOP, at a moment at which no scrape is under way. Scrapes go on: they are answered when the process goes on.
    pub async fn pause(&self) {
        self.halt.hold.store(true, Ordering::Relaxed);
        tokio::time::sleep(SCRAPES * 3).await;
        self.signal("-STOP");
        let mut spans = self
            .halt
            .spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        spans.push((Instant::now(), None));
        drop(spans);
        self.halt.hold.store(false, Ordering::Relaxed);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        let mut spans = self
            .halt
            .spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, end)) = spans.last_mut() {
            *end = Some(Instant::now());
        }
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status();
        assert!(
            sent.expect("kill runs").success(),
            "the process is gone: {}",
            self.log.display()
        );
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.scraper.abort();
        // Both only fail when it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn scrape(id: u32, port: u16, watch: Arc<Watch>, halt: Arc<Halt>) {
    // Out of step with other members, so that some are asked between two answers of others.
    tokio::time::sleep(SCRAPES * (id % 5) / 5).await;
    let mut tick = tokio::time::interval(SCRAPES);
    loop {
        tick.tick().await;
        if halt.hold.load(Ordering::Relaxed) {
            continue;
        }
        let (watch, halt) = (watch.clone(), halt.clone());
        tokio::spawn(async move {
            let mut sent = Instant::now();
            let answer = watch.get(port, "metrics").await;
            let received = Instant::now();
            let page = match answer {
                Ok((200, page)) => page,
                // Prometheus keeps nothing of another answer.
                other => {
                    let mut refused = watch.refused.lock().unwrap_or_else(PoisonError::into_inner);
                    refused.insert(id, (received, format!("{other:?}")));
                    return;
                }
            };
            let spans = halt
                .spans
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            for (stopped, went_on) in spans {
                if let Some(went_on) = went_on.filter(|on| (stopped..*on).contains(&sent)) {
                    sent = went_on;
                }
            }
            watch.keep(id, sent, received, &page);
        });
    }
}

/// A port below those that systems give to outgoing connections, which could take it before the process does.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 21_000 + (std::process::id() % 100) as u16 * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
