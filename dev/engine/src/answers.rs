use bytes::Bytes;
use serde_json::{Value, json};

use crate::script::RetryAfter;

/// What is answered to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Bytes,
    pub retry_after: Option<RetryAfter>,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            body: body.to_string().into(),
            retry_after: None,
        }
    }

    pub fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub fn acknowledged() -> Self {
        Self::ok(&json!({"acknowledged": true}))
    }

    pub fn error(status: u16, kind: &str, reason: &str) -> Self {
        let error = json!({"type": kind, "reason": reason});
        let all = json!({
            "error": {"root_cause": [error], "type": kind, "reason": reason},
            "status": status,
        });
        Self::json(status, &all)
    }

    pub fn no_such_index(name: &str) -> Self {
        Self::error(
            404,
            "index_not_found_exception",
            &format!("no such index [{name}]"),
        )
    }

    pub fn retry_after(mut self, retry_after: Option<RetryAfter>) -> Self {
        self.retry_after = retry_after;
        self
    }
}
