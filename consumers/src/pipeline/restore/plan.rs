use crate::config::StartFrom;
use crate::sink::prometheus::Meta;

/// What is known of a partition that is being restored.
pub(super) struct Known<'k> {
    /// What the group has committed.
    pub committed: Option<i64>,
    /// What the state says of itself.
    pub state: Option<Meta>,
    pub state_topic: &'k str,
    /// Kafka's id of the topic that is there now.
    pub topic_id: &'k str,
    /// The first offset that the partition still holds.
    pub begin: i64,
    /// The last stable offset.
    pub end: i64,
    pub start_from: StartFrom,
}

/// Where a partition begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub start: i64,
    /// What is in the state does not belong to where it starts: the series begin with nothing.
    pub anew: bool,
    /// What people should know, as a reason and a message.
    pub notice: Option<(&'static str, String)>,
}

/// Decides where to go on. `broken` is what is wrong with the state, if it cannot be used.
pub(super) fn plan(known: &Known<'_>, broken: Option<&str>) -> Plan {
    let Known {
        begin,
        end,
        state_topic,
        ..
    } = *known;
    let new = match known.start_from {
        StartFrom::Earliest => begin,
        StartFrom::Latest => end,
    };
    let mut anew = false;
    let (start, notice) = match (known.committed, &known.state) {
        // Of a topic that is no more. The series go on, as their names do; nothing of the new topic is in them.
        // Of a topic that is no more: what was committed with that state was an offset in that one. The series go on, as their
        // names do; nothing of the new topic is in them.
        (committed, Some(state))
            if state.topic_id != known.topic_id
                && committed.is_none_or(|committed| committed == state.offset) =>
        {
            (begin, None)
        }
        (Some(committed), Some(state)) if state.topic_id != known.topic_id => (committed, None),
        (None, Some(state)) => (state.offset, None),
        (Some(committed), Some(state)) if committed == state.offset => (committed, None),
        (Some(committed), Some(state)) => {
            // Whoever moved it, counted or not what lies between: a counter that goes on would tell of an increase that was none.
            anew = true;
            let message = format!(
                "the group's offset is {committed}, but the state stands at {}: somebody has set the one, or consumed without the other; it is consumed from {committed}, and its series begin anew",
                state.offset
            );
            (committed, Some(("OffsetsChanged", message)))
        }
        (None, None) => {
            let lost = |why| {
                format!(
                    "its state in {state_topic} is lost: {why}; its series begin anew, from offset {new}"
                )
            };
            (new, broken.map(|why| ("StateLost", lost(why))))
        }
        (Some(committed), None) => {
            let why = broken.unwrap_or("there is nothing of it");
            let message = format!(
                "its state in {state_topic} is lost: {why}; its series begin anew, from offset {committed}"
            );
            (committed, Some(("StateLost", message)))
        }
    };
    if start < begin {
        let message = format!(
            "{} records from offset {start} were deleted by the topic's retention before they were consumed",
            begin - start
        );
        let notice = notice.or(Some(("RecordsLost", message)));
        return Plan {
            start: begin,
            anew,
            notice,
        };
    }
    if start > end {
        let message = format!(
            "Kafka has lost the records from offset {end} to {start}, which were consumed before: it goes on at {end}"
        );
        let notice = notice.or(Some(("RecordsLost", message)));
        return Plan {
            start: end,
            anew,
            notice,
        };
    }
    Plan {
        start,
        anew,
        notice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(offset: i64, topic_id: &str) -> Option<Meta> {
        Some(Meta {
            offset,
            topic_id: topic_id.into(),
            ..Meta::default()
        })
    }

    #[test]
    fn it_goes_on_where_state_and_offsets_stand() {
        use StartFrom::{Earliest, Latest};
        // The partition holds the offsets 10 to 99.
        let cases = [
            ("new", None, None, Earliest, 10, None),
            ("new, with the latest", None, None, Latest, 100, None),
            (
                "both are there",
                Some(50),
                state(50, "now"),
                Earliest,
                50,
                None,
            ),
            (
                "the offsets have expired",
                None,
                state(50, "now"),
                Latest,
                50,
                None,
            ),
            (
                "reset by hand",
                Some(20),
                state(50, "now"),
                Earliest,
                20,
                Some("OffsetsChanged"),
            ),
            (
                "the state is gone",
                Some(50),
                None,
                Earliest,
                50,
                Some("StateLost"),
            ),
            ("another topic", None, state(50, "then"), Latest, 10, None),
            (
                "another topic, committed to by the old offset",
                Some(50),
                state(50, "then"),
                Earliest,
                10,
                None,
            ),
            (
                "another topic, begun",
                Some(30),
                state(50, "then"),
                Earliest,
                30,
                None,
            ),
            (
                "deleted by retention",
                Some(4),
                state(4, "now"),
                Earliest,
                10,
                Some("RecordsLost"),
            ),
            (
                "cut off",
                Some(120),
                state(120, "now"),
                Earliest,
                100,
                Some("RecordsLost"),
            ),
        ];
        for (name, committed, state, start_from, start, reason) in cases {
            let known = Known {
                committed,
                state,
                state_topic: "s",
                topic_id: "now",
                begin: 10,
                end: 100,
                start_from,
            };
            let plan = plan(&known, None);
            assert_eq!(plan.start, start, "{name}");
            assert_eq!(plan.anew, reason == Some("OffsetsChanged"), "{name}");
            assert_eq!(plan.notice.map(|(reason, _)| reason), reason, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_state_is_told() {
        let known = Known {
            committed: Some(50),
            state: None,
            state_topic: "s",
            topic_id: "now",
            begin: 10,
            end: 100,
            start_from: StartFrom::Earliest,
        };
        let (_, message) = plan(&known, Some("2 of 3 pages")).notice.expect("a notice");
        assert!(message.contains("2 of 3 pages"), "{message}");
    }
}
