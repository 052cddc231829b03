use serde_json::{Value, json};

use super::call::covers;
use super::info::{Info, Version};
use super::recorded::*;
use crate::config::ElasticsearchSink;
use crate::sink_state::SinkCondition;

const TEMPLATE: &str = "/_index_template/bt-monitoring-logs-bt-default";

#[test]
fn engines_are_told_apart() {
    let cases = [
        (
            r#"{"number":"7.10.2","build_flavor":"oss"}"#,
            false,
            "Elasticsearch",
            None,
            false,
        ),
        (
            r#"{"number":"7.10.2","build_flavor":"unknown"}"#,
            false,
            "Elasticsearch",
            None,
            false,
        ),
        (
            ELASTICSEARCH_7_10,
            true,
            "Elasticsearch",
            Some("flattened"),
            false,
        ),
        (
            r#"{"number":"8.13.4","build_flavor":"default"}"#,
            true,
            "Elasticsearch",
            Some("flattened"),
            false,
        ),
        (
            r#"{"number":"8.14.0-SNAPSHOT","build_flavor":"default"}"#,
            true,
            "Elasticsearch",
            Some("flattened"),
            true,
        ),
        (
            ELASTICSEARCH_9,
            true,
            "Elasticsearch",
            Some("flattened"),
            true,
        ),
        (SERVERLESS, true, "Elasticsearch", Some("flattened"), true),
        (
            r#"{"number":"2.5.0","distribution":"opensearch"}"#,
            true,
            "OpenSearch",
            None,
            false,
        ),
        (
            r#"{"number":"2.19.1","distribution":"opensearch"}"#,
            true,
            "OpenSearch",
            Some("flat_object"),
            false,
        ),
        (
            r#"{"number":"3.0.0-beta1","distribution":"opensearch"}"#,
            true,
            "OpenSearch",
            Some("flat_object"),
            false,
        ),
    ];
    for (json, data_streams, name, flattened, ignores) in cases {
        let version = Version::parse(json);
        assert_eq!(version.has_data_streams(), data_streams, "{json}");
        let info = Info::new(version, data_streams);
        let found = (info.name(), info.flattened(), info.ignores_beyond_limit());
        assert_eq!(found, (name, flattened, ignores), "{json}");
    }
}

#[tokio::test]
async fn each_engine_gets_the_template_that_it_understands() {
    for (version, payload, ignores, replicas) in [
        (ELASTICSEARCH_7_10, "flattened", Value::Null, json!(2)),
        (ELASTICSEARCH_9, "flattened", json!(true), json!(2)),
        (SERVERLESS, "flattened", json!(true), Value::Null),
        (OPENSEARCH_3, "flat_object", Value::Null, json!(2)),
    ] {
        let engine = Recorded::new(version).await;
        let mut config = config(None);
        config.template.replicas = 2;
        let found = engine.set_up(&config).await;
        assert!(
            found.data_streams && found.remarks.is_empty(),
            "{version}: {found:?}"
        );
        let template = engine.body(&format!("PUT {TEMPLATE}"));
        let index = &template["template"]["settings"]["index"];
        let limits = &index["mapping"]["total_fields"];
        assert_eq!(limits["ignore_dynamic_beyond_limit"], ignores, "{version}");
        assert_eq!(index["number_of_replicas"], replicas, "{version}");
        let mappings = &template["template"]["mappings"];
        assert_eq!(
            mappings["properties"]["payload"]["type"], payload,
            "{version}"
        );
        assert_eq!(template["index_patterns"], json!(["logs-bt-default"]));
        assert_eq!(template["data_stream"], json!({}));
        assert_eq!(template["_meta"]["managed_by"], "bt-monitoring");
    }
}

#[tokio::test]
async fn without_data_streams_the_template_is_of_plain_indices() {
    for status in [400, 405] {
        let engine = Recorded::new(r#"{"number":"7.10.2","build_flavor":"oss"}"#).await;
        engine.answers(
            "GET /_data_stream",
            status,
            json!({"error": "Incorrect HTTP method", "status": status}),
        );
        let found = engine.set_up(&config(None)).await;
        assert_eq!((found.data_streams, &*found.version), (false, "7.10.2"));
        let template = engine.body(&format!("PUT {TEMPLATE}"));
        assert!(template.get("data_stream").is_none());
        let payload = &template["template"]["mappings"]["properties"]["payload"];
        assert_eq!(payload, &json!({"type": "object", "enabled": false}));
    }
}

#[tokio::test]
async fn doing_it_again_changes_nothing_and_brings_back_what_was_deleted() {
    for version in [
        ELASTICSEARCH_7_10,
        ELASTICSEARCH_8_9,
        ELASTICSEARCH_9,
        SERVERLESS,
        OPENSEARCH_3,
    ] {
        let engine = Recorded::new(version).await;
        for retention in [None, Some("30d")] {
            let config = config(retention);
            let first = engine.set_up(&config).await;
            assert!(!engine.written().is_empty(), "{version} {retention:?}");
            assert_eq!(engine.set_up(&config).await, first);
            assert_eq!(engine.written(), [""; 0], "{version} {retention:?}");
        }
        engine.answers(&format!("GET {TEMPLATE}"), 404, json!({}));
        engine.set_up(&config(Some("30d"))).await;
        assert_eq!(engine.written(), [format!("PUT {TEMPLATE}")], "{version}");
    }
}

#[tokio::test]
async fn what_somebody_changes_in_our_template_is_changed_back() {
    let changes: [fn(&mut Value); 5] = [
        |template| template["template"]["mappings"]["dynamic"] = json!("true"),
        |template| template["template"]["mappings"]["properties"]["mine"] = json!({"type": "text"}),
        |template| template["template"]["settings"]["index"]["number_of_shards"] = json!("5"),
        |template| template["template"]["lifecycle"] = json!({"data_retention": "1d"}),
        |template| template["priority"] = json!(1),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let engine = Recorded::new(ELASTICSEARCH_9).await;
        engine.set_up(&config(None)).await;
        let mut template = engine.body(&format!("PUT {TEMPLATE}"));
        engine.written();
        change(&mut template);
        let answer = json!({"index_templates": [{"name": "n", "index_template": template}]});
        engine.answers(&format!("GET {TEMPLATE}"), 200, answer);
        engine.set_up(&config(None)).await;
        assert_eq!(engine.written(), [format!("PUT {TEMPLATE}")], "{n}");
    }
}

#[tokio::test]
async fn a_template_of_somebody_else_is_left_alone_and_told_of() {
    let engine = Recorded::new(ELASTICSEARCH_9).await;
    let theirs = json!({"index_patterns": ["logs-bt-*"], "_meta": {"managed_by": "fleet"}});
    let answer = json!({"index_templates": [{"name": "n", "index_template": theirs}]});
    engine.answers(&format!("GET {TEMPLATE}"), 200, answer);
    engine.streams(&[("logs-bt-default", "theirs", Some("7d"))]);
    let found = engine.set_up(&config(Some("30d"))).await;
    assert_eq!(reasons(&found), ["TemplateNotOurs"]);
    assert_eq!(engine.written(), [""; 0]);
}

#[tokio::test]
async fn of_two_consumers_with_other_settings_the_one_that_was_there_first_keeps_the_template() {
    for version in [ELASTICSEARCH_8_9, ELASTICSEARCH_9, OPENSEARCH_3] {
        let engine = Recorded::new(version).await;
        engine.set_up(&config(Some("30d"))).await;
        engine.written();
        for _ in 0..2 {
            let second = engine.set_up_as("shop/copy", &config(Some("7d"))).await;
            assert_eq!(reasons(&second), ["TemplateOfAnother"], "{version}");
            let message = &second.remarks[0].message;
            for part in ["shop/logs", r#""retention":"30d""#, r#""retention":"7d""#] {
                assert!(message.contains(part), "{message}");
            }
            let first = engine.set_up(&config(Some("30d"))).await;
            assert_eq!((first.remarks, engine.written()), (vec![], vec![]));
            let same = engine.set_up_as("shop/copy", &config(Some("30d"))).await;
            assert_eq!((same.remarks, engine.written()), (vec![], vec![]));
        }
        // It may change its mind.
        engine.set_up(&config(None)).await;
        assert!(engine.written().contains(&format!("PUT {TEMPLATE}")));
        // Who is still there when the template is deleted has it.
        engine.answers(&format!("GET {TEMPLATE}"), 404, json!({}));
        engine.set_up_as("shop/copy", &config(Some("7d"))).await;
        let template = engine.body(&format!("PUT {TEMPLATE}"));
        assert_eq!(template["_meta"]["consumer"], "shop/copy", "{version}");
        let first = engine.set_up(&config(None)).await;
        assert_eq!(reasons(&first), ["TemplateOfAnother"], "{version}");
    }
}

#[tokio::test]
async fn a_template_of_the_same_priority_is_told_of_by_name() {
    let engine = Recorded::new(ELASTICSEARCH_9).await;
    let reason = "index template [bt-monitoring-logs-bt-default] has index patterns [logs-bt-default] matching patterns from existing \
        templates [mine] with patterns (mine => [logs-bt-*]) that have the same priority [500], multiple index templates may not match \
        during index creation, please use a different priority";
    let error =
        json!({"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400});
    engine.answers(&format!("PUT {TEMPLATE}"), 400, error);
    let found = engine.set_up(&config(None)).await;
    assert_eq!(reasons(&found), ["TemplateConflict"]);
    assert!(
        found.remarks[0]
            .message
            .contains("existing templates [mine]"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_template_of_higher_priority_is_told_of_by_name() {
    let engine = Recorded::new(OPENSEARCH_3).await;
    let template = |name: &str, pattern: &str, priority: Value| json!({"name": name, "index_template": {"index_patterns": [pattern], "priority": priority}});
    let templates = [
        template("logs", "logs-*-*", json!(100)),
        template("mine", "logs-bt-*", json!(900)),
        template("far", "metrics-*", json!(1000)),
        template("old", "*", Value::Null),
    ];
    engine.answers(
        "GET /_index_template",
        200,
        json!({"index_templates": templates}),
    );
    let found = engine.set_up(&config(None)).await;
    assert_eq!(reasons(&found), ["TemplateOverruled"]);
    let message = &found.remarks[0].message;
    assert!(
        message.starts_with("the index template mine (priority 900)"),
        "{message}"
    );
}

#[tokio::test]
async fn an_index_where_the_data_stream_should_be_is_told_of() {
    let engine = Recorded::new(ELASTICSEARCH_9).await;
    engine.answers("HEAD /logs-bt-default", 200, Value::Null);
    let found = engine.set_up(&config(None)).await;
    assert_eq!(reasons(&found), ["NotADataStream"]);
    engine.streams(&[("logs-bt-default", "bt-monitoring-logs-bt-default", None)]);
    assert!(engine.set_up(&config(None)).await.remarks.is_empty());
}

#[tokio::test]
async fn with_manage_false_nothing_is_made() {
    let mut config = config(Some("30d"));
    config.template.manage = false;
    for (version, data_streams) in [
        (ELASTICSEARCH_9, true),
        (r#"{"number":"7.10.2","build_flavor":"oss"}"#, false),
    ] {
        let engine = Recorded::new(version).await;
        // A user who may do nothing but write.
        let error = json!({"error": {"type": "security_exception", "reason": "unauthorized"}});
        engine.answers("GET /_data_stream", 403, error);
        let found = engine.set_up(&config).await;
        assert_eq!(
            (found.data_streams, reasons(&found)),
            (data_streams, vec![])
        );
        assert_eq!(engine.written(), [""; 0]);
    }
}

#[tokio::test]
async fn failures_say_what_is_the_matter() {
    let managed = config(None);
    let wrong = ElasticsearchSink {
        data_stream: "logs".into(),
        ..config(None)
    };
    let cases = [
        ("GET /", 401, SinkCondition::Unauthorized),
        ("GET /", 503, SinkCondition::Unavailable),
        ("GET /", 200, SinkCondition::Unreachable),
        ("GET /_data_stream", 403, SinkCondition::Unauthorized),
        (
            "GET /_index_template/bt-monitoring-logs",
            500,
            SinkCondition::Unavailable,
        ),
        (
            "PUT /_index_template/bt-monitoring-logs",
            403,
            SinkCondition::Unauthorized,
        ),
        (
            "PUT /_index_template/bt-monitoring-logs",
            400,
            SinkCondition::Rejecting,
        ),
    ];
    for (request, status, kind) in cases {
        let engine = Recorded::new(ELASTICSEARCH_9).await;
        let error =
            json!({"error": {"type": "some_exception", "reason": "because"}, "status": status});
        engine.answers(request, status, error);
        let failure = engine.try_set_up(&wrong).await.expect_err(request);
        assert_eq!(failure.kind, kind, "{request} {status}: {failure:?}");
        assert!(failure.why.contains("because"), "{failure:?}");
    }
    let nobody = client("http://127.0.0.1:1".into());
    let failure = super::set_up(&nobody, &managed, CONSUMER).await;
    assert_eq!(
        failure.expect_err("nobody").kind,
        SinkCondition::Unreachable
    );
}

#[test]
fn what_engines_add_and_how_they_write_numbers_makes_no_difference() {
    let theirs = json!({"a": "1", "b": {"c": "true", "d": 1}, "e": [{"f": "x", "g": null}]});
    assert!(covers(
        &theirs,
        &json!({"a": 1, "b": {"c": true}, "e": [{"f": "x"}]})
    ));
    for other in [
        json!({"a": 2}),
        json!({"b": {"x": 1}}),
        json!({"e": []}),
        json!({"e": [{"f": "y"}]}),
        json!({"a": [1]}),
    ] {
        assert!(!covers(&theirs, &other), "{other}");
    }
}
