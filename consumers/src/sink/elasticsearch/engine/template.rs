use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::call::{self, MANAGED_BY, Undone, covers, same};
use super::retention::Part;
use super::{Place, Remark, streams};

/// Above the `logs-*-*` templates that Elasticsearch brings along (100, and 200 for its integrations).
pub(super) const PRIORITY: u64 = 500;
/// Elasticsearch's own default, said so that a cluster's other default does not matter: ours are about 40, the rest is for labels. A
/// hundred times as many would make each change of the mapping a burden to the whole cluster.
const MAX_FIELDS: u32 = 1000;
/// The longest text that is one term: of 1024 characters, at most 4 KiB, where 32 KiB would be refused.
const IGNORE_ABOVE: u32 = 1024;

/// The template under our name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Absent,
    Ours(Value),
    Foreign,
}

impl State {
    /// What it has of retention.
    pub fn retention(&self) -> Part {
        let Self::Ours(template) = self else {
            return Part::default();
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let template = &template["template"];
        Part {
            data_retention: text(&template["lifecycle"]["data_retention"]),
            policy: text(&template["settings"]["index"]["lifecycle"]["name"]),
        }
    }
}

impl State {
    /// The consumer that made it, `namespace/name`.
    fn owner(&self) -> Option<&str> {
        match self {
            Self::Ours(template) => template["_meta"]["consumer"].as_str(),
            Self::Absent | Self::Foreign => None,
        }
    }
}

/// That another consumer, which was there before us, keeps the template of this name by other settings than ours. Otherwise the two
/// would write theirs, and their policies, over the other's for ever.
pub(super) fn kept_otherwise(place: &Place<'_>, current: &State) -> Option<Remark> {
    let State::Ours(template) = current else {
        return None;
    };
    let owner = current.owner().filter(|owner| *owner != place.consumer)?;
    let theirs = &template["_meta"]["settings"];
    let ours = settings(place);
    (!same(theirs, &ours)).then(|| Remark {
        reason: "TemplateOfAnother",
        message: format!(
            "the index template {} is kept by the consumer {owner} with {theirs}; {ours} is without effect. Give both the same template, or              another dataStream; if there is no {owner} any more, delete the index template",
            place.name
        ),
    })
}

/// What consumers can say of the template.
fn settings(place: &Place<'_>) -> Value {
    let template = &place.config.template;
    let retention = template.retention.map(|retention| retention.to_string());
    json!({"replicas": template.replicas, "retention": retention.as_deref().unwrap_or("for ever")})
}

/// What is there under our name.
pub(super) async fn current(place: &Place<'_>) -> Result<State, Failure> {
    let answer = call::get(place.client, &path(place)).await;
    Ok(match answer.map_err(Undone::failure)? {
        None => State::Absent,
        Some(mut answer) => {
            let template = answer["index_templates"][0]["index_template"].take();
            match template["_meta"]["managed_by"] == MANAGED_BY {
                true => State::Ours(template),
                false => State::Foreign,
            }
        }
    })
}

/// Makes the template what it should be. Why it cannot, where another one is in its way.
pub(super) async fn keep(
    place: &Place<'_>,
    current: &State,
    part: &Part,
) -> Result<Result<(), Remark>, Failure> {
    let wanted = template(place, current.owner().unwrap_or(place.consumer), part);
    let what = match current {
        State::Ours(current) if is_kept(current, &wanted) => return Ok(Ok(())),
        State::Ours(_) => "changed",
        State::Absent | State::Foreign => "made",
    };
    let path = path(place);
    let answer = call::send(place.client, Method::PUT, &path, Some(&wanted)).await?;
    if answer.status.is_success() {
        tracing::info!(template = place.name, "the index template is {what}");
        return Ok(Ok(()));
    }
    let failure = call::refusal(&format!("PUT {path}"), &answer).failure();
    match String::from_utf8_lossy(&answer.body).contains("same priority") {
        true => Ok(Err(Remark {
            reason: "TemplateConflict",
            message: format!(
                "our index template cannot be made, another one has a pattern in common and the same priority: change its priority, or \
                 choose another dataStream. {}",
                failure.why
            ),
        })),
        // Without it documents would make indices of whatever mapping.
        false => Err(failure),
    }
}

/// Whether another template comes before ours. Asked for the templates themselves: OpenSearch fails when it is to simulate an index of a
/// data stream that is there.
pub(super) async fn overruled(place: &Place<'_>) -> Result<Option<Remark>, Failure> {
    let index = place.pattern.replace('*', "x");
    let all = all(place).await?;
    let first = first_of(&all, &index).filter(|(_, priority)| *priority > PRIORITY);
    Ok(first.map(|(name, priority)| Remark {
        reason: "TemplateOverruled",
        message: format!(
            "the index template {name} (priority {priority}) comes before {} (priority {PRIORITY}) for {}: mapping and retention are its \
             owner's. Change its pattern or priority, or set template.manage: false",
            place.name, place.config.data_stream,
        ),
    }))
}

/// Templates of lower priority for names that our pattern matches too: others' data streams that are made from now on would be ours. One
/// that is for all names of our pattern is only more general.
pub(super) async fn captures(place: &Place<'_>) -> Result<Option<Remark>, Failure> {
    if place.fixed.is_some() {
        return Ok(None);
    }
    let all = all(place).await?;
    let templates = all["index_templates"].as_array();
    let captured = templates.into_iter().flatten().find_map(|template| {
        let (name, template) = (template["name"].as_str()?, &template["index_template"]);
        let is_behind = template["priority"].as_u64().unwrap_or(0) < PRIORITY;
        let patterns = template["index_patterns"].as_array()?.iter();
        let mut patterns = patterns.filter_map(Value::as_str);
        let cut = |pattern: &&str| {
            meet(pattern.as_bytes(), place.pattern.as_bytes()) && !matches(pattern, &place.pattern)
        };
        let pattern = patterns.find(cut).filter(|_| is_behind)?;
        Some((name, pattern))
    });
    Ok(captured.map(|(name, pattern)| Remark {
        reason: streams::TOO_WIDE,
        message: format!(
            "{} also matches names that the index template {name} is for ({pattern}): data streams that are made there get our mapping and \
             retention. Choose a dataStream with a beginning of its own",
            place.pattern
        ),
    }))
}

/// Names, patterns and priorities of all templates; nothing where we may not see them.
async fn all(place: &Place<'_>) -> Result<Value, Failure> {
    let path = "/_index_template?filter_path=index_templates.name,index_templates.index_template.index_patterns,\
        index_templates.index_template.priority";
    match call::get(place.client, path).await {
        Ok(all) => Ok(all.unwrap_or_default()),
        Err(Undone::Later(failure)) => Err(failure),
        Err(Undone::Refused(failure)) => {
            tracing::debug!(why = failure.why, "not known which index templates apply");
            Ok(Value::Null)
        }
    }
}

/// The template of the highest priority that matches, with that priority.
fn first_of<'a>(all: &'a Value, index: &str) -> Option<(&'a str, u64)> {
    let templates = all["index_templates"].as_array()?.iter();
    let matching = templates.filter(|template| {
        let patterns = template["index_template"]["index_patterns"].as_array();
        let mut patterns = patterns.into_iter().flatten().filter_map(Value::as_str);
        patterns.any(|pattern| matches(pattern, index))
    });
    let named = matching.filter_map(|template| {
        let priority = template["index_template"]["priority"].as_u64();
        Some((template["name"].as_str()?, priority.unwrap_or(0)))
    });
    named.max_by_key(|(_, priority)| *priority)
}

/// Whether a pattern, in which `*` stands for anything, matches a name.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| matches(tail, &rest[at..]))
        }),
    }
}

/// Whether there is a name that both patterns match.
fn meet(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([b'*', rest @ ..], other) | (other, [b'*', rest @ ..]) => {
            meet(rest, other) || !other.is_empty() && meet(&[b"*", rest].concat(), &other[1..])
        }
        ([a, one @ ..], [b, other @ ..]) => a == b && meet(one, other),
        _ => false,
    }
}

fn path(place: &Place<'_>) -> String {
    format!("/_index_template/{}", call::segment(&place.name))
}

/// Whether a template says all of what is wanted, and nothing else where that would matter.
pub(super) fn is_kept(current: &Value, wanted: &Value) -> bool {
    let of = |template: &Value, part: &str| template["template"][part].clone();
    let no_lifecycle = |template: &Value| of(template, "lifecycle").is_null();
    covers(current, wanted)
        && ["settings", "mappings"]
            .iter()
            .all(|part| same(&of(current, part), &of(wanted, part)))
        && no_lifecycle(current) == no_lifecycle(wanted)
        && current["data_stream"].is_null() == wanted["data_stream"].is_null()
        && current["composed_of"].as_array().is_none_or(Vec::is_empty)
}

/// The index template: ECS, and nothing that an event could blow up.
pub(super) fn template(place: &Place<'_>, owner: &str, part: &Part) -> Value {
    let info = place.info;
    let mut limits = json!({"limit": MAX_FIELDS});
    if info.ignores_beyond_limit() {
        limits["ignore_dynamic_beyond_limit"] = json!(true);
    }
    let mut index = json!({"mapping": {"total_fields": limits}});
    if info.has_replicas() {
        index["number_of_replicas"] = json!(place.config.template.replicas);
    }
    if let Some(policy) = &part.policy {
        index["lifecycle"] = json!({"name": policy});
    }
    let mut template = json!({
        "index_patterns": [place.pattern],
        "priority": PRIORITY,
        "_meta": {"managed_by": MANAGED_BY, "consumer": owner, "settings": settings(place)},
        "template": {
            "settings": {"index": index},
            "mappings": mappings(place),
        },
    });
    if let Some(retention) = &part.data_retention {
        template["template"]["lifecycle"] = json!({"data_retention": retention});
    }
    if info.data_streams {
        template["data_stream"] = Value::Object(Map::new());
    }
    template
}

fn mappings(place: &Place<'_>) -> Value {
    let keyword = json!({"type": "keyword", "ignore_above": IGNORE_ABOVE});
    let text = json!({"type": "text"});
    let number = |r#type: &str| json!({"type": r#type, "ignore_malformed": true});
    let payload = match place.info.flattened() {
        Some("flattened") => {
            json!({"type": "flattened", "ignore_above": IGNORE_ABOVE})
        }
        Some(other) => json!({"type": other}),
        None => json!({"type": "object", "enabled": false}),
    };
    json!({
        // Shows which template an index was made by.
        "_meta": {"managed_by": MANAGED_BY, "template": place.name},
        "dynamic": "false",
        "date_detection": false,
        "dynamic_templates": [
            {"labels": {"path_match": "labels.*", "mapping": keyword}},
        ],
        "properties": {
            // A data stream does not allow it to be malformed.
            "@timestamp": {"type": "date"},
            "message": text,
            "log": {"properties": {"level": keyword, "logger": keyword}},
            "service": {"properties": {
                "name": keyword, "state": keyword,
                "node": {"properties": {"name": keyword}},
            }},
            "trace": {"properties": {"id": keyword}},
            "span": {"properties": {"id": keyword}},
            "error": {"properties": {"type": keyword, "code": keyword, "message": text, "stack_trace": text}},
            "event": {"properties": {
                "id": keyword, "action": keyword, "kind": keyword, "dataset": keyword,
                "duration": number("long"),
            }},
            "metric": {"properties": {"name": keyword, "type": keyword, "value": number("double")}},
            // Always keywords: what one event has cannot contradict what another had.
            "labels": {"type": "object", "dynamic": "true"},
            "payload": payload,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_share_a_name_meet() {
        for (one, other, expected) in [
            ("logs-*-default", "logs-nginx.*-*", true),
            ("logs-*-default", "logs-*-*", true),
            ("logs-bt.*-default", "logs-apm.error-*", false),
            ("logs-bt.*", "*", true),
            ("logs-bt.*", "*.x", true),
            ("logs-bt.*", "metrics-*", false),
            ("a*b*c", "*bc", true),
            ("a*b*c", "ab", false),
            ("a", "a", true),
            ("a*", "a", true),
        ] {
            let bytes = (one.as_bytes(), other.as_bytes());
            assert_eq!(meet(bytes.0, bytes.1), expected, "{one} {other}");
            assert_eq!(meet(bytes.1, bytes.0), expected, "{other} {one}");
        }
    }

    #[test]
    fn patterns_match_as_the_engines_do() {
        for (pattern, name, expected) in [
            ("logs-*-*", "logs-bt-default", true),
            ("logs-bt-default", "logs-bt-default", true),
            ("*", "anything", true),
            ("logs-*-default", "logs-default", false),
            ("logs-*", "metrics-bt", false),
            ("*-default", "logs-bt-default", true),
            ("logs-bt", "logs-bt-default", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
