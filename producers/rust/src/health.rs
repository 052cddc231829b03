//! Health checks on a timer.

use std::any::Any;
use std::fmt::{self, Display};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::{Health, Producer, Status};

/// Runs checks on a timer and sends what they say as the service's health.
///
/// The service is `down` when a check is down, `degraded` when an optional check is down or one is degraded, and else
/// `up`; with nothing but optional checks it is `down` when all are. A check that fails, panics, or does not answer in time is down. All run at the same time, and a change of one is
/// logged with the reason (target `health`).
///
/// ```no_run
/// use std::time::Duration;
/// use bt_events::HealthChecks;
/// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
///
/// let checks = HealthChecks::new(bt_events::default_producer())
///     .every(Duration::from_secs(10))
///     .check("database", async || ping().await)
///     .optional("cache", async || ping().await)
///     .blocking("disk", || std::fs::metadata("/var/lib/orders").map(drop))
///     .start();
/// ```
#[must_use = "the checks run once they are started"]
pub struct HealthChecks {
    producer: Producer,
    every: Duration,
    timeout: Duration,
    checks: Vec<Check>,
}

/// The running checks; dropping it ends them.
#[derive(Debug)]
#[must_use = "dropping it ends the checks"]
pub struct RunningChecks(Option<AbortHandle>);

impl Drop for RunningChecks {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What a check can answer: nothing (up), a boolean, a [`Status`], or a result of these, where an error is down.
pub trait Answer: Send + 'static {
    /// The status, and the reason where it is not up.
    fn status(self) -> (Status, String);
}

impl Answer for () {
    fn status(self) -> (Status, String) {
        (Status::Up, String::new())
    }
}

impl Answer for bool {
    fn status(self) -> (Status, String) {
        match self {
            true => (Status::Up, String::new()),
            false => (Status::Down, "the check says no".to_owned()),
        }
    }
}

impl Answer for Status {
    fn status(self) -> (Status, String) {
        (self, "the check says so".to_owned())
    }
}

impl<T: Answer, E: Display + Send + 'static> Answer for Result<T, E> {
    fn status(self) -> (Status, String) {
        match self {
            Ok(answer) => answer.status(),
            Err(error) => (Status::Down, error.to_string()),
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = (Status, String)> + Send>>;

/// Starts a check.
enum Start {
    Async(Arc<dyn Fn() -> Answering + Send + Sync>),
    Blocking(Arc<dyn Fn() -> (Status, String) + Send + Sync>),
}

struct Check {
    name: &'static str,
    optional: bool,
    start: Start,
    /// A check that did not answer in time and cannot be stopped: it is not started again beside itself.
    hanging: Option<Task>,
    last: Status,
}

/// Is aborted when dropped, as far as it can be.
struct Task(JoinHandle<(Status, String)>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HealthChecks {
    /// Every 15 seconds, with 5 seconds for each check.
    pub fn new(producer: &Producer) -> Self {
        HealthChecks {
            producer: producer.clone(),
            every: Duration::from_secs(15),
            timeout: Duration::from_secs(5),
            checks: Vec::new(),
        }
    }

    /// How often the checks run.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.max(Duration::from_millis(10));
        self
    }

    /// How long a check may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a check without which the service does not work.
    pub fn check<F, A>(
        self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = A> + Send + 'static,
        A: Answer,
    {
        self.add(name, false, asynchronous(check))
    }

    /// Adds a check without which the service works with restrictions.
    pub fn optional<F, A>(
        self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = A> + Send + 'static,
        A: Answer,
    {
        self.add(name, true, asynchronous(check))
    }

    /// As [`HealthChecks::check`], for one that blocks its thread.
    pub fn blocking<A: Answer>(
        self,
        name: &'static str,
        check: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let start = Start::Blocking(Arc::new(move || check().status()));
        self.add(name, false, start)
    }

    fn add(mut self, name: &'static str, optional: bool, start: Start) -> Self {
        self.checks.push(Check {
            name,
            optional,
            start,
            hanging: None,
            last: Status::Up,
        });
        self
    }

    /// Runs the checks, at once and then on the timer: on the tokio runtime that this is called in, or where there is none,
    /// on a thread of their own.
    pub fn start(self) -> RunningChecks {
        if let Ok(handle) = Handle::try_current() {
            return RunningChecks(Some(handle.spawn(self.run()).abort_handle()));
        }
        RunningChecks(self.start_thread().inspect_err(|error| {
            tracing::error!(target: "health", "the health checks cannot be started: {error}");
        }).ok())
    }

    fn start_thread(self) -> std::io::Result<AbortHandle> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let task = runtime.spawn(self.run());
        let handle = task.abort_handle();
        let thread = thread::Builder::new().name("bt-events-health".to_owned());
        thread.spawn(move || {
            // Ends when the task is aborted.
            let _ = runtime.block_on(task);
            runtime.shutdown_background();
        })?;
        Ok(handle)
    }

    async fn run(mut self) {
        let mut timer = interval(self.every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            let health = self.round().await;
            self.producer.send_health(health);
        }
    }

    async fn round(&mut self) -> Health<'static> {
        let began = Instant::now();
        let tasks: Vec<Task> = self.checks.iter_mut().map(Check::begin).collect();
        let mut health = Health::new(Status::Up);
        for (check, task) in self.checks.iter_mut().zip(tasks) {
            let (status, reason) = check.end(task, began + self.timeout).await;
            check.log_change(status, &reason);
            let of_service = match status {
                Status::Down if check.optional => Status::Degraded,
                status => status,
            };
            health.status = worse(health.status, of_service);
            health = health.check(check.name, status);
        }
        let is_down = |(_, status): &(_, Status)| *status == Status::Down;
        if !health.checks.is_empty() && health.checks.iter().all(is_down) {
            health.status = Status::Down;
        }
        health.latency(began.elapsed())
    }
}

fn asynchronous<F, A>(check: impl Fn() -> F + Send + Sync + 'static) -> Start
where
    F: Future<Output = A> + Send + 'static,
    A: Answer,
{
    Start::Async(Arc::new(move || {
        let answer = check();
        Box::pin(async move { answer.await.status() })
    }))
}

impl Check {
    fn begin(&mut self) -> Task {
        if let Some(task) = self.hanging.take() {
            return task;
        }
        Task(match &self.start {
            Start::Async(check) => {
                let check = check.clone();
                // Called within the task, so that a panic there stays the check's own affair.
                tokio::spawn(async move { check().await })
            }
            Start::Blocking(check) => {
                let check = check.clone();
                tokio::task::spawn_blocking(move || check())
            }
        })
    }

    async fn end(&mut self, mut task: Task, deadline: Instant) -> (Status, String) {
        match timeout_at(deadline, &mut task.0).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => (Status::Down, failure(error)),
            Err(_) => {
                if let Start::Blocking(_) = self.start {
                    self.hanging = Some(task);
                }
                (Status::Down, "no answer in time".to_owned())
            }
        }
    }

    fn log_change(&mut self, status: Status, reason: &str) {
        let name = self.name;
        match status {
            _ if status == self.last => {}
            Status::Up => tracing::info!(target: "health", check = name, "{name} is up again"),
            Status::Degraded => {
                tracing::warn!(target: "health", check = name, "{name} is degraded: {reason}")
            }
            Status::Down => {
                tracing::warn!(target: "health", check = name, "{name} is down: {reason}")
            }
        }
        self.last = status;
    }
}

fn failure(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "the check was stopped".to_owned();
    };
    let text = |panic: &(dyn Any + Send)| match panic.downcast_ref::<&str>() {
        Some(text) => Some((*text).to_owned()),
        None => panic.downcast_ref::<String>().cloned(),
    };
    format!("panic: {}", text(&*panic).unwrap_or_default())
}

fn worse(a: Status, b: Status) -> Status {
    match (a, b) {
        (Status::Down, _) | (_, Status::Down) => Status::Down,
        (Status::Degraded, _) | (_, Status::Degraded) => Status::Degraded,
        _ => Status::Up,
    }
}

impl fmt::Debug for HealthChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|check| check.name);
        f.debug_list().entries(names).finish()
    }
}
