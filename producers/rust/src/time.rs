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

    /// Whether it was a number that is no time between the years -9999 and 9999, as one of microseconds mostly is. The moment is then
    /// the nearest that there is.
    pub fn is_out_of_range(&self) -> bool {
        self.at == Timestamp::MIN || self.at == Timestamp::MAX
    }

    /// Takes a JSON value if it is RFC 3339 or a number.
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
        let whole = json.parse::<i64>();
        let millis = match whole {
            Ok(millis) => millis,
            // What is too large becomes the largest that there is.
            Err(_) => json.parse::<f64>().ok()?.floor() as i64,
        };
        let Ok(at) = Timestamp::from_millisecond(millis) else {
            let at = match millis < 0 {
                true => Timestamp::MIN,
                false => Timestamp::MAX,
            };
            let json = Some(json);
            return Some(Time { at, json });
        };
        // A negative number is not a time to every reader.
        let plain = whole.is_ok() && !json.starts_with('-');
        let json = plain.then_some(json);
        Some(Time { at, json })
    }

    /// Appends the time as JSON: an RFC 3339 string, or a number of milliseconds if it came as one. One that is out of range is
    /// appended as it came.
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

/// The plainest form of RFC 3339: jiff also takes a space for the `T`, commas, leap seconds, and a time zone's name at the end. Java,
/// which Elasticsearch is written in, has no offset of more than 18 hours.
fn is_strict(text: &str) -> bool {
    let bytes = text.as_bytes();
    let zone = match bytes {
        [.., b'Z'] => 1,
        [.., b'-', b'0', b'0', b':', b'0', b'0'] => return false,
        [.., b'+' | b'-', b'0', _, b':', _, _] => 6,
        [.., b'+' | b'-', b'1', b'0'..=b'7', b':', _, _] => 6,
        _ => return false,
    };
    let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-' | b'T');
    bytes.len() >= 19 + zone
        && bytes.len() <= 29 + zone
        && bytes[10] == b'T'
        && bytes[17..19] != *b"60"
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
