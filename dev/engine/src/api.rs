//! Everything but `_bulk`.

use serde_json::{Map, Value, json};

use crate::answers::Answer;
use crate::filter::Filter;
use crate::flavour::Flavour;
use crate::store::Store;
use crate::tally::Tally;

/// A request other than `_bulk`.
pub(crate) struct Call<'r> {
    pub method: &'r str,
    /// Without the slash that it begins with.
    pub path: &'r str,
    pub query: &'r str,
    pub body: &'r [u8],
}

/// Whether a request is for documents, not for setting up the engine.
pub(crate) fn is_of_documents(path: &str) -> bool {
    path.ends_with("_bulk") || path.ends_with("_mget") || path.contains("/_settings/")
}

/// The answer, before `filter_path`.
pub(crate) fn answer(store: &mut Store, tally: &mut Tally, call: &Call<'_>) -> Answer {
    let Call {
        method,
        path,
        query,
        body,
    } = *call;
    if let Some(answer) = store.resources.answer(method, path, query, body) {
        return answer;
    }
    let flavour = store.flavour;
    let parts: Vec<_> = path.split('/').collect();
    match (method, &parts[..]) {
        ("GET" | "HEAD", [""]) => Answer::ok(&flavour.info()),
        (_, ["_data_stream", ..]) if !flavour.data_streams() => Answer::error(
            400,
            "invalid_index_name_exception",
            "Invalid index name [_data_stream], must not start with '_'.",
        ),
        ("GET", ["_data_stream"]) => data_streams(store, "*"),
        ("GET", ["_data_stream", name]) => data_streams(store, name),
        ("PUT", ["_data_stream", name]) => {
            if store.targets.contains_key(*name) {
                let reason = format!("data_stream [{name}] already exists");
                return Answer::error(400, "resource_already_exists_exception", &reason);
            }
            store.make(name, true);
            Answer::acknowledged()
        }
        ("GET" | "POST", ["_mget"]) => look_up(store, tally, None, body),
        ("GET" | "POST", [index, "_mget"]) => look_up(store, tally, Some(index), body),
        ("GET", [names, "_settings"]) => settings(store, names, query),
        ("GET", [names, "_settings", _]) => settings(store, names, query),
        ("PUT", [name, "_settings" | "_mapping"]) => match store.indices(name).is_empty() {
            true => Answer::no_such_index(name),
            false => Answer::acknowledged(),
        },
        ("GET" | "POST", [names, "_count"]) => {
            let count: usize = store
                .indices(names)
                .iter()
                .map(|index| index.documents.values().filter(|d| !d.deleted).count())
                .sum();
            Answer::ok(
                &json!({"count": count, "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0}}),
            )
        }
        ("POST", [name, "_rollover"]) => match store.roll_over(name) {
            true => Answer::ok(
                &json!({"acknowledged": true, "shards_acknowledged": true, "rolled_over": true}),
            ),
            false => Answer::no_such_index(name),
        },
        ("POST" | "GET", [.., "_refresh"]) => {
            Answer::ok(&json!({"_shards": {"total": 1, "successful": 1, "failed": 0}}))
        }
        ("POST", ["_plugins", "_ism", "add" | "change_policy" | "remove", ..]) if flavour.ism() => {
            Answer::ok(&json!({"updated_indices": 0, "failures": false, "failed_indices": []}))
        }
        ("GET", ["_plugins", "_ism", "explain", ..]) if flavour.ism() => {
            Answer::ok(&json!({"total_managed_indices": 0}))
        }
        ("GET", ["_alias", name]) => Answer::json(
            404,
            &json!({"error": format!("alias [{name}] missing"), "status": 404}),
        ),
        ("GET", ["_cluster", "health"]) => {
            Answer::ok(&json!({"cluster_name": "test", "status": "green"}))
        }
        ("PUT", [name]) if !name.starts_with('_') => {
            if store.targets.contains_key(*name) {
                let reason = format!("index [{name}/_na_] already exists");
                return Answer::error(400, "resource_already_exists_exception", &reason);
            }
            store.make(name, false);
            Answer::ok(&json!({"acknowledged": true, "shards_acknowledged": true, "index": name}))
        }
        ("GET" | "HEAD", [name]) if !name.starts_with('_') => {
            match store.indices(name).is_empty() {
                true => Answer::no_such_index(name),
                false => settings(store, name, query),
            }
        }
        // Elasticsearch without the plugin takes the path for an index and a type.
        (_, ["_ilm", ..]) if flavour == Flavour::ElasticsearchOss => Answer::no_such_index("_ilm"),
        _ => Answer::json(
            400,
            &json!({"error": format!("no handler found for uri [/{path}] and method [{method}]")}),
        ),
    }
}

/// What is wanted of an answer; engines do not filter errors.
pub(crate) fn filtered(answer: Answer, filter: &Filter) -> Answer {
    if filter.is_everything() || answer.status >= 400 {
        return answer;
    }
    match serde_json::from_slice(&answer.body) {
        Ok(body) => Answer {
            body: filter.apply(body).to_string().into(),
            ..answer
        },
        Err(_) => answer,
    }
}

fn data_streams(store: &Store, pattern: &str) -> Answer {
    let meant = |name: &str| match pattern.split_once('*') {
        Some((head, tail)) => name.starts_with(head) && name.ends_with(tail),
        None => name == pattern,
    };
    let streams = store
        .targets
        .iter()
        .filter(|(name, target)| target.is_stream && meant(name));
    let streams: Vec<_> = streams
        .map(|(name, target)| {
            let indices = target
                .indices
                .iter()
                .map(|index| json!({"index_name": index.name, "index_uuid": index.name}));
            json!({
                "name": name,
                "timestamp_field": {"name": "@timestamp"},
                "indices": indices.collect::<Vec<_>>(),
                "generation": target.indices.len(),
                "status": "GREEN",
            })
        })
        .collect();
    match streams.is_empty() && !pattern.contains('*') {
        true => Answer::no_such_index(pattern),
        false => Answer::ok(&json!({"data_streams": streams})),
    }
}

fn settings(store: &Store, names: &str, query: &str) -> Answer {
    let indices = store.indices(names);
    if indices.is_empty() && !names.contains('*') {
        return Answer::no_such_index(names);
    }
    let flat = query
        .split('&')
        .any(|pair| pair == "flat_settings=true" || pair == "flat_settings");
    let all: Map<String, Value> = indices
        .iter()
        .map(|index| {
            let created = index.created.to_string();
            let settings = match flat {
                true => json!({"index.creation_date": created}),
                false => json!({"index": {"creation_date": created}}),
            };
            (index.name.clone(), json!({"settings": settings}))
        })
        .collect();
    Answer::ok(&Value::Object(all))
}

fn look_up(store: &mut Store, tally: &mut Tally, index: Option<&str>, body: &[u8]) -> Answer {
    tally.looked_up += 1;
    let request: Value = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return Answer::error(400, "parse_exception", &error.to_string()),
    };
    let ids = request["ids"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|id| (index, id.as_str()));
    let docs = request["docs"].as_array().into_iter().flatten();
    let docs = docs.map(|doc| (doc["_index"].as_str().or(index), doc["_id"].as_str()));
    let mut found = Vec::new();
    for wanted in ids.chain(docs) {
        let (Some(name), Some(id)) = wanted else {
            return Answer::error(
                400,
                "action_request_validation_exception",
                "Validation Failed: 1: index or id is missing;",
            );
        };
        if store
            .targets
            .get(name)
            .is_some_and(|target| target.indices.len() > 1)
        {
            let reason =
                format!("{name} stands for more than one index, a document cannot be got by it");
            return Answer::error(400, "illegal_argument_exception", &reason);
        }
        found.push(match store.index(name) {
            None => json!({"_index": name, "_id": id, "error": {
                "type": "index_not_found_exception", "reason": format!("no such index [{name}]"), "index": name,
            }}),
            Some(index) => match index.get(id) {
                Some(document) => json!({
                    "_index": name, "_id": id, "_version": 1, "_seq_no": document.seq_no, "_primary_term": 1, "found": true,
                }),
                None => json!({"_index": name, "_id": id, "found": false}),
            },
        });
    }
    Answer::ok(&json!({"docs": found}))
}
