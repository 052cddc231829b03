use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::kind_of;
use crate::{
    Body, Business, ErrorInfo, Event, EventError, Health, Kind, Log, Metric, Op, Text, Time,
};

/// Takes a record's value apart into the events it holds: itself, or the elements of its array. Elements are not
/// looked into before [`Element::event`], so that a bad one does not spoil the others.
///
/// # Errors
/// When the value as a whole is not JSON text.
pub fn parse(value: &[u8]) -> Result<Elements<'_>, EventError> {
    let text = std::str::from_utf8(value).map_err(|e| EventError::NotUtf8(e.valid_up_to()))?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if !text.starts_with('[') {
        return Ok(Elements(Inner::One(Some(text))));
    }
    let array: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|e| EventError::NotJson(e.to_string()))?;
    Ok(Elements(Inner::Many(array.into_iter().enumerate())))
}

/// The events of a record, see [`parse`].
pub struct Elements<'a>(Inner<'a>);

enum Inner<'a> {
    One(Option<&'a str>),
    Many(std::iter::Enumerate<std::vec::IntoIter<&'a RawValue>>),
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        match &mut self.0 {
            Inner::One(json) => json.take().map(|json| Element { place: None, json }),
            Inner::Many(array) => array.next().map(|(place, value)| Element {
                place: Some(place),
                json: value.get(),
            }),
        }
    }
}

/// One event of a record, not yet looked into.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    place: Option<usize>,
    json: &'a str,
}

impl<'a> Element<'a> {
    /// The place in the record's array, from 0; `None` when the record is one object.
    pub fn place(&self) -> Option<usize> {
        self.place
    }

    /// The element's JSON as it was sent.
    pub fn json(&self) -> &'a str {
        self.json
    }

    /// Reads the event.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn event(&self) -> Result<Event<'a>, EventError> {
        let json = self.json;
        if !json.starts_with('{') {
            // Tells broken JSON from JSON of the wrong shape.
            return Err(match serde_json::from_str::<&RawValue>(json) {
                Ok(_) => EventError::NotAnObject(kind_of(json)),
                Err(e) => EventError::NotJson(e.to_string()),
            });
        }
        let mut slots = Slots::default();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        (&mut slots)
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|e| EventError::NotJson(e.to_string()))?;
        slots.into_event()
    }
}

/// Declares the known fields once: the struct, the names, and where each goes.
macro_rules! slots {
    ($($field:ident: $name:literal),* $(,)?) => {
        /// The fields of an object as JSON text; what they mean depends on which of them are there.
        #[derive(Default)]
        struct Slots<'a> {
            $($field: Option<&'a RawValue>,)*
            extra: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
        }

        impl<'a> Slots<'a> {
            fn put(&mut self, name: Cow<'a, str>, value: &'a RawValue) {
                // An explicit null is a field left out.
                let known = (value.get() != "null").then_some(value);
                match name.as_ref() {
                    $($name => self.$field = known,)*
                    _ => self.extra.push((name, Cow::Borrowed(value))),
                }
            }
        }
    };
}

slots! {
    ts: "ts", service: "service", instance: "instance", id: "id",
    name: "name", kind: "kind", value: "value", op: "op", labels: "labels", help: "help", unit: "unit", buckets: "buckets",
    level: "level", message: "message", logger: "logger", trace_id: "trace_id", span_id: "span_id",
    error: "error", fields: "fields",
    status: "status", checks: "checks", latency_ms: "latency_ms",
    event_type: "type", payload: "payload",
}

impl<'a> Slots<'a> {
    fn into_event(mut self) -> Result<Event<'a>, EventError> {
        // Whole signatures first, then the field that names a kind most clearly, so that an error is about that kind.
        let metric = self.name.is_some() && self.kind.is_some() && self.value.is_some();
        let log = self.level.is_some() && self.message.is_some();
        let body = if metric {
            Body::Metric(self.metric()?)
        } else if log {
            Body::Log(self.log()?)
        } else if self.status.is_some() {
            Body::Health(self.health()?)
        } else if self.event_type.is_some() {
            Body::Business(self.business()?)
        } else if self.kind.is_some() || (self.name.is_some() && self.value.is_some()) {
            Body::Metric(self.metric()?)
        } else if self.level.is_some() || self.message.is_some() {
            Body::Log(self.log()?)
        } else {
            return Err(EventError::UnknownKind);
        };
        let kind = body.kind();
        let ts = self.ts.take().ok_or(missing(kind, "ts"))?;
        let ts = Time::from_json(ts).ok_or_else(|| {
            EventError::invalid("ts", "RFC 3339 or milliseconds since the epoch", ts.get())
        })?;
        let service = text(self.service.take(), "service")?.ok_or(missing(kind, "service"))?;
        if service.is_empty() {
            return Err(EventError::invalid("service", "a name", "\"\""));
        }
        let instance = text(self.instance.take(), "instance")?;
        let id = text(self.id.take(), "id")?;
        let mut extra = std::mem::take(&mut self.extra);
        for (name, left) in self.left(&body) {
            extra.push((Cow::Borrowed(name), Cow::Borrowed(left)));
        }
        Ok(Event {
            ts,
            service,
            instance: instance.filter(|i| !i.is_empty()),
            id: id.filter(|i| !i.is_empty()),
            body,
            extra,
        })
    }

    fn metric(&mut self) -> Result<Metric<'a>, EventError> {
        let required = |field| missing("metric", field);
        let name = text(self.name.take(), "name")?.ok_or(required("name"))?;
        let kind = self.kind.take().ok_or(required("kind"))?;
        let kind = word::<Kind>(kind, "kind", "\"counter\", \"gauge\" or \"histogram\"")?;
        let value = number(self.value.take(), "value")?.ok_or(required("value"))?;
        let op = match self.op.take() {
            Some(op) => word::<Op>(op, "op", "\"set\" or \"add\"")?,
            None => Op::Set,
        };
        let buckets = match self.buckets.take() {
            Some(buckets) => Some(serde_json::from_str(buckets.get()).map_err(|_| {
                EventError::invalid("buckets", "an array of numbers", buckets.get())
            })?),
            None => None,
        };
        Ok(Metric {
            name,
            kind,
            value,
            op,
            labels: object(self.labels.take(), "labels", json_value)?,
            help: text(self.help.take(), "help")?,
            unit: text(self.unit.take(), "unit")?,
            buckets,
        })
    }

    fn log(&mut self) -> Result<Log<'a>, EventError> {
        let required = |field| missing("log", field);
        let error = match self.error.take() {
            Some(error) => Some(error_info(error)?),
            None => None,
        };
        Ok(Log {
            level: text(self.level.take(), "level")?.ok_or(required("level"))?,
            message: text(self.message.take(), "message")?.ok_or(required("message"))?,
            logger: text(self.logger.take(), "logger")?,
            trace_id: text(self.trace_id.take(), "trace_id")?,
            span_id: text(self.span_id.take(), "span_id")?,
            error,
            fields: object(self.fields.take(), "fields", json_value)?,
        })
    }

    fn health(&mut self) -> Result<Health<'a>, EventError> {
        const WORDS: &str = "\"up\", \"degraded\" or \"down\"";
        let status = self.status.take().ok_or(missing("health", "status"))?;
        Ok(Health {
            status: word(status, "status", WORDS)?,
            checks: object(self.checks.take(), "checks", |name, value| {
                word(value, &format!("checks.{name}"), WORDS)
            })?,
            latency_ms: number(self.latency_ms.take(), "latency_ms")?,
        })
    }

    fn business(&mut self) -> Result<Business<'a>, EventError> {
        let r#type = text(self.event_type.take(), "type")?.ok_or(missing("business", "type"))?;
        if r#type.is_empty() {
            return Err(EventError::invalid("type", "a name", "\"\""));
        }
        Ok(Business {
            r#type,
            payload: self.payload.take().map(Cow::Borrowed),
        })
    }

    /// Known names of another kind's fields: for this event they are fields like any other.
    fn left(&mut self, body: &Body<'_>) -> Vec<(&'static str, &'a RawValue)> {
        // Metrics and health events have nowhere to put them, so they are not looked for.
        if !matches!(body, Body::Log(_)) {
            return Vec::new();
        }
        [
            ("name", self.name.take()),
            ("kind", self.kind.take()),
            ("value", self.value.take()),
            ("op", self.op.take()),
            ("labels", self.labels.take()),
            ("unit", self.unit.take()),
            ("status", self.status.take()),
            ("checks", self.checks.take()),
            ("latency_ms", self.latency_ms.take()),
            ("type", self.event_type.take()),
            ("payload", self.payload.take()),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }
}

fn missing(kind: &'static str, field: &'static str) -> EventError {
    EventError::MissingField { kind, field }
}

fn text<'a>(value: Option<&'a RawValue>, field: &str) -> Result<Option<Text<'a>>, EventError> {
    value
        .map(|value| {
            Text::from_json(value)
                .ok_or_else(|| EventError::invalid(field, "a string", value.get()))
        })
        .transpose()
}

fn number(value: Option<&RawValue>, field: &str) -> Result<Option<f64>, EventError> {
    value
        .map(|value| {
            let json = value.get();
            // Unlike serde_json, Rust's own parser takes 1e999 for infinity, which the sinks reject by that name.
            let is_number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
            json.parse()
                .ok()
                .filter(|_| is_number)
                .ok_or_else(|| EventError::invalid(field, "a number", json))
        })
        .transpose()
}

fn word<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    field: &str,
    expected: &'static str,
) -> Result<T, EventError> {
    serde_json::from_str(value.get()).map_err(|_| EventError::invalid(field, expected, value.get()))
}

fn json_value<'a>(_: &str, value: &'a RawValue) -> Result<Cow<'a, RawValue>, EventError> {
    Ok(Cow::Borrowed(value))
}

fn object<'a, T>(
    value: Option<&'a RawValue>,
    field: &str,
    read: impl Fn(&str, &'a RawValue) -> Result<T, EventError>,
) -> Result<Vec<(Cow<'a, str>, T)>, EventError> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let mut raw: Vec<(Cow<'a, str>, &'a RawValue)> = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    Pairs(|name, value| raw.push((name, value)))
        .deserialize(&mut deserializer)
        .map_err(|_| EventError::invalid(field, "an object", value.get()))?;
    raw.into_iter()
        .map(|(name, value)| read(&name, value).map(|value| (name, value)))
        .collect()
}

fn error_info(value: &RawValue) -> Result<ErrorInfo<'_>, EventError> {
    let mut info = ErrorInfo::default();
    // Many loggers have only a text for the error: it is the message.
    if let Some(message) = Text::from_json(value) {
        info.message = Some(message);
        return Ok(info);
    }
    for (name, value) in object(Some(value), "error", |_, value| Ok(value))? {
        if value.get() == "null" {
            continue;
        }
        match name.as_ref() {
            "type" => info.r#type = text(Some(value), "error.type")?,
            "message" => info.message = text(Some(value), "error.message")?,
            "stack_trace" => info.stack_trace = text(Some(value), "error.stack_trace")?,
            _ => {}
        }
    }
    Ok(info)
}

impl<'a> DeserializeSeed<'a> for &mut Slots<'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        Pairs(|name, value| self.put(name, value)).deserialize(deserializer)
    }
}

/// Hands every member of an object to a function, borrowed.
struct Pairs<F>(F);

impl<'a, F: FnMut(Cow<'a, str>, &'a RawValue)> DeserializeSeed<'a> for Pairs<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, F: FnMut(Cow<'a, str>, &'a RawValue)> Visitor<'a> for Pairs<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            (self.0)(name, map.next_value()?);
        }
        Ok(())
    }
}

/// serde's own `Cow` never borrows outside a derived struct.
struct Name<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Name<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'a> Visitor<'a> for NameVisitor {
            type Value = Name<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
