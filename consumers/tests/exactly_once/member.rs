//! A member of a consumer group: the program as a process of its own, scraped all the time as by Prometheus.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::checks::{Finding, Kind, not_ahead};
use crate::process::Process;
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
    process: Process,
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
        let process = Process::start(&format!("{pod}-{id}"), pod, config, logs);
        let metrics = process.metrics_port();
        let halt = Arc::<Halt>::default();
        Self {
            id,
            pod: pod.to_owned(),
            process,
            scraper: tokio::spawn(scrape(id, metrics, watch.clone(), halt.clone())),
            halt,
        }
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
}

impl Deref for Member {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.scraper.abort();
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
