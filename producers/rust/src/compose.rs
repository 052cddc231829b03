//! How the parts of events are put together, builder style.

use std::any::type_name;
use std::borrow::Cow;
use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use crate::{
    Business, ErrorInfo, Health, Kind, Log, Metric, Op, Pairs, RawJson, Status, Text, raw_json,
};

impl<'a> Metric<'a> {
    fn new(name: impl Into<Text<'a>>, kind: Kind, value: f64) -> Self {
        Metric {
            name: name.into(),
            kind,
            value,
            op: Op::Set,
            labels: Pairs::default(),
            help: None,
            unit: None,
            buckets: None,
            trace_id: None,
        }
    }

    /// Adds `increment` to a counter.
    pub fn counter(name: impl Into<Text<'a>>, increment: f64) -> Self {
        Self::new(name, Kind::Counter, increment)
    }

    /// Sets a gauge.
    pub fn gauge(name: impl Into<Text<'a>>, value: f64) -> Self {
        Self::new(name, Kind::Gauge, value)
    }

    /// Adds to a gauge.
    pub fn gauge_add(name: impl Into<Text<'a>>, value: f64) -> Self {
        Metric {
            op: Op::Add,
            ..Self::new(name, Kind::Gauge, value)
        }
    }

    /// Observes a value.
    pub fn histogram(name: impl Into<Text<'a>>, value: f64) -> Self {
        Self::new(name, Kind::Histogram, value)
    }

    /// Adds a label.
    pub fn label(mut self, name: impl Into<Cow<'a, str>>, value: impl Display) -> Self {
        self.labels.push(name, RawJson::text(&value.to_string()));
        self
    }

    /// Says what the metric counts or measures.
    pub fn help(mut self, help: impl Into<Text<'a>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names the unit, which by Prometheus' rules is also the end of the metric's name: `seconds`, `bytes`.
    pub fn unit(mut self, unit: impl Into<Text<'a>>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// A histogram's upper bounds in increasing order, without +Inf.
    pub fn buckets(mut self, bounds: impl Into<Vec<f64>>) -> Self {
        self.buckets = Some(bounds.into());
        self
    }

    /// Names the trace (W3C, 32 hexadecimal digits) that the value was measured in; Prometheus shows it as the series'
    /// exemplar.
    pub fn trace_id(mut self, trace_id: impl Into<Text<'a>>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }
}

impl<'a> Log<'a> {
    /// A log line. The level is a name such as `info`.
    pub fn new(level: impl Into<Text<'a>>, message: impl Into<Text<'a>>) -> Self {
        Log {
            level: level.into(),
            message: message.into(),
            logger: None,
            trace_id: None,
            span_id: None,
            error: None,
            fields: Pairs::default(),
        }
    }

    /// Names the logger.
    pub fn logger(mut self, logger: impl Into<Text<'a>>) -> Self {
        self.logger = Some(logger.into());
        self
    }

    /// Names the trace (W3C, 32 hexadecimal digits) that the line belongs to.
    pub fn trace_id(mut self, trace_id: impl Into<Text<'a>>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// Names the span (W3C, 16 hexadecimal digits) that the line belongs to.
    pub fn span_id(mut self, span_id: impl Into<Text<'a>>) -> Self {
        self.span_id = Some(span_id.into());
        self
    }

    /// Adds an error: its type, its message, and the chain of its sources.
    pub fn error<E: Error>(mut self, error: &E) -> Self {
        self.error = Some(ErrorInfo {
            r#type: Some(type_name::<E>().into()),
            ..ErrorInfo::of(error)
        });
        self
    }

    /// Adds a field of any type that serde can write; one that it cannot is replaced by the reason.
    pub fn field(mut self, name: impl Into<Cow<'a, str>>, value: impl Serialize) -> Self {
        let json = raw_json(&value).unwrap_or_else(|error| {
            RawJson::text(&format!("(cannot be written as JSON: {error})"))
        });
        self.fields.push(name, json);
        self
    }
}

impl ErrorInfo<'static> {
    /// What can be learnt of an error whose type is not known here: of that, the first word of its `Debug` text.
    pub fn of(error: &dyn Error) -> Self {
        let debug = format!("{error:?}");
        let word = debug.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let name = word.into_iter().next().filter(|name| !name.is_empty());
        let message = error.to_string();
        let mut chain = String::new();
        let mut source = error.source();
        while let Some(error) = source {
            chain.push_str(if chain.is_empty() { &message } else { "" });
            chain.push_str(&format!("\ncaused by: {error}"));
            source = error.source();
        }
        ErrorInfo {
            r#type: name.map(|name| name.to_owned().into()),
            message: Some(message.into()),
            stack_trace: (!chain.is_empty()).then(|| chain.into()),
        }
    }
}

impl<'a> Health<'a> {
    /// The service's status.
    pub fn new(status: Status) -> Self {
        Health {
            status,
            checks: Vec::new(),
            latency_ms: None,
        }
    }

    /// Adds a single check.
    pub fn check(mut self, name: impl Into<Cow<'a, str>>, status: Status) -> Self {
        self.checks.push((name.into(), status));
        self
    }

    /// How long the checks took.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency_ms = Some(latency.as_secs_f64() * 1000.0);
        self
    }
}

impl<'a> Business<'a> {
    /// Something that happened, for example `order.created`, with its data.
    pub fn new(r#type: impl Into<Text<'a>>, payload: Option<RawJson<'a>>) -> Self {
        Business {
            r#type: r#type.into(),
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("payment failed")]
    struct PaymentFailed {
        source: std::num::ParseIntError,
    }

    #[test]
    fn an_error_has_its_type_its_message_and_its_chain() {
        let source = "x".parse::<u32>().expect_err("no number");
        let error = PaymentFailed { source };
        let log = Log::new("error", "x").error(&error).error;
        let text = |text: Option<Text<'_>>| text.map(|text| text.to_string());
        let log = log.expect("an error");
        let name = text(log.r#type).expect("a type");
        assert!(name.ends_with("tests::PaymentFailed"), "{name}");
        assert_eq!(text(log.message).as_deref(), Some("payment failed"));
        let chain = "payment failed\ncaused by: invalid digit found in string";
        assert_eq!(text(log.stack_trace).as_deref(), Some(chain));
        let known = ErrorInfo::of(&error as &dyn Error);
        assert_eq!(text(known.r#type).as_deref(), Some("PaymentFailed"));
        assert_eq!(ErrorInfo::of(&std::fmt::Error).stack_trace, None);
    }

    #[test]
    fn a_field_that_is_no_json_says_so() {
        let bad = std::collections::HashMap::from([((1, 2), 3)]);
        let log = Log::new("info", "x").field("n", 1).field("bad", &bad);
        let fields: Vec<_> = log.fields.iter().collect();
        assert_eq!(fields[0], (Cow::Borrowed("n"), "1"));
        assert!(
            fields[1]
                .1
                .contains("cannot be written as JSON: key must be a string")
        );
    }
}
