//! Engines that are not at hand: they answer as their documentation and sources say, and keep what is written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::client::Client;
use super::{Engine, set_up};
use crate::config::{ElasticsearchSink, HumanDuration};
use crate::sink::elasticsearch::failure::Failure;

pub const CONSUMER: &str = "shop/logs";
pub const ELASTICSEARCH_7_10: &str = r#"{"number":"7.10.2","build_flavor":"default"}"#;
pub const ELASTICSEARCH_8_9: &str = r#"{"number":"8.9.0","build_flavor":"default"}"#;
pub const ELASTICSEARCH_9: &str = r#"{"number":"9.1.0","build_flavor":"default"}"#;
pub const SERVERLESS: &str = r#"{"number":"8.11.0","build_flavor":"serverless"}"#;
pub const OPENSEARCH_3: &str = r#"{"number":"3.1.0","distribution":"opensearch"}"#;

/// An engine that answers requests, each `GET /path` with a status and a body.
pub struct Recorded {
    pub client: Client,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, (u16, Value)>>,
    written: Mutex<Vec<(String, Value)>>,
}

impl Recorded {
    /// An engine without any streams, templates or policies.
    pub async fn new(version: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let version: Value = serde_json::from_str(version).expect("JSON");
        let is_opensearch = version["distribution"] == "opensearch";
        let engine = Self {
            client: client(url),
            shared,
        };
        engine.answers("GET /", 200, json!({"version": version}));
        engine.streams(&[]);
        if is_opensearch {
            engine.answers(
                "GET /_plugins/_ism/policies/bt-monitoring-logs-bt-default",
                404,
                json!({"error": {"type": "status_exception", "reason": "Policy not found"}, "status": 404}),
            );
        } else {
            engine.answers(
                "GET /_ilm/status",
                200,
                json!({"operation_mode": "RUNNING"}),
            );
        }
        engine
    }

    pub fn answers(&self, request: &str, status: u16, body: Value) {
        lock(&self.shared.answers).insert(request.to_owned(), (status, body));
    }

    /// The data streams that there are: names, templates, lifecycles' retentions; each has two indices.
    pub fn streams(&self, streams: &[(&str, &str, Option<&str>)]) {
        let streams = streams.iter().map(|(name, template, retention)| {
            let indices = [1, 2].map(|n| json!({"index_name": format!(".ds-{name}-{n}"), "index_uuid": "u"}));
            let mut stream = json!({
                "name": name, "timestamp_field": {"name": "@timestamp"}, "indices": indices, "generation": 2, "status": "GREEN",
                "template": template,
            });
            if let Some(retention) = retention {
                stream["lifecycle"] = json!({"enabled": true, "data_retention": retention});
            }
            stream
        });
        let streams: Vec<_> = streams.collect();
        self.answers("GET /_data_stream", 200, json!({"data_streams": streams}));
    }

    pub async fn set_up(&self, config: &ElasticsearchSink) -> Engine {
        self.try_set_up(config).await.expect("set up")
    }

    pub async fn try_set_up(&self, config: &ElasticsearchSink) -> Result<Engine, Failure> {
        set_up(&self.client, config, CONSUMER).await
    }

    /// Set up by another consumer of the same stream.
    pub async fn set_up_as(&self, consumer: &str, config: &ElasticsearchSink) -> Engine {
        let engine = set_up(&self.client, config, consumer).await;
        engine.expect("set up")
    }

    /// What was written since this was asked last, as `PUT /path`.
    pub fn written(&self) -> Vec<String> {
        let written = std::mem::take(&mut *lock(&self.shared.written));
        written.into_iter().map(|(request, _)| request).collect()
    }

    /// What was written there last.
    pub fn body(&self, request: &str) -> Value {
        let written = lock(&self.shared.written);
        let last = written.iter().rev().find(|(to, _)| to == request);
        last.map(|(_, body)| body.clone()).expect(request)
    }
}

pub fn client(url: String) -> Client {
    let config = ElasticsearchSink {
        urls: vec![url],
        ..ElasticsearchSink::default()
    };
    Client::new(&config).expect("a client")
}

pub fn config(retention: Option<&str>) -> ElasticsearchSink {
    let mut config = ElasticsearchSink::default();
    let parse = |text: &str| text.parse::<HumanDuration>().expect("a duration");
    config.template.retention = retention.map(parse);
    config
}

pub fn reasons(engine: &Engine) -> Vec<&'static str> {
    engine.remarks.iter().map(|remark| remark.reason).collect()
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let path = uri.path();
    // Whatever the pattern.
    let path = match path.starts_with("/_data_stream/") && method == Method::GET {
        true => "/_data_stream",
        false => path,
    };
    let request = format!("{method} {path}");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut answers = lock(&shared.answers);
    let known = answers.get(&request).cloned();
    if method != Method::GET && method != Method::HEAD {
        lock(&shared.written).push((request.clone(), body.clone()));
        if known.is_none() {
            keep(&mut answers, &method, path, body);
        }
    }
    let (status, body) = match known {
        Some(known) => known,
        None if matches!(method, Method::GET | Method::HEAD) => (404, json!({})),
        None => (200, json!({"acknowledged": true})),
    };
    let status = StatusCode::from_u16(status).expect("a status");
    (status, body.to_string()).into_response()
}

/// What is written is there to be read, in the engine's own form.
fn keep(answers: &mut BTreeMap<String, (u16, Value)>, method: &Method, path: &str, body: Value) {
    let Some((family, name)) = path.rsplit_once('/') else {
        return;
    };
    let read = format!("GET {path}");
    if method == Method::DELETE {
        answers.remove(&read);
        return;
    }
    let kept = match family {
        "/_index_template" => {
            let mut template = body;
            template["composed_of"] = json!([]);
            let settings = &mut template["template"]["settings"]["index"];
            let limits = settings["mapping"]["total_fields"].as_object_mut();
            for limit in limits.into_iter().flat_map(|limits| limits.values_mut()) {
                *limit = json!(limit.to_string());
            }
            if !settings["number_of_replicas"].is_null() {
                settings["number_of_replicas"] = json!(settings["number_of_replicas"].to_string());
            }
            if !template["template"]["lifecycle"].is_null() {
                template["template"]["lifecycle"]["enabled"] = json!(true);
            }
            json!({"index_templates": [{"name": name, "index_template": template}]})
        }
        "/_ilm/policy" => {
            let mut policy = body;
            policy["policy"]["phases"]["hot"]["min_age"] = json!("0ms");
            policy["policy"]["phases"]["delete"]["actions"]["delete"]["delete_searchable_snapshot"] =
                json!(true);
            json!({name: {"version": 1, "policy": policy["policy"]}})
        }
        "/_plugins/_ism/policies" => {
            let mut policy = body;
            policy["policy"]["policy_id"] = json!(name);
            policy["policy"]["ism_template"][0]["last_updated_time"] = json!(1);
            policy["policy"]["states"][0]["actions"][0]["retry"] = json!({"count": 3});
            let before = answers
                .get(&read)
                .and_then(|(_, before)| before["_seq_no"].as_u64());
            let seq_no = before.map_or(5, |seq_no| seq_no + 1);
            json!({"_id": name, "_seq_no": seq_no, "_primary_term": 1, "policy": policy["policy"]})
        }
        _ => return,
    };
    answers.insert(read, (200, kept));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
