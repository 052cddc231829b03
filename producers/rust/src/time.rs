use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// When an event happened: on the wire RFC 3339, or milliseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub struct Time<'a> {
    at: Timestamp,
    /// The JSON it was read from, where every reader of RFC 3339 or epoch milliseconds takes it as it is.
    json: Option<&'a str>,
}

impl<'a> Time<'a> {
    /// The present moment.
    pub fn now() -> Self {
        Timestamp::now().into()
    }

    /// The moment itself.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn from_json(value: &'a RawValue) -> Option<Self> {
        let json = value.get();
        if json.starts_with('"') {
            let text = crate::Text::from_json(value)?.into_cow();
            let at = text.parse().ok()?;
            let json = is_strict(&text).then_some(json);
            return Some(Time { at, json });
        }
        if let Ok(millis) = json.parse::<i64>() {
            let at = Timestamp::from_millisecond(millis).ok()?;
            let json = Some(json);
            return Some(Time { at, json });
        }
        let millis = json.parse::<f64>().ok().filter(|m| m.abs() < 1e15)?;
        let at = Timestamp::from_millisecond(millis.floor() as i64).ok()?;
        Some(Time { at, json: None })
    }

    /// Appends the time as JSON: an RFC 3339 string, or a number of milliseconds if it came as one.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self.json {
            Some(json) => out.extend_from_slice(json.as_bytes()),
            None => crate::json::write_str(out, &self.at.to_string()),
        }
    }
}

/// The plainest form of RFC 3339: jiff also takes a space for the `T`, commas, and a time zone's name at the end.
fn is_strict(text: &str) -> bool {
    let bytes = text.as_bytes();
    let zone = match bytes {
        [.., b'Z'] => 1,
        [.., b'+' | b'-', _, _, b':', _, _] => 6,
        _ => return false,
    };
    let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-' | b'T');
    bytes.len() >= 19 + zone
        && bytes.len() <= 29 + zone
        && bytes[10] == b'T'
        && bytes[..bytes.len() - zone].iter().all(plain)
}

impl From<Timestamp> for Time<'_> {
    fn from(at: Timestamp) -> Self {
        Time { at, json: None }
    }
}

impl PartialEq for Time<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Serialize for Time<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.at)
    }
}
