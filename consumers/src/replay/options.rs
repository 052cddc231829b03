use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::config::HumanDuration;

/// What is to be sent again.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The consumer's configuration file; in its pods /etc/bt-consumers/config.yaml.
    #[arg(long)]
    pub config: PathBuf,
    /// Where to read what is to be sent again: the dead-letter topic of the configuration.
    #[arg(long, value_enum, default_value_t = ReadFrom::DeadLetters)]
    pub from: ReadFrom,
    /// Which letters.
    #[command(flatten)]
    pub which: Which,
    /// Only count the letters, by topic and reason; nothing is sent.
    #[arg(long)]
    pub dry_run: bool,
    /// At most so many letters.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// Picks dead letters.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// Only letters with this reason (header bt-reason); may be given several times.
    #[arg(long = "reason", value_name = "REASON")]
    pub reasons: Vec<String>,
    /// Only letters of this topic (header bt-topic); may be given several times.
    #[arg(long = "topic", value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// Only letters written then or later: a time (RFC 3339, 2026-11-23T10:00:00Z) or a duration before now (2h, 1d12h).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only letters written before then; as --since.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Only letters of this consumer, as namespace/name; default: the configuration's own.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub consumer: Option<String>,
    /// The letters of all consumers that share the topic. A replay sends them all to this consumer's sink.
    #[arg(long, conflicts_with = "consumer")]
    pub all_consumers: bool,
}

/// Where to read what is to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadFrom {
    /// The dead-letter topic.
    DeadLetters,
}

/// A point in time, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// Reads RFC 3339, or a duration before `now`.
    fn parse(text: &str, now: Timestamp) -> Result<Self, String> {
        if let Ok(HumanDuration(before)) = text.parse() {
            let millis = i64::try_from(before.as_millis()).map_err(|_| "too long ago")?;
            return Ok(Self(now.as_millisecond().saturating_sub(millis)));
        }
        match text.parse::<Timestamp>() {
            Ok(at) => Ok(Self(at.as_millisecond())),
            Err(_) => Err(
                "write a time with its zone, 2026-11-23T10:00:00Z or 2026-11-23T11:00:00+01:00, or a duration before now, 2h or 1d12h"
                    .into(),
            ),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_with_a_zone_or_durations_before_now() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
        let parse = |text| Moment::parse(text, now).map(|moment| moment.0 - now.as_millisecond());
        assert_eq!(parse("2h"), Ok(-7_200_000));
        assert_eq!(parse("1d12h"), Ok(-129_600_000));
        assert_eq!(parse("2026-11-23T09:59:59.5Z"), Ok(-500));
        assert_eq!(parse("2026-11-23T12:00:01+02:00"), Ok(1000));
        for wrong in [
            "",
            "yesterday",
            "-2h",
            "2026-11-23T10:00:00",
            "2026-11-23",
            "7",
        ] {
            let said = parse(wrong).expect_err(wrong);
            assert!(said.contains("2h"), "{wrong}: {said}");
        }
    }
}
