//! What the members must come to: the sums of the events by series, in a few lines that share nothing with the code under test.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::exposition::{bound, series};

/// Upper bounds of the buckets of all histograms.
pub const BUCKETS: [f64; 3] = [0.5, 1.0, 4.0];

/// Who sends an event: its key, by which Kafka keeps its events in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The event's `service`.
    pub service: String,
    /// The event's `instance`.
    pub instance: String,
}

/// An event. All values are multiples of a quarter, so that sums of them are exact.
#[derive(Debug, Clone)]
pub enum Event {
    /// Adds to the counter of this name and label `kind`.
    Count(&'static str, &'static str, f64),
    /// Sets a gauge.
    Set(&'static str, f64),
    /// Adds to a gauge.
    Add(&'static str, f64),
    /// Observes a histogram's value.
    Observe(&'static str, f64),
    /// How the service is, and its database: 1, 0.5 or 0.
    Health(f64, f64),
    /// A business event of this type.
    Business(&'static str),
    /// Something that no sink can take: a text that occurs in no other event, and how it is wrong.
    Bad(String, Wrong),
}

/// What is wrong with an event.
#[derive(Debug, Clone, Copy)]
pub enum Wrong {
    /// A counter with a negative increment.
    Negative,
    /// A label that is the sink's own.
    ReservedLabel,
    /// No kind of event.
    NoKind,
}

impl Event {
    /// The event on the wire.
    pub fn json(&self, sender: &Sender) -> Value {
        let mut event = match self {
            Self::Count(name, kind, value) => {
                json!({"kind": "counter", "name": name, "value": value, "labels": {"kind": kind}})
            }
            Self::Set(name, value) => json!({"kind": "gauge", "name": name, "value": value}),
            Self::Add(name, value) => {
                json!({"kind": "gauge", "name": name, "value": value, "op": "add"})
            }
            Self::Observe(name, value) => {
                json!({"kind": "histogram", "name": name, "value": value, "buckets": BUCKETS})
            }
            Self::Health(service, database) => {
                json!({"status": word(*service), "checks": {"database": word(*database)}})
            }
            Self::Business(kind) => json!({"type": kind, "payload": {"number": 1}}),
            Self::Bad(text, wrong) => match wrong {
                Wrong::Negative => {
                    json!({"kind": "counter", "name": "bad_total", "value": -1, "labels": {"bad": text}})
                }
                Wrong::ReservedLabel => {
                    json!({"kind": "counter", "name": "bad_total", "value": 1, "labels": {"source": text}})
                }
                Wrong::NoKind => json!({"nothing": text}),
            },
        };
        event["ts"] = json!(1_767_323_045_678_u64);
        event["service"] = json!(sender.service);
        event["instance"] = json!(sender.instance);
        event
    }
}

fn word(health: f64) -> &'static str {
    match health {
        1.0 => "up",
        0.0 => "down",
        _ => "degraded",
    }
}

/// Sums by series, and what must be in the dead-letter topic.
#[derive(Debug, Clone, Default)]
pub struct Model {
    values: HashMap<String, f64>,
    bad: BTreeSet<String>,
}

impl Model {
    /// Takes an event that stands in a partition, named `topic/partition`.
    pub fn take(&mut self, source: &str, sender: &Sender, event: &Event) {
        let service = ("service", &*sender.service);
        let all = [service, ("instance", &*sender.instance), ("source", source)];
        let named =
            |name: &str, label: Option<(&str, &str)>| series(name, all.into_iter().chain(label));
        let values = &mut self.values;
        let mut add = |series: String, by: f64| *values.entry(series).or_default() += by;
        match event {
            Event::Count(name, kind, by) => add(named(name, Some(("kind", kind))), *by),
            Event::Add(name, by) => add(named(name, None), *by),
            Event::Observe(name, observed) => {
                let bucket = format!("{name}_bucket");
                for le in BUCKETS.into_iter().chain([f64::INFINITY]) {
                    let one = f64::from(u8::from(*observed <= le));
                    add(named(&bucket, Some(("le", &bound(le)))), one);
                }
                add(named(&format!("{name}_sum"), None), *observed);
                add(named(&format!("{name}_count"), None), 1.0);
            }
            Event::Business(kind) => {
                // Of the service as a whole, whichever instance says so.
                let labels = [service, ("type", kind), ("source", source)];
                add(series("bt_events_total", labels), 1.0);
            }
            Event::Set(name, to) => {
                values.insert(named(name, None), *to);
            }
            Event::Health(service, database) => {
                values.insert(named("bt_service_health", None), *service);
                let database_label = Some(("check", "database"));
                values.insert(named("bt_service_health", database_label), *database);
            }
            Event::Bad(text, _) => {
                self.bad.insert(text.clone());
            }
        }
    }

    /// The sums of a partition, named `topic/partition`, begin anew; what is to be dead-lettered stays.
    pub fn forget(&mut self, source: &str) {
        let label = format!("source={source:?}");
        self.values.retain(|series, _| !series.contains(&label));
    }

    /// The series with their values.
    pub fn values(&self) -> &HashMap<String, f64> {
        &self.values
    }

    /// The texts of the events that are to be dead-lettered.
    pub fn bad(&self) -> &BTreeSet<String> {
        &self.bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_sums_by_series() {
        let sender = Sender {
            service: "shop".into(),
            instance: "a".into(),
        };
        let mut model = Model::default();
        let events = [
            Event::Count("c_total", "x", 1.25),
            Event::Count("c_total", "x", 0.5),
            Event::Count("c_total", "y", 3.0),
            Event::Set("g", 7.0),
            Event::Set("g", 2.0),
            Event::Add("s", 2.0),
            Event::Add("s", -0.5),
            Event::Observe("h", 0.5),
            Event::Observe("h", 3.0),
            Event::Business("order.created"),
            Event::Health(0.5, 1.0),
            Event::Bad("bad-1".into(), Wrong::NoKind),
        ];
        for event in &events {
            model.take("t/3", &sender, event);
        }
        let expected = [
            (
                r#"c_total{instance="a",kind="x",service="shop",source="t/3"}"#,
                1.75,
            ),
            (
                r#"c_total{instance="a",kind="y",service="shop",source="t/3"}"#,
                3.0,
            ),
            (r#"g{instance="a",service="shop",source="t/3"}"#, 2.0),
            (r#"s{instance="a",service="shop",source="t/3"}"#, 1.5),
            (
                r#"h_bucket{instance="a",le=0.5,service="shop",source="t/3"}"#,
                1.0,
            ),
            (
                r#"h_bucket{instance="a",le=1.0,service="shop",source="t/3"}"#,
                1.0,
            ),
            (
                r#"h_bucket{instance="a",le=4.0,service="shop",source="t/3"}"#,
                2.0,
            ),
            (
                r#"h_bucket{instance="a",le=inf,service="shop",source="t/3"}"#,
                2.0,
            ),
            (r#"h_sum{instance="a",service="shop",source="t/3"}"#, 3.5),
            (r#"h_count{instance="a",service="shop",source="t/3"}"#, 2.0),
            (
                r#"bt_events_total{service="shop",source="t/3",type="order.created"}"#,
                1.0,
            ),
            (
                r#"bt_service_health{instance="a",service="shop",source="t/3"}"#,
                0.5,
            ),
            (
                r#"bt_service_health{check="database",instance="a",service="shop",source="t/3"}"#,
                1.0,
            ),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(*model.values(), HashMap::from(expected));
        model.take("t/31", &sender, &events[4]);
        model.forget("t/3");
        assert_eq!(model.values().len(), 1, "those of t/31");
        assert_eq!(model.bad().iter().collect::<Vec<_>>(), ["bad-1"]);
    }
}
