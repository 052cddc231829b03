use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Response};
use super::failure::Failure;
use crate::config::ElasticsearchSink;
use crate::sink_state::SinkCondition;

const JSON: &str = "application/json";
const MANAGED_BY: &str = "bt-monitoring";
/// Above the `logs-*-*` templates that Elasticsearch brings along (100, and 200 for its integrations).
const PRIORITY: u32 = 500;

/// What the engine is and can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Engine {
    pub name: &'static str,
    pub version: String,
    pub data_streams: bool,
    /// The field type that takes any object as one field.
    flattened: Option<&'static str>,
}

/// The answer to `GET /`.
#[derive(Debug, Deserialize)]
struct Info {
    version: Version,
}

#[derive(Debug, Deserialize)]
struct Version {
    number: String,
    distribution: Option<String>,
}

impl Engine {
    fn of(version: Version, data_streams: bool) -> Self {
        let numbers: Vec<u32> = version
            .number
            .split('.')
            .map_while(|n| n.parse().ok())
            .collect();
        let opensearch = version.distribution.as_deref() == Some("opensearch");
        let flattened = match opensearch {
            true => (numbers >= vec![2, 7]).then_some("flat_object"),
            // Like data streams a part of the default distribution, which other builds do not have.
            false => data_streams.then_some("flattened"),
        };
        Self {
            name: if opensearch {
                "OpenSearch"
            } else {
                "Elasticsearch"
            },
            version: version.number,
            data_streams,
            flattened,
        }
    }

    /// The index template: ECS, and nothing that an event could blow up.
    fn template(&self, stream: &str, replicas: u32) -> Value {
        let keyword = json!({"type": "keyword", "ignore_above": 1024});
        let text = json!({"type": "text"});
        let payload = match self.flattened {
            Some("flattened") => json!({"type": "flattened", "ignore_above": 1024}),
            Some(other) => json!({"type": other}),
            None => json!({"type": "object", "enabled": false}),
        };
        let mut template = json!({
            "index_patterns": [stream],
            "priority": PRIORITY,
            "_meta": {"managed_by": MANAGED_BY},
            "template": {
                "settings": {"index": {"number_of_replicas": replicas}},
                "mappings": {
                    "dynamic": "false",
                    "dynamic_templates": [
                        {"labels": {"path_match": "labels.*", "mapping": keyword}},
                    ],
                    "properties": {
                        "@timestamp": {"type": "date"},
                        "message": text,
                        "log": {"properties": {"level": keyword, "logger": keyword}},
                        "service": {"properties": {
                            "name": keyword, "state": keyword,
                            "node": {"properties": {"name": keyword}},
                        }},
                        "trace": {"properties": {"id": keyword}},
                        "span": {"properties": {"id": keyword}},
                        "error": {"properties": {"type": keyword, "message": text, "stack_trace": text}},
                        "event": {"properties": {
                            "id": keyword, "action": keyword, "kind": keyword, "dataset": keyword,
                            "duration": {"type": "long"},
                        }},
                        "metric": {"properties": {"name": keyword, "type": keyword, "value": {"type": "double"}}},
                        "labels": {"type": "object", "dynamic": true},
                        "payload": payload,
                    },
                },
            },
        });
        if self.data_streams {
            template["data_stream"] = json!({});
        }
        template
    }
}

/// Asks what the engine is, and makes the index template if we are to manage it. Can be done again at any time.
///
/// # Errors
/// What failed and why; all of it may come right later.
pub(super) async fn set_up(client: &Client, config: &ElasticsearchSink) -> Result<Engine, Failure> {
    let info: Info = parse(&get(client, "/").await?)?;
    let streams = get(client, "/_data_stream").await?;
    let data_streams = match streams.status.as_u16() {
        200..=299 => true,
        // Engines without data streams take this for an index with a wrong name, or an unknown path.
        400 | 404 | 405 => false,
        _ => return Err(Failure::answer("GET /_data_stream", &streams)),
    };
    let engine = Engine::of(info.version, data_streams);
    if config.template.manage {
        put_template(client, &engine, config).await?;
    }
    Ok(engine)
}

async fn put_template(
    client: &Client,
    engine: &Engine,
    config: &ElasticsearchSink,
) -> Result<(), Failure> {
    let stream = &config.data_stream;
    let path = format!("/_index_template/{MANAGED_BY}-{stream}");
    let existing = get(client, &path).await?;
    if existing.status.is_success() {
        let existing: Value = parse(&existing)?;
        let owner = &existing["index_templates"][0]["index_template"]["_meta"]["managed_by"];
        if owner != MANAGED_BY {
            tracing::warn!(%path, "the index template is somebody else's and is left alone");
            return Ok(());
        }
    } else if existing.status.as_u16() != 404 {
        return Err(Failure::answer(&format!("GET {path}"), &existing));
    }
    let body = engine
        .template(stream, config.template.replicas)
        .to_string();
    let answer = client
        .send(Method::PUT, &path, JSON, Some(Bytes::from(body)))
        .await?;
    match answer.status.is_success() {
        true => Ok(()),
        false => Err(Failure::answer(&format!("PUT {path}"), &answer)),
    }
}

/// Asks the engine for a sign of life that needs our credentials too.
///
/// # Errors
/// When it gives none.
pub(super) async fn probe(client: &Client) -> Result<(), Failure> {
    parse::<Info>(&get(client, "/").await?).map(|_| ())
}

async fn get(client: &Client, path: &str) -> Result<Response, Failure> {
    Ok(client.send(Method::GET, path, JSON, None).await?)
}

fn parse<'a, T: Deserialize<'a>>(response: &'a Response) -> Result<T, Failure> {
    serde_json::from_slice(&response.body).map_err(|_| {
        let failure = Failure::answer("not an answer of Elasticsearch or OpenSearch", response);
        match failure.kind {
            // Somebody else answers there.
            SinkCondition::Rejecting => Failure {
                kind: SinkCondition::Unreachable,
                ..failure
            },
            _ => failure,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_told_apart() {
        let cases = [
            (
                r#"{"number":"7.10.2","build_flavor":"oss"}"#,
                false,
                "Elasticsearch",
                None,
            ),
            (
                r#"{"number":"7.10.2","build_flavor":"default"}"#,
                true,
                "Elasticsearch",
                Some("flattened"),
            ),
            (
                r#"{"number":"9.1.0"}"#,
                true,
                "Elasticsearch",
                Some("flattened"),
            ),
            (
                r#"{"number":"2.5.0","distribution":"opensearch"}"#,
                true,
                "OpenSearch",
                None,
            ),
            (
                r#"{"number":"2.19.1","distribution":"opensearch"}"#,
                true,
                "OpenSearch",
                Some("flat_object"),
            ),
            (
                r#"{"number":"3.0.0-beta1","distribution":"opensearch"}"#,
                true,
                "OpenSearch",
                Some("flat_object"),
            ),
        ];
        for (json, data_streams, name, flattened) in cases {
            let engine = Engine::of(serde_json::from_str(json).expect(json), data_streams);
            assert_eq!((engine.name, engine.flattened), (name, flattened), "{json}");
            let payload =
                &engine.template("logs", 1)["template"]["mappings"]["properties"]["payload"];
            assert_eq!(payload["type"], flattened.unwrap_or("object"), "{json}");
        }
    }

    #[test]
    fn only_engines_with_data_streams_get_one() {
        for data_streams in [true, false] {
            let version = Version {
                number: "8.0.0".into(),
                distribution: None,
            };
            let template = Engine::of(version, data_streams).template("logs", 1);
            assert_eq!(template.get("data_stream").is_some(), data_streams);
            assert_eq!(
                template["template"]["settings"]["index"]["number_of_replicas"],
                1
            );
        }
    }
}
