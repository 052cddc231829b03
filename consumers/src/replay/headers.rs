use std::str::FromStr;

use rdkafka::message::{Headers, Message};

use crate::pipeline::TOO_MANY;
use crate::pipeline::header::{
    CONSUMER, OFFSET, PARTITION, PLACE, REASON, TIMESTAMP, TOPIC, TOPIC_ID,
};

/// What a letter says of itself; what is absent, or no text, is `None`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LetterHeaders<'m> {
    pub consumer: Option<&'m str>,
    pub reason: Option<&'m str>,
    pub topic: Option<&'m str>,
    pub topic_id: Option<&'m str>,
    pub partition: Option<&'m str>,
    pub offset: Option<&'m str>,
    pub timestamp: Option<&'m str>,
    pub place: Option<&'m str>,
}

/// Where the event of a letter comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source<'m> {
    pub topic: &'m str,
    /// Not in letters of older versions.
    pub topic_id: Option<&'m str>,
    pub partition: i32,
    pub offset: i64,
    /// Of the record, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// In the record's array; the letter of a whole record has none.
    pub place: Option<usize>,
    /// The letter is an array of events; the place is that of the first.
    pub several: bool,
}

impl<'m> LetterHeaders<'m> {
    pub fn of<M: Message>(message: &'m M) -> Self {
        message.headers().map(Self::read).unwrap_or_default()
    }

    fn read<H: Headers>(headers: &'m H) -> Self {
        let mut read = Self::default();
        for header in headers.iter() {
            let field = match header.key {
                CONSUMER => &mut read.consumer,
                REASON => &mut read.reason,
                TOPIC => &mut read.topic,
                TOPIC_ID => &mut read.topic_id,
                PARTITION => &mut read.partition,
                OFFSET => &mut read.offset,
                TIMESTAMP => &mut read.timestamp,
                PLACE => &mut read.place,
                _ => continue,
            };
            *field = header
                .value
                .and_then(|value| std::str::from_utf8(value).ok());
        }
        read
    }

    /// Where the letter's event comes from, or which header does not say it.
    pub fn source(&self) -> Result<Source<'m>, String> {
        let needed = |name, value| number(name, value)?.ok_or_else(|| missing(name));
        let partition = needed(PARTITION, self.partition)?;
        let place = number(PLACE, self.place)?;
        Ok(Source {
            // Older versions have the whole record in such a letter, without a place.
            several: place.is_some() && self.reason == Some(TOO_MANY),
            place,
            topic: self.topic.ok_or_else(|| missing(TOPIC))?,
            topic_id: self.topic_id.filter(|id| !id.is_empty()),
            partition: i32::try_from(partition).map_err(|_| wrong(PARTITION))?,
            offset: needed(OFFSET, self.offset)?,
            timestamp: number(TIMESTAMP, self.timestamp)?,
        })
    }
}

fn number<N: FromStr>(name: &str, value: Option<&str>) -> Result<Option<N>, String> {
    let read = value.map(|text| text.parse().map_err(|_| wrong(name)));
    read.transpose()
}

fn missing(name: &str) -> String {
    format!("the header {name} is missing")
}

fn wrong(name: &str) -> String {
    format!("the header {name} is no number that it can be")
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;
    use crate::pipeline::header::ERROR;

    fn headers(pairs: &[(&str, &str)]) -> OwnedHeaders {
        pairs
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                let value = Some(*value);
                headers.insert(Header { key, value })
            })
    }

    const WHOLE: [(&str, &str); 9] = [
        (TOPIC, "logs.events"),
        (TOPIC_ID, "id-of_it"),
        (PARTITION, "3"),
        (OFFSET, "5000000000"),
        (TIMESTAMP, "1700000000000"),
        (REASON, "rejected_by_sink"),
        (ERROR, "400 mapper_parsing_exception"),
        (PLACE, "7"),
        (CONSUMER, "shop/logs"),
    ];

    #[test]
    fn a_letter_says_where_its_event_comes_from() {
        let headers = headers(&WHOLE);
        let read = LetterHeaders::read(&headers);
        assert_eq!(
            (read.consumer, read.reason),
            (Some("shop/logs"), Some("rejected_by_sink"))
        );
        let source = Source {
            topic: "logs.events",
            topic_id: Some("id-of_it"),
            partition: 3,
            offset: 5_000_000_000,
            timestamp: Some(1_700_000_000_000),
            place: Some(7),
            several: false,
        };
        assert_eq!(read.source(), Ok(source));
    }

    #[test]
    fn a_letter_of_a_whole_record_by_an_older_version_has_neither_place_nor_topic_id() {
        let without = |name: &str| !matches!(name, TOPIC_ID | TIMESTAMP | PLACE);
        let pairs: Vec<_> = WHOLE
            .into_iter()
            .filter(|(name, _)| without(name))
            .collect();
        let headers = headers(&pairs);
        let source = LetterHeaders::read(&headers).source().expect("a source");
        assert_eq!(
            (source.topic_id, source.timestamp, source.place),
            (None, None, None)
        );
    }

    #[test]
    fn a_letter_of_several_events_has_the_place_of_the_first() {
        for (place, several) in [(Some("7"), true), (None, false)] {
            let read = LetterHeaders {
                topic: Some("t"),
                partition: Some("0"),
                offset: Some("1"),
                reason: Some(TOO_MANY),
                place,
                ..LetterHeaders::default()
            };
            let source = read.source().expect("a source");
            assert_eq!(source.several, several, "{place:?}");
        }
    }

    #[test]
    fn the_header_that_is_missing_or_wrong_is_named() {
        for name in [TOPIC, PARTITION, OFFSET] {
            let pairs: Vec<_> = WHOLE.into_iter().filter(|(key, _)| *key != name).collect();
            let headers = headers(&pairs);
            let why = LetterHeaders::read(&headers).source().expect_err(name);
            assert_eq!(why, format!("the header {name} is missing"));
        }
        for (name, value) in [
            (PARTITION, "x"),
            (PARTITION, "3000000000"),
            (OFFSET, ""),
            (PLACE, "-1"),
            (TIMESTAMP, "now"),
        ] {
            let pairs: Vec<_> = WHOLE
                .into_iter()
                .map(|pair| if pair.0 == name { (name, value) } else { pair })
                .collect();
            let headers = headers(&pairs);
            let why = LetterHeaders::read(&headers).source().expect_err(name);
            assert!(why.contains(name), "{why}");
        }
    }

    #[test]
    fn headers_that_are_no_text_are_as_good_as_missing() {
        let headers = OwnedHeaders::new().insert(Header {
            key: CONSUMER,
            value: Some(&[0xff][..]),
        });
        assert_eq!(LetterHeaders::read(&headers).consumer, None);
    }
}
