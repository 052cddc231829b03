use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::scan::Raw;

/// A string of an event: either as it stood in the JSON, so that it can be copied into other JSON as it is, or plain.
#[derive(Clone)]
pub struct Text<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    /// In quotes, with escapes; checked to decode.
    Escaped(&'a str),
    /// In quotes, without escapes.
    Quoted(&'a str),
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// Takes a JSON value if it is a string that decodes.
    #[inline]
    pub(crate) fn from_json(value: Raw<'a>) -> Option<Self> {
        match value.is_string() {
            true if value.escaped => Self::from_escaped(value.json),
            true => Some(Text(Repr::Quoted(value.json))),
            false => None,
        }
    }

    /// As [`Text::from_json`]; half of a surrogate pair, which a file's name decoded by Python can have, is U+FFFD instead.
    pub(crate) fn from_json_lossy(value: Raw<'a>) -> Option<Self> {
        match Self::from_json(value) {
            None if value.is_string() => {
                let whole = without_halves(value.json);
                serde_json::from_str(&whole).ok().map(String::into)
            }
            text => text,
        }
    }

    fn from_escaped(json: &'a str) -> Option<Self> {
        // All of a string has been checked but the pairing of surrogates.
        let surrogates = json.contains("\\ud") || json.contains("\\uD");
        if surrogates && serde_json::from_str::<String>(json).is_err() {
            return None;
        }
        Some(Text(Repr::Escaped(json)))
    }

    /// The string, decoded where it has escapes.
    pub fn as_str(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Plain(text) => Cow::Borrowed(text),
            Repr::Quoted(json) => Cow::Borrowed(inner(json)),
            Repr::Escaped(json) => decode(json),
        }
    }

    /// As [`Text::as_str`], borrowing from the record where possible.
    pub fn into_cow(self) -> Cow<'a, str> {
        match self.0 {
            Repr::Plain(text) => text,
            Repr::Quoted(json) => Cow::Borrowed(inner(json)),
            Repr::Escaped(json) => decode(json),
        }
    }

    /// The string as it stands in the JSON that it was read from, with quotes and escapes; `None` where it did not come
    /// from JSON.
    pub fn json(&self) -> Option<&str> {
        match &self.0 {
            Repr::Quoted(json) | Repr::Escaped(json) => Some(json),
            Repr::Plain(_) => None,
        }
    }

    /// Whether the string has no characters.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Repr::Plain(text) => text.is_empty(),
            Repr::Quoted(json) | Repr::Escaped(json) => inner(json).is_empty(),
        }
    }

    /// How much memory the string takes, about.
    #[cfg(feature = "producer")]
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Repr::Plain(text) => text.len(),
            Repr::Quoted(json) | Repr::Escaped(json) => json.len(),
        }
    }

    /// Appends the string as JSON, quotes included.
    #[inline]
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Quoted(json) | Repr::Escaped(json) => out.extend_from_slice(json.as_bytes()),
            Repr::Plain(text) => crate::json::write_str(out, text),
        }
    }
}

/// A JSON string with U+FFFD for each half of a surrogate pair.
#[cold]
fn without_halves(json: &str) -> String {
    let mut whole = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        whole.push_str(plain);
        let unit = |at: usize| {
            let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        let (escape, length) = match (unit(0), unit(6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (&escape[..12], 12),
            (Some(0xd800..=0xdfff), _) => ("\\ufffd", 6),
            // Behind a backslash, the escaped one may be another.
            _ => (&escape[..2], 2),
        };
        whole.push_str(escape);
        rest = &rest[at + length..];
    }
    whole + rest
}

fn inner(json: &str) -> &str {
    &json[1..json.len() - 1]
}

fn decode(json: &str) -> Cow<'_, str> {
    serde_json::from_str::<String>(json).map_or(Cow::Borrowed(inner(json)), Cow::Owned)
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
