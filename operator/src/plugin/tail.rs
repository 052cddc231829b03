//! `kubectl bt tail`: the events of a topic as they come.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use bt_consumers::{TailKind, TailLine, TailOptions};
use bt_events::{Body, Event, Kind, Op, Pairs, Status};
use bt_kafka::Connection;
use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;

use super::cluster::Cluster;
use super::exec::Runner;
use super::text::{Style, Tone, clean};
use super::{At, Output};

/// What is asked for.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  kubectl bt tail logs.events                                  from now on, until ctrl-c
  kubectl bt tail logs.events --level error --since 10m        errors of the last 10 minutes, and those to come
  kubectl bt tail order.events --type 'order.*' --last 5 --once
  kubectl bt tail metrics.events --service orders -c 20 -o json | jq .event
  kubectl bt tail logs.events --bootstrap localhost:9092       without a pod

It runs in a pod of a consumer that reads the topic (else of any other), by its connection to Kafka. No group is joined, nothing is
committed. -o json: a line for each event with partition, offset, timestamp, key, and event, or raw with reason and error.")]
pub struct Options {
    #[command(flatten)]
    what: TailOptions,
    /// The consumer in whose pod it runs: NAME or NAMESPACE/NAME.
    #[arg(long, value_name = "NAME", conflicts_with = "bootstrap")]
    consumer: Option<String>,
    /// Connect to this Kafka from here, without a pod, TLS or a login.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
}

/// Shows events until it is stopped, or there are as many as were asked for.
pub async fn run(at: &At, options: &Options) -> Result<bool> {
    let (style, json) = (at.style(), at.output == Output::Json);
    if let Some(servers) = &options.bootstrap {
        let (kafka, what) = (Connection::plaintext(servers), options.what.clone());
        let mut show = move |line: &TailLine| match json {
            true => print_line(&serde_json::to_string(line)?),
            false => print_line(&text_of(line, style)),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let read = tokio::task::spawn_blocking(move || {
            bt_consumers::tail(&kafka, "kubectl-bt", &what, &stop, &mut show)
        });
        return ended(read.await?.map(drop).map_err(anyhow::Error::from));
    }
    let cluster = Cluster::connect(at).await?;
    let runner = Runner::find(
        &cluster,
        options.consumer.as_deref(),
        Some(&options.what.topic),
    )
    .await?;
    let told = runner
        .run("tail", &arguments(&options.what), |line| {
            let text = match json {
                true => line.to_owned(),
                false => {
                    let line: TailLine =
                        serde_json::from_str(line).context("the pod's output is not understood")?;
                    text_of(&line, style)
                }
            };
            match print_line(&text) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
    match told.code {
        0 => Ok(true),
        _ => bail!("{}", told.words),
    }
}

fn print_line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// That nobody reads on is no error: `| head`.
fn ended(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.to_string().contains("Broken pipe") => Ok(true),
        Err(error) => Err(error),
    }
}

/// The same options for the command in the pod.
fn arguments(options: &TailOptions) -> Vec<String> {
    let mut all = vec!["--attached".to_owned()];
    let mut add = |name: &str, value: &str| all.push(format!("--{name}={value}"));
    options.services.iter().for_each(|v| add("service", v));
    options.levels.iter().for_each(|v| add("level", v));
    options.types.iter().for_each(|v| add("type", v));
    for kind in &options.kinds {
        let value = TailKind::to_possible_value(kind);
        value.iter().for_each(|v| add("kind", v.get_name()));
    }
    options.grep.iter().for_each(|v| add("grep", v));
    if let Some(since) = options
        .since
        .and_then(|s| Timestamp::from_millisecond(s.0).ok())
    {
        add("since", &since.to_string());
    }
    options
        .last
        .iter()
        .for_each(|v| add("last", &v.to_string()));
    options
        .count
        .iter()
        .for_each(|v| add("count", &v.to_string()));
    for (flag, set) in [
        ("--from-beginning", options.from_beginning),
        ("--once", options.once),
    ] {
        if set {
            all.push(flag.to_owned());
        }
    }
    all.extend(["--".to_owned(), options.topic.clone()]);
    all
}

/// One event in one line.
pub fn text_of(line: &TailLine, style: Style) -> String {
    let Some(json) = &line.event else {
        let why = format!(
            "no event ({}): {}",
            line.reason.as_deref().unwrap_or("unknown"),
            clean(line.error.as_deref().unwrap_or_default())
        );
        let raw = clean(line.raw.as_deref().unwrap_or_default());
        let (at, place) = (
            time_of_day(line.timestamp),
            format!("{}/{}", line.partition, line.offset),
        );
        return format!(
            "{} {} {}  {raw}",
            style.paint(Tone::Dim, &at),
            style.paint(Tone::Name, &place),
            style.paint(Tone::Warn, &why)
        );
    };
    let read = bt_events::parse(json.get().as_bytes())
        .ok()
        .and_then(|mut all| all.next());
    match read.map(|element| element.event().map(|event| event_text(&event, style))) {
        Some(Ok(text)) => text,
        // It was one in the pod; a newer one knows more kinds.
        Some(Err(_)) | None => clean(json.get()),
    }
}

fn time_of_day(millis: Option<i64>) -> String {
    let at = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.map_or("-".to_owned(), |at| at.strftime("%H:%M:%S%.3f").to_string())
}

fn event_text(event: &Event<'_>, style: Style) -> String {
    let at = event.ts.at().strftime("%H:%M:%S%.3f").to_string();
    let from = clean(&event.key());
    let head = format!(
        "{} {}",
        style.paint(Tone::Dim, &at),
        style.paint(Tone::Name, &from)
    );
    let body = match &event.body {
        Body::Metric(metric) => {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let value = match (metric.kind, metric.op) {
                (Kind::Counter, _) | (Kind::Gauge, Op::Add) => format!("{:+}", metric.value),
                _ => format!("{}", metric.value),
            };
            let unit = metric
                .unit
                .as_ref()
                .map_or(String::new(), |unit| format!(" {unit}"));
            let name = style.paint(Tone::Bold, &clean(&metric.name.as_str()));
            format!(
                "{kind} {name} {value}{}{}",
                clean(&unit),
                pairs(&metric.labels, style)
            )
        }
        Body::Log(log) => {
            let level = clean(&log.level.as_str()).to_uppercase();
            let tone = match level.as_str() {
                "ERROR" | "FATAL" | "CRITICAL" => Tone::Bad,
                "WARN" | "WARNING" => Tone::Warn,
                "DEBUG" | "TRACE" => Tone::Dim,
                _ => Tone::Good,
            };
            let logger = log.logger.as_ref().map_or(String::new(), |logger| {
                format!("{}: ", clean(&logger.as_str()))
            });
            let error = log.error.as_ref().map_or(String::new(), |error| {
                let of = |text: &Option<bt_events::Text<'_>>| {
                    text.as_ref().map_or(String::new(), |t| clean(&t.as_str()))
                };
                let text = format!(" [{}: {}]", of(&error.r#type), of(&error.message));
                style.paint(Tone::Bad, &text)
            });
            let level = style.paint(tone, &format!("{level:<5}"));
            format!(
                "{level} {logger}{}{error}{}",
                clean(&log.message.as_str()),
                pairs(&log.fields, style)
            )
        }
        Body::Health(health) => {
            let (word, tone) = status(health.status);
            let checks = health.checks.iter().map(|(name, of)| {
                let (word, tone) = status(*of);
                format!("  {}={}", clean(name), style.paint(tone, word))
            });
            let latency = health
                .latency_ms
                .map_or(String::new(), |ms| format!("  {ms} ms"));
            format!(
                "health {}{}{latency}",
                style.paint(tone, word),
                checks.collect::<String>()
            )
        }
        Body::Business(business) => {
            let payload = business
                .payload
                .as_ref()
                .map_or(String::new(), |p| format!(" {}", clean(p.get())));
            format!(
                "{}{payload}",
                style.paint(Tone::Bold, &clean(&business.r#type.as_str()))
            )
        }
    };
    format!("{head} {body}")
}

fn status(status: Status) -> (&'static str, Tone) {
    match status {
        Status::Up => ("up", Tone::Good),
        Status::Degraded => ("degraded", Tone::Warn),
        Status::Down => ("down", Tone::Bad),
    }
}

fn pairs(pairs: &Pairs<'_>, style: Style) -> String {
    pairs
        .iter()
        .map(|(name, value)| {
            let text = value.trim_matches('"');
            format!(
                "  {}{}",
                style.paint(Tone::Dim, &format!("{}=", clean(&name))),
                clean(text)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    fn shown(line: serde_json::Value) -> String {
        let mut all = json!({"partition": 1, "offset": 7, "timestamp": 1_700_000_000_123_i64});
        all.as_object_mut()
            .expect("an object")
            .extend(line.as_object().expect("an object").clone());
        let line: TailLine = serde_json::from_str(&all.to_string()).expect("a line");
        text_of(&line, Style::new(false))
    }

    #[test]
    fn each_kind_of_event_is_one_line() {
        let common = json!({"ts": 1_700_000_000_000_i64, "service": "orders", "instance": "o-1"});
        for (fields, expected) in [
            (
                json!({"level": "error", "message": "payment\nrefused", "logger": "db", "error": {"type": "E", "message": "m"}, "fields": {"order": "4711", "n": 2}}),
                "ERROR db: payment refused [E: m]  n=2  order=4711",
            ),
            (
                json!({"name": "orders_total", "kind": "counter", "value": 1, "labels": {"country": "de"}}),
                "counter orders_total +1  country=de",
            ),
            (
                json!({"name": "t", "kind": "histogram", "value": 0.25, "unit": "seconds"}),
                "histogram t 0.25 seconds",
            ),
            (
                json!({"status": "degraded", "checks": {"database": "down"}, "latency_ms": 12}),
                "health degraded  database=down  12 ms",
            ),
            (
                json!({"type": "order.created", "payload": {"order": 1}}),
                "order.created {\"order\":1}",
            ),
        ] {
            let mut event = common.clone();
            event
                .as_object_mut()
                .expect("an object")
                .extend(fields.as_object().expect("an object").clone());
            assert_eq!(
                shown(json!({"event": event})),
                format!("22:13:20.000 orders/o-1 {expected}")
            );
        }
    }

    #[test]
    fn what_is_no_event_is_shown_with_the_reason() {
        let line = json!({"raw": "{\"a\u{1b}[2J", "reason": "invalid_json", "error": "at 3"});
        assert_eq!(
            shown(line),
            "22:13:20.123 1/7 no event (invalid_json): at 3  {\"a [2J"
        );
    }

    #[test]
    fn the_pod_gets_the_options_that_were_given() {
        #[derive(Parser)]
        struct Cli {
            #[command(flatten)]
            options: TailOptions,
        }
        let given = [
            "tail",
            "a.b",
            "--service",
            "x y",
            "--level",
            "error",
            "--kind",
            "log",
            "--type",
            "t",
            "--grep",
            "--x",
            "--count",
            "3",
            "--once",
            "--since",
            "2026-11-23T10:00:00Z",
        ];
        let options = Cli::try_parse_from(given.map(|g| if g == "--x" { "x" } else { g }))
            .expect("options")
            .options;
        let all = arguments(&options);
        let again = Cli::try_parse_from(
            ["tail".to_owned()]
                .into_iter()
                .chain(all.iter().filter(|a| *a != "--attached").cloned()),
        );
        let again = again.expect("the same options").options;
        assert_eq!(format!("{options:?}"), format!("{again:?}"));
        assert_eq!(all[0], "--attached");
    }
}
