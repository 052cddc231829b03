use std::ops::RangeInclusive;

use bt_events::Event;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use crate::pipeline::Origin;

/// What a name with placeholders begins with, at least, in bytes: it keeps all that events can choose apart from others' indices.
const MIN_PREFIX: usize = 3;
/// The most of a name that comes from a service, in bytes.
const MAX_SERVICE: usize = 100;
const DIGEST: usize = "_0123456789abcdef".len();
const DATE: usize = "2026.11.23".len();
/// Of an index's name, in bytes: 255, of which a data stream's backing index has `.ds-` before and `-2026.11.23-000001` behind.
const MAX_NAME: usize = 255 - 22;
/// Where an event's time may lie, seen from its record's.
const BELIEVED: RangeInclusive<SignedDuration> =
    SignedDuration::from_hours(-7 * 24)..=SignedDuration::from_hours(24);

/// The data stream of each event: the configured name with its placeholders filled in.
///
/// What events put in is confined: only the part of a placeholder changes, and in it there is neither a hyphen, which parts a data
/// stream's name (`type-dataset-namespace`), nor, from a service, a dot.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    name: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Service,
    Date,
}

impl Target {
    /// # Errors
    /// What is wrong with the name, as words that can stand behind it.
    pub fn parse(data_stream: &str) -> Result<Self, String> {
        let parts = parts(data_stream)?;
        let longest: usize = parts.iter().map(Part::max_len).sum();
        if data_stream.is_empty() || longest > MAX_NAME {
            return Err(format!(
                "must have 1 to {MAX_NAME} bytes, counting {MAX_SERVICE} for {{service}} and {DATE} for {{date}}; it has {longest}"
            ));
        }
        if data_stream.starts_with(['-', '_', '+', '.']) {
            return Err("must not begin with - _ + or a dot".into());
        }
        let wrong = |c: char| {
            c.is_uppercase() || c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(c)
        };
        let literals = parts.iter().filter_map(Part::literal);
        if literals.clone().any(|literal| literal.contains(wrong)) {
            return Err(
                "must be lower case, without white space and without \\ / * ? \" < > | , # :"
                    .into(),
            );
        }
        let prefix = parts[0].literal().map_or(0, str::len);
        if parts.len() > literals.count() && prefix < MIN_PREFIX {
            return Err(format!(
                "must have at least {MIN_PREFIX} characters before its first placeholder, for example logs-{data_stream}"
            ));
        }
        Ok(Self {
            name: data_stream.to_owned(),
            parts,
        })
    }

    /// The name, where it is the same for all events.
    pub fn fixed(&self) -> Option<&str> {
        match &*self.parts {
            [Part::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// The pattern that all names match: `*` for each placeholder.
    pub fn pattern(&self) -> String {
        self.name.replace("{service}", "*").replace("{date}", "*")
    }

    /// Appends the name for an event.
    pub fn name(&self, out: &mut Vec<u8>, event: &Event<'_>, origin: &Origin<'_>) {
        let at = (!event.ts.is_out_of_range()).then(|| event.ts.at());
        self.fill_in(out, &event.service.as_str(), at, origin);
    }

    /// Appends the name for what is no event.
    pub fn name_of_malformed(&self, out: &mut Vec<u8>, origin: &Origin<'_>) {
        self.fill_in(out, "", None, origin);
    }

    fn fill_in(
        &self,
        out: &mut Vec<u8>,
        service: &str,
        at: Option<Timestamp>,
        origin: &Origin<'_>,
    ) {
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
                Part::Service => write_service(out, service),
                Part::Date => write_date(out, day(at, origin)),
            }
        }
    }
}

impl Part {
    fn literal(&self) -> Option<&str> {
        match self {
            Part::Literal(literal) => Some(literal),
            Part::Service | Part::Date => None,
        }
    }

    fn max_len(&self) -> usize {
        match self {
            Part::Literal(literal) => literal.len(),
            Part::Service => MAX_SERVICE,
            Part::Date => DATE,
        }
    }
}

fn parts(name: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, tail) = rest.split_at(at);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let Some((placeholder, behind)) = tail.strip_prefix('{').and_then(|t| t.split_once('}'))
        else {
            return Err(format!(
                "must have each {{ closed by a }}: there is one without the other at {tail:?}"
            ));
        };
        parts.push(match placeholder {
            "service" => Part::Service,
            "date" => Part::Date,
            _ => {
                return Err(format!(
                    "has the unknown placeholder {{{placeholder}}}: there are {{service}} and {{date}}"
                ));
            }
        });
        rest = behind;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

/// Appends a service's name in lower case; `_` stands for all that is neither a letter nor a digit.
fn write_service(out: &mut Vec<u8>, service: &str) {
    if service.is_empty() {
        out.extend_from_slice(b"_unknown");
        return;
    }
    let start = out.len();
    let confined = service.bytes().filter_map(|byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' => Some(byte),
        b'A'..=b'Z' => Some(byte.to_ascii_lowercase()),
        // One for a character, however many bytes it has.
        0x80..=0xbf => None,
        _ => Some(b'_'),
    });
    out.extend(confined.take(MAX_SERVICE + 1));
    if out.len() - start > MAX_SERVICE {
        out.truncate(start + MAX_SERVICE - DIGEST);
        out.extend_from_slice(format!("_{:016x}", fnv1a(service)).as_bytes());
    }
}

/// FNV-1a: the same in every version and on every machine.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The event's day, if its time can be believed, else its record's. A clock that is wrong, or seconds sent as milliseconds, would make
/// indices that nobody looks for, one for each day. The yardstick is the record's time and not ours, as a record that is read
/// again has to go where it went before.
fn day(event: Option<Timestamp>, origin: &Origin<'_>) -> Date {
    let record = origin
        .timestamp
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let believed =
        |at: &Timestamp| record.is_none_or(|record| BELIEVED.contains(&at.duration_since(record)));
    let at = event.filter(believed).or(record).unwrap_or_default();
    // Four digits for the year.
    Offset::UTC
        .to_datetime(at.max(Timestamp::UNIX_EPOCH))
        .date()
}

fn write_date(out: &mut Vec<u8>, date: Date) {
    let digit = |number: i16| b'0' + (number % 10) as u8;
    let (year, month, day) = (date.year(), date.month().into(), date.day().into());
    out.extend_from_slice(&[
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'.',
        digit(month / 10),
        digit(month),
        b'.',
        digit(day / 10),
        digit(day),
    ]);
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
