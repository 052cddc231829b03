use bt_events::{Business, Event, Health, Log, Metric, Status, raw_json};

use super::SendKind;

const SERVICE: &str = "kubectl-bt";

/// An event that is found again at the other end.
pub(super) struct TestEvent {
    kind: SendKind,
    /// A UUID: the document's `_id` in a search engine.
    pub id: String,
    /// Stands in a label of the series that it becomes.
    pub token: String,
    /// The record's key.
    pub key: String,
    /// The record's value.
    pub json: String,
}

impl TestEvent {
    pub fn new(kind: SendKind, message: &str) -> Self {
        let id = uuid(fastrand::u128(..));
        let token = format!("test-{}", &id[..8]);
        let event = match kind {
            SendKind::Metric => {
                let now = jiff::Timestamp::now().as_millisecond();
                let metric = Metric::gauge("bt_test_event_timestamp_seconds", now as f64 / 1000.0);
                Event::metric(SERVICE, metric)
            }
            SendKind::Log => Event::log(SERVICE, Log::new("info", message.to_owned())),
            SendKind::Health => {
                let health = Health {
                    status: Status::Up,
                    checks: Vec::new(),
                    latency_ms: None,
                };
                Event::health(SERVICE, health)
            }
            SendKind::Business => {
                let business = Business {
                    r#type: format!("test.{token}").into(),
                    payload: raw_json(&serde_json::json!({"message": message})).ok(),
                };
                Event::business(SERVICE, business)
            }
        };
        let event = event.instance(token.clone()).id(id.clone());
        let (key, json) = (event.key(), event.to_json());
        Self {
            kind,
            id,
            token,
            key,
            json,
        }
    }

    /// What finds its series in Prometheus.
    pub fn query(&self) -> String {
        let token = &self.token;
        match self.kind {
            SendKind::Health => format!("bt_service_health{{instance=\"{token}\"}}"),
            SendKind::Business => format!("bt_events_total{{type=\"test.{token}\"}}"),
            SendKind::Metric | SendKind::Log => {
                format!("bt_test_event_timestamp_seconds{{instance=\"{token}\"}}")
            }
        }
    }
}

/// A random UUID (RFC 9562, version 4).
fn uuid(random: u128) -> String {
    let versioned = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{versioned:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn each_kind_is_an_event_that_its_query_finds() {
        for (kind, name) in [
            (SendKind::Metric, "metric"),
            (SendKind::Log, "log"),
            (SendKind::Health, "health"),
            (SendKind::Business, "business"),
        ] {
            let test = TestEvent::new(kind, "hello");
            let parsed = bt_events::parse(test.json.as_bytes()).expect("JSON").next();
            let event = parsed.expect("one").event().expect("an event");
            assert_eq!(event.body.kind(), name);
            assert_eq!(event.id.expect("an id").as_str(), test.id);
            assert!(test.query().contains(&test.token) && test.json.contains(&test.token));
            assert_eq!(test.key, format!("kubectl-bt/{}", test.token));
        }
    }
}
