//! Both custom resources, field by field.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::markdown::{code, table};
use super::schema::{default, is_secret, type_of};
use crate::api::{KafkaTopic, PAUSED_ANNOTATION, TelemetryConsumer};

/// The page.
pub fn page() -> String {
    let mut text = format!(
        "# The resources\n\n\
         Every field of the two kinds, from the types that the definitions under [crds/](../../crds) are made of. What they do is explained in \
         [the README](../../README.md#the-resources) and in [TelemetryConsumer](../telemetryconsumer.md); reasons of conditions and Events are in \
         [events.md](events.md#conditions-and-events-of-kubernetes).\n\n\
         A field without a default that is not required may be left out. A *secret reference* is `{{name, key}}`: a Secret in the resource's \
         namespace, and the entry in it where it is not the default one. Rules are checked by Kubernetes when a resource is applied, and the text \
         is what it then says. Both kinds take the annotation `{PAUSED_ANNOTATION}: \"true\"`: the operator leaves the resource alone.\n\n"
    );
    for crd in [KafkaTopic::crd(), TelemetryConsumer::crd()] {
        kind(&crd, &mut text);
    }
    text
}

fn kind(crd: &CustomResourceDefinition, text: &mut String) {
    let names = &crd.spec.names;
    let version = &crd.spec.versions[0];
    let schema = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = serde_json::to_value(schema).expect("a schema can be written as JSON");
    let short = names.short_names.iter().flatten().map(code);
    let columns = version.additional_printer_columns.iter().flatten();
    let columns: Vec<_> = columns.map(|column| column.name.to_uppercase()).collect();
    let scales = version
        .subresources
        .as_ref()
        .is_some_and(|sub| sub.scale.is_some());
    let _ = write!(
        text,
        "## {}\n\n{}\n\n`apiVersion: {}/{}`, {}, short name {}, category `bt`; subresources `status`{}. Columns of `kubectl get`: {}.\n\n",
        names.kind,
        sentence(&schema),
        crd.spec.group,
        version.name,
        crd.spec.scope.to_lowercase(),
        short.collect::<Vec<_>>().join(", "),
        if scales { " and `scale`" } else { "" },
        columns.join(" "),
    );
    rules(&schema, text);
    for part in ["spec", "status"] {
        object(&names.kind, part, &schema["properties"][part], text);
    }
}

/// An object: its fields, its rules, and then the objects in it.
fn object(kind: &str, path: &str, schema: &Value, text: &mut String) {
    let _ = write!(text, "### {kind}: {path}\n\n{}\n\n", sentence(schema));
    let properties = schema["properties"].as_object().into_iter().flatten();
    let properties: Vec<_> = properties.collect();
    let required: Vec<_> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    text.push_str(&table(
        ["field", "type", "default", "meaning"],
        properties.iter().map(|(name, field)| {
            let needed = required.iter().any(|required| *required == *name);
            let default = match needed {
                true => "required".to_owned(),
                false => default(&field["default"]),
            };
            let kind = match inner(field) {
                Some((_, "")) => "object, see below".to_owned(),
                Some(_) => "list of objects, see below".to_owned(),
                None if is_secret(field) => "secret reference".to_owned(),
                None => type_of(field),
            };
            [code(name), kind, default, sentence(field)]
        }),
    ));
    rules(schema, text);
    for (name, field) in properties {
        if let Some((inner, suffix)) = inner(field) {
            object(kind, &format!("{path}.{name}{suffix}"), inner, text);
        }
    }
}

/// The object that a field is, or that its list is of, where there is something to say about its fields: those of Kubernetes'
/// own types are without descriptions here.
fn inner(field: &Value) -> Option<(&Value, &'static str)> {
    let (object, suffix) = match field["type"].as_str() {
        Some("array") => (&field["items"], "[]"),
        _ => (field, ""),
    };
    let mut fields = object["properties"].as_object()?.values();
    let told = fields.any(|field| field["description"].is_string());
    (told && !is_secret(object)).then_some((object, suffix))
}

fn sentence(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let text: Vec<_> = text.split_whitespace().collect();
    text.join(" ")
}

fn rules(schema: &Value, text: &mut String) {
    let mut own = Vec::new();
    collect(schema, "", &mut own);
    if own.is_empty() {
        return;
    }
    text.push_str("Rules:\n\n");
    for (of, message, rule) in own {
        let of = match of.is_empty() {
            true => String::new(),
            false => format!("{}: ", code(of)),
        };
        let _ = writeln!(text, "- {of}{message}  \n  {}", code(rule));
    }
    text.push('\n');
}

/// The rules of an object, and of those fields that have no part of the page for themselves.
fn collect(schema: &Value, path: &str, found: &mut Vec<(String, String, String)>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
        found.push((path.to_owned(), text("message"), text("rule")));
    }
    let of = |name: &str| match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if inner(field).is_none() {
            collect(field, &of(name), found);
        }
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{path}[]"), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every description and every rule's message of a schema.
    fn texts<'s>(schema: &'s Value, found: &mut Vec<&'s str>) {
        match schema {
            Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                found.extend([text("description"), text("message")].into_iter().flatten());
                fields.values().for_each(|field| texts(field, found));
            }
            Value::Array(all) => all.iter().for_each(|one| texts(one, found)),
            _ => {}
        }
    }

    #[test]
    fn what_the_types_say_of_a_field_or_a_rule_is_on_the_page() {
        let page = page().replace("\\|", "|");
        for crd in [KafkaTopic::crd(), TelemetryConsumer::crd()] {
            let version = serde_json::to_value(&crd.spec.versions[0]).expect("JSON");
            let mut found = Vec::new();
            texts(&version["schema"], &mut found);
            assert!(found.len() > 40);
            for text in found {
                let text: Vec<_> = text.split_whitespace().collect();
                let text = text.join(" ");
                // Of secret references, and the kinds of a list's entries.
                if text != "The entry's key." && text != "The Secret's name." && text != "Its name."
                {
                    assert!(page.contains(&text), "{text}");
                }
            }
        }
    }
}
