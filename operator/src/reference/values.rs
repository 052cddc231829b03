//! The chart's values: keys and defaults from values.yaml, meanings from its comments, types from values.schema.json.

mod comments;

use std::fmt::Write;

use anyhow::Context;
use serde_json::Value;

use self::comments::{Comments, read};
use super::markdown::{code, table};
use super::schema::{default, is_secret, type_of};

/// The page, from the two files' text.
///
/// # Errors
/// When one of them cannot be read.
pub fn page(values: &str, schema: &str) -> anyhow::Result<String> {
    let comments = read(values);
    let values: serde_yaml::Mapping =
        serde_yaml::from_str(values).context("values.yaml is not what it must be")?;
    let schema: Value =
        serde_json::from_str(schema).context("values.schema.json is not what it must be")?;
    let page = Page { comments, schema };
    let mut text = String::from(
        "# Values of the chart\n\n\
         Every key of [charts/values.yaml](../../charts/values.yaml) with its default; a misspelt one is refused. What is a map is merged \
         with what you give, and a key set to `null` goes away; lists are replaced whole.\n\n",
    );
    let simple = |value: &serde_yaml::Value| !value.is_mapping();
    text.push_str("## For all\n\n");
    let rows = values.iter().filter(|(_, value)| simple(value));
    let rows = rows.map(|(key, value)| page.row("", key, value, &page.schema));
    text.push_str(&table(HEADER, rows));
    for (key, value) in values.iter().filter(|(_, value)| !simple(value)) {
        page.part(&name(key), value, &mut text);
    }
    Ok(text)
}

const HEADER: [&str; 4] = ["key", "type", "default", "meaning"];

struct Page {
    comments: Comments,
    schema: Value,
}

impl Page {
    /// One key of the highest level that is a map.
    fn part(&self, key: &str, value: &serde_yaml::Value, text: &mut String) {
        let schema = self.resolved(&self.schema["properties"][key]);
        let _ = write!(text, "## {key}\n\n");
        let said = self.comments.get(key);
        if !said.is_empty() {
            // Where lines are indented, their arrangement says something.
            let _ = match said.iter().any(|line| line.starts_with(' ')) {
                true => write!(text, "```text\n{}\n```\n\n", said.join("\n")),
                false => write!(text, "{}\n\n", said.join("\n")),
            };
        }
        let patterns = schema["patternProperties"].as_object();
        let entry = patterns
            .and_then(|patterns| patterns.values().next())
            .or_else(|| Some(&schema["additionalProperties"]).filter(|of| of.is_object()));
        let Some(entry) = entry else {
            let mut rows = Vec::new();
            self.rows(key, value, schema, &mut rows);
            text.push_str(&table(HEADER, rows));
            return;
        };
        text.push_str("What the fields mean is in [the resources](resources.md).\n\n");
        let mut rows = Vec::new();
        self.fields(&format!("{key}.<name>"), self.resolved(entry), &mut rows);
        text.push_str(&table(["key", "type", "meaning"], rows));
        text.push_str("By default there are:\n\n");
        let entries = value.as_mapping().into_iter().flatten();
        text.push_str(&table(
            ["name", "value"],
            entries.map(|(name_of, value)| [code(name(name_of)), default(&json(value))]),
        ));
    }

    /// The keys below one, each map that is written in a block by its keys.
    fn rows(
        &self,
        path: &str,
        value: &serde_yaml::Value,
        schema: &Value,
        rows: &mut Vec<[String; 4]>,
    ) {
        for (key, value) in value.as_mapping().into_iter().flatten() {
            let of = format!("{path}.{}", name(key));
            let own = self.resolved(&schema["properties"][name(key)]);
            match value.as_mapping() {
                Some(map)
                    if !map.is_empty()
                        && self.comments.is_block(&of)
                        && name(key) != "resources" =>
                {
                    let said = self.comments.get(&of);
                    if !said.is_empty() {
                        rows.push([code(&of), "map".into(), String::new(), said.join(" ")]);
                    }
                    self.rows(&of, value, own, rows);
                }
                _ => rows.push(self.row(path, key, value, schema)),
            }
        }
    }

    fn row(
        &self,
        path: &str,
        key: &serde_yaml::Value,
        value: &serde_yaml::Value,
        schema: &Value,
    ) -> [String; 4] {
        let key = name(key);
        let of = match path.is_empty() {
            true => key.clone(),
            false => format!("{path}.{key}"),
        };
        let own = self.resolved(&schema["properties"][&key]);
        let kind = match own.is_null() {
            true => kind_of(value).to_owned(),
            false => self.type_of(own),
        };
        let mut meaning = self.comments.get(&of).join(" ");
        if meaning.is_empty() {
            meaning = description(own);
        }
        [code(of), kind, default(&json(value)), meaning]
    }

    /// The fields that an entry of a map may have.
    fn fields(&self, path: &str, schema: &Value, rows: &mut Vec<[String; 3]>) {
        for (key, field) in schema["properties"].as_object().into_iter().flatten() {
            let own = self.resolved(field);
            let of = format!("{path}.{key}");
            let map = own["properties"].is_object() && key != "resources";
            if map && !is_secret(own) {
                self.fields(&of, own, rows);
                continue;
            }
            let kind = match map {
                true => "secret reference: `{name, key}`".to_owned(),
                false => self.type_of(own),
            };
            rows.push([code(of), kind, description(own)]);
        }
    }

    fn type_of(&self, schema: &Value) -> String {
        let mut schema = schema.clone();
        if schema["items"].is_object() {
            schema["items"] = self.resolved(&schema["items"]).clone();
        }
        type_of(&schema)
    }

    /// What a schema refers to, where it does.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        while let Some(reference) = schema["$ref"].as_str() {
            let Some(found) = reference
                .strip_prefix('#')
                .and_then(|at| self.schema.pointer(at))
            else {
                break;
            };
            schema = found;
        }
        match schema["oneOf"].as_array() {
            // Something, or null.
            Some(one) => one
                .iter()
                .find(|one| one["$ref"].is_string())
                .map_or(schema, |one| self.resolved(one)),
            None => schema,
        }
    }
}

/// What a schema says of a key; of a duration the type has said it.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let text = if text.starts_with("e.g. ") { "" } else { text };
    text.to_owned()
}

fn name(key: &serde_yaml::Value) -> String {
    key.as_str()
        .map_or_else(|| format!("{key:?}"), str::to_owned)
}

fn json(value: &serde_yaml::Value) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn kind_of(value: &serde_yaml::Value) -> &'static str {
    match value {
        serde_yaml::Value::Bool(_) => "boolean",
        serde_yaml::Value::Number(_) => "number",
        serde_yaml::Value::Sequence(_) => "list",
        serde_yaml::Value::Mapping(_) => "map",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# About the file.

# How many.
count: 1

# ------------------------------------------------------------------------------------------- one part
# The part.
part:
  enabled: true
  # Its image.
  image:
    repository: a/b
    tag: \"\"                       # default: the chart's | own
  resources:
    limits: {cpu: 1}

# Lines:
#   indented
things:
  a.b: {size: 3}
";
    const SCHEMA: &str = r##"{"properties": {
        "count": {"type": "integer", "minimum": 0},
        "part": {"properties": {
            "enabled": {"type": "boolean"},
            "image": {"$ref": "#/definitions/image"}
        }},
        "things": {"patternProperties": {".*": {"properties": {"size": {"type": "integer", "description": "How large."}}}}}
    }, "definitions": {"image": {"properties": {"tag": {"type": "string"}}}}}"##;

    #[test]
    fn a_page_has_each_key_with_type_default_and_comment() {
        let page = page(VALUES, SCHEMA).expect("a page");
        for line in [
            "| `count` | integer, at least 0 | `1` | How many. |",
            "## part\n\nThe part.\n",
            "| `part.enabled` | boolean | `true` | |",
            "| `part.image` | map | | Its image. |",
            "| `part.image.repository` | string | `a/b` | |",
            "| `part.image.tag` | string | `\"\"` | default: the chart's \\| own |",
            "| `part.resources` | map | `{\"limits\":{\"cpu\":1}}` | |",
            "```text\nLines:\n  indented\n```",
            "| `things.<name>.size` | integer | How large. |",
            "| `a.b` | `{\"size\":3}` |",
        ] {
            assert!(page.contains(line), "no {line} in\n{page}");
        }
        assert!(!page.contains("About the file"), "{page}");
    }
}
