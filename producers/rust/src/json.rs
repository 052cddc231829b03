//! JSON that is kept and passed on as text.

use std::borrow::Cow;

use serde::ser::{Error, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value that is kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawJson<'a>(Cow<'a, str>);

impl<'a> RawJson<'a> {
    /// Takes text that is known to be one JSON value without white space around it.
    pub(crate) fn checked(json: &'a str) -> Self {
        RawJson(Cow::Borrowed(json))
    }

    /// A string.
    pub(crate) fn text(text: &str) -> RawJson<'static> {
        let mut json = Vec::with_capacity(text.len() + 2);
        write_str(&mut json, text);
        let json = String::from_utf8(json).expect("a string serialises to UTF-8");
        RawJson(Cow::Owned(json))
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl Serialize for RawJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

/// Any serialisable value as [`RawJson`].
///
/// # Errors
/// When the value has a map with keys that are not strings, or its own `Serialize` fails.
pub fn raw_json(value: &impl Serialize) -> Result<RawJson<'static>, serde_json::Error> {
    serde_json::to_string(value).map(|json| RawJson(Cow::Owned(json)))
}

/// Appends `text` as a JSON string.
pub(crate) fn write_str(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string always serialises into memory");
}

/// What a JSON value is, for messages.
pub(crate) fn kind_of(json: &str) -> &'static str {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
        None => "nothing",
    }
}

/// Why text is not the JSON of a `T`, in serde_json's words.
pub(crate) fn why_not<'a, T: Deserialize<'a>>(json: &'a str) -> String {
    match serde_json::from_str::<T>(json) {
        Err(error) => error.to_string(),
        Ok(_) => "it cannot be read".to_owned(),
    }
}
