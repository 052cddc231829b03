//! The logs that are preloaded: as services write them, with a message of some 300 bytes. All of a log follows from its number.

use std::fmt::Write;

use crate::preload::{Records, mix};

/// Services, each with ten instances, each with a record key of its own.
const SERVICES: u64 = 40;
const INSTANCES: u64 = 10;
const LEVELS: [&str; 10] = [
    "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "DEBUG", "DEBUG", "WARN", "ERROR",
];
const LOGGERS: [&str; 4] = [
    "com.example.orders.service.OrderService",
    "com.example.orders.api.OrderController",
    "com.example.shared.http.RequestLog",
    "org.springframework.kafka.listener.KafkaMessageListenerContainer",
];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const ZONES: [&str; 3] = ["eu-1a", "eu-1b", "eu-1c"];
/// What messages end with; one of them has quotes and a line break, which JSON escapes.
const TAILS: [&str; 4] = [
    "the stock was checked in two warehouses and the customer's credit limit is not reached; the next step is the payment of the whole order",
    "retried once since the first connection of the pool was closed by the other side; the answer came at the second attempt, in time",
    r#"the body was {\"state\":\"accepted\",\"reason\":null}\nand has been kept, for it differs from what was expected here of it"#,
    "no entry in the cache for this key, so that it was read from the database; entries are kept for three hundred seconds from now",
];

/// So many logs.
#[derive(Debug, Clone, Copy)]
pub struct Logs(pub u64);

impl Logs {
    fn record(number: u64, key: &mut String, value: &mut String) -> std::fmt::Result {
        let random = mix(number);
        let (service, instance) = (random % SERVICES, random / SERVICES % INSTANCES);
        let pick = |options: &[&'static str], shift: u32| {
            options[(random >> shift) as usize % options.len()]
        };
        write!(key, "service-{service:02}/pod-{instance}")?;
        let (second, milli) = (number / 1000 % 60, number % 1000);
        let (hour, minute) = (number / 3_600_000 % 24, number / 60_000 % 60);
        write!(
            value,
            r#"{{"ts":"2026-01-01T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","service":"service-{service:02}","instance":"pod-{instance}","#
        )?;
        write!(
            value,
            r#""id":"{:08x}-{:04x}-4{:03x}-8{:03x}-{number:012x}","#,
            random >> 32,
            random >> 16 & 0xffff,
            random >> 4 & 0xfff,
            random >> 48 & 0xfff
        )?;
        let (level, logger, method) = (pick(&LEVELS, 3), pick(&LOGGERS, 7), pick(&METHODS, 11));
        let (order, millis, status) = (
            random % 10_000_000,
            random >> 20 & 0x3ff,
            200 + random % 2 * 4,
        );
        write!(
            value,
            r#""level":"{level}","logger":"{logger}","message":"{method} /api/v2/customers/{:06}/orders/{order:07}?expand=items,payments answered {status} in {millis} ms: order {order:07} of customer {:06} has {} items over {}.{:02} EUR; {}","#,
            random % 999_983,
            random % 999_983,
            1 + random % 9,
            random % 900,
            random % 100,
            pick(&TAILS, 13),
        )?;
        write!(
            value,
            r#""trace_id":"{random:016x}{:016x}","span_id":"{:016x}","#,
            mix(random),
            mix(!random)
        )?;
        write!(
            value,
            r#""fields":{{"http.request.method":"{method}","http.response.status_code":{status},"duration_ms":{millis},"cloud.zone":"{}"}}}}"#,
            pick(&ZONES, 17)
        )
    }
}

impl Records for Logs {
    fn count(&self) -> u64 {
        self.0
    }

    /// The key is `service/instance`.
    fn write(&self, number: u64, key: &mut String, value: &mut String) {
        key.clear();
        value.clear();
        Self::record(number, key, value).expect("writing to memory does not fail");
    }

    fn partition(&self, _: u64) -> Option<i32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn all(logs: u64) -> Vec<(String, String)> {
        let records = (0..logs).map(|number| {
            let (mut key, mut value) = (String::new(), String::new());
            Logs(logs).write(number, &mut key, &mut value);
            (key, value)
        });
        records.collect()
    }

    #[test]
    fn a_log_is_as_long_as_those_of_services() {
        let (mut bytes, mut message) = (0, 0);
        for (_, value) in all(10_000) {
            let log: Value = serde_json::from_str(&value).expect("JSON");
            bytes += value.len();
            message += log["message"].as_str().expect("a text").len();
        }
        let (bytes, message) = (bytes as f64 / 1e4, message as f64 / 1e4);
        assert!((665.0..695.0).contains(&bytes), "{bytes}");
        assert!((270.0..320.0).contains(&message), "{message}");
    }

    #[test]
    fn ids_are_uuids_that_differ_and_keys_are_those_of_the_producers() {
        let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
        for (key, value) in all(20_000) {
            let log: Value = serde_json::from_str(&value).expect("JSON");
            let producer = format!(
                "{}/{}",
                log["service"].as_str().expect("a text"),
                log["instance"].as_str().expect("a text")
            );
            assert_eq!(key, producer);
            let id = log["id"].as_str().expect("a text").to_owned();
            assert_eq!(id.len(), 36, "{id}");
            ids.insert(id);
            keys.insert(key);
        }
        assert_eq!(ids.len(), 20_000);
        assert_eq!(keys.len() as u64, SERVICES * INSTANCES);
    }
}
