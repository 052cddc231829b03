//! The sink: a process of bt-consumers on this machine, with what is to be seen of it from outside.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::log::Log;
use super::samples::{Samples, Taken};
use crate::process::{bytes, cpu_seconds};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// For it to finish what is under way after SIGTERM.
const UNTIL_STOPPED: Duration = Duration::from_secs(60);

/// What a sink consumes, and how.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// Kafka.
    pub kafka: String,
    /// The topic of events.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Where dead letters would go.
    pub dead_letters: String,
    /// The state topic; exactly-once is off without.
    pub state: Option<String>,
    /// The most series.
    pub max_series: u64,
}

/// A running sink; it is killed with this value.
pub struct Sink {
    child: Child,
    pid: u32,
    own: Own,
    page: String,
    http: reqwest::Client,
    log: Log,
    started: Instant,
    config: PathBuf,
}

/// Its own metrics.
#[derive(Clone)]
pub struct Own {
    http: reqwest::Client,
    url: String,
}

/// CPU seconds and resident bytes.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system, of all threads, since it was started.
    pub cpu: f64,
    /// Resident now.
    pub rss: u64,
}

/// What a scrape was answered.
pub struct Answer {
    /// `Content-Type`.
    pub content_type: String,
    /// Whether it is compressed by gzip.
    pub gzip: bool,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Sink {
    /// Starts the program.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(setup: &Setup) -> Result<Self> {
        let (own, page) = (free_port()?, free_port()?);
        let config = std::env::temp_dir().join(format!("{}.{own}.yaml", setup.group));
        // JSON is YAML.
        std::fs::write(&config, setup.config().to_string())?;
        let mut child = Command::new(&setup.binary)
            .arg("run")
            .arg("--config")
            .arg(&config)
            .args(["--http-port", &own.to_string()])
            .args(["--metrics-port", &page.to_string()])
            .env("POD_NAME", "bench-0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be run", setup.binary.display()))?;
        let log = Log::default();
        log.follow(child.stdout.take());
        log.follow(child.stderr.take());
        let http = reqwest::Client::new();
        Ok(Self {
            pid: child.id().context("it has ended already")?,
            child,
            own: Own {
                http: http.clone(),
                url: format!("http://127.0.0.1:{own}/metrics"),
            },
            page: format!("http://127.0.0.1:{page}/metrics"),
            http,
            log,
            started: Instant::now(),
            config,
        })
    }

    /// Waits until so many events are taken; how many a second, between the first look that showed some and the last one.
    ///
    /// # Errors
    /// When it ends, drops or rejects an event, or is not done in time.
    pub async fn consume(&mut self, events: u64, most: Duration) -> Result<f64> {
        let mut first: Option<(Instant, u64)> = None;
        loop {
            if let Ok(samples) = self.samples().await {
                let Taken { taken, refused } = samples.events();
                ensure!(refused.is_empty(), "it refused events: {refused}");
                let now = Instant::now();
                if taken >= events {
                    ensure!(taken == events, "it took {taken} events of {events}");
                    // All of them between two looks: too few to tell.
                    let (since, before) = first.unwrap_or((self.started, 0));
                    return Ok((taken - before) as f64 / (now - since).as_secs_f64());
                }
                if taken > 0 {
                    first.get_or_insert((now, taken));
                }
            }
            self.alive(most, "consume all events")?;
            sleep(LOOK).await;
        }
    }

    /// An error when the process has ended, or runs for longer than that.
    ///
    /// # Errors
    /// See above; with the end of its log.
    pub fn alive(&mut self, most: Duration, what: &str) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("bt-consumers ended ({status}): {}", self.log.last_lines());
        }
        if self.started.elapsed() > most {
            let seconds = most.as_secs();
            bail!(
                "bt-consumers did not {what} within {seconds} s: {}",
                self.log.last_lines()
            );
        }
        Ok(())
    }

    /// When it was started, and when it had its partitions by its log.
    pub fn assigned(&self) -> (Instant, Option<Instant>) {
        (self.started, self.log.assigned())
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
        Ok(Usage {
            cpu: cpu_seconds(&read("stat")?)?,
            rss: bytes(&read("status")?, "VmRSS")?,
        })
    }

    /// Its own metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn samples(&self) -> Result<Samples> {
        self.own.samples().await
    }

    /// The same, while this value is in use elsewhere.
    pub fn own(&self) -> Own {
        self.own.clone()
    }

    /// The page of its series in the text format.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn text(&self) -> Result<String> {
        Ok(String::from_utf8(
            self.scrape("text/plain", false).await?.body,
        )?)
    }

    /// The page of its series.
    ///
    /// # Errors
    /// When it does not answer, or with an error.
    pub async fn scrape(&self, accept: &str, gzip: bool) -> Result<Answer> {
        scrape(&self.http, &self.page, accept, gzip).await
    }

    /// What scrapes the page while this value is in use elsewhere.
    pub fn scraper(&self) -> (reqwest::Client, String) {
        (self.http.clone(), self.page.clone())
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it does not stop, or with an error.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await?;
        ensure!(sent.success(), "kill -TERM: {sent}");
        let ended = tokio::time::timeout(UNTIL_STOPPED, self.child.wait())
            .await
            .with_context(|| format!("bt-consumers did not stop: {}", self.log.last_lines()))??;
        ensure!(
            ended.success(),
            "bt-consumers ended ({ended}): {}",
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

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.config);
    }
}

impl Own {
    /// As they are now.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn samples(&self) -> Result<Samples> {
        let answer = self.http.get(&self.url).send().await?;
        Ok(Samples::new(answer.text().await?))
    }
}

impl Setup {
    fn config(&self) -> Value {
        let mut config = json!({
            "consumer": "bench/metrics",
            "kafka": {"bootstrapServers": self.kafka},
            "groupId": self.group,
            "topics": [self.topic],
            "startFrom": "Earliest",
            "deadLetterTopic": self.dead_letters,
            "sink": {"prometheus": {
                "exactlyOnce": self.state.is_some(),
                "maxSeries": self.max_series,
                "seriesTtl": "2h",
            }},
        });
        if let Some(state) = &self.state {
            config["stateTopic"] = json!(state);
        }
        config
    }
}

/// Scrapes a page.
///
/// # Errors
/// When there is no answer, or an error.
pub async fn scrape(http: &reqwest::Client, url: &str, accept: &str, gzip: bool) -> Result<Answer> {
    let mut request = http.get(url).header(ACCEPT, accept);
    if gzip {
        request = request.header(ACCEPT_ENCODING, "gzip");
    }
    let answer = request.send().await?.error_for_status()?;
    let header = |name: &str| {
        let value = answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Ok(Answer {
        content_type: header("content-type"),
        gzip: header("content-encoding") == "gzip",
        body: answer.bytes().await?.to_vec(),
    })
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The program beside this one.
///
/// # Errors
/// When it is not there.
pub fn binary(given: Option<&Path>) -> Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_once_is_on_where_there_is_a_state_topic() {
        let mut setup = Setup {
            binary: "bt-consumers".into(),
            kafka: "localhost:9092".into(),
            topic: "t".into(),
            group: "g".into(),
            dead_letters: "d".into(),
            state: None,
            max_series: 5,
        };
        let off = setup.config();
        assert_eq!(
            (
                &off["sink"]["prometheus"]["exactlyOnce"],
                off.get("stateTopic")
            ),
            (&json!(false), None)
        );
        setup.state = Some("s".into());
        let on = setup.config();
        assert_eq!(
            (&on["sink"]["prometheus"]["exactlyOnce"], &on["stateTopic"]),
            (&json!(true), &json!("s"))
        );
    }
}
