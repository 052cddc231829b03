//! `bt-consumers letters`: what is in the dead-letter topic, for `kubectl bt dead-letters`. Nothing is sent or committed.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bt_kafka::Admin;
use clap::Args;
use rdkafka::message::{Headers, Message};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::replay::{Filter, LetterHeaders, Next, Reader, ReplayError, Which};

const TICK: Duration = Duration::from_millis(100);

/// Which letters are looked at.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The consumer's configuration file; in its pods /etc/bt-consumers/config.yaml.
    #[arg(long)]
    pub config: PathBuf,
    /// Which letters.
    #[command(flatten)]
    pub which: Which,
    /// Show so many letters one by one, the newest.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(..=1000))]
    pub last: u16,
    /// Only the letter at this place in the dead-letter topic, PARTITION/OFFSET, with its value.
    #[arg(long, value_name = "PLACE")]
    pub at: Option<Place>,
}

/// A place in the dead-letter topic: `partition/offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    partition: i32,
    offset: i64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.split_once('/').and_then(|(partition, offset)| {
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            (partition >= 0 && offset >= 0).then_some(Self { partition, offset })
        });
        read.ok_or_else(|| {
            format!("{text:?} is no place of a letter; write PARTITION/OFFSET, 0/17")
        })
    }
}

/// What is in the dead-letter topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The dead-letter topic.
    pub topic: String,
    /// Whose letters were wanted; none: everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Letters that were looked at.
    pub read: u64,
    /// Letters that the options pick.
    pub matched: u64,
    /// Those by consumer, topic and reason.
    pub groups: Vec<Group>,
    /// The newest of them, the oldest first.
    pub letters: Vec<DeadLetter>,
}

/// Letters that have consumer, topic and reason in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The consumer that wrote them, `namespace/name`.
    pub consumer: String,
    /// The topic that their records are of.
    pub topic: String,
    /// Why they are letters.
    pub reason: String,
    /// How many.
    pub letters: u64,
    /// When the oldest was written, in milliseconds since the epoch.
    pub first: i64,
    /// When the newest was written.
    pub last: i64,
}

/// One letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// In the dead-letter topic.
    pub partition: i32,
    /// In the dead-letter topic.
    pub offset: i64,
    /// When it was written, in milliseconds since the epoch.
    pub at: i64,
    /// The record's key, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The letter's headers, as text.
    pub headers: BTreeMap<String, String>,
    /// Size of the original, in bytes.
    pub bytes: u64,
    /// The original, as text; only where one letter was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Looks through the letters up to the topic's present end.
///
/// # Errors
/// When the options contradict each other, or Kafka does not give the letters.
pub fn letters(config: &Config, options: &Options) -> Result<Report, ReplayError> {
    let filter = Filter::new(&options.which, &config.consumer)?;
    let kafka = config.kafka.connection()?;
    let client_id = format!("{}-letters", config.consumer.replace('/', "."));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ReplayError::Start)?;
    let admin = Admin::new(&kafka, &client_id)?;
    let only = options.at.map(|place| (place.partition, place.offset));
    let since = filter.since();
    let handle = runtime.handle();
    let mut reader = Reader::open(config, &kafka, &client_id, since, only, &admin, handle)?;
    let mut found = Found {
        report: Report {
            topic: config.dead_letter_topic.clone(),
            consumer: match only {
                Some(_) => None,
                None => filter.consumer().map(str::to_owned),
            },
            ..Report::default()
        },
        ..Found::default()
    };
    loop {
        match reader.next(TICK)? {
            Next::Letter(message) => {
                found.report.read += 1;
                let headers = LetterHeaders::of(&message);
                let at = message.timestamp().to_millis();
                if only.is_some() || filter.picks(&headers, at) {
                    found.count(&headers, at.unwrap_or_default());
                    found.keep(&message, usize::from(options.last), only.is_some());
                }
            }
            Next::Nothing => {}
            Next::End => return Ok(found.into_report()),
        }
    }
}

#[derive(Default)]
struct Found {
    report: Report,
    groups: BTreeMap<(String, String, String), (u64, i64, i64)>,
    newest: VecDeque<DeadLetter>,
}

impl Found {
    fn count(&mut self, headers: &LetterHeaders<'_>, at: i64) {
        self.report.matched += 1;
        let named = |header: Option<&str>| header.unwrap_or("-").to_owned();
        let key = (
            named(headers.consumer),
            named(headers.topic),
            named(headers.reason),
        );
        let (letters, first, last) = self.groups.entry(key).or_insert((0, at, at));
        *letters += 1;
        *first = at.min(*first);
        *last = at.max(*last);
    }

    /// Partitions are read side by side, each in order: where the newest are kept by time, the oldest of them goes.
    fn keep(&mut self, message: &impl Message, most: usize, whole: bool) {
        let at = message.timestamp().to_millis().unwrap_or_default();
        let value = message.payload().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut headers = BTreeMap::new();
        for header in message.headers().iter().flat_map(|headers| headers.iter()) {
            headers.insert(
                header.key.to_owned(),
                text(header.value.unwrap_or_default()),
            );
        }
        let letter = DeadLetter {
            partition: message.partition(),
            offset: message.offset(),
            at,
            key: message.key().map(text),
            headers,
            bytes: value.len() as u64,
            value: whole.then(|| text(value)),
        };
        let place = self.newest.partition_point(|kept| kept.at <= at);
        self.newest.insert(place, letter);
        while self.newest.len() > most.max(usize::from(whole)) {
            self.newest.pop_front();
        }
    }

    fn into_report(self) -> Report {
        let group = |((consumer, topic, reason), (letters, first, last))| Group {
            consumer,
            topic,
            reason,
            letters,
            first,
            last,
        };
        Report {
            groups: self.groups.into_iter().map(group).collect(),
            letters: self.newest.into(),
            ..self.report
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    #[test]
    fn a_place_is_partition_and_offset() {
        let place = |text: &str| Place::from_str(text).map(|place| (place.partition, place.offset));
        assert_eq!(place("2/5000000000"), Ok((2, 5_000_000_000)));
        for wrong in ["", "7", "-1/2", "0/-3", "a/b", "0/1/2"] {
            assert!(place(wrong).expect_err(wrong).contains("0/17"), "{wrong}");
        }
    }

    #[test]
    fn letters_are_counted_by_kind_and_the_newest_kept_in_order_of_time() {
        let mut found = Found::default();
        for (reason, at, offset) in [("a", 30, 1), ("b", 10, 2), ("a", 20, 3), ("a", 40, 4)] {
            let headers = LetterHeaders {
                topic: Some("logs.events"),
                reason: Some(reason),
                ..LetterHeaders::default()
            };
            let message = OwnedMessage::new(
                Some(b"value".to_vec()),
                None,
                "dead-letters".into(),
                Timestamp::CreateTime(at),
                0,
                offset,
                None,
            );
            found.count(&headers, at);
            found.keep(&message, 2, false);
        }
        let report = found.into_report();
        let groups: Vec<_> = report
            .groups
            .iter()
            .map(|g| (g.reason.as_str(), g.letters, g.first, g.last))
            .collect();
        assert_eq!(groups, [("a", 3, 20, 40), ("b", 1, 10, 10)]);
        let kept: Vec<_> = report.letters.iter().map(|l| (l.at, l.offset)).collect();
        assert_eq!(kept, [(30, 1), (40, 4)]);
        assert_eq!(
            (report.letters[0].bytes, &report.letters[0].value),
            (5, &None)
        );
    }
}
