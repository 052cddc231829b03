use std::collections::BTreeMap;
use std::fmt;

use super::filter::Filter;
use super::headers::LetterHeaders;
use super::resend::Outcome;
use crate::config::Config;

/// What a replay came to. Its text is for people; [`Summary::is_complete`] is what an exit code is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Letters that were looked at.
    pub read: u64,
    /// Letters that the options pick.
    pub matched: u64,
    /// Events that the engine has now and had not before.
    pub indexed: u64,
    /// Events that the engine had already.
    pub there_already: u64,
    /// Events that the engine has put into its failure store.
    pub failure_store: u64,
    /// Events that were refused once more. No further letters are written of them.
    pub refused_again: u64,
    /// Letters that were picked and not sent.
    pub skipped: u64,
    topic: String,
    /// Whose letters were wanted.
    consumer: Option<String>,
    dry_run: bool,
    /// Letters by topic and reason.
    letters: BTreeMap<(String, String), u64>,
    first_refused: Vec<String>,
    why_skipped: BTreeMap<String, u64>,
    without_topic_id: BTreeMap<String, u64>,
}

impl Summary {
    pub(super) fn new(config: &Config, filter: &Filter, dry_run: bool) -> Self {
        Self {
            topic: config.dead_letter_topic.clone(),
            consumer: filter.consumer().map(Into::into),
            dry_run,
            ..Self::default()
        }
    }

    /// Whether every letter that was picked is in the sink, or would be sent by a run that is not dry.
    pub fn is_complete(&self) -> bool {
        self.refused_again + self.skipped + self.failure_store == 0
    }

    pub(super) fn count(&mut self, headers: &LetterHeaders<'_>) {
        let named = |header: Option<&str>| header.unwrap_or("-").to_owned();
        let kind = (named(headers.topic), named(headers.reason));
        *self.letters.entry(kind).or_default() += 1;
    }

    pub(super) fn skip(&mut self, why: String) {
        self.skipped += 1;
        *self.why_skipped.entry(why).or_default() += 1;
    }

    /// A letter of this topic does not say the topic's id: the present one was used.
    pub(super) fn without_topic_id(&mut self, topic: &str) {
        match self.without_topic_id.get_mut(topic) {
            Some(letters) => *letters += 1,
            None => {
                self.without_topic_id.insert(topic.to_owned(), 1);
            }
        }
    }

    pub(super) fn sent(&mut self, outcome: Outcome) {
        self.indexed = outcome.created;
        self.there_already = outcome.there_already;
        self.failure_store = outcome.failure_store;
        self.refused_again = outcome.refused;
        self.first_refused = outcome.first_refused;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match &self.consumer {
            Some(consumer) => format!("letters of {consumer}"),
            None => "letters of all consumers".to_owned(),
        };
        let mut line =
            |name: &str, count: u64, what: &str| writeln!(f, "{name:<15}{count:>10}  {what}");
        line("read", self.read, &format!("letters in {}", self.topic))?;
        line("matched", self.matched, &whose)?;
        if !self.dry_run {
            line("indexed", self.indexed, "events")?;
            line("there already", self.there_already, "events")?;
            line(
                "refused again",
                self.refused_again,
                "events; no further letters are written of them",
            )?;
            if self.failure_store > 0 {
                line(
                    "failure store",
                    self.failure_store,
                    "events that the engine put there",
                )?;
            }
        }
        line("skipped", self.skipped, "letters")?;
        for (why, letters) in &self.why_skipped {
            writeln!(f, "  skipped {letters}: {why}")?;
        }
        for (topic, letters) in &self.without_topic_id {
            writeln!(
                f,
                "  {letters} of an older version do not say the id of their topic: that of the present topic {topic} was used"
            )?;
        }
        for refused in &self.first_refused {
            writeln!(f, "  refused {refused}")?;
        }
        let more = self.refused_again - self.first_refused.len() as u64;
        if more > 0 {
            writeln!(f, "  refused … and {more} more")?;
        }
        if self.dry_run {
            writeln!(f, "nothing was sent; by topic and reason:")?;
            for ((topic, reason), letters) in &self.letters {
                writeln!(f, "{letters:>25}  {topic}  {reason}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            read: 9,
            matched: 5,
            topic: "dead-letters".into(),
            consumer: Some("shop/logs".into()),
            ..Summary::default()
        }
    }

    #[test]
    fn what_was_refused_or_skipped_is_told_and_makes_it_incomplete() {
        let mut summary = summary();
        summary.sent(Outcome {
            created: 2,
            there_already: 1,
            refused: 2,
            first_refused: vec!["logs.events/0 offset 7: rejected_by_sink: 400".into()],
            ..Outcome::default()
        });
        summary.skip("no letter of a consumer's: the header bt-offset is missing".into());
        summary.without_topic_id("logs.events");
        assert!(!summary.is_complete());
        assert_eq!(
            summary.to_string(),
            "read                    9  letters in dead-letters\n\
             matched                 5  letters of shop/logs\n\
             indexed                 2  events\n\
             there already           1  events\n\
             refused again           2  events; no further letters are written of them\n\
             skipped                 1  letters\n  \
               skipped 1: no letter of a consumer's: the header bt-offset is missing\n  \
               1 of an older version do not say the id of their topic: that of the present topic logs.events was used\n  \
               refused logs.events/0 offset 7: rejected_by_sink: 400\n  \
               refused … and 1 more\n"
        );
    }

    #[test]
    fn a_dry_run_counts_by_topic_and_reason() {
        let mut summary = Summary {
            dry_run: true,
            ..summary()
        };
        for reason in ["rejected_by_sink", "invalid_json", "rejected_by_sink"] {
            summary.count(&LetterHeaders {
                topic: Some("logs.events"),
                reason: Some(reason),
                ..LetterHeaders::default()
            });
        }
        assert!(summary.is_complete());
        let text = summary.to_string();
        assert!(!text.contains("indexed"), "{text}");
        assert!(
            text.ends_with(
                "by topic and reason:\n                        1  logs.events  invalid_json\n                        2  logs.events  rejected_by_sink\n"
            ),
            "{text}"
        );
    }
}
