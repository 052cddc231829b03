use super::headers::LetterHeaders;
use super::{Moment, ReplayError, Which};

/// Whether a letter is one of those that were asked for.
#[derive(Debug)]
pub(crate) struct Filter {
    /// None: all.
    consumer: Option<String>,
    /// Empty: all.
    reasons: Vec<String>,
    /// Empty: all.
    topics: Vec<String>,
    since: Option<Moment>,
    until: Option<Moment>,
}

impl Filter {
    /// `own` is the consumer of the configuration.
    pub fn new(which: &Which, own: &str) -> Result<Self, ReplayError> {
        let (since, until) = (which.since, which.until);
        if since
            .zip(until)
            .is_some_and(|(since, until)| since >= until)
        {
            return Err(ReplayError::NoTime);
        }
        let consumer = which.consumer.as_deref().unwrap_or(own);
        Ok(Self {
            consumer: (!which.all_consumers).then(|| consumer.to_owned()),
            reasons: which.reasons.clone(),
            topics: which.topics.clone(),
            since,
            until,
        })
    }

    /// Letters written before are not picked, whatever they are.
    pub fn since(&self) -> Option<Moment> {
        self.since
    }

    /// Whose letters are picked; none: everybody's.
    pub fn consumer(&self) -> Option<&str> {
        self.consumer.as_deref()
    }

    /// Whether a letter that was written at `at` (milliseconds since the epoch) is to be sent again.
    pub fn picks(&self, headers: &LetterHeaders<'_>, at: Option<i64>) -> bool {
        let one_of = |wanted: &[String], has: Option<&str>| {
            wanted.is_empty() || has.is_some_and(|has| wanted.iter().any(|one| one == has))
        };
        let at = Moment(at.unwrap_or(i64::MIN));
        self.consumer
            .as_deref()
            .is_none_or(|consumer| headers.consumer == Some(consumer))
            && one_of(&self.reasons, headers.reason)
            && one_of(&self.topics, headers.topic)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::replay::Options;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn filter(arguments: &[&str]) -> Result<Filter, ReplayError> {
        let all = ["replay", "--config", "c"].iter().chain(arguments);
        let cli = Cli::try_parse_from(all).expect("arguments that can be read");
        Filter::new(&cli.options.which, "shop/logs")
    }

    fn letter(
        consumer: &'static str,
        topic: &'static str,
        reason: &'static str,
    ) -> LetterHeaders<'static> {
        LetterHeaders {
            consumer: Some(consumer),
            topic: Some(topic),
            reason: Some(reason),
            ..LetterHeaders::default()
        }
    }

    #[test]
    fn letters_are_picked_by_consumer_topic_and_reason() {
        let own = letter("shop/logs", "logs.events", "rejected_by_sink");
        let other = letter("shop/events", "order.events", "invalid_json");
        for (arguments, picks_own, picks_other) in [
            (&[][..], true, false),
            (&["--all-consumers"], true, true),
            (&["--consumer", "shop/events"], false, true),
            (&["--reason", "invalid_json"], false, false),
            (
                &["--all-consumers", "--reason", "invalid_json"],
                false,
                true,
            ),
            (
                &[
                    "--all-consumers",
                    "--reason",
                    "invalid_json",
                    "--reason",
                    "rejected_by_sink",
                ],
                true,
                true,
            ),
            (&["--all-consumers", "--topic", "order.events"], false, true),
            (
                &["--topic", "order.events", "--topic", "logs.events"],
                true,
                false,
            ),
        ] {
            let filter = filter(arguments).expect("a filter");
            let picked = (filter.picks(&own, Some(0)), filter.picks(&other, Some(0)));
            assert_eq!(picked, (picks_own, picks_other), "{arguments:?}");
        }
    }

    #[test]
    fn what_has_no_headers_is_picked_only_where_nothing_is_asked_of_it() {
        let none = LetterHeaders::default();
        let picks = |arguments: &[&str]| filter(arguments).expect("a filter").picks(&none, Some(0));
        assert!(picks(&["--all-consumers"]));
        assert!(!picks(&[]));
        assert!(!picks(&["--all-consumers", "--reason", "r"]));
        assert!(!picks(&["--all-consumers", "--topic", "t"]));
    }

    #[test]
    fn the_time_span_has_its_beginning_and_not_its_end() {
        let own = letter("shop/logs", "t", "r");
        let arguments = [
            "--since",
            "1970-01-01T00:00:01Z",
            "--until",
            "1970-01-01T00:00:02Z",
        ];
        let filter = filter(&arguments).expect("a filter");
        let picked = [999, 1000, 1999, 2000].map(|at| filter.picks(&own, Some(at)));
        assert_eq!(picked, [false, true, true, false]);
        assert!(!filter.picks(&own, None));
    }

    #[test]
    fn a_time_span_without_time_is_refused() {
        let refused = filter(&["--since", "1h", "--until", "2h"]).expect_err("nothing lies there");
        assert!(matches!(refused, ReplayError::NoTime));
    }

    #[test]
    fn one_consumer_and_all_of_them_cannot_both_be_wanted() {
        let arguments = [
            "replay",
            "--config",
            "c",
            "--consumer",
            "a/b",
            "--all-consumers",
        ];
        assert!(Cli::try_parse_from(arguments).is_err());
    }
}
