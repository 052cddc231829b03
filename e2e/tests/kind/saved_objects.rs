//! The saved objects for Kibana and OpenSearch Dashboards, as far as they can be tried without either: what they refer to is there,
//! and what they ask for finds documents in the real engine.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{E2e, beside_others, eventually, seconds};
use reqwest::Method;
use serde_json::{Value, json};

const OBJECTS: &str = include_str!("../../../charts/saved-objects/bt-monitoring.ndjson");

fn objects() -> Result<Vec<Value>> {
    let lines = OBJECTS.lines();
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
        .collect()
}

fn text<'o>(object: &'o Value, pointer: &str) -> Result<&'o str> {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no text at {pointer} in {object}"))
}

/// JSON within a text of an object.
fn within(object: &Value, pointer: &str) -> Result<Value> {
    Ok(serde_json::from_str(text(object, pointer)?)?)
}

/// `type/id` of an object, or of what one refers to.
fn name(object: &Value) -> Result<String> {
    Ok(format!(
        "{}/{}",
        text(object, "/type")?,
        text(object, "/id")?
    ))
}

/// Every reference is used, and leads to an object of the file.
fn check_references(objects: &[Value]) -> Result<()> {
    let all: BTreeSet<String> = objects.iter().map(name).collect::<Result<_>>()?;
    ensure!(all.len() == objects.len(), "two objects of one name");
    for object in objects {
        let refers = object["references"].as_array().context("no references")?;
        for reference in refers {
            let to = name(reference)?;
            ensure!(
                all.contains(&to),
                "{}: {to} is not in the file",
                name(object)?
            );
        }
        let named: Vec<String> = match text(object, "/type")? {
            "index-pattern" => Vec::new(),
            "dashboard" => {
                let panels = within(object, "/attributes/panelsJSON")?;
                let panels = panels.as_array().context("no panels")?.iter();
                panels
                    .map(|panel| text(panel, "/panelRefName").map(str::to_owned))
                    .collect::<Result<_>>()?
            }
            _ => {
                let source = within(object, "/attributes/kibanaSavedObjectMeta/searchSourceJSON")?;
                vec![text(&source, "/indexRefName")?.to_owned()]
            }
        };
        let given: Vec<&str> = refers
            .iter()
            .map(|reference| text(reference, "/name"))
            .collect::<Result<_>>()?;
        ensure!(
            named == given,
            "{}: refers to {named:?} by {given:?}",
            name(object)?
        );
    }
    Ok(())
}

/// The fields that a search or a visualization names: columns, sorting, aggregations, and those of its query.
fn fields(object: &Value) -> Result<BTreeSet<String>> {
    let mut fields = BTreeSet::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let strings = |values: Vec<Value>| {
        values
            .into_iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
    };
    fields.extend(strings(list(&object["attributes"]["columns"])));
    for sort in list(&object["attributes"]["sort"]) {
        fields.extend(strings(vec![sort[0].clone()]));
    }
    if object["type"] == "visualization" {
        let state = within(object, "/attributes/visState")?;
        for aggregation in list(&state["aggs"]) {
            fields.extend(strings(vec![aggregation["params"]["field"].clone()]));
        }
    }
    if let Some((field, _)) = query(object)? {
        fields.insert(field);
    }
    Ok(fields)
}

/// The one term of an object's query: `field : *`, `field : "value"` or `field : ("a" or "b")`.
fn query(object: &Value) -> Result<Option<(String, Vec<String>)>> {
    let source = within(object, "/attributes/kibanaSavedObjectMeta/searchSourceJSON")?;
    let query = text(&source, "/query/query")?;
    if query.is_empty() {
        return Ok(None);
    }
    let (field, values) = query.split_once(" : ").context("not one term")?;
    let values = values.split('"').skip(1).step_by(2).map(str::to_owned);
    Ok(Some((field.to_owned(), values.collect())))
}

/// Sends one of each kind: a log, an error, a business event.
async fn send(e2e: &E2e, run: &str) -> Result<()> {
    let common = json!({"ts": "2026-01-02T03:04:05.678Z", "service": "e2e", "instance": run});
    for (topic, event) in [
        (
            "logs.events",
            json!({"level": "info", "message": "well", "logger": "a", "trace_id": "1"}),
        ),
        (
            "logs.events",
            json!({"level": "error", "message": "bad", "error": {"type": "T", "message": "m", "stack_trace": "s"}}),
        ),
        (
            "order.events",
            json!({"type": "order.created", "payload": {"number": 1}}),
        ),
    ] {
        let mut event = event;
        if let (Some(event), Some(common)) = (event.as_object_mut(), common.as_object()) {
            event.extend(common.clone());
        }
        let bytes = event.to_string().into_bytes();
        e2e.kafka.produce(topic, "e2e/1", Some(&bytes)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_saved_objects_refer_to_and_ask_for_is_there() -> Result<()> {
    beside_others(async |e2e| {
        let objects = objects()?;
        check_references(&objects)?;
        let run = format!("saved-{}", e2e.run);
        send(e2e, &run).await?;
        for (stream, documents) in [("logs-bt-default", 2), ("events-bt-default", 1)] {
            let what = format!("documents of {stream}");
            eventually(&what, seconds(60), async || {
                let count = e2e.search.count(stream, &run).await?;
                ensure!(count >= documents, "{count} of {documents}");
                Ok(())
            })
            .await?;
        }
        let title_of = |view: &str| {
            let is = |object: &&Value| object["id"] == view && object["type"] == "index-pattern";
            let found = objects.iter().find(is).context("no data view")?;
            text(found, "/attributes/title")
        };
        for object in &objects {
            if !matches!(text(object, "/type")?, "search" | "visualization") {
                continue;
            }
            let what = name(object)?;
            let title = title_of(text(object, "/references/0/id")?)?;
            let mapped = fields(object)?.into_iter().collect::<Vec<_>>();
            let path = format!("/{title}/_field_caps?fields={}", mapped.join(","));
            let answer = e2e.search.call(Method::GET, &path, &Value::Null).await?;
            for field in &mapped {
                let known = &answer["fields"][field];
                ensure!(known.is_object(), "{what}: {title} has no field {field}");
            }
            let mut clauses = vec![json!({"term": {"service.node.name": run}})];
            match query(object)? {
                // No event of a run is one that cannot be read.
                Some((_, values)) if values == ["pipeline_error"] => continue,
                Some((field, values)) if values.is_empty() => {
                    clauses.push(json!({"exists": {"field": field}}));
                }
                Some((field, values)) => clauses.push(json!({"terms": {field: values}})),
                None => {}
            }
            let path = format!("/{title}/_count");
            let ask = json!({"query": {"bool": {"filter": clauses}}});
            let answer = e2e.search.call(Method::POST, &path, &ask).await?;
            ensure!(
                answer["count"].as_u64().is_some_and(|count| count > 0),
                "{what} finds nothing: {answer}"
            );
        }
        Ok(())
    })
    .await
}
