//! On real engines, at the URLs of SEARCH_URLS, with commas between them:
//! SEARCH_URLS=http://localhost:9200 cargo test -p bt-consumers --lib on_engines -- --ignored

use std::time::SystemTime;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use super::call::Undone;
use super::info::{Info, version};
use super::recorded::{CONSUMER, client, config, reasons};
use super::retention::Part;
use super::template::{self, State};
use super::*;

/// An engine, and names of one test's own.
struct Fixture {
    client: Client,
    config: ElasticsearchSink,
}

impl Fixture {
    /// One for each engine.
    fn all(what: &str) -> Vec<Self> {
        let urls = std::env::var("SEARCH_URLS").expect("SEARCH_URLS says where engines are");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = now.expect("after 1970").as_millis();
        let fixture = |url: &str| {
            let mut config = config(None);
            config.data_stream = format!("engtest-{what}-{millis:x}");
            Self {
                client: client(url.to_owned()),
                config,
            }
        };
        urls.split(',').map(fixture).collect()
    }

    async fn set_up(&self) -> Engine {
        set_up(&self.client, &self.config, CONSUMER)
            .await
            .expect("set up")
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = call::json(&self.client, method, path, body).await;
        answer.map_err(Undone::failure).expect(path)
    }

    /// Indexes documents; status and error of each.
    async fn index(&self, documents: &[Value]) -> Vec<(u64, Value)> {
        let lines = documents
            .iter()
            .map(|document| format!("{{\"create\":{{}}}}\n{document}\n"));
        let body = Bytes::from(lines.collect::<String>());
        let path = format!("/{}/_bulk?refresh=true", self.config.data_stream);
        let answer = self
            .client
            .send(Method::POST, &path, "application/x-ndjson", Some(body))
            .await;
        let answer = answer.expect("an answer").body;
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let items = answer["items"].as_array().expect("items").iter();
        items
            .map(|item| {
                let create = &item["create"];
                (
                    create["status"].as_u64().expect("a status"),
                    create["error"].clone(),
                )
            })
            .collect()
    }

    async fn found(&self, query: Value) -> u64 {
        let path = format!("/{}/_search?size=0", self.config.data_stream);
        let answer = self
            .ask(Method::POST, &path, Some(&json!({"query": query})))
            .await;
        answer["hits"]["total"]["value"].as_u64().expect("a number")
    }

    async fn clean_up(&self, templates: &[&str]) {
        let stream = &self.config.data_stream;
        let ours = format!("{MANAGED_BY}-{stream}");
        let ours = call::segment(&ours);
        for path in [
            format!("/_data_stream/{stream}*"),
            format!("/{stream}*"),
            format!("/_index_template/{ours}"),
        ] {
            let _ = call::send(&self.client, Method::DELETE, &path, None).await;
        }
        for template in templates {
            let path = format!("/_index_template/{template}");
            let _ = call::send(&self.client, Method::DELETE, &path, None).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs search engines at SEARCH_URLS"]
async fn the_template_is_kept_as_it_was_written() {
    for fixture in Fixture::all("kept") {
        let Fixture { client, config } = &fixture;
        let found = fixture.set_up().await;
        assert_eq!(found.remarks, [], "{found:?}");
        let info = Info::new(
            version(client).await.expect("a version"),
            found.data_streams,
        );
        let place = Place {
            client,
            info: &info,
            config,
            consumer: CONSUMER,
            name: format!("{MANAGED_BY}-{}", config.data_stream),
            pattern: config.data_stream.clone(),
            fixed: Some(config.data_stream.clone()),
        };
        let wanted = template::template(&place, CONSUMER, &Part::default());
        let State::Ours(current) = template::current(&place).await.expect("a template") else {
            panic!("no template of ours: {found:?}");
        };
        assert!(template::is_kept(&current, &wanted), "{current}\n{wanted}");

        let path = format!("/_index_template/{}", place.name);
        fixture.ask(Method::DELETE, &path, None).await;
        assert_eq!(fixture.set_up().await, found);
        let State::Ours(again) = template::current(&place).await.expect("a template") else {
            panic!("it did not come back: {found:?}");
        };
        assert_eq!(again, current);
        fixture.clean_up(&[]).await;
    }
}

#[tokio::test]
#[ignore = "needs search engines at SEARCH_URLS"]
async fn no_type_and_no_number_of_labels_loses_a_document() {
    for fixture in Fixture::all("labels") {
        let engine = fixture.set_up().await;
        let stream = &fixture.config.data_stream;
        let of = |labels: Value| json!({"@timestamp": 1_700_000_000_000_u64, "message": "m", "labels": labels});
        let mut documents: Vec<Value> = [
            json!(1),
            json!("2026-01-01"),
            json!(true),
            json!(1e300),
            json!("x".repeat(40_000)),
        ]
        .into_iter()
        .map(|value| of(json!({"mixed": value})))
        .collect();
        documents.push(json!({"@timestamp": 1, "event": {"duration": "soon"}, "metric": {"value": "much"}, "new": {"a": 1}}));
        documents.push(json!({"@timestamp": 1, "new": 5, "payload": {"a": [1, {"b": null}], "c": {"d": "deep"}}}));
        for (document, (status, error)) in documents.iter().zip(fixture.index(&documents).await) {
            assert_eq!(
                status,
                201,
                "{engine:?} {error} {:.100}",
                document.to_string()
            );
        }
        assert_eq!(
            fixture.found(json!({"term": {"labels.mixed": "1"}})).await,
            1,
            "{engine:?}"
        );
        assert_eq!(
            fixture
                .found(json!({"term": {"labels.mixed": "2026-01-01"}}))
                .await,
            1,
            "{engine:?}"
        );
        let streams = streams::list(&fixture.client, stream).await.ok().flatten();
        assert_eq!(
            streams.is_some_and(|streams| streams.len() == 1),
            engine.data_streams
        );

        // Far more names than the index may have fields.
        let many: Vec<Value> = (0..15)
            .map(|n| {
                let labels = (0..100).map(|m| (format!("name_{n}_{m}"), json!("v")));
                of(Value::Object(labels.collect()))
            })
            .collect();
        let answers = fixture.index(&many).await;
        let limit = |error: &Value| {
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            is_label_limit(&text("type"), &text("reason"))
        };
        let again: Vec<Value> = many
            .into_iter()
            .zip(&answers)
            .filter(|(_, (status, error))| {
                assert!(*status == 201 || limit(error), "{engine:?} {error}");
                *status != 201
            })
            .map(|(document, _)| document)
            .collect();
        assert!(
            answers[0].0 == 201 && !again.is_empty(),
            "{engine:?} {}",
            again.len()
        );
        assert!(
            freeze_labels(&fixture.client, stream)
                .await
                .expect("an answer")
        );
        let answers = fixture.index(&again).await;
        assert!(
            answers.iter().all(|(status, _)| *status == 201),
            "{engine:?} {answers:?}"
        );
        // What was there before is searchable as before, also of new documents.
        fixture
            .index(&[of(json!({"name_0_1": "new", "unseen": "new"}))])
            .await;
        assert_eq!(
            fixture
                .found(json!({"term": {"labels.name_0_1": "new"}}))
                .await,
            1
        );
        assert_eq!(
            fixture
                .found(json!({"term": {"labels.unseen": "new"}}))
                .await,
            0
        );
        fixture.clean_up(&[]).await;
    }
}

#[tokio::test]
#[ignore = "needs search engines at SEARCH_URLS"]
async fn other_templates_are_told_of() {
    for fixture in Fixture::all("others") {
        let stream = fixture.config.data_stream.clone();
        let other = format!("{stream}-other");
        for (priority, reason) in [(500, "TemplateConflict"), (900, "TemplateOverruled")] {
            let body = json!({"index_patterns": [format!("{stream}*")], "priority": priority});
            let path = format!("/_index_template/{other}");
            fixture.ask(Method::PUT, &path, Some(&body)).await;
            let found = fixture.set_up().await;
            assert_eq!(reasons(&found), [reason], "{found:?}");
            assert!(found.remarks[0].message.contains(&other), "{found:?}");
        }
        let theirs = json!({"index_patterns": [stream], "priority": 500});
        let path = format!("/_index_template/{MANAGED_BY}-{stream}");
        fixture.ask(Method::PUT, &path, Some(&theirs)).await;
        let found = fixture.set_up().await;
        assert_eq!(reasons(&found), ["TemplateNotOurs"], "{found:?}");
        fixture.clean_up(&[&other]).await;
    }
}

#[tokio::test]
#[ignore = "needs search engines at SEARCH_URLS"]
async fn where_there_are_documents_already_nothing_is_in_the_way() {
    for fixture in Fixture::all("again") {
        fixture.set_up().await;
        let document = json!({"@timestamp": 1_700_000_000_000_u64, "message": "m"});
        assert_eq!(fixture.index(&[document]).await[0].0, 201);
        let found = fixture.set_up().await;
        assert_eq!(reasons(&found), [""; 0], "{found:?}");
        fixture.clean_up(&[]).await;
    }
}

#[tokio::test]
#[ignore = "needs search engines at SEARCH_URLS without ILM and ISM"]
async fn retention_that_nothing_enforces_is_told_of_and_an_index_in_the_way_too() {
    for mut fixture in Fixture::all("retention") {
        let path = format!("/{}", fixture.config.data_stream);
        fixture.ask(Method::PUT, &path, Some(&json!({}))).await;
        fixture.config.template.retention = config(Some("30d")).template.retention;
        let found = fixture.set_up().await;
        let expected = match found.data_streams {
            true => vec!["NotADataStream", "RetentionNotEnforced"],
            false => vec!["RetentionNotEnforced"],
        };
        assert_eq!(reasons(&found), expected, "{found:?}");
        fixture.clean_up(&[]).await;
    }
}

#[tokio::test]
#[ignore = "needs search engines at SEARCH_URLS"]
async fn streams_of_a_pattern_are_told_from_others() {
    for mut fixture in Fixture::all("pattern") {
        let base = fixture.config.data_stream.clone();
        let version = version(&fixture.client).await.expect("a version");
        let pattern = format!("{base}-*");
        let streams = streams::list(&fixture.client, &pattern).await;
        let data_streams = streams.ok().flatten().is_some();
        let info = Info::new(version, data_streams);
        let foreign = json!({"index_patterns": [format!("{base}-foreign")], "priority": 1, "data_stream": {}});
        let path = format!("/_index_template/{base}-foreign");
        if data_streams {
            fixture.ask(Method::PUT, &path, Some(&foreign)).await;
            fixture.config.data_stream = format!("{base}-foreign");
            fixture.index(&[json!({"@timestamp": 1})]).await;
        }
        for round in ["first", "second"] {
            fixture.config.data_stream = format!("{base}-{{service}}");
            let place = Place {
                client: &fixture.client,
                info: &info,
                config: &fixture.config,
                consumer: CONSUMER,
                name: format!("{MANAGED_BY}-{base}-{{service}}"),
                pattern: pattern.clone(),
                fixed: None,
            };
            let streams = streams::list(place.client, &place.pattern).await;
            let streams = streams.ok().flatten().unwrap_or_default();
            let mut remarks = Vec::new();
            let ours = streams::ours(&place, streams.clone(), &mut remarks).await;
            let ours: Vec<_> = ours
                .expect("an answer")
                .into_iter()
                .map(|stream| stream.name)
                .collect();
            remarks.clear();
            keep(&place, streams, &mut remarks).await.expect("kept");
            let reasons: Vec<_> = remarks.iter().map(|remark| remark.reason).collect();
            match data_streams {
                true => assert_eq!(reasons, ["PatternTooWide"], "{round} {remarks:?}"),
                false => assert_eq!(reasons, [""; 0]),
            }
            match (data_streams, round) {
                (true, "second") => assert_eq!(ours, [format!("{base}-shop")]),
                _ => assert_eq!(ours, [""; 0]),
            }
            fixture.config.data_stream = format!("{base}-shop");
            fixture.index(&[json!({"@timestamp": 1})]).await;
        }
        fixture.config.data_stream = format!("{base}-{{service}}");
        let template = format!("{MANAGED_BY}-{base}-%7Bservice%7D");
        let foreign = format!("{base}-foreign");
        for path in [format!("/_data_stream/{base}-*"), format!("/{base}-*")] {
            let _ = call::send(&fixture.client, Method::DELETE, &path, None).await;
        }
        fixture.clean_up(&[&template, &foreign]).await;
    }
}
