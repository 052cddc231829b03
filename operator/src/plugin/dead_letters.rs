//! `kubectl bt dead-letters`: what consumers could not carry.

mod screen;

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use bt_consumers::{LettersReport, Moment, WhichLetters};
use clap::{Args, Subcommand};
use k8s_openapi::jiff::Timestamp;

use super::At;
use super::cluster::Cluster;
use super::exec::Runner;

/// What is asked for.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  kubectl bt dead-letters list                                   all, by consumer, topic and reason, and the newest 20
  kubectl bt dead-letters list logs --since 1d --reason rejected_by_sink
  kubectl bt dead-letters show 0/17                              one letter, with its headers and the original
  kubectl bt dead-letters replay logs --reason rejected_by_sink --since 2d --dry-run
  kubectl bt dead-letters replay logs --reason rejected_by_sink --since 2d

It runs in a pod of a consumer. What a replay does: docs/replay.md.")]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Letters by consumer, topic and reason, and the newest of them.
    List {
        /// Only those of this consumer: NAME or NAMESPACE/NAME.
        consumer: Option<String>,
        #[command(flatten)]
        which: Pick,
        /// Show so many, the newest.
        #[arg(long, value_name = "N", default_value_t = 20)]
        last: u16,
    },
    /// One letter: headers, and the original, decoded.
    Show {
        /// Where it is in the dead-letter topic, as `list` shows it: PARTITION/OFFSET.
        place: String,
        /// A consumer with that dead-letter topic: NAME or NAMESPACE/NAME. Default: any.
        #[arg(long, value_name = "NAME")]
        consumer: Option<String>,
    },
    /// Send letters of a consumer with an elasticsearch sink again, after the cause was put right. Nothing becomes a document twice.
    Replay {
        /// The consumer: NAME or NAMESPACE/NAME.
        consumer: String,
        #[command(flatten)]
        which: Pick,
        /// At most so many letters.
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

/// Which letters.
#[derive(Debug, Clone, Args)]
struct Pick {
    /// Only letters with this reason; may be given several times.
    #[arg(long = "reason", value_name = "REASON")]
    reasons: Vec<String>,
    /// Only letters of this topic; may be given several times.
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only letters written then or later: a time (RFC 3339) or a duration before now (2h, 1d12h).
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only letters written before then.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

impl Pick {
    fn which(&self) -> WhichLetters {
        WhichLetters {
            reasons: self.reasons.clone(),
            topics: self.topics.clone(),
            since: self.since,
            until: self.until,
            ..WhichLetters::default()
        }
    }
}

/// The same choice for the command in the pod.
fn arguments(which: &WhichLetters) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: &str| all.push(format!("--{name}={value}"));
    which.reasons.iter().for_each(|v| add("reason", v));
    which.topics.iter().for_each(|v| add("topic", v));
    for (name, moment) in [("since", which.since), ("until", which.until)] {
        if let Some(at) = moment.and_then(|moment| Timestamp::from_millisecond(moment.0).ok()) {
            add(name, &at.to_string());
        }
    }
    which.consumer.iter().for_each(|v| add("consumer", v));
    if which.all_consumers {
        all.push("--all-consumers".to_owned());
    }
    all
}

/// Lists, shows or replays. Ends with 1 where a replay left something.
pub async fn run(at: &At, options: &Options) -> Result<bool> {
    let cluster = Cluster::connect(at).await?;
    match &options.command {
        Command::List {
            consumer,
            which,
            last,
        } => {
            let runner = Runner::find(&cluster, consumer.as_deref(), None).await?;
            let mut which = which.which();
            which.all_consumers = consumer.is_none();
            let mut asked = arguments(&which);
            asked.push(format!("--last={last}"));
            let report = letters(&runner, &asked).await?;
            show(at, &report, |report| {
                screen::list(report, Timestamp::now(), at.style())
            })?;
            Ok(true)
        }
        Command::Show { place, consumer } => {
            let runner = Runner::find(&cluster, consumer.as_deref(), None).await?;
            let asked = ["--all-consumers".to_owned(), format!("--at={place}")];
            let report = letters(&runner, &asked).await?;
            let Some(letter) = report.letters.first() else {
                bail!(
                    "there is no letter at {place} in {}; `kubectl bt dead-letters list` shows the newest",
                    report.topic
                );
            };
            show(at, letter, |letter| screen::letter(letter, at.style()))?;
            Ok(true)
        }
        Command::Replay {
            consumer,
            which,
            limit,
            dry_run,
            yes,
        } => {
            let runner = Runner::find(&cluster, Some(consumer), None).await?;
            let mut asked = arguments(&which.which());
            asked.extend(limit.map(|limit| format!("--limit={limit}")));
            replay(&runner, &asked, *dry_run, *yes).await
        }
    }
}

async fn letters(runner: &Runner, arguments: &[String]) -> Result<LettersReport> {
    let text = runner.output("letters", arguments).await?;
    serde_json::from_str(&text).context("the pod's output is not understood")
}

fn show<T: serde::Serialize>(at: &At, value: &T, text: impl Fn(&T) -> String) -> Result<()> {
    match at.is_json() {
        true => println!("{}", serde_json::to_string_pretty(value)?),
        false => print!("{}", text(value)),
    }
    Ok(())
}

/// Counts first, and asks, unless it need not.
async fn replay(runner: &Runner, arguments: &[String], dry_run: bool, yes: bool) -> Result<bool> {
    if dry_run || !yes {
        let mut counted = arguments.to_vec();
        counted.push("--dry-run".to_owned());
        print!("{}", runner.output("replay", &counted).await?);
    }
    if dry_run {
        return Ok(true);
    }
    if !yes && !confirmed(&runner.consumer)? {
        eprintln!("nothing was sent");
        return Ok(true);
    }
    let mut line = |line: &str| {
        println!("{line}");
        Ok(true)
    };
    let ended = runner
        .run_telling("replay", arguments, &mut line, &mut |said| {
            eprintln!("{said}")
        })
        .await?;
    match ended.code {
        0 => Ok(true),
        1 => Ok(false),
        // It was said.
        _ => bail!("the replay could not be done, or not to its end"),
    }
}

fn confirmed(consumer: &str) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("nobody is there to ask: --yes sends them, --dry-run only counts");
    }
    eprint!("Send these letters to the sink of {consumer} again? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
