use reqwest::StatusCode;

use super::bulk::{ItemError, Outcome};
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

    /// A document that may be taken later.
    pub fn document(outcome: &Outcome) -> Self {
        let status = StatusCode::from_u16(outcome.status).unwrap_or_default();
        let error = outcome.error.as_ref();
        let kind = match error {
            Some(ItemError { r#type, .. }) if r#type == "security_exception" => {
                SinkCondition::Unauthorized
            }
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
        Self {
            kind: SinkCondition::Unreachable,
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
        let outcome = |json: &str| serde_json::from_str::<Outcome>(json).expect("an outcome");
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
