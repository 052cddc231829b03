//! JSON Schema, and Kubernetes' form of it, in words.

use serde_json::Value;

use super::markdown::code;

/// The type of a schema, with what its values are limited to.
pub fn type_of(schema: &Value) -> String {
    let mut parts = vec![name(schema)];
    parts.extend(range(schema, ["minimum", "maximum"], ""));
    parts.extend(range(schema, ["minLength", "maxLength"], " characters"));
    parts.extend(range(schema, ["minItems", "maxItems"], " entries"));
    parts.extend(schema["pattern"].as_str().and_then(pattern));
    parts.join(", ")
}

/// The allowed words, or the name of the type.
fn name(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter(|word| !word.is_null());
        let words: Vec<_> = words
            .map(|word| code(word.as_str().map_or(word.to_string(), str::to_owned)))
            .collect();
        return words.join(", ");
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return "quantity".to_owned();
    }
    if let Some(one) = schema["oneOf"].as_array() {
        let names = one.iter().map(name).filter(|name| name != "null");
        return names.collect::<Vec<_>>().join(" or ");
    }
    let names: Vec<_> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let names: Vec<_> = names
        .iter()
        .filter(|name| names.len() == 1 || **name != "null")
        .map(|kind| match *kind {
            "array" => format!("list of {}", plural(&name(&schema["items"]))),
            "object" if schema["additionalProperties"].is_object() => "map".to_owned(),
            kind => kind.to_owned(),
        })
        .collect();
    match names.is_empty() {
        true => "any".to_owned(),
        false => names.join(" or "),
    }
}

fn plural(name: &str) -> String {
    match name {
        "any" => "anything".to_owned(),
        name => format!("{name}s"),
    }
}

/// What a range says, where there is one; the largest numbers of a machine's integers are none.
fn range(schema: &Value, [min, max]: [&str; 2], of: &str) -> Option<String> {
    let number = |name: &str| schema[name].as_f64().map(|number| number as i64);
    match (number(min), number(max)) {
        (None, None) => None,
        (Some(1), None) if of == " characters" => Some("not empty".to_owned()),
        (Some(min), None) => Some(format!("at least {min}{of}")),
        (None, Some(max)) => Some(format!("at most {max}{of}")),
        (Some(min), Some(max)) => Some(format!("{min} to {max}{of}")),
    }
}

/// A pattern that people can read is shown; what a long one means stands in the description.
fn pattern(pattern: &str) -> Option<String> {
    if pattern.contains("ms|s|m|h|d") {
        return Some("a duration such as `500ms`, `15m` or `1h30m`".to_owned());
    }
    (pattern.len() <= 20).then(|| format!("matches {}", code(pattern)))
}

/// Whether an object is a reference to a Secret, or to an entry of one.
pub fn is_secret(field: &Value) -> bool {
    let names = field["properties"].as_object();
    names.is_some_and(|names| {
        names.contains_key("name") && names.keys().all(|name| name == "name" || name == "key")
    })
}

/// A default value as it would be written.
pub fn default(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => code("\"\""),
        Value::String(text) => code(text),
        value => code(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_said_in_words() {
        let said = [
            (
                json!({"type": "string", "minLength": 1}),
                "string, not empty",
            ),
            (json!({"type": ["string", "null"]}), "string"),
            (json!({"type": "null"}), "null"),
            (json!({"enum": ["A", "B", null]}), "`A`, `B`"),
            (
                json!({"type": "integer", "minimum": 1.0, "maximum": 64.0}),
                "integer, 1 to 64",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "maxItems": 16}),
                "list of strings, at most 16 entries",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "map",
            ),
            (
                json!({"type": "string", "pattern": "^[a-z]+$"}),
                "string, matches `^[a-z]+$`",
            ),
            (
                json!({"oneOf": [{"type": "null"}, {"type": "object"}]}),
                "object",
            ),
            (json!({}), "any"),
        ];
        for (schema, words) in said {
            assert_eq!(type_of(&schema), words);
        }
    }
}
