//! `spec.podTemplate` over the operator's pod template: Kubernetes' strategic merge, as `kubectl patch` does it, but for two things.
//! New entries of a list come last, not first, so that the consumer stays the first container and a variable can refer to the
//! operator's. And of fields that exclude each other the one that is laid over wins, where `kubectl patch` leaves both.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

/// The field that the overlay stands in.
const FIELD: &str = "spec.podTemplate";
/// What an entry does instead of being merged: `replace` or `delete`.
const DIRECTIVE: &str = "$patch";

/// Fields of which one excludes the others. Who names another one wants that one instead.
const ALTERNATIVES: [&[&str]; 2] = [
    &["httpGet", "tcpSocket", "exec", "grpc"],
    &["value", "valueFrom"],
];

/// What entries of a list are told apart by. Other lists are replaced.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets"
        | "resourceClaims" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "ports" => "containerPort",
        "hostAliases" => "ip",
        _ => return None,
    })
}

/// Lays the overlay over the template.
///
/// # Errors
/// What is no part of a PodTemplateSpec, each with its field: types, unknown fields, entries of lists that cannot be told apart.
pub fn lay_over(base: &PodTemplateSpec, over: &Value) -> Result<PodTemplateSpec, Vec<String>> {
    let mut problems = Vec::new();
    check_entries(over, FIELD, "", &mut problems);
    let plain = cleaned(over);
    match typed(&plain) {
        Err(problem) => problems.push(problem),
        // What the types do not know would be lost without a word.
        Ok(known) => unknown_fields(&plain, &to_value(&known), FIELD, &mut problems),
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut merged = to_value(base);
    merge(&mut merged, over);
    typed(&merged).map_err(|problem| vec![problem])
}

fn to_value(template: &PodTemplateSpec) -> Value {
    serde_json::to_value(template).expect("a pod template can be written as JSON")
}

fn typed(value: &Value) -> Result<PodTemplateSpec, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match path.as_str() {
            "." => FIELD.to_owned(),
            path => format!("{FIELD}.{path}"),
        };
        format!("{field}: {}", error.inner())
    })
}

/// Lists whose entries are merged: each entry is an object with its key, none is there twice; and directives are known.
fn check_entries(value: &Value, path: &str, name: &str, problems: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                if field == DIRECTIVE {
                    if !matches!(value.as_str(), Some("replace" | "delete")) {
                        problems.push(format!("{path}.{field}: must be replace or delete"));
                    }
                } else if field.starts_with('$') {
                    problems.push(format!(
                        "{path}.{field}: is not supported; null removes a field, `{DIRECTIVE}: delete` an entry of a list"
                    ));
                } else {
                    check_entries(value, &format!("{path}.{field}"), field, problems);
                }
            }
        }
        Value::Array(entries) => {
            for (i, entry) in entries.iter().enumerate() {
                let path = format!("{path}[{i}]");
                check_entries(entry, &path, "", problems);
                let Some(key) = merge_key(name) else {
                    continue;
                };
                if is_replacement(entry) {
                    continue;
                }
                if entry.get(key).is_none_or(Value::is_null) {
                    problems.push(format!(
                        "{path}: has no {key}, which says what it is laid over; add it"
                    ));
                } else if entries[..i].iter().any(|other| same(other, entry, key)) {
                    problems.push(format!(
                        "{path}: {key} {} is there twice; remove one",
                        entry[key]
                    ));
                }
            }
        }
        _ => {}
    }
}

/// An entry `{"$patch": "replace"}` makes the list replace the other one.
fn is_replacement(entry: &Value) -> bool {
    directive(entry) == Some("replace") && entry.as_object().is_some_and(|entry| entry.len() == 1)
}

fn directive(value: &Value) -> Option<&str> {
    value.get(DIRECTIVE)?.as_str()
}

/// Whether two entries are one and the same. A port number can be used by several protocols.
fn same(one: &Value, other: &Value, key: &str) -> bool {
    let protocol = |entry: &Value| match entry.get("protocol") {
        Some(Value::String(protocol)) => protocol.clone(),
        _ => "TCP".into(),
    };
    one.get(key) == other.get(key) && (key != "containerPort" || protocol(one) == protocol(other))
}

/// The value without what removes or directs.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(field, value)| !value.is_null() && !field.starts_with('$'))
            .map(|(field, value)| (field.clone(), cleaned(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(entries) => entries
            .iter()
            .filter(|entry| !is_replacement(entry) && directive(entry) != Some("delete"))
            .map(cleaned)
            .collect(),
        other => other.clone(),
    }
}

fn unknown_fields(given: &Value, known: &Value, path: &str, problems: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (field, value) in given {
                let path = format!("{path}.{field}");
                match known.get(field) {
                    Some(known) => unknown_fields(value, known, &path, problems),
                    None => problems.push(format!(
                        "{path}: a PodTemplateSpec has no such field; look for a slip of the pen or of the indentation"
                    )),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (i, (given, known)) in given.iter().zip(known).enumerate() {
                unknown_fields(given, known, &format!("{path}[{i}]"), problems);
            }
        }
        _ => {}
    }
}

fn merge(base: &mut Value, over: &Value) {
    let (Some(fields), Value::Object(over)) = (base.as_object_mut(), over) else {
        *base = cleaned(over);
        return;
    };
    if over.get(DIRECTIVE).and_then(Value::as_str) == Some("replace") {
        *base = cleaned(&Value::Object(over.clone()));
        return;
    }
    for alternatives in ALTERNATIVES {
        let named = |field: &&&str| over.get(**field).is_some_and(|value| !value.is_null());
        if alternatives.iter().any(|field| named(&field)) {
            for field in alternatives.iter().filter(|field| !named(field)) {
                fields.remove(*field);
            }
        }
    }
    for (field, value) in over.iter().filter(|(field, _)| !field.starts_with('$')) {
        if value.is_null() || directive(value) == Some("delete") {
            fields.remove(field);
            continue;
        }
        match (fields.get_mut(field), value, merge_key(field)) {
            (Some(Value::Array(entries)), Value::Array(over), Some(key)) => {
                merge_list(entries, over, key, field == "volumes");
            }
            (Some(present), ..) => merge(present, value),
            (None, ..) => {
                fields.insert(field.clone(), cleaned(value));
            }
        }
    }
}

/// Merges entries by their key; new ones come last.
fn merge_list(entries: &mut Vec<Value>, over: &[Value], key: &str, volumes: bool) {
    if over.iter().any(is_replacement) {
        entries.clear();
    }
    for value in over.iter().filter(|value| !is_replacement(value)) {
        let at = entries.iter().position(|entry| same(entry, value, key));
        match (directive(value), at) {
            (Some("delete"), Some(at)) => {
                entries.remove(at);
            }
            (Some("delete"), None) => {}
            // A volume has one source: another one takes its place.
            (_, Some(at)) if volumes && names_another(&entries[at], value) => {
                entries[at] = cleaned(value);
            }
            (_, Some(at)) => merge(&mut entries[at], value),
            (_, None) => entries.push(cleaned(value)),
        }
    }
}

fn names_another(present: &Value, over: &Value) -> bool {
    let mut fields = over.as_object().into_iter().flatten();
    fields.any(|(field, value)| !value.is_null() && present.get(field).is_none())
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
