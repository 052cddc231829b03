use std::borrow::Cow;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::{Pairs, RawJson, Text, Time};

/// One event: what all kinds have in common, and the rest by kind.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// When it happened.
    pub ts: Time<'a>,
    /// The service that sent it.
    pub service: Text<'a>,
    /// Which of the service's instances.
    pub instance: Option<Text<'a>>,
    /// A UUID that stays the same when the event is sent again.
    pub id: Option<Text<'a>>,
    /// What it says.
    pub body: Body<'a>,
    /// Fields that the format does not know, in their order.
    pub extra: Vec<(Cow<'a, str>, RawJson<'a>)>,
}

/// What an event says, by kind. On the wire the kinds are told apart by their fields.
#[derive(Debug, Clone)]
pub enum Body<'a> {
    /// One change or observation of a metric.
    Metric(Metric<'a>),
    /// One log line.
    Log(Log<'a>),
    /// The state of a service.
    Health(Health<'a>),
    /// Something that happened in the business.
    Business(Business<'a>),
}

impl Body<'_> {
    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Metric(_) => "metric",
            Body::Log(_) => "log",
            Body::Health(_) => "health",
            Body::Business(_) => "business",
        }
    }
}

/// What a metric's value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The value is an increment of at least 0.
    Counter,
    /// The value is set or added, see [`Op`].
    Gauge,
    /// The value is one observation.
    Histogram,
}

/// What happens with a gauge's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The gauge takes the value.
    #[default]
    Set,
    /// The value, which may be negative, is added.
    Add,
}

/// A metric event.
#[derive(Debug, Clone)]
pub struct Metric<'a> {
    /// The metric's name by Prometheus' rules.
    pub name: Text<'a>,
    /// What the value means.
    pub kind: Kind,
    /// The increment, value or observation.
    pub value: f64,
    /// Only for gauges.
    pub op: Op,
    /// Labels; strings, numbers and booleans are taken as their text.
    pub labels: Pairs<'a>,
    /// The metric's help text.
    pub help: Option<Text<'a>>,
    /// The metric's unit.
    pub unit: Option<Text<'a>>,
    /// A histogram's upper bounds, without +Inf.
    pub buckets: Option<Vec<f64>>,
    /// The W3C trace id of what was measured, shown as an exemplar.
    pub trace_id: Option<Text<'a>>,
}

/// A log event.
#[derive(Debug, Clone)]
pub struct Log<'a> {
    /// The level, as the service names it.
    pub level: Text<'a>,
    /// The message.
    pub message: Text<'a>,
    /// The logger's name.
    pub logger: Option<Text<'a>>,
    /// The W3C trace id.
    pub trace_id: Option<Text<'a>>,
    /// The W3C span id.
    pub span_id: Option<Text<'a>>,
    /// The error that is logged.
    pub error: Option<ErrorInfo<'a>>,
    /// Anything else, by name.
    pub fields: Pairs<'a>,
}

/// A log's error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ErrorInfo<'a> {
    /// The error's class.
    pub r#type: Option<Text<'a>>,
    /// The error's message.
    pub message: Option<Text<'a>>,
    /// The stack trace as one text.
    pub stack_trace: Option<Text<'a>>,
}

/// How a service or one of its checks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In order.
    Up,
    /// Works with restrictions.
    Degraded,
    /// Does not work.
    Down,
}

/// A health event.
#[derive(Debug, Clone, PartialEq)]
pub struct Health<'a> {
    /// The whole service.
    pub status: Status,
    /// Single checks by name.
    pub checks: Vec<(Cow<'a, str>, Status)>,
    /// How long the check took, in milliseconds.
    pub latency_ms: Option<f64>,
}

/// A business event.
#[derive(Debug, Clone)]
pub struct Business<'a> {
    /// What happened, for example `order.created`.
    pub r#type: Text<'a>,
    /// The event's own data.
    pub payload: Option<RawJson<'a>>,
}

impl<'a> Event<'a> {
    fn new(service: impl Into<Text<'a>>, body: Body<'a>) -> Self {
        Event {
            ts: Time::now(),
            service: service.into(),
            instance: None,
            id: None,
            body,
            extra: Vec::new(),
        }
    }

    /// A metric event of now.
    pub fn metric(service: impl Into<Text<'a>>, metric: Metric<'a>) -> Self {
        Self::new(service, Body::Metric(metric))
    }

    /// A log event of now.
    pub fn log(service: impl Into<Text<'a>>, log: Log<'a>) -> Self {
        Self::new(service, Body::Log(log))
    }

    /// A health event of now.
    pub fn health(service: impl Into<Text<'a>>, health: Health<'a>) -> Self {
        Self::new(service, Body::Health(health))
    }

    /// A business event of now.
    pub fn business(service: impl Into<Text<'a>>, business: Business<'a>) -> Self {
        Self::new(service, Body::Business(business))
    }

    /// Names the instance.
    pub fn instance(mut self, instance: impl Into<Text<'a>>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Gives the event its id.
    pub fn id(mut self, id: impl Into<Text<'a>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the time.
    pub fn at(mut self, ts: impl Into<Time<'a>>) -> Self {
        self.ts = ts.into();
        self
    }

    /// The key of the event's Kafka record, `service/instance`: what one producer sends stays in order.
    pub fn key(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{}/{}", self.service, instance),
            None => self.service.to_string(),
        }
    }

    /// The event as it goes over the wire.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("an event has only string keys and serialises into memory")
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ts", &self.ts)?;
        map.serialize_entry("service", &self.service)?;
        entry(&mut map, "instance", &self.instance)?;
        entry(&mut map, "id", &self.id)?;
        serialize_body(&self.body, &mut map)?;
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The fields that a body has on the wire.
pub(crate) fn serialize_body<M: SerializeMap>(
    body: &Body<'_>,
    map: &mut M,
) -> Result<(), M::Error> {
    match body {
        Body::Metric(metric) => {
            map.serialize_entry("name", &metric.name)?;
            map.serialize_entry("kind", &metric.kind)?;
            map.serialize_entry("value", &metric.value)?;
            if metric.op == Op::Add {
                map.serialize_entry("op", &metric.op)?;
            }
            object(map, "labels", metric.labels.is_empty(), &metric.labels)?;
            entry(map, "help", &metric.help)?;
            entry(map, "unit", &metric.unit)?;
            entry(map, "buckets", &metric.buckets)?;
            entry(map, "trace_id", &metric.trace_id)?;
        }
        Body::Log(log) => {
            map.serialize_entry("level", &log.level)?;
            map.serialize_entry("message", &log.message)?;
            entry(map, "logger", &log.logger)?;
            entry(map, "trace_id", &log.trace_id)?;
            entry(map, "span_id", &log.span_id)?;
            entry(map, "error", &log.error)?;
            object(map, "fields", log.fields.is_empty(), &log.fields)?;
        }
        Body::Health(health) => {
            map.serialize_entry("status", &health.status)?;
            object(
                map,
                "checks",
                health.checks.is_empty(),
                &Checks(&health.checks),
            )?;
            entry(map, "latency_ms", &health.latency_ms)?;
        }
        Body::Business(business) => {
            map.serialize_entry("type", &business.r#type)?;
            entry(map, "payload", &business.payload)?;
        }
    }
    Ok(())
}

impl Serialize for ErrorInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "type", &self.r#type)?;
        entry(&mut map, "message", &self.message)?;
        entry(&mut map, "stack_trace", &self.stack_trace)?;
        map.end()
    }
}

fn entry<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &str,
    value: &Option<T>,
) -> Result<(), M::Error> {
    value
        .as_ref()
        .map_or(Ok(()), |value| map.serialize_entry(name, value))
}

/// An object that is left out when it is empty.
fn object<M: SerializeMap>(
    map: &mut M,
    name: &str,
    empty: bool,
    object: &impl Serialize,
) -> Result<(), M::Error> {
    match empty {
        true => Ok(()),
        false => map.serialize_entry(name, object),
    }
}

struct Checks<'c, 'a>(&'c [(Cow<'a, str>, Status)]);

impl Serialize for Checks<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, status)| (name, status)))
    }
}
