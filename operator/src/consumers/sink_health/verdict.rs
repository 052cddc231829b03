use bt_consumers::{SinkCondition, SinkReport};

use super::super::status::Verdict;
use crate::api::TelemetryConsumerStatus;

/// As it was when pods were asked last, until this process has asked them: another leader changes nothing about the sink.
pub fn before(status: Option<&TelemetryConsumerStatus>) -> Verdict {
    use SinkCondition::{Ready, Rejecting, Starting, Unauthorized, Unavailable, Unreachable};
    let told = [
        Ready,
        Starting,
        Rejecting,
        Unavailable,
        Unauthorized,
        Unreachable,
    ];
    let known = |reason: &str| {
        let reasons = told.map(SinkCondition::as_str).into_iter();
        reasons
            .chain(["NoPods", "PodsUnreachable"])
            .find(|known| *known == reason)
    };
    let was = status.and_then(|status| {
        let mut conditions = status.conditions.iter();
        let was = conditions.find(|condition| condition.kind == "SinkReady")?;
        let mut states = ["True", "False", "Unknown"].into_iter();
        let state = states.find(|state| *state == was.status)?;
        Some((state, known(&was.reason)?, was.message.clone()))
    });
    was.unwrap_or_else(|| {
        (
            "Unknown",
            "PodsUnreachable",
            "the pods have not been asked yet".into(),
        )
    })
}

/// Without a pod nobody sees the sink.
pub fn no_pods() -> Verdict {
    ("Unknown", "NoPods", "no pod runs that could tell".into())
}

/// `SinkReady` from the pods that were asked: whether each is ready, and what it answered. The worst of the ready ones counts; of
/// those that are not ready only where none is, for they may be of a revision that is on trial.
pub fn of(asked: &[(bool, &Result<SinkReport, String>)]) -> Verdict {
    let any_ready = asked.iter().any(|(ready, _)| *ready);
    let asked: Vec<_> = asked
        .iter()
        .filter(|(ready, _)| *ready == any_ready)
        .map(|(_, answer)| *answer)
        .collect();
    if asked.is_empty() {
        return no_pods();
    }
    let reports: Vec<&SinkReport> = asked
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    let worst = reports.iter().map(|report| report.state).max();
    let silent = asked.iter().find_map(|answer| answer.as_ref().err());
    match (worst, silent) {
        (None | Some(SinkCondition::Ready | SinkCondition::Starting), Some(why)) => {
            let count = asked.len() - reports.len();
            let message = format!("{count} of {} pods did not answer: {why}", asked.len());
            ("Unknown", "PodsUnreachable", message)
        }
        (None, None) => no_pods(),
        (Some(SinkCondition::Starting), None)
            if reports
                .iter()
                .all(|report| report.state == SinkCondition::Starting) =>
        {
            (
                "Unknown",
                "Starting",
                "the pods have not reached the sink yet".into(),
            )
        }
        (Some(SinkCondition::Ready | SinkCondition::Starting), None) => {
            let mut message = "the pods' deliveries are taken".to_owned();
            if let Some(told) = told(&reports, SinkCondition::Ready) {
                message = format!("{message}; {told}");
            }
            ("True", "Ready", message)
        }
        (Some(worst), _) => {
            let message = told(&reports, worst).unwrap_or_default();
            ("False", worst.as_str(), message)
        }
    }
}

/// How many pods have something to tell in this state, and what the first of them tells.
fn told(reports: &[&SinkReport], state: SinkCondition) -> Option<String> {
    let mut telling = reports
        .iter()
        .filter(|report| report.state == state && !report.message.is_empty());
    let first = telling.next()?;
    let count = 1 + telling.count();
    Some(format!(
        "{count} of {} pods: {}",
        reports.len(),
        first.message
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use SinkCondition::{Ready, Rejecting, Starting, Unauthorized, Unreachable};

    fn says(state: SinkCondition, message: &str) -> Result<SinkReport, String> {
        Ok(SinkReport {
            notices: Vec::new(),
            state,
            message: message.into(),
            since: "2026-01-01T00:00:00Z".into(),
            rejected: 0,
            taken: 0,
        })
    }

    #[test]
    fn until_pods_are_asked_it_is_as_it_was() {
        let was = |kind: &str, status: &str, reason: &str| {
            let mut was = TelemetryConsumerStatus::default();
            let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            );
            crate::api::set_condition(
                &mut was.conditions,
                kind,
                status,
                reason,
                "it said so",
                None,
                now,
            );
            let (status, reason, message) = before(Some(&was));
            (status, reason, message == "it said so")
        };
        assert_eq!(
            was("SinkReady", "False", "Unreachable"),
            ("False", "Unreachable", true)
        );
        assert_eq!(was("SinkReady", "True", "Ready"), ("True", "Ready", true));
        let unknown = ("Unknown", "PodsUnreachable", false);
        assert_eq!(was("Ready", "True", "Running"), unknown);
        // The sink was another one.
        assert_eq!(was("SinkReady", "Unknown", "CustomSink"), unknown);
        assert_eq!(before(None).1, "PodsUnreachable");
    }

    #[test]
    fn the_worst_of_the_ready_pods_counts() {
        let silent = || Err("http://10.0.0.1:8080/sink: connection refused".to_owned());
        let fine = || says(Ready, "");
        type Asked = Vec<(bool, Result<SinkReport, String>)>;
        let cases: [(&str, Asked, (&str, &str), &str); 12] = [
            ("nobody", vec![], ("Unknown", "NoPods"), "no pod"),
            (
                "all well",
                vec![(true, fine()), (true, fine())],
                ("True", "Ready"),
                "taken",
            ),
            (
                "some rejected",
                vec![(true, fine()), (true, says(Ready, "1 of 9 events"))],
                ("True", "Ready"),
                "1 of 2 pods: 1 of 9 events",
            ),
            (
                "one does not reach it",
                vec![
                    (true, fine()),
                    (true, says(Unreachable, "http://es:9200: refused")),
                ],
                ("False", "Unreachable"),
                "1 of 2 pods: http://es:9200: refused",
            ),
            (
                "the worst of three",
                vec![
                    (true, says(Rejecting, "bad")),
                    (true, says(Unauthorized, "401")),
                    (true, says(Unauthorized, "401")),
                ],
                ("False", "Unauthorized"),
                "2 of 3 pods: 401",
            ),
            (
                "a new revision on trial does not count",
                vec![(true, fine()), (false, says(Unreachable, "no such host"))],
                ("True", "Ready"),
                "taken",
            ),
            (
                "unless there is no other",
                vec![(false, says(Unreachable, "no such host"))],
                ("False", "Unreachable"),
                "1 of 1 pods: no such host",
            ),
            (
                "starting",
                vec![(false, says(Starting, "not set up"))],
                ("Unknown", "Starting"),
                "not reached",
            ),
            (
                "one is starting",
                vec![(true, says(Starting, "")), (true, fine())],
                ("True", "Ready"),
                "taken",
            ),
            (
                "one is silent",
                vec![(true, fine()), (true, silent())],
                ("Unknown", "PodsUnreachable"),
                "1 of 2 pods did not answer: http://10.0.0.1:8080/sink",
            ),
            (
                "all are silent",
                vec![(true, silent())],
                ("Unknown", "PodsUnreachable"),
                "1 of 1 pods",
            ),
            (
                "what is told counts more than silence",
                vec![(true, silent()), (true, says(Rejecting, "all bad"))],
                ("False", "Rejecting"),
                "all bad",
            ),
        ];
        for (name, asked, expected, message) in cases {
            let asked: Vec<_> = asked
                .iter()
                .map(|(ready, answer)| (*ready, answer))
                .collect();
            let verdict = of(&asked);
            assert_eq!((verdict.0, verdict.1), expected, "{name}: {verdict:?}");
            assert!(verdict.2.contains(message), "{name}: {verdict:?}");
        }
    }
}
