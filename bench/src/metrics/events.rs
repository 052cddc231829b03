//! The events that are preloaded, and what they come to. All of an event follows from its number, so that any thread can make it
//! and the sums are known without reading anything back.

use std::fmt::Write;

use super::PARTITIONS;
use crate::preload::{Records, mix};

/// What marks a series in the label `route`, before its number.
pub const ROUTE: &str = "/items/";
/// Producers: each service has ten instances, each with a record key of its own.
const KEYS: u64 = 1000;
/// Series of one producer that follow each other: 16 counters, 3 gauges, 1 histogram.
const BLOCK: u64 = 20;
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];
const STATUS: [&str; 4] = ["200", "201", "404", "500"];
const ZONES: [&str; 3] = ["eu-1a", "eu-1b", "eu-1c"];

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Four of five.
    Counter,
    /// Three of twenty.
    Gauge,
    /// One of twenty.
    Histogram,
}

/// So many events of so many series: first one of each series, then of any.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many events.
    pub events: u64,
    /// How many different series.
    pub series: u64,
}

impl Plan {
    /// The kind of a series.
    pub fn kind(series: u64) -> Kind {
        match series % BLOCK {
            0..16 => Kind::Counter,
            16..19 => Kind::Gauge,
            _ => Kind::Histogram,
        }
    }

    /// By series: what a counter comes to, and of the others the number of events.
    pub fn sums(&self) -> Vec<u64> {
        let mut sums = vec![0; self.series as usize];
        for event in 0..self.events {
            let series = self.series_of(event);
            sums[series as usize] += match Self::kind(series) {
                Kind::Counter => increment(event),
                Kind::Gauge | Kind::Histogram => 1,
            };
        }
        sums
    }

    fn record(&self, event: u64, key: &mut String, value: &mut String) -> std::fmt::Result {
        let series = self.series_of(event);
        let (block, in_block) = (series / BLOCK, series % BLOCK);
        let producer = block % KEYS;
        let (service, instance) = (producer / 10, producer % 10);
        // Five families of each, however many series there are.
        let family = block / KEYS % 5;
        write!(key, "service-{service:03}/pod-{instance}")?;
        let (second, milli) = (event / 1000 % 60, event % 1000);
        let (hour, minute) = (event / 3_600_000 % 24, event / 60_000 % 60);
        let id = mix(event);
        write!(
            value,
            r#"{{"ts":"2026-01-01T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","service":"service-{service:03}","instance":"pod-{instance}","#
        )?;
        write!(
            value,
            r#""id":"{:08x}-{:04x}-4{:03x}-8{:03x}-{event:012x}","name":"#,
            id >> 32,
            id >> 16 & 0xffff,
            id >> 4 & 0xfff,
            id >> 48 & 0xfff
        )?;
        match Self::kind(series) {
            Kind::Counter => write!(
                value,
                r#""bench_calls_{in_block:02}_{family}_total","kind":"counter","value":{}"#,
                increment(event)
            )?,
            Kind::Gauge => write!(
                value,
                r#""bench_usage_{in_block}_{family}_ratio","kind":"gauge","value":0.{:03}"#,
                id % 1000
            )?,
            Kind::Histogram => write!(
                value,
                r#""bench_duration_{family}_seconds","kind":"histogram","value":{}.{:03}"#,
                id % 4,
                id % 1000
            )?,
        }
        let [method, status, zone] = [
            METHODS[(block % 5) as usize],
            STATUS[(in_block % 4) as usize],
            ZONES[(producer % 3) as usize],
        ];
        write!(
            value,
            r#","labels":{{"method":"{method}","status":"{status}","route":"{ROUTE}{series:06}","zone":"{zone}"}}}}"#
        )
    }

    fn series_of(&self, event: u64) -> u64 {
        if event < self.series {
            event
        } else {
            mix(event ^ 0x5e71e5) % self.series
        }
    }
}

impl Records for Plan {
    fn count(&self) -> u64 {
        self.events
    }

    /// The key is `service/instance`.
    fn write(&self, event: u64, key: &mut String, value: &mut String) {
        key.clear();
        value.clear();
        self.record(event, key, value)
            .expect("writing to memory does not fail");
    }

    fn partition(&self, event: u64) -> Option<i32> {
        // One key would fill one partition only.
        (self.series == 1).then_some((event % PARTITIONS as u64) as i32)
    }
}

fn increment(event: u64) -> u64 {
    1 + mix(event ^ 0x1ac) % 9
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    fn all(plan: Plan) -> Vec<(String, Value)> {
        let (mut key, mut value) = (String::new(), String::new());
        let events = (0..plan.events).map(|event| {
            plan.write(event, &mut key, &mut value);
            let event = serde_json::from_str(&value).expect("JSON");
            (key.clone(), event)
        });
        events.collect()
    }

    fn series(event: &Value) -> usize {
        let route = event["labels"]["route"].as_str().expect("a route");
        let number = route.strip_prefix(ROUTE).expect("the mark");
        number.parse().expect("a number")
    }

    #[test]
    fn the_sums_are_those_of_the_events() {
        let plan = Plan {
            events: 20_000,
            series: 4_000,
        };
        let mut sums = vec![0; 4_000];
        for (_, event) in all(plan) {
            sums[series(&event)] += match event["kind"].as_str() {
                Some("counter") => event["value"].as_u64().expect("whole"),
                _ => 1,
            };
        }
        assert_eq!(sums, plan.sums());
        assert!(sums.iter().all(|sum| *sum > 0), "a series has no event");
    }

    #[test]
    fn series_are_as_many_as_planned_and_each_has_one_key() {
        let plan = Plan {
            events: 50_000,
            series: 50_000,
        };
        let mut keys = HashMap::new();
        let mut kinds: HashMap<String, usize> = HashMap::new();
        for (key, event) in all(plan) {
            let (service, instance) = key.split_once('/').expect("service/instance");
            assert_eq!(
                (&event["service"], &event["instance"]),
                (&service.into(), &instance.into())
            );
            let identity = format!("{} {service} {instance} {}", event["name"], event["labels"]);
            assert_eq!(keys.insert(identity, key), None);
            let kind = event["kind"].as_str().expect("a kind");
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        assert_eq!(keys.values().collect::<HashSet<_>>().len(), KEYS as usize);
        let expected = [("counter", 40_000), ("gauge", 7_500), ("histogram", 2_500)];
        assert_eq!(
            kinds,
            expected
                .map(|(kind, count)| (kind.to_owned(), count))
                .into()
        );
    }

    #[test]
    fn an_event_is_as_long_as_those_of_services() {
        let plan = Plan {
            events: 10_000,
            series: 1_000,
        };
        let (mut key, mut value) = (String::new(), String::new());
        let bytes: usize = (0..plan.events)
            .map(|event| {
                plan.write(event, &mut key, &mut value);
                value.len()
            })
            .sum();
        let mean = bytes as f64 / plan.events as f64;
        assert!((240.0..265.0).contains(&mean), "{mean}");
    }

    #[test]
    fn ids_are_uuids_that_differ() {
        let plan = Plan {
            events: 1_000,
            series: 10,
        };
        let ids = all(plan)
            .into_iter()
            .map(|(_, event)| event["id"].to_string());
        let ids: HashSet<String> = ids.collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 38), "{ids:?}");
    }
}
