use jiff::Timestamp;
use jiff::civil::{Date, Time as Clock};
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

use crate::scan::Raw;

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

    pub(crate) fn from_json(value: Raw<'a>) -> Option<Self> {
        let json = value.json;
        if let Some(at) = value.plain().and_then(utc) {
            let json = Some(json);
            return Some(Time { at, json });
        }
        if value.is_string() {
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

/// Reads `2026-05-01T10:00:00.123Z`, with up to nine digits of a second's fraction or none: what nearly every producer
/// writes. All else is left to jiff's own parser, which costs more.
fn utc(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        i1,
        i2,
        b':',
        s1,
        s2,
    ] = head
    else {
        return None;
    };
    let nanos = match tail {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if matches!(digits.len(), 1..=9) => {
            number(digits)? * 10_i32.pow(9 - digits.len() as u32)
        }
        _ => return None,
    };
    let two = |tens: u8, ones: u8| number(&[tens, ones]).map(|number| number as i8);
    let year = number(&[y1, y2, y3, y4])? as i16;
    let date = Date::new(year, two(m1, m2)?, two(d1, d2)?).ok()?;
    let clock = Clock::new(two(h1, h2)?, two(i1, i2)?, two(s1, s2)?, nanos).ok()?;
    Offset::UTC.to_timestamp(date.to_datetime(clock)).ok()
}

/// The number that up to nine digits are.
#[inline]
fn number(digits: &[u8]) -> Option<i32> {
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i32::from(digit - b'0');
    }
    Some(number)
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
