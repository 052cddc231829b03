//! `kubectl bt send`: a test event, followed to the other end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bt_consumers::config::HumanDuration;
use bt_consumers::{Hop, SendKind};
use clap::{Args, ValueEnum};

use super::At;
use super::cluster::Cluster;
use super::exec::Runner;
use super::prometheus::Prometheus;
use super::text::{Style, Tone, clean, cut, fold, number, words};

/// Between two looks into Prometheus.
const LOOK: Duration = Duration::from_millis(500);

/// What to send.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  kubectl bt send                              a metric, or what the first consumer's sink takes
  kubectl bt send log --consumer logs --message 'hello'
  kubectl bt send health --consumer metrics
  kubectl bt send business --consumer events --topic order.events -o json

The event is sent and followed in a pod of the consumer: acknowledged by Kafka, committed by the consumer's group, visible in the
sink (a search finds it; or it is on the pod's /metrics, and then in Prometheus). Its service is kubectl-bt.
Ends with 1 where it does not arrive in time.")]
pub struct Options {
    /// The kind of event. Default: metric for a prometheus sink, else log or business, as the topics are called.
    kind: Option<SendKind>,
    /// The consumer that is to carry it: NAME or NAMESPACE/NAME.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// One of the consumer's topics. Default: the one that is called after the kind, else the first.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// A log's message, or a business event's payload.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// How long it is followed.
    #[arg(long, value_name = "DURATION", default_value_t = HumanDuration::from_secs(60))]
    timeout: HumanDuration,
}

impl Options {
    /// A consumer that reads this topic is the first choice: a metric has no place among business events.
    fn preferred_topic(&self) -> &str {
        match (&self.topic, self.kind) {
            (Some(topic), _) => topic,
            (None, None | Some(SendKind::Metric)) => "metrics.events",
            (None, Some(SendKind::Log)) => "logs.events",
            (None, Some(SendKind::Health)) => "health.events",
            (None, Some(SendKind::Business)) => "order.events",
        }
    }
}

/// Sends, follows and shows each hop.
pub async fn run(at: &At, options: &Options) -> Result<bool> {
    let cluster = Cluster::connect(at).await?;
    let runners = Runner::find_all(
        &cluster,
        options.consumer.as_deref(),
        Some(options.preferred_topic()),
    )
    .await?;
    let arguments = arguments(options);
    let mut journey = Journey {
        style: at.style(),
        json: at.is_json(),
        sent: None,
        query: None,
        last: 0,
    };
    let mut idle = String::new();
    for runner in &runners {
        let mut seen = Vec::new();
        let told = runner
            .run("send", &arguments, |line| {
                let hop: Hop =
                    serde_json::from_str(line).context("the pod's output is not understood")?;
                journey.show(&hop, line, runner);
                seen.push(hop);
                Ok(true)
            })
            .await?;
        match told.code {
            0 => return journey.prometheus(at, &cluster, options.timeout.0).await,
            1 => return Ok(false),
            // It has no partition of the topic: another one has.
            _ if seen.is_empty() && told.words.contains("another pod") => idle = told.words,
            _ => bail!("{}", told.words),
        }
    }
    bail!("{idle}")
}

fn arguments(options: &Options) -> Vec<String> {
    let mut all = vec![format!("--timeout={}", options.timeout)];
    let kind = options.kind.and_then(|kind| kind.to_possible_value());
    all.extend(kind.map(|kind| format!("--kind={}", kind.get_name())));
    all.extend(
        options
            .topic
            .as_ref()
            .map(|topic| format!("--topic={topic}")),
    );
    all.extend(
        options
            .message
            .as_ref()
            .map(|message| format!("--message={message}")),
    );
    all
}

struct Journey {
    style: Style,
    json: bool,
    /// When we heard that it was sent.
    sent: Option<Instant>,
    query: Option<String>,
    /// When it was seen last, in milliseconds since it was sent.
    last: u64,
}

impl Journey {
    fn show(&mut self, hop: &Hop, line: &str, runner: &Runner) {
        if let Hop::Sent { query, .. } = hop {
            self.sent = Some(Instant::now());
            self.query.clone_from(query);
        }
        match self.json {
            true => println!("{line}"),
            false => print!(
                "{}",
                text_of(
                    hop,
                    &mut self.last,
                    &runner.consumer,
                    &runner.pod,
                    self.style
                )
            ),
        }
    }

    /// The last hop: Prometheus has scraped it.
    async fn prometheus(&mut self, at: &At, cluster: &Cluster, timeout: Duration) -> Result<bool> {
        let (Some(query), Some(sent)) = (self.query.clone(), self.sent) else {
            return Ok(true);
        };
        let prometheus = match Prometheus::find(at, cluster).await {
            Ok(prometheus) => prometheus,
            Err(error) => {
                eprintln!("not looked for in Prometheus: {}", words(&error));
                return Ok(true);
            }
        };
        let mut seen = "it does not have the series".to_owned();
        while sent.elapsed() < timeout {
            match prometheus.value(&query).await {
                Ok(Some(_)) => {
                    let ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
                    self.tell(&Hop::Visible {
                        ms,
                        place: format!("Prometheus: {query}"),
                    })?;
                    return Ok(true);
                }
                Ok(None) => {}
                Err(error) => seen = words(&error),
            }
            tokio::time::sleep(LOOK).await;
        }
        let ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
        let waited_for = format!("Prometheus ({}) to have {query}", prometheus.place());
        self.tell(&Hop::TimedOut {
            ms,
            waited_for,
            seen,
        })?;
        Ok(false)
    }

    fn tell(&mut self, hop: &Hop) -> Result<()> {
        match self.json {
            true => println!("{}", serde_json::to_string(hop)?),
            false => print!("{}", text_of(hop, &mut self.last, "", "", self.style)),
        }
        Ok(())
    }
}

/// One hop: when, how long after the one before, and what.
fn text_of(hop: &Hop, last: &mut u64, consumer: &str, pod: &str, style: Style) -> String {
    let (ms, tone, what) = match hop {
        Hop::Sent {
            kind, topic, id, ..
        } => {
            *last = 0;
            let kind = kind
                .to_possible_value()
                .map_or(String::new(), |kind| kind.get_name().to_owned());
            let head = format!("{kind} event {id} to {topic}");
            return format!(
                "{}\n{}\n",
                style.paint(Tone::Bold, &cut(&clean(&head), 100)),
                style.paint(
                    Tone::Dim,
                    &cut(&clean(&format!("by consumer {consumer}, pod {pod}")), 100)
                )
            );
        }
        Hop::Acknowledged {
            ms,
            partition,
            offset,
        } => (
            *ms,
            Tone::Good,
            format!("acknowledged by Kafka: partition {partition}, offset {offset}"),
        ),
        Hop::Committed { ms, group, offset } => (
            *ms,
            Tone::Good,
            format!("read and committed by the group {group}: offset {offset}"),
        ),
        Hop::Visible { ms, place } => (*ms, Tone::Good, format!("visible in {place}")),
        Hop::TimedOut {
            ms,
            waited_for,
            seen,
        } => (
            *ms,
            Tone::Bad,
            format!("gave up waiting for {waited_for}: {seen}"),
        ),
    };
    let mark = if tone == Tone::Bad { "✗" } else { "✓" };
    let number = |ms: u64| number(i64::try_from(ms).unwrap_or(i64::MAX));
    let times = format!(
        "{:>8} ms {:>9}",
        number(ms),
        format!("+{}", number(ms.saturating_sub(*last)))
    );
    *last = ms;
    format!(
        "  {} {}  {}\n",
        style.paint(tone, mark),
        style.paint(Tone::Bold, &times),
        fold(&what, 27)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::text::WIDTH;

    #[test]
    fn each_hop_is_a_line_with_its_time_and_the_time_since_the_one_before() {
        let hops = [
            Hop::Sent {
                kind: SendKind::Log,
                topic: "logs.events".into(),
                id: "c0ffee".into(),
                event: serde_json::Value::Null,
                query: None,
            },
            Hop::Acknowledged {
                ms: 12,
                partition: 2,
                offset: 18,
            },
            Hop::Committed {
                ms: 1112,
                group: "bt.shop.logs".into(),
                offset: 19,
            },
            Hop::TimedOut {
                ms: 60_000,
                waited_for: "a search".into(),
                seen: "it is not there ".repeat(9),
            },
        ];
        let mut last = 0;
        let shown: String = hops
            .iter()
            .map(|hop| text_of(hop, &mut last, "shop/logs", "logs-1", Style::new(false)))
            .collect();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "log event c0ffee to logs.events");
        assert_eq!(lines[1], "by consumer shop/logs, pod logs-1");
        assert_eq!(
            lines[2],
            "  ✓       12 ms       +12  acknowledged by Kafka: partition 2, offset 18"
        );
        assert_eq!(
            lines[3],
            "  ✓    1 112 ms    +1 100  read and committed by the group bt.shop.logs: offset 19"
        );
        assert!(
            lines[4].starts_with("  ✗   60 000 ms   +58 888  gave up waiting for a search: it is")
        );
        assert!(
            lines.iter().all(|line| line.chars().count() <= WIDTH),
            "{shown}"
        );
    }
}
