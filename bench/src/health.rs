use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::cluster::Cluster;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(100);
/// What the chart gives the probes of the kubelet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks one pod's `/healthz` all the time, over one connection that the API server forwards.
pub struct Prober {
    heard: Arc<Mutex<Heard>>,
    asking: JoinHandle<()>,
    _forward: Child,
}

/// What the answers were like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard {
    /// How often it was asked.
    pub asked: u32,
    /// How often there was no answer in time, or another than "ok".
    pub failed: u32,
    /// The longest wait for an answer.
    pub worst: Duration,
}

impl Heard {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            asked: self.asked + other.asked,
            failed: self.failed + other.failed,
            worst: self.worst.max(other.worst),
        }
    }
}

impl Prober {
    /// Starts to ask.
    ///
    /// # Errors
    /// When kubectl cannot forward a port to the pod.
    pub async fn start(cluster: &Cluster, pod: &str) -> Result<Self> {
        let mut forward = cluster
            .kubectl(&["port-forward", &format!("pod/{pod}"), ":8080"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("kubectl cannot be run")?;
        let stdout = forward.stdout.take().context("kubectl's output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout(Duration::from_secs(20), lines.next_line())
            .await
            .context("kubectl port-forward says nothing")??;
        // Forwarding from 127.0.0.1:40123 -> 8080
        let address = first
            .as_deref()
            .and_then(|line| line.strip_prefix("Forwarding from ")?.split(' ').next())
            .with_context(|| format!("kubectl port-forward pod/{pod} does not forward"))?;
        let url = format!("http://{address}/healthz");
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let told = heard.clone();
        let asking = tokio::spawn(async move {
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first answer has the connection's set-up in it.
            let _ = ask(&client, &url).await;
            loop {
                tick.tick().await;
                let asked = Instant::now();
                let answered = ask(&client, &url).await;
                let mut heard = told.lock().unwrap_or_else(PoisonError::into_inner);
                heard.asked += 1;
                heard.failed += u32::from(!answered);
                heard.worst = heard.worst.max(asked.elapsed());
            }
        });
        // kubectl tells of each connection; nobody reading would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            heard,
            asking,
            _forward: forward,
        })
    }

    /// Stops asking.
    pub fn stop(self) -> Heard {
        self.asking.abort();
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(client: &Client, url: &str) -> bool {
    let answer = async { client.get(url).send().await?.text().await };
    answer.await.is_ok_and(|text| text.trim() == "ok")
}
