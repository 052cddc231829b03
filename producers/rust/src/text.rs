use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A string of an event: either as it stood in the JSON, so that it can be copied into other JSON as it is, or plain.
#[derive(Clone)]
pub struct Text<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    /// With its quotes and escapes; checked to decode.
    Json(&'a str),
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// Takes a JSON value if it is a string.
    pub(crate) fn from_json(value: &'a RawValue) -> Option<Self> {
        let json = value.get();
        if !json.starts_with('"') {
            return None;
        }
        // serde_json checks everything about a skipped string but the pairing of surrogates.
        let surrogates = json.contains("\\ud") || json.contains("\\uD");
        if surrogates && serde_json::from_str::<String>(json).is_err() {
            return None;
        }
        Some(Text(Repr::Json(json)))
    }

    /// The string, decoded where it has escapes.
    pub fn as_str(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Plain(text) => Cow::Borrowed(text),
            Repr::Json(json) => decode(json),
        }
    }

    /// As [`Text::as_str`], borrowing from the record where possible.
    pub fn into_cow(self) -> Cow<'a, str> {
        match self.0 {
            Repr::Plain(text) => text,
            Repr::Json(json) => decode(json),
        }
    }

    /// Whether the string has no characters.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Repr::Plain(text) => text.is_empty(),
            Repr::Json(json) => json.len() == 2,
        }
    }

    /// Appends the string as JSON, quotes included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Json(json) => out.extend_from_slice(json.as_bytes()),
            Repr::Plain(text) => crate::json::write_str(out, text),
        }
    }
}

fn decode(json: &str) -> Cow<'_, str> {
    let inner = &json[1..json.len() - 1];
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str::<String>(json).map_or(Cow::Borrowed(inner), Cow::Owned)
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(Repr::Plain(Cow::Borrowed(text)))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Repr::Plain(Cow::Owned(text)))
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_str(), f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_str())
    }
}
