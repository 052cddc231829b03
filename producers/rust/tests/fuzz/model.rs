//! What logs and business events say, read a second way: by serde_json alone.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bt_events::{Body, Event, Text};
use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

/// An event's fields by name: strings decoded, all else as JSON text.
pub type Words = BTreeMap<String, String>;
type Members<'a> = HashMap<String, &'a RawValue>;

/// Whether the event is of a kind that is read here.
pub fn is_text(event: &Event<'_>) -> bool {
    matches!(event.body, Body::Log(_) | Body::Business(_))
}

/// What the event says by its reader.
pub fn of_event(event: &Event<'_>) -> Words {
    let mut words = Words::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Text<'_>| text.as_str().into_owned();
    put("service", Some(text(&event.service)));
    put("instance", event.instance.as_ref().map(text));
    put("id", event.id.as_ref().map(text));
    put(
        "ts",
        (!event.ts.is_out_of_range()).then(|| event.ts.at().to_string()),
    );
    match &event.body {
        Body::Log(log) => {
            put("level", Some(text(&log.level)));
            put("message", Some(text(&log.message)));
            put("logger", log.logger.as_ref().map(text));
            put("trace_id", log.trace_id.as_ref().map(text));
            put("span_id", log.span_id.as_ref().map(text));
            if let Some(error) = &log.error {
                put("error.type", error.r#type.as_ref().map(text));
                put("error.message", error.message.as_ref().map(text));
                put("error.stack_trace", error.stack_trace.as_ref().map(text));
            }
            for (name, value) in &log.fields {
                put(&format!("fields.{name}"), Some(value.to_owned()));
            }
        }
        Body::Business(business) => {
            put("type", Some(text(&business.r#type)));
            put(
                "payload",
                business.payload.as_ref().map(|p| p.get().to_owned()),
            );
        }
        Body::Metric(_) | Body::Health(_) => {}
    }
    for (name, value) in &event.extra {
        put(&format!("extra.{name}"), Some(value.get().to_owned()));
    }
    words
}

/// What the log or business event says by serde_json; `None` where the text is neither.
pub fn of_json(text: &str) -> Option<Words> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let all: Members<'_> = serde_json::from_str(text).ok()?;
    let mut left = all;
    left.retain(|_, value| value.get() != "null");
    let has = |name: &str| left.contains_key(name);
    let metric = has("name") && has("kind") && has("value");
    let log = has("level") && has("message");
    let business = !metric && !log && !has("status") && has("type");
    let half = has("kind") || has("name") && has("value");
    let neither = metric || (!log && (has("status") || half || !(has("level") || has("message"))));
    if !business && neither {
        return None;
    }
    let mut words = Words::new();
    let ts = time(left.remove("ts")?.get())?;
    if let Ok(at) = ts {
        words.insert("ts".into(), at.to_string());
    }
    let required: &[&str] = match business {
        true => &["service", "type"],
        false => &["service", "level", "message"],
    };
    let optional: &[&str] = match business {
        true => &["instance", "id"],
        false => &["instance", "id", "logger", "trace_id", "span_id"],
    };
    for name in required.iter().chain(optional) {
        let Some(value) = left.remove(*name) else {
            match required.contains(name) {
                true => return None,
                false => continue,
            }
        };
        let value = match *name {
            "message" => lossy(value.get())?,
            _ => serde_json::from_str::<String>(value.get()).ok()?,
        };
        match (*name, value.is_empty()) {
            ("service" | "type", true) => return None,
            ("instance" | "id", true) => {}
            _ => drop(words.insert((*name).to_owned(), value)),
        }
    }
    if business {
        if let Some(payload) = left.remove("payload") {
            words.insert("payload".into(), payload.get().to_owned());
        }
    } else {
        if let Some(fields) = left.remove("fields") {
            let fields: Members<'_> = serde_json::from_str(fields.get()).ok()?;
            words.extend(prefixed("fields", fields));
        }
        if let Some(error) = left.remove("error") {
            words.extend(of_error(error.get())?);
        }
    }
    words.extend(prefixed("extra", left));
    Some(words)
}

fn of_error(json: &str) -> Option<Words> {
    if let Some(message) = lossy(json) {
        return Some(Words::from([("error.message".into(), message)]));
    }
    let members: Members<'_> = serde_json::from_str(json).ok()?;
    let words = members
        .into_iter()
        .filter(|(_, value)| value.get() != "null");
    let words = words.map(|(name, value)| {
        Some(match name.as_str() {
            "type" => ("error.type".into(), serde_json::from_str(value.get()).ok()?),
            "message" | "stack_trace" => (format!("error.{name}"), lossy(value.get())?),
            _ => (format!("extra.error.{name}"), value.get().to_owned()),
        })
    });
    words.collect()
}

fn prefixed(prefix: &str, members: Members<'_>) -> Vec<(String, String)> {
    let word =
        |(name, value): (String, &RawValue)| (format!("{prefix}.{name}"), value.get().to_owned());
    members.into_iter().map(word).collect()
}

/// A string; halves of surrogate pairs are U+FFFD.
fn lossy(json: &str) -> Option<String> {
    struct Bytes(Vec<u8>);
    struct ToBytes;
    impl Visitor<'_> for ToBytes {
        type Value = Bytes;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
            Ok(Bytes(bytes.to_vec()))
        }
    }
    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(ToBytes)
        }
    }
    // serde_json gives the halves as UTF-8 would have them, if they were characters.
    let mut bytes = serde_json::from_str::<Bytes>(json).ok()?.0;
    while let Some(at) = bytes.windows(2).position(|w| w[0] == 0xed && w[1] >= 0xa0) {
        bytes.splice(at..at + 3, "\u{fffd}".bytes());
    }
    String::from_utf8(bytes).ok()
}

/// A time: `None` where it is none, `Err` where there is no such time.
pub fn time(json: &str) -> Option<Result<Timestamp, ()>> {
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).ok()?;
        return text.parse().ok().map(Ok);
    }
    let millis = match json.parse::<i64>() {
        Ok(millis) => millis,
        Err(_) => json.parse::<f64>().ok()?.floor() as i64,
    };
    Some(Timestamp::from_millisecond(millis).map_err(drop))
}
