//! `filter_path`: which parts of an answer are wanted.

use serde_json::{Map, Value};

/// Paths that are kept; with none everything is.
#[derive(Debug, Default)]
pub(crate) struct Filter(Vec<Vec<String>>);

impl Filter {
    /// Of a request's query, which is percent-encoded.
    pub fn of_query(query: &str) -> Self {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("filter_path="))
            .map(decoded)
            .unwrap_or_default();
        let paths = value
            .split(',')
            .map(str::trim)
            .filter(|path| !path.is_empty());
        Self(
            paths
                .map(|path| path.split('.').map(str::to_owned).collect())
                .collect(),
        )
    }

    /// Whether nothing is filtered.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wanted of an answer.
    pub fn apply(&self, value: Value) -> Value {
        if self.is_everything() {
            return value;
        }
        let paths: Vec<&[String]> = self.0.iter().map(Vec::as_slice).collect();
        kept(value, &paths).unwrap_or_else(|| Value::Object(Map::new()))
    }
}

fn kept(value: Value, paths: &[&[String]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value);
    }
    match value {
        // An array is no level of its own.
        Value::Array(values) => {
            let values: Vec<_> = values.into_iter().filter_map(|v| kept(v, paths)).collect();
            (!values.is_empty()).then_some(Value::Array(values))
        }
        Value::Object(fields) => {
            let mut left = Map::new();
            for (name, value) in fields {
                let mut below: Vec<&[String]> = Vec::new();
                for path in paths {
                    if path[0] == "**" {
                        below.push(path);
                        match path.get(1) {
                            None => below.push(&[]),
                            Some(next) if is_like(next, &name) => below.push(&path[2..]),
                            Some(_) => {}
                        }
                    } else if is_like(&path[0], &name) {
                        below.push(&path[1..]);
                    }
                }
                if !below.is_empty()
                    && let Some(value) = kept(value, &below)
                {
                    left.insert(name, value);
                }
            }
            (!left.is_empty()).then_some(Value::Object(left))
        }
        _ => None,
    }
}

/// Whether a name is meant by a pattern with at most one `*`.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
    }
}

/// A text of a query without its percent signs.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_named_is_left() {
        let answer = json!({"took": 3, "errors": true, "items": [
            {"create": {"_index": "i", "_id": "a", "status": 201}},
            {"create": {"_index": "i", "_id": "b", "status": 400, "error": {"type": "t", "reason": "r", "caused_by": {"type": "c"}}}},
        ]});
        let cases = [
            ("", answer.clone()),
            (
                "pretty&filter_path=took,errors",
                json!({"took": 3, "errors": true}),
            ),
            (
                "filter_path=items.*.status,items.*.error.type",
                json!({"items": [{"create": {"status": 201}}, {"create": {"status": 400, "error": {"type": "t"}}}]}),
            ),
            (
                "filter_path=items.*.error.caused_by.*",
                json!({"items": [{"create": {"error": {"caused_by": {"type": "c"}}}}]}),
            ),
            (
                "filter_path=items.%2A._i%2A",
                json!({"items": [{"create": {"_index": "i", "_id": "a"}}, {"create": {"_index": "i", "_id": "b"}}]}),
            ),
            (
                "filter_path=**.status",
                json!({"items": [{"create": {"status": 201}}, {"create": {"status": 400}}]}),
            ),
            ("filter_path=nothing", json!({})),
        ];
        for (query, want) in cases {
            assert_eq!(
                Filter::of_query(query).apply(answer.clone()),
                want,
                "{query}"
            );
        }
    }
}
