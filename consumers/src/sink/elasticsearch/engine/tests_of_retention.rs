use serde_json::{Value, json};

use super::info::{Info, Version};
use super::recorded::*;
use super::{Place, keep, streams};

const NAME: &str = "bt-monitoring-logs-bt-default";
const TEMPLATE: &str = "/_index_template/bt-monitoring-logs-bt-default";
const ILM: &str = "/_ilm/policy/bt-monitoring-logs-bt-default";
const ISM: &str = "/_plugins/_ism/policies/bt-monitoring-logs-bt-default";
const LIFECYCLE: &str = "/_data_stream/logs-bt-default/_lifecycle";
const SETTINGS: &str = "GET /logs-bt-default/_settings/index.lifecycle.name";
const INDICES: &str = ".ds-logs-bt-default-1,.ds-logs-bt-default-2";

fn explained(policies: [(Value, Value); 2]) -> Value {
    let [one, two] = policies.map(|(policy, seq_no)| {
        json!({"index.plugins.index_state_management.policy_id": policy, "policy_seq_no": seq_no, "enabled": true})
    });
    json!({".ds-logs-bt-default-1": one, ".ds-logs-bt-default-2": two, "total_managed_indices": 1})
}

fn under(policies: [Option<&str>; 2]) -> Value {
    let mut settings = json!({});
    for (n, policy) in policies.into_iter().enumerate() {
        if let Some(policy) = policy {
            let setting = json!({"settings": {"index.lifecycle.name": policy}});
            settings[format!(".ds-logs-bt-default-{}", n + 1)] = setting;
        }
    }
    settings
}

#[tokio::test]
async fn a_data_stream_lifecycle_is_set_changed_and_removed() {
    for version in [ELASTICSEARCH_9, SERVERLESS] {
        let engine = Recorded::new(version).await;
        engine.streams(&[
            ("logs-bt-default", NAME, None),
            ("logs-bt-default-2", "other", None),
        ]);
        engine.set_up(&config(Some("1d12h"))).await;
        let template = engine.body(&format!("PUT {TEMPLATE}"));
        assert_eq!(
            template["template"]["lifecycle"],
            json!({"data_retention": "36h"})
        );
        assert_eq!(
            engine.body(&format!("PUT {LIFECYCLE}")),
            json!({"data_retention": "36h"})
        );
        assert_eq!(
            engine.written(),
            [format!("PUT {TEMPLATE}"), format!("PUT {LIFECYCLE}")]
        );

        engine.streams(&[("logs-bt-default", NAME, Some("36h"))]);
        engine.set_up(&config(Some("7d"))).await;
        assert_eq!(
            engine.written(),
            [format!("PUT {TEMPLATE}"), format!("PUT {LIFECYCLE}")]
        );

        engine.streams(&[("logs-bt-default", NAME, Some("7d"))]);
        engine.set_up(&config(None)).await;
        assert_eq!(
            engine.written(),
            [format!("DELETE {LIFECYCLE}"), format!("PUT {TEMPLATE}")]
        );
        assert_eq!(engine.set_up(&config(None)).await.remarks, []);
        // Somebody else's now.
        assert_eq!(engine.written(), [""; 0]);
    }
}

#[tokio::test]
async fn a_lifecycle_that_is_not_ours_stays() {
    let engine = Recorded::new(ELASTICSEARCH_9).await;
    engine.streams(&[("logs-bt-default", NAME, Some("3d"))]);
    engine.set_up(&config(None)).await;
    assert_eq!(engine.written(), [format!("PUT {TEMPLATE}")]);
}

#[tokio::test]
async fn nor_is_it_changed_and_that_is_told() {
    let engine = Recorded::new(ELASTICSEARCH_9).await;
    engine.streams(&[("logs-bt-default", NAME, Some("365d"))]);
    let found = engine.set_up(&config(Some("30d"))).await;
    assert_eq!(engine.written(), [format!("PUT {TEMPLATE}")]);
    let remark = &found.remarks[0];
    assert_eq!(remark.reason, "RetentionNotEnforced");
    assert!(
        remark.message.contains("logs-bt-default (365d)"),
        "{remark:?}"
    );
}

#[tokio::test]
async fn an_ilm_policy_is_made_and_existing_indices_are_put_under_it() {
    for (version, meta) in [
        (ELASTICSEARCH_7_10, Value::Null),
        (ELASTICSEARCH_8_9, json!("bt-monitoring")),
    ] {
        let engine = Recorded::new(version).await;
        engine.streams(&[("logs-bt-default", NAME, None)]);
        engine.set_up(&config(Some("30d"))).await;
        let policy = engine.body(&format!("PUT {ILM}"));
        assert_eq!(policy["policy"]["_meta"]["managed_by"], meta);
        let phases = &policy["policy"]["phases"];
        assert_eq!(
            phases["hot"]["actions"]["rollover"],
            json!({"max_age": "7d", "max_size": "50gb"})
        );
        assert_eq!(
            phases["delete"],
            json!({"min_age": "30d", "actions": {"delete": {}}})
        );
        let template = engine.body(&format!("PUT {TEMPLATE}"));
        assert_eq!(
            template["template"]["settings"]["index"]["lifecycle"]["name"],
            NAME
        );
        let attached = format!("PUT /{INDICES}/_settings");
        assert_eq!(
            engine.body(&attached),
            json!({"index.lifecycle.name": NAME})
        );
        // A policy before the template that names it.
        assert_eq!(
            engine.written(),
            [format!("PUT {ILM}"), format!("PUT {TEMPLATE}"), attached]
        );

        engine.answers(SETTINGS, 200, under([Some("theirs"), Some(NAME)]));
        let found = engine.set_up(&config(Some("60d"))).await;
        // The template says what it is kept with.
        assert_eq!(
            engine.written(),
            [format!("PUT {ILM}"), format!("PUT {TEMPLATE}")]
        );
        assert_eq!(reasons(&found), ["RetentionNotEnforced"]);
        assert!(
            found.remarks[0]
                .message
                .contains(".ds-logs-bt-default-1 (theirs)"),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn an_ilm_policy_goes_with_the_retention_and_with_a_better_means() {
    for (from, to, retention) in [
        (ELASTICSEARCH_7_10, ELASTICSEARCH_7_10, None),
        (ELASTICSEARCH_8_9, ELASTICSEARCH_8_9, None),
        (ELASTICSEARCH_7_10, ELASTICSEARCH_9, Some("30d")),
    ] {
        let engine = Recorded::new(from).await;
        engine.streams(&[("logs-bt-default", NAME, None)]);
        engine.set_up(&config(Some("30d"))).await;
        engine.written();
        let version: Value = serde_json::from_str(to).expect("JSON");
        engine.answers("GET /", 200, json!({"version": version}));
        engine.answers(SETTINGS, 200, under([Some(NAME), Some("theirs")]));
        assert_eq!(engine.set_up(&config(retention)).await.remarks, []);
        let mut expected = vec![format!("PUT {TEMPLATE}")];
        expected.extend(retention.map(|_| format!("PUT {LIFECYCLE}")));
        expected.push("POST /.ds-logs-bt-default-1/_ilm/remove".into());
        expected.push(format!("DELETE {ILM}"));
        assert_eq!(engine.written(), expected, "{from} {to}");
    }
}

#[tokio::test]
async fn policies_of_somebody_else_are_left_alone_and_told_of() {
    let phases = json!({"phases": {"hot": {"actions": {}}}});
    let ilm = Recorded::new(ELASTICSEARCH_8_9).await;
    ilm.answers(
        &format!("GET {ILM}"),
        200,
        json!({NAME: {"version": 1, "policy": phases}}),
    );
    let ism = Recorded::new(OPENSEARCH_3).await;
    let policy = json!({"_id": NAME, "_seq_no": 1, "_primary_term": 1, "policy": {"description": "mine", "states": []}});
    ism.answers(&format!("GET {ISM}"), 200, policy);
    for engine in [ilm, ism] {
        let found = engine.set_up(&config(Some("30d"))).await;
        assert_eq!(reasons(&found), ["RetentionNotEnforced"]);
        assert!(found.remarks[0].message.contains(NAME), "{found:?}");
        assert_eq!(engine.written(), [format!("PUT {TEMPLATE}")]);
        assert_eq!(engine.set_up(&config(None)).await.remarks, []);
        assert_eq!(engine.written(), [format!("PUT {TEMPLATE}")]);
    }
}

#[tokio::test]
async fn an_ism_policy_is_made_and_existing_indices_are_put_under_it() {
    let engine = Recorded::new(OPENSEARCH_3).await;
    engine.answers(
        &format!("GET {ISM}"),
        404,
        json!({"error": {"reason": "Policy not found"}}),
    );
    engine.streams(&[("logs-bt-default", NAME, None)]);
    let explain = format!("GET /_plugins/_ism/explain/{INDICES}");
    let explain = |one: Value, two: Value| {
        engine.answers(
            &explain,
            200,
            explained([(one, Value::Null), (two, json!(5))]),
        )
    };
    explain(Value::Null, Value::Null);
    engine.set_up(&config(Some("30d"))).await;
    let policy = engine.body(&format!("PUT {ISM}"))["policy"].clone();
    assert_eq!(
        policy["ism_template"],
        json!([{"index_patterns": ["logs-bt-default"], "priority": 500}])
    );
    assert_eq!(
        policy["states"][0]["actions"],
        json!([{"rollover": {"min_index_age": "7d", "min_size": "50gb"}}])
    );
    let transition = json!([{"state_name": "old", "conditions": {"min_rollover_age": "30d"}}]);
    assert_eq!(policy["states"][0]["transitions"], transition);
    let added = format!("POST /_plugins/_ism/add/{INDICES}");
    assert_eq!(engine.body(&added), json!({"policy_id": NAME}));
    assert_eq!(
        engine.written(),
        [format!("PUT {ISM}"), format!("PUT {TEMPLATE}"), added]
    );

    // Begun with the policy as it was; not begun yet; and another's.
    explain(json!(NAME), json!(NAME));
    engine.set_up(&config(Some("14d"))).await;
    let changed = "POST /_plugins/_ism/change_policy/.ds-logs-bt-default-2".to_owned();
    assert_eq!(
        engine.written(),
        [
            format!("PUT {ISM}"),
            format!("PUT {TEMPLATE}"),
            changed.clone()
        ]
    );
    explain(json!("theirs"), json!(NAME));
    let found = engine.set_up(&config(Some("14d"))).await;
    assert_eq!(
        (reasons(&found), engine.written()),
        (vec!["RetentionNotEnforced"], vec![changed])
    );

    explain(json!("theirs"), json!(NAME));
    assert_eq!(engine.set_up(&config(None)).await.remarks, []);
    let removed = "POST /_plugins/_ism/remove/.ds-logs-bt-default-2".to_owned();
    let template = format!("PUT {TEMPLATE}");
    assert_eq!(
        engine.written(),
        [template, removed, format!("DELETE {ISM}")]
    );
}

#[tokio::test]
async fn where_nothing_enforces_retention_that_is_told() {
    let oss = Recorded::new(r#"{"number":"7.10.2","build_flavor":"oss"}"#).await;
    oss.answers(
        "GET /_data_stream",
        405,
        json!({"error": "Incorrect HTTP method"}),
    );
    let bare = Recorded::new(OPENSEARCH_3).await;
    bare.answers(
        &format!("GET {ISM}"),
        400,
        json!({"error": "no handler found for uri"}),
    );
    let stopped = Recorded::new(ELASTICSEARCH_8_9).await;
    stopped.answers(
        "GET /_ilm/status",
        200,
        json!({"operation_mode": "STOPPED"}),
    );
    let forbidden = Recorded::new(ELASTICSEARCH_8_9).await;
    let error =
        json!({"error": {"type": "security_exception", "reason": "action is unauthorized"}});
    forbidden.answers(&format!("PUT {ILM}"), 403, error);
    for (engine, told) in [
        (oss, "have an index a day with {date}"),
        (
            bare,
            "OpenSearch 3.1.0 without the plugin Index State Management",
        ),
        (stopped, "POST _ilm/start"),
        (forbidden, "403 Forbidden action is unauthorized"),
    ] {
        let found = engine.set_up(&config(Some("30d"))).await;
        assert_eq!(reasons(&found), ["RetentionNotEnforced"], "{told}");
        assert!(found.remarks[0].message.contains(told), "{found:?}");
        engine.body(&format!("PUT {TEMPLATE}"));
        assert_eq!(engine.set_up(&config(None)).await.remarks, [], "{told}");
    }
}

#[tokio::test]
async fn what_cannot_be_enforced_for_a_while_stays_as_it_was() {
    let engine = Recorded::new(ELASTICSEARCH_8_9).await;
    engine.set_up(&config(Some("30d"))).await;
    engine.written();
    engine.answers("GET /_ilm/status", 403, json!({"error": "forbidden"}));
    let found = engine.set_up(&config(Some("30d"))).await;
    assert_eq!(reasons(&found), ["RetentionNotEnforced"]);
    assert_eq!(engine.written(), [""; 0]);
}

#[tokio::test]
async fn retention_reaches_only_streams_that_are_ours() {
    let engine = Recorded::new(ELASTICSEARCH_9).await;
    let name = "bt-monitoring-logs-{service}-default";
    engine.streams(&[
        ("logs-ours-default", name, None),
        ("logs-nginx-default", "nginx", None),
    ]);
    let mapping = |template: &str| json!({"mappings": {"_meta": {"template": template}}});
    engine.answers(
        "GET /logs-*-default/_mapping",
        200,
        json!({
            ".ds-logs-ours-default-1": mapping(name), ".ds-logs-ours-default-2": mapping(name),
            // Rolled over since our template matches it too.
            ".ds-logs-nginx-default-1": mapping("nginx"), ".ds-logs-nginx-default-2": mapping(name),
        }),
    );
    let info = Info::new(Version::parse(ELASTICSEARCH_9), true);
    let mut config = config(Some("7d"));
    config.data_stream = "logs-{service}-default".into();
    let place = Place {
        client: &engine.client,
        info: &info,
        config: &config,
        consumer: CONSUMER,
        name: name.into(),
        pattern: "logs-*-default".into(),
        fixed: None,
    };
    let streams = streams::list(place.client, &place.pattern).await;
    let streams = streams.ok().flatten().expect("streams");
    let mut remarks = Vec::new();
    keep(&place, streams, &mut remarks).await.expect("kept");
    let template = "PUT /_index_template/bt-monitoring-logs-%7Bservice%7D-default".to_owned();
    assert_eq!(
        engine.body(&template)["index_patterns"],
        json!(["logs-*-default"])
    );
    let lifecycle = "PUT /_data_stream/logs-ours-default/_lifecycle".to_owned();
    assert_eq!(engine.written(), [template, lifecycle]);
    assert_eq!(remarks[0].reason, "PatternTooWide");
    let message = &remarks[0].message;
    assert!(
        message.contains("1 data streams")
            && message.contains("logs-nginx-default (template nginx)"),
        "{message}"
    );
}

#[tokio::test]
async fn a_template_whose_names_our_pattern_would_take_is_told_of() {
    let templates = |theirs: &str, priority: u64| {
        let all = [("logs", "logs-*-*", 100), ("theirs", theirs, priority)];
        let all = all.map(|(name, pattern, priority)| {
            json!({"name": name, "index_template": {"index_patterns": [pattern], "priority": priority}})
        });
        json!({"index_templates": all})
    };
    for (stream, theirs, priority, told) in [
        ("logs-{service}-default", "logs-nginx.access-*", 200, true),
        ("logs-{service}-default", "logs-nginx.access-*", 501, false),
        ("logs-{service}-default", "logs-*-*", 200, false),
        (
            "logs-bt.{service}-default",
            "logs-nginx.access-*",
            200,
            false,
        ),
        ("logs-bt-default", "logs-bt-def*", 200, false),
    ] {
        let engine = Recorded::new(ELASTICSEARCH_9).await;
        engine.answers("GET /_index_template", 200, templates(theirs, priority));
        let mut config = config(None);
        config.data_stream = stream.into();
        let found = engine.set_up(&config).await;
        let about = |remark: &&crate::sink_state::Remark| remark.message.contains(theirs);
        let said: Vec<_> = found.remarks.iter().filter(about).collect();
        assert_eq!(
            said.len(),
            usize::from(told),
            "{stream} {theirs}: {found:?}"
        );
        assert!(said.iter().all(|remark| remark.reason == "PatternTooWide"));
    }
}
