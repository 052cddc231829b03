//! The sink: a process of bt-consumers on this machine, with what is to be seen of it from outside.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::child::{Child, Own, Scratch, Usage, consumer, free_port};
use crate::samples::{Samples, Taken};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);

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
    own: Own,
    page: String,
    http: reqwest::Client,
    _config: Scratch,
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
        // JSON is YAML.
        let name = format!("{}.{own}.yaml", setup.group);
        let config = Scratch::file(&name, &setup.config().to_string())?;
        let command = consumer(&setup.binary, &config, own, page);
        Ok(Self {
            child: Child::start("bt-consumers", command)?,
            own: Own::at(own),
            page: format!("http://127.0.0.1:{page}/metrics"),
            http: reqwest::Client::new(),
            _config: config,
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
                    let (since, before) = first.unwrap_or((self.child.started(), 0));
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
        self.child.alive(most, what)
    }

    /// When it was started, and when it had its partitions by its log.
    pub fn assigned(&self) -> (Instant, Option<Instant>) {
        (self.child.started(), self.child.assigned())
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage> {
        self.child.usage()
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
    pub async fn stop(self) -> Result<()> {
        self.child.stop().await
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When it had ended already.
    pub async fn kill(self) -> Result<()> {
        self.child.kill().await
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
