use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;

use super::super::client::{Client, Response};
use super::super::failure::Failure;
use crate::sink_state::SinkCondition;

pub(super) const MANAGED_BY: &str = "bt-monitoring";
const JSON: &str = "application/json";
/// The longest quotation of the engine's words, in characters.
const MAX_WORDS: usize = 400;

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Undone {
    /// It may be done later.
    Later(Failure),
    /// The engine refuses it, in its own words: it goes on without.
    Refused(Failure),
}

impl Undone {
    /// Not for the engine to take, but for people to settle.
    pub fn refused(why: String) -> Self {
        Self::Refused(Failure {
            kind: SinkCondition::Rejecting,
            why,
        })
    }

    /// For steps that nothing goes on without.
    pub fn failure(self) -> Failure {
        let (Self::Later(failure) | Self::Refused(failure)) = self;
        failure
    }
}

impl From<Failure> for Undone {
    fn from(failure: Failure) -> Self {
        Self::Later(failure)
    }
}

/// Sends a request; an answer says what can be said of it: no answer, too busy and out of order are failures.
pub(super) async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Response, Failure> {
    let what = format!("{method} {path}");
    let body = body.map(|body| Bytes::from(body.to_string()));
    let answer = client.send(method, path, JSON, body).await?;
    match answer.status.as_u16() {
        429 | 500.. => Err(Failure::answer(&what, &answer)),
        _ => Ok(answer),
    }
}

/// As [`send`]: the JSON of the answer, where the engine does it.
pub(super) async fn json(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Undone> {
    let what = format!("{method} {path}");
    let answer = send(client, method, path, body).await?;
    if !answer.status.is_success() {
        return Err(refusal(&what, &answer));
    }
    serde_json::from_slice(&answer.body).map_err(|_| Failure::nonsense(&what, &answer).into())
}

/// As [`json`], `None` where there is no such thing.
pub(super) async fn get(client: &Client, path: &str) -> Result<Option<Value>, Undone> {
    let answer = send(client, Method::GET, path, None).await?;
    match answer.status.as_u16() {
        404 => Ok(None),
        200..=299 => serde_json::from_slice(&answer.body)
            .map(Some)
            .map_err(|_| Failure::nonsense(&format!("GET {path}"), &answer).into()),
        _ => Err(refusal(&format!("GET {path}"), &answer)),
    }
}

/// What was refused, and the engine's words.
pub(super) fn refusal(what: &str, answer: &Response) -> Undone {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = &body["error"];
    let words = error["reason"].as_str().or(error.as_str());
    let words = words.map_or_else(|| answer.excerpt(), str::to_owned);
    let words: String = words.chars().take(MAX_WORDS).collect();
    Undone::Refused(Failure {
        why: format!("{what}: {} {words}", answer.status),
        ..Failure::answer(what, answer)
    })
}

/// A name as one segment of a path.
pub(in super::super) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b',' => {
                segment.push(char::from(byte));
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// Whether all of `ours` is in `theirs`. Engines give numbers and booleans of settings back as strings, and add what was left out.
pub(super) fn covers(theirs: &Value, ours: &Value) -> bool {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => ours
            .iter()
            .all(|(key, ours)| theirs.get(key).is_some_and(|theirs| covers(theirs, ours))),
        (Value::Array(theirs), Value::Array(ours)) => {
            let pairs = theirs.iter().zip(ours);
            theirs.len() == ours.len() && pairs.into_iter().all(|(a, b)| covers(a, b))
        }
        (Value::String(text), other) | (other, Value::String(text)) => match other {
            Value::String(other) => text == other,
            Value::Number(number) => *text == number.to_string(),
            Value::Bool(value) => text == if *value { "true" } else { "false" },
            _ => false,
        },
        _ => theirs == ours,
    }
}

/// Whether they say the same.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    covers(one, other) && covers(other, one)
}
