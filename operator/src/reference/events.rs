//! The events on the wire, and what Kubernetes is told.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::markdown::{code, table};
use super::reasons::PLACES;
use super::schema::type_of;

/// The examples as they are written, with their fields in the order that people expect.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(rename = "$defs", borrow)]
    kinds: BTreeMap<&'a str, Kind<'a>>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(default, borrow)]
    examples: Vec<&'a RawValue>,
}

/// The page.
pub fn page() -> String {
    let schema: Value = serde_json::from_str(bt_events::SCHEMA).expect("the schema is JSON");
    let kinds = &schema["$defs"];
    let written: Written<'_> = serde_json::from_str(bt_events::SCHEMA).expect("the schema is JSON");
    let written = written.kinds;
    let mut text = String::from(
        "# Events\n\n\
         - [Events on the wire](#events-on-the-wire): what services send to Kafka\n\
         - [Conditions and Events of Kubernetes](#conditions-and-events-of-kubernetes): what the operator says of its resources\n\n\
         ## Events on the wire\n\n\
         The value of a record is one event as a JSON object, or an array of them; as JSON Schema: [events.schema.json](events.schema.json). \
         What kind an event is shows in its fields. A field that is `null` is as if it were left out. What cannot be taken goes to \
         [the dead-letter topic](../telemetryconsumer.md#dead-letters).\n\n",
    );
    for kind in ["common", "metric", "log", "health", "business"] {
        let of = &kinds[kind];
        let _ = write!(
            text,
            "### {}\n\n{}\n\n",
            words(&of["title"]),
            words(&of["description"])
        );
        let mut rows = Vec::new();
        fields(of, "", &mut rows);
        text.push_str(&table(["field", "type", "required", "meaning"], rows));
        let examples = &written[kind].examples;
        if !examples.is_empty() {
            let examples: Vec<_> = examples.iter().map(|example| example.get()).collect();
            let _ = write!(text, "```json\n{}\n```\n\n", examples.join("\n"));
        }
    }
    text.push_str(
        "## Conditions and Events of Kubernetes\n\n\
         The message of a condition says what, where, and what to do; the reason is for programs. `kubectl describe` shows both, and the Events.\n\n",
    );
    for place in PLACES {
        let kind = place.kind;
        let (title, column) = match place.condition {
            Some(condition) => (format!("{kind}: condition {condition}"), "status"),
            None => (format!("{kind}: Events"), "type"),
        };
        // Two parts of a page with one title would have one address.
        let title = match text.contains(&format!("### {title}\n")) {
            true => format!("{title} of its pods"),
            false => title,
        };
        let _ = write!(text, "### {title}\n\n{}\n\n", place.about);
        let rows = place.reasons();
        let rows = rows.map(|[reason, with, meaning]| [code(reason), with.into(), meaning.into()]);
        text.push_str(&table(["reason", column, "meaning"], rows));
    }
    text
}

fn words(text: &Value) -> &str {
    text.as_str().unwrap_or_default()
}

/// The fields of an object, those that are required first.
fn fields(of: &Value, path: &str, rows: &mut Vec<[String; 4]>) {
    let required: Vec<_> = of["required"].as_array().into_iter().flatten().collect();
    let place = |name: &String| required.iter().position(|one| *one == name);
    let mut all: Vec<_> = of["properties"].as_object().into_iter().flatten().collect();
    all.sort_by_key(|(name, _)| place(name).unwrap_or(required.len()));
    for (name, field) in all {
        let needed = if place(name).is_some() { "yes" } else { "" };
        let path = format!("{path}{name}");
        rows.push([
            code(&path),
            type_of(field),
            needed.into(),
            words(&field["description"]).into(),
        ]);
        fields(field, &format!("{path}."), rows);
    }
}
