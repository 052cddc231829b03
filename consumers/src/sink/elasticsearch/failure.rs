use reqwest::StatusCode;

use super::answer::Outcome;
use super::client::{NoAnswer, Response};
use crate::sink_state::SinkCondition;

/// Why the engine takes nothing, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub kind: SinkCondition,
    pub why: String,
}

impl Failure {
    /// An answer that is none to `what`.
    pub fn answer(what: &str, response: &Response) -> Self {
        let status = response.status;
        Self {
            kind: kind(status),
            why: format!("{what}: {status} {}", response.excerpt()),
        }
    }

    /// An answer of success that cannot be made sense of: something else than the engine stands there.
    pub fn nonsense(what: &str, response: &Response) -> Self {
        Self {
            kind: SinkCondition::Unreachable,
            ..Self::answer(what, response)
        }
    }

    /// An answer of success that tells of failures.
    pub fn unavailable(what: &str, response: &Response) -> Self {
        Self {
            kind: SinkCondition::Unavailable,
            ..Self::answer(what, response)
        }
    }

    /// A document that may be taken later.
    pub fn document(outcome: &Outcome<'_>) -> Self {
        let status = StatusCode::from_u16(outcome.status).unwrap_or_default();
        let error = outcome.error.as_ref();
        let kind = match error {
            Some(error) if error.r#type.0 == "security_exception" => SinkCondition::Unauthorized,
            _ => SinkCondition::Unavailable,
        };
        let why = match error {
            Some(error) => format!("{status}: {error}"),
            None => status.to_string(),
        };
        Self { kind, why }
    }
}

impl From<NoAnswer> for Failure {
    fn from(error: NoAnswer) -> Self {
        let kind = match error {
            NoAnswer::Credentials(_) => SinkCondition::Unauthorized,
            NoAnswer::Lost { .. } | NoAnswer::Authorities(_) => SinkCondition::Unreachable,
        };
        Self {
            kind,
            why: error.to_string(),
        }
    }
}

fn kind(status: StatusCode) -> SinkCondition {
    match status.as_u16() {
        401 | 403 => SinkCondition::Unauthorized,
        429 | 500.. => SinkCondition::Unavailable,
        _ => SinkCondition::Rejecting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SinkCondition::{Rejecting, Unauthorized, Unavailable};

    #[test]
    fn the_status_tells_what_is_the_matter() {
        for (status, expected) in [
            (400, Rejecting),
            (401, Unauthorized),
            (403, Unauthorized),
            (404, Rejecting),
            (429, Unavailable),
            (500, Unavailable),
            (503, Unavailable),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(kind(status), expected, "{status}");
        }
    }

    #[test]
    fn a_document_refused_for_lack_of_rights_is_told_apart() {
        fn outcome(json: &str) -> Outcome<'_> {
            serde_json::from_str(json).expect("an outcome")
        }
        let forbidden = Failure::document(&outcome(
            r#"{"status":403,"error":{"type":"security_exception","reason":"action [indices:data/write] is unauthorized"}}"#,
        ));
        assert_eq!(forbidden.kind, Unauthorized);
        assert!(
            forbidden
                .why
                .contains("403 Forbidden: security_exception: action")
        );
        let busy = Failure::document(&outcome(r#"{"status":429}"#));
        assert_eq!(
            (busy.kind, &*busy.why),
            (Unavailable, "429 Too Many Requests")
        );
    }
}
