//! Index templates and policies: what is put is kept and given back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answers::Answer;
use crate::flavour::Flavour;

/// Everything that was put, by path.
pub(crate) struct Resources {
    flavour: Flavour,
    kept: BTreeMap<String, (Value, u64)>,
}

impl Resources {
    pub fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            kept: BTreeMap::new(),
        }
    }

    /// Whether an index of this name is a data stream when it is made.
    pub fn makes_stream(&self, name: &str) -> bool {
        let templates = self
            .kept
            .iter()
            .filter(|(path, _)| path.starts_with("_index_template/"));
        let matching = templates
            .map(|(_, (template, _))| template)
            .filter(|template| {
                let patterns = template["index_patterns"].as_array();
                patterns
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .any(|pattern| is_like(pattern, name))
            });
        let best = matching.max_by_key(|template| template["priority"].as_u64().unwrap_or(0));
        best.is_some_and(|template| template.get("data_stream").is_some())
    }

    /// GET, HEAD, PUT or DELETE of what can be kept; `None` for other paths.
    pub fn answer(&mut self, method: &str, path: &str, query: &str, body: &[u8]) -> Option<Answer> {
        let (kind, name) = match path.split('/').collect::<Vec<_>>()[..] {
            ["_index_template" | "_component_template", name] => (Kind::Template, name),
            ["_ilm", "policy", name] if self.flavour.ilm() => (Kind::Ilm, name),
            ["_plugins", "_ism", "policies", name] if self.flavour.ism() => (Kind::Ism, name),
            ["_data_stream", name, "_lifecycle"] if self.flavour.stream_lifecycle() => {
                (Kind::Lifecycle, name)
            }
            _ => return None,
        };
        Some(match method {
            "GET" | "HEAD" => match self.kept.get(path) {
                Some((value, version)) => Answer::ok(&kind.shown(name, value, *version)),
                None => kind.missing(name),
            },
            "PUT" | "POST" => match serde_json::from_slice::<Value>(body) {
                Ok(value) => self.put(kind, path, query, name, value),
                Err(error) => Answer::error(400, "parse_exception", &error.to_string()),
            },
            "DELETE" => match self.kept.remove(path) {
                Some(_) => Answer::acknowledged(),
                None => kind.missing(name),
            },
            _ => return None,
        })
    }

    fn put(&mut self, kind: Kind, path: &str, query: &str, name: &str, value: Value) -> Answer {
        let version = self.kept.get(path).map(|(_, version)| *version);
        if kind == Kind::Ism {
            let parameter = |name: &str| {
                query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            };
            let wanted = parameter("if_seq_no").and_then(|number| number.parse().ok());
            if version.is_some() && version != wanted {
                let reason = format!(
                    "[{name}]: version conflict, required seqNo {wanted:?}, document already exists"
                );
                return Answer::error(409, "version_conflict_engine_exception", &reason);
            }
        }
        let next = version.map_or(0, |version| version + 1);
        let answer = match kind {
            Kind::Ism => Answer::json(
                if next == 0 { 201 } else { 200 },
                &kind.shown(name, &value, next),
            ),
            _ => Answer::acknowledged(),
        };
        self.kept.insert(path.to_owned(), (value, next));
        answer
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Template,
    Ilm,
    Ism,
    Lifecycle,
}

impl Kind {
    fn shown(self, name: &str, value: &Value, version: u64) -> Value {
        match self {
            Self::Template => json!({"index_templates": [{"name": name, "index_template": value}]}),
            Self::Ilm => json!({name: {"version": version + 1, "policy": value["policy"]}}),
            Self::Ism => {
                json!({"_id": name, "_version": version + 1, "_seq_no": version, "_primary_term": 1, "policy": value["policy"]})
            }
            Self::Lifecycle => json!({"data_streams": [{"name": name, "lifecycle": value}]}),
        }
    }

    fn missing(self, name: &str) -> Answer {
        let reason = match self {
            Self::Template => format!("index template matching [{name}] not found"),
            Self::Ilm => format!("Lifecycle policy not found: {name}"),
            Self::Ism => "Policy not found".to_owned(),
            Self::Lifecycle => return Answer::no_such_index(name),
        };
        let kind = match self {
            Self::Ism => "status_exception",
            _ => "resource_not_found_exception",
        };
        Answer::error(404, kind, &reason)
    }
}

fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_decides_whether_a_name_is_a_stream() {
        let mut resources = Resources::new(Flavour::OpenSearch);
        let template = br#"{"index_patterns":["logs-*-x"],"priority":5,"data_stream":{}}"#;
        let put = resources.answer("PUT", "_index_template/t", "", template);
        assert_eq!(put.map(|answer| answer.status), Some(200));
        let made =
            ["logs-a-x", "logs-a-y", "logs-x", "other"].map(|name| resources.makes_stream(name));
        assert_eq!(made, [true, false, false, false]);
    }

    #[test]
    fn policies_are_of_their_engine() {
        let policy = br#"{"policy":{"a":1}}"#;
        let mut resources = Resources::new(Flavour::OpenSearch);
        let path = "_plugins/_ism/policies/p";
        let mut status = |method: &str, path: &str, query: &str| {
            resources
                .answer(method, path, query, policy)
                .map(|answer| answer.status)
        };
        assert_eq!(status("GET", path, ""), Some(404));
        assert_eq!(status("PUT", path, ""), Some(201));
        assert_eq!(status("PUT", path, ""), Some(409));
        assert_eq!(
            status("PUT", path, "if_seq_no=0&if_primary_term=1"),
            Some(200)
        );
        assert_eq!(status("PUT", "_ilm/policy/p", ""), None);
        let mut resources = Resources::new(Flavour::Elasticsearch);
        let put = resources.answer("PUT", "_ilm/policy/p", "", policy);
        assert_eq!(put.map(|answer| answer.status), Some(200));
        let got = resources
            .answer("GET", "_ilm/policy/p", "", b"")
            .expect("an answer");
        assert_eq!(&got.body[..], br#"{"p":{"policy":{"a":1},"version":1}}"#);
    }
}
