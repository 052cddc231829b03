use std::borrow::Cow;

use serde::Deserialize;

use crate::pairs::{decode_name, members};
use crate::scan::{Raw, Scanner};
use crate::{
    Body, Business, ErrorInfo, Event, EventError, Health, Kind, Log, Metric, Op, Pairs, RawJson,
    Status, Text, Time,
};

/// Declares the known fields once: the struct, the names, and where each goes.
macro_rules! fields {
    ($($field:ident: $name:literal),* $(,)?) => {
        /// The fields of an object as JSON text; what they mean depends on which of them are there.
        #[derive(Default)]
        pub(crate) struct Fields<'a> {
            $($field: Option<Raw<'a>>,)*
            extra: Vec<(Cow<'a, str>, RawJson<'a>)>,
        }

        impl<'a> Fields<'a> {
            /// Where a known field goes. Bytes, as the compiler tells them apart by length and then by letters, which
            /// it does not do for `str`.
            #[inline]
            fn known(&mut self, name: &[u8]) -> Option<&mut Option<Raw<'a>>> {
                match name {
                    $($name => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            /// Whether something is there still. Without branches, as mostly there is not.
            #[inline]
            fn has_left(&self) -> bool {
                false $(| self.$field.is_some())*
            }

            /// Takes out what is there still.
            #[cold]
            fn take_left(&mut self, mut each: impl FnMut(&'static [u8], Raw<'a>)) {
                $(if let Some(value) = self.$field.take() {
                    each($name, value);
                })*
            }
        }
    };
}

fields! {
    ts: b"ts", service: b"service", instance: b"instance", id: b"id",
    name: b"name", kind: b"kind", value: b"value", op: b"op", labels: b"labels", help: b"help", unit: b"unit",
    buckets: b"buckets",
    level: b"level", message: b"message", logger: b"logger", trace_id: b"trace_id", span_id: b"span_id",
    error: b"error", fields: b"fields",
    status: b"status", checks: b"checks", latency_ms: b"latency_ms",
    event_type: b"type", payload: b"payload",
}

impl<'a> Fields<'a> {
    /// Takes a member of the object; a field that is there twice has its last value. `None` when the name does not
    /// decode.
    #[inline]
    pub fn put(&mut self, name: Raw<'a>, value: Raw<'a>) -> Option<()> {
        match name.plain().and_then(|name| self.known(name)) {
            // An explicit null is a field left out.
            Some(field) => *field = (!value.is_null()).then_some(value),
            None => self.put_other(name, value)?,
        }
        Some(())
    }

    /// Takes a member whose name is not known as it stands.
    #[cold]
    fn put_other(&mut self, name: Raw<'a>, value: Raw<'a>) -> Option<()> {
        let name = decode_name(name)?;
        match self.known(name.as_bytes()) {
            Some(field) => *field = (!value.is_null()).then_some(value),
            None => self.extra.push((name, RawJson::checked(value.json))),
        }
        Some(())
    }

    /// Tells by the fields which kind of event it is, and checks them.
    pub fn event(&mut self) -> Result<Event<'a>, EventError> {
        // Whole signatures first, then the field that names a kind most clearly, so that an error is about that kind.
        let metric = self.name.is_some() && self.kind.is_some() && self.value.is_some();
        let log = self.level.is_some() && self.message.is_some();
        let lone_level = self.level.is_some() || self.message.is_some();
        let half = self.kind.is_some() || (self.name.is_some() && self.value.is_some());
        // Each kind is made in one place only, so that an event, which is large, can be made where it stays.
        let rest = !metric && !log;
        let health = rest && self.status.is_some();
        let business = rest && !health && self.event_type.is_some();
        let body = if health {
            Body::Health(self.health()?)
        } else if business {
            Body::Business(self.business()?)
        } else if metric || !log && half {
            Body::Metric(self.metric()?)
        } else if log || lone_level {
            Body::Log(self.log()?)
        } else {
            return Err(EventError::UnknownKind);
        };
        let kind = body.kind();
        let ts = self.ts.take().ok_or(missing(kind, "ts"))?;
        // What is looked for by its text has a use for one whose time is wrong, a value at an unknown time is of none.
        let keeps = matches!(body, Body::Log(_) | Body::Business(_));
        let ts = Time::from_json(ts)
            .filter(|ts| keeps || !ts.is_out_of_range())
            .ok_or_else(|| {
                EventError::invalid("ts", "RFC 3339 or milliseconds since the epoch", ts.json)
            })?;
        let service = text(self.service.take(), "service")?.ok_or(missing(kind, "service"))?;
        if service.is_empty() {
            return Err(EventError::invalid("service", "a name", "\"\""));
        }
        let instance = text(self.instance.take(), "instance")?;
        let id = text(self.id.take(), "id")?;
        let mut extra = std::mem::take(&mut self.extra);
        // Known names of another kind's fields: for this event they are fields like any other. Only metrics have nowhere to put them.
        if !matches!(body, Body::Metric(_)) && self.has_left() {
            self.take_left(|name, value| {
                extra.push((String::from_utf8_lossy(name), RawJson::checked(value.json)));
            });
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

    #[inline(always)]
    fn metric(&mut self) -> Result<Metric<'a>, EventError> {
        let required = |field| missing("metric", field);
        let name = text(self.name.take(), "name")?.ok_or(required("name"))?;
        let kind = self.kind.take().ok_or(required("kind"))?;
        let kind = match kind.plain() {
            Some(b"counter") => Kind::Counter,
            Some(b"gauge") => Kind::Gauge,
            Some(b"histogram") => Kind::Histogram,
            _ => word(
                kind,
                || "kind".to_owned(),
                "\"counter\", \"gauge\" or \"histogram\"",
            )?,
        };
        let value = number(self.value.take(), "value")?.ok_or(required("value"))?;
        let op = match self.op.take() {
            Some(op) => word::<Op>(op, || "op".to_owned(), "\"set\" or \"add\"")?,
            None => Op::Set,
        };
        let buckets = match self.buckets.take() {
            Some(buckets) => Some(numbers(buckets.json).ok_or_else(|| {
                EventError::invalid("buckets", "an array of numbers", buckets.json)
            })?),
            None => None,
        };
        Ok(Metric {
            name,
            kind,
            value,
            op,
            labels: pairs(self.labels.take(), "labels")?,
            help: text(self.help.take(), "help")?,
            unit: text(self.unit.take(), "unit")?,
            buckets,
            trace_id: text(self.trace_id.take(), "trace_id")?,
        })
    }

    #[inline(always)]
    fn log(&mut self) -> Result<Log<'a>, EventError> {
        let required = |field| missing("log", field);
        let error = match self.error.take() {
            Some(error) => Some(error_info(error, &mut self.extra)?),
            None => None,
        };
        Ok(Log {
            level: text(self.level.take(), "level")?.ok_or(required("level"))?,
            message: prose(self.message.take(), "message")?.ok_or(required("message"))?,
            logger: text(self.logger.take(), "logger")?,
            trace_id: text(self.trace_id.take(), "trace_id")?,
            span_id: text(self.span_id.take(), "span_id")?,
            error,
            fields: pairs(self.fields.take(), "fields")?,
        })
    }

    fn health(&mut self) -> Result<Health<'a>, EventError> {
        const WORDS: &str = "\"up\", \"degraded\" or \"down\"";
        let status = self.status.take().ok_or(missing("health", "status"))?;
        let mut checks: Vec<(_, Status)> = Vec::new();
        for (name, value) in object(self.checks.take(), "checks")? {
            let status = word(value, || format!("checks.{name}"), WORDS)?;
            checks.push((name, status));
        }
        Ok(Health {
            status: word(status, || "status".to_owned(), WORDS)?,
            checks,
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
            payload: self.payload.take().map(|p| RawJson::checked(p.json)),
        })
    }
}

fn missing(kind: &'static str, field: &'static str) -> EventError {
    EventError::MissingField { kind, field }
}

#[inline]
fn text<'a>(value: Option<Raw<'a>>, field: &str) -> Result<Option<Text<'a>>, EventError> {
    let Some(value) = value else {
        return Ok(None);
    };
    match Text::from_json(value) {
        None => Err(EventError::invalid(field, "a string", value.json)),
        text => Ok(text),
    }
}

/// As [`text`], for what people read and nothing is told apart by.
#[inline]
fn prose<'a>(value: Option<Raw<'a>>, field: &str) -> Result<Option<Text<'a>>, EventError> {
    let Some(value) = value else {
        return Ok(None);
    };
    match Text::from_json_lossy(value) {
        None => Err(EventError::invalid(field, "a string", value.json)),
        text => Ok(text),
    }
}

fn number(value: Option<Raw<'_>>, field: &str) -> Result<Option<f64>, EventError> {
    let Some(Raw { json, .. }) = value else {
        return Ok(None);
    };
    match to_number(json) {
        None => Err(EventError::invalid(field, "a number", json)),
        number => Ok(number),
    }
}

/// The number nearest to a JSON number. Unlike serde_json this takes 1e999 for infinity, which the sinks reject by
/// that name.
fn to_number(json: &str) -> Option<f64> {
    // Most are small whole numbers, which are read faster as such.
    if let Ok(small) = json.parse::<u32>() {
        return Some(small.into());
    }
    let is_number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    json.parse().ok().filter(|_| is_number)
}

/// The finite numbers of an array that was checked.
fn numbers(json: &str) -> Option<Vec<f64>> {
    let mut numbers = Vec::with_capacity(16);
    Scanner::new(json).array(|element| {
        numbers.push(to_number(element.json).filter(|number| number.is_finite())?);
        Some(())
    })?;
    Some(numbers)
}

fn word<'a, T: Deserialize<'a>>(
    value: Raw<'a>,
    field: impl FnOnce() -> String,
    expected: &'static str,
) -> Result<T, EventError> {
    serde_json::from_str(value.json).map_err(|_| EventError::invalid(field(), expected, value.json))
}

fn pairs<'a>(value: Option<Raw<'a>>, field: &str) -> Result<Pairs<'a>, EventError> {
    value.map_or(Ok(Pairs::default()), |value| {
        Pairs::from_json(value).ok_or_else(|| EventError::invalid(field, "an object", value.json))
    })
}

/// The members of an object that this crate looks into itself.
fn object<'a>(
    value: Option<Raw<'a>>,
    field: &str,
) -> Result<Vec<(Cow<'a, str>, Raw<'a>)>, EventError> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let wrong = || EventError::invalid(field, "an object", value.json);
    if !value.json.starts_with('{') {
        return Err(wrong());
    }
    members(value.json)
        .map(|(name, value)| Some((decode_name(name)?, value)))
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}

/// Reads a log's error; what else it has than what an error has goes to `extra`.
fn error_info<'a>(
    value: Raw<'a>,
    extra: &mut Vec<(Cow<'a, str>, RawJson<'a>)>,
) -> Result<ErrorInfo<'a>, EventError> {
    let mut info = ErrorInfo::default();
    // Many loggers have only a text for the error: it is the message.
    if let Some(message) = Text::from_json_lossy(value) {
        info.message = Some(message);
        return Ok(info);
    }
    for (name, value) in object(Some(value), "error")? {
        if value.json == "null" {
            continue;
        }
        match name.as_ref() {
            "type" => info.r#type = text(Some(value), "error.type")?,
            "message" => info.message = prose(Some(value), "error.message")?,
            "stack_trace" => info.stack_trace = prose(Some(value), "error.stack_trace")?,
            _ => extra.push((format!("error.{name}").into(), RawJson::checked(value.json))),
        }
    }
    Ok(info)
}
