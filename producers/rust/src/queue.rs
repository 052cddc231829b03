//! The queue between the service and the background thread: what waits in it, and how much may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use uuid::Uuid;

use crate::event::serialize_body;
use crate::valid::{self, InvalidEvent};
use crate::{Body, Pairs, RawJson, Text};

/// Who sends.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) service: String,
    pub(crate) instance: Option<String>,
    pub(crate) version: Option<String>,
    /// The records' key, `service/instance`: everything of one producer goes to one partition, in order.
    pub(crate) key: String,
    /// Where its business events go, if its name makes a topic's.
    pub(crate) events_topic: Result<String, InvalidEvent>,
}

impl Source {
    pub(crate) fn new(service: String, instance: Option<String>, version: Option<String>) -> Self {
        let instance = instance.filter(|instance| !instance.is_empty());
        let key = match &instance {
            Some(instance) => format!("{service}/{instance}"),
            None => service.clone(),
        };
        let events_topic = valid::topic(format!("{service}.events"));
        let version = version.filter(|version| !version.is_empty());
        Source {
            service,
            instance,
            version,
            key,
            events_topic,
        }
    }
}

/// The topics that do not depend on the service.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    pub(crate) metrics: String,
    pub(crate) logs: String,
    pub(crate) health: String,
}

/// Where an event goes.
#[derive(Debug)]
pub(crate) enum Topic {
    Metrics,
    Logs,
    Health,
    /// The topic of the source's business events.
    Own,
    Named(String),
}

/// An event that waits.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) at: Timestamp,
    pub(crate) source: Arc<Source>,
    pub(crate) topic: Topic,
    pub(crate) body: Body<'static>,
    /// What it takes of the [`Room`].
    pub(crate) size: usize,
    /// Sent by the SDK about itself, and not counted.
    pub(crate) own: bool,
}

impl Item {
    pub(crate) fn topic<'i>(&'i self, topics: &'i Topics) -> &'i str {
        match &self.topic {
            Topic::Metrics => &topics.metrics,
            Topic::Logs => &topics.logs,
            Topic::Health => &topics.health,
            Topic::Own => self.source.events_topic.as_deref().unwrap_or_default(),
            Topic::Named(topic) => topic,
        }
    }

    /// The record's value. It gets a new id, which stays the same however often Kafka's client sends it again.
    pub(crate) fn encode(&mut self) -> Result<Vec<u8>, serde_json::Error> {
        if let (Body::Log(log), Some(version)) = (&mut self.body, &self.source.version) {
            const FIELD: &str = "service.version";
            if !log.fields.iter().any(|(name, _)| name == FIELD) {
                log.fields.push(FIELD, RawJson::text(version));
            }
        }
        let id = Uuid::new_v4();
        serde_json::to_vec(&Wire { item: self, id })
    }
}

struct Wire<'i> {
    item: &'i Item,
    id: Uuid,
}

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Item {
            at, source, body, ..
        } = self.item;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ts", &format_args!("{at:.3}"))?;
        let mut buffer = Uuid::encode_buffer();
        map.serialize_entry("id", self.id.hyphenated().encode_lower(&mut buffer))?;
        map.serialize_entry("service", &source.service)?;
        if let Some(instance) = &source.instance {
            map.serialize_entry("instance", instance)?;
        }
        serialize_body(body, &mut map)?;
        if let Body::Business(business) = body
            && business.payload.is_none()
        {
            map.serialize_entry("payload", &BTreeMap::<&str, ()>::new())?;
        }
        map.end()
    }
}

/// How much may wait: events and bytes, from when an event is taken until Kafka has it or it is given up.
#[derive(Debug)]
pub(crate) struct Room {
    max_events: usize,
    max_bytes: usize,
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Room {
            max_events,
            max_bytes,
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Whether there is any left.
    pub(crate) fn has_any(&self) -> bool {
        self.events.load(Relaxed) < self.max_events && self.bytes.load(Relaxed) < self.max_bytes
    }

    /// Takes room for one event of so many bytes, if there is.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        if self.events.fetch_add(1, Relaxed) >= self.max_events {
            self.events.fetch_sub(1, Relaxed);
            return false;
        }
        if self.bytes.fetch_add(bytes, Relaxed) + bytes > self.max_bytes {
            self.give_back(bytes);
            return false;
        }
        true
    }

    /// Takes room for one event of so many bytes, whether there is or not.
    pub(crate) fn take_anyway(&self, bytes: usize) {
        self.events.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// One event takes another number of bytes than it did.
    pub(crate) fn change(&self, before: usize, now: usize) {
        self.bytes.fetch_add(now, Relaxed);
        self.bytes.fetch_sub(before, Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.events.fetch_sub(1, Relaxed);
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.events.load(Relaxed) == 0
    }
}

/// About how much memory a body takes while it waits.
pub(crate) fn size(body: &Body<'_>) -> usize {
    let text = |text: &Option<Text<'_>>| text.as_ref().map_or(0, Text::size);
    let pairs = |pairs: &Pairs<'_>| -> usize {
        let each = |(name, json): (std::borrow::Cow<'_, str>, &str)| name.len() + json.len() + 48;
        pairs.iter().map(each).sum()
    };
    let parts = match body {
        Body::Metric(metric) => {
            let bounds = metric.buckets.as_ref().map_or(0, |bounds| bounds.len() * 8);
            let texts = text(&metric.help) + text(&metric.unit) + text(&metric.trace_id);
            metric.name.size() + pairs(&metric.labels) + bounds + texts
        }
        Body::Log(log) => {
            let error = log.error.as_ref().map_or(0, |error| {
                text(&error.r#type) + text(&error.message) + text(&error.stack_trace)
            });
            let ids = text(&log.logger) + text(&log.trace_id) + text(&log.span_id);
            log.level.size() + log.message.size() + pairs(&log.fields) + error + ids
        }
        Body::Health(health) => {
            let checks = health.checks.iter().map(|(name, _)| name.len() + 32);
            checks.sum()
        }
        Body::Business(business) => {
            let payload = business.payload.as_ref().map_or(0, |json| json.get().len());
            business.r#type.size() + payload
        }
    };
    size_of::<Item>() + parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_by_events_and_by_bytes() {
        let room = Room::new(2, 100);
        assert!(room.take(60) && !room.take(60) && room.take(40));
        assert!(!room.take(0) && !room.has_any());
        room.change(60, 10);
        room.give_back(40);
        assert!(room.has_any() && room.take(90));
        room.give_back(90);
        room.give_back(10);
        assert!(room.is_unused());
    }

    #[test]
    fn the_sum_is_right_whatever_threads_do() {
        let room = Room::new(1000, 5000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..20_000 {
                        if room.take(n % 50) {
                            room.change(n % 50, 7);
                            room.give_back(7);
                        }
                    }
                });
            }
        });
        assert!(room.is_unused());
        assert_eq!(room.bytes.load(Relaxed), 0);
    }
}
