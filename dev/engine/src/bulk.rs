//! `_bulk`, as far as documents are really held.

use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::script::{Fault, Rules, is_refused};
use crate::store::Store;
use crate::tally::Tally;

/// One action of a request.
pub(crate) struct Action {
    pub op: Op,
    pub index: Option<String>,
    pub id: String,
    if_seq_no: Option<u64>,
    source: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Index,
    Delete,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
            Self::Delete => "delete",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Create(Meta),
    Index(Meta),
    Delete(Meta),
}

#[derive(Deserialize)]
struct Meta {
    _index: Option<String>,
    _id: Option<String>,
    if_seq_no: Option<u64>,
    #[serde(rename = "if_primary_term")]
    _if_primary_term: Option<u64>,
}

/// Elasticsearch's limit for `_id`, in bytes.
const MAX_ID: usize = 512;

/// The actions of a body.
///
/// # Errors
/// Why the request is refused as a whole.
pub(crate) fn parse(body: &Bytes) -> Result<Vec<Action>, String> {
    if body.is_empty() {
        return Err("request body is required".into());
    }
    if body.last() != Some(&b'\n') {
        return Err("The bulk request must be terminated by a newline [\\n]".into());
    }
    let mut lines = body
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| &line[..line.len() - 1]);
    let (mut actions, mut number) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        number += 1;
        if line.is_empty() {
            continue;
        }
        let parsed = serde_json::from_slice(line);
        let parsed = parsed
            .map_err(|error| format!("Malformed action/metadata line [{number}]: {error}"))?;
        let (op, meta) = match parsed {
            Line::Create(meta) => (Op::Create, meta),
            Line::Index(meta) => (Op::Index, meta),
            Line::Delete(meta) => (Op::Delete, meta),
        };
        let mut source = Bytes::new();
        if op != Op::Delete {
            let line = lines
                .next()
                .ok_or("Validation Failed: 1: no documents to index;")?;
            number += 1;
            source = body.slice_ref(line);
        }
        let id = meta._id.unwrap_or_else(made_up_id);
        if id.len() > MAX_ID {
            return Err(format!(
                "Validation Failed: 1: id [{id}] is too long, must be no longer than {MAX_ID} bytes;"
            ));
        }
        actions.push(Action {
            op,
            index: meta._index,
            id,
            if_seq_no: meta.if_seq_no,
            source,
        });
    }
    Ok(actions)
}

/// Why nothing can be written, documents cannot be deleted either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    Write,
    FloodStage,
    Closed,
}

impl Block {
    pub fn of(fault: Fault, rules: &Rules) -> Option<Self> {
        match fault {
            Fault::FloodStage => Some(Self::FloodStage),
            Fault::IndexClosed => Some(Self::Closed),
            Fault::ReadOnly => Some(Self::Write),
            _ => rules.read_only.then_some(Self::Write),
        }
    }

    fn answer(self, action: &Action, index: &str) -> Value {
        let (status, block) = match self {
            Self::Closed => return failed(action, index, 400, "index_closed_exception", "closed"),
            Self::Write => (403, "FORBIDDEN/8/index write (api)"),
            Self::FloodStage => (
                429,
                "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block",
            ),
        };
        let reason = format!("index [{index}] blocked by: [{block}];");
        failed(action, index, status, "cluster_block_exception", &reason)
    }
}

/// Does an action, by default on `target`; its item of the answer.
pub(crate) fn apply(
    store: &mut Store,
    action: &Action,
    target: Option<&str>,
    rules: &Rules,
    block: Option<Block>,
    tally: &mut Tally,
) -> Value {
    let Some(name) = action.index.as_deref().or(target) else {
        return failed(
            action,
            "",
            400,
            "action_request_validation_exception",
            "index is missing",
        );
    };
    if action.op == Op::Delete {
        return match block {
            Some(block) => block.answer(action, name),
            None => delete(store, action, name, tally),
        };
    }
    if store
        .not_before
        .remove(&action.id)
        .is_some_and(|at| Instant::now() < at)
    {
        tally.early += 1;
    }
    if name.starts_with(".ds-") && store.index(name).is_some() {
        let reason = format!(
            "index request with op_type=create targeting backing indices is disallowed, use the data stream [{name}]"
        );
        return failed(action, name, 400, "illegal_argument_exception", &reason);
    }
    let (parsing_error, is_stream) = (store.flavour.parsing_error(), store.target(name).is_stream);
    let index = store.target(name).write_index();
    let of = index.name.clone();
    if let Some(block) = block {
        return block.answer(action, &of);
    }
    if is_stream && action.op != Op::Create {
        let reason = "only write ops with an op_type of create are allowed in data streams";
        return failed(action, &of, 400, "illegal_argument_exception", reason);
    }
    let contains = |text: &str| memchr::memmem::find(&action.source, text.as_bytes()).is_some();
    if !rules.busy.is_empty() && contains(&rules.busy) {
        return busy(action, Some(name));
    }
    let refused = (!rules.refuse.is_empty() && contains(&rules.refuse))
        || is_refused(&action.id, rules.refuse_one_in);
    let broken = serde_json::from_slice::<IgnoredAny>(&action.source).is_err()
        || action.source.first() != Some(&b'{');
    if refused || broken || (is_stream && !contains("\"@timestamp\"")) {
        *tally.refused.entry(action.id.clone()).or_default() += 1;
        if is_stream && rules.failure_store {
            let failures = store.failure_store(name);
            let failed = json!({"document": {"id": action.id, "source": String::from_utf8_lossy(&action.source)}});
            let seq_no = failures.put(&made_up_id(), failed.to_string().into());
            let mut item = done(action, &failures.name, seq_no, 201, "created");
            item[action.op.name()]["failure_store"] = "used".into();
            return item;
        }
        let reason = format!(
            "failed to parse field [n] of type [long] in document with id '{}'",
            action.id
        );
        return failed(action, &of, 400, parsing_error, &reason);
    }
    let (seq_no, status) = match action.op {
        Op::Create => match index.create(&action.id, action.source.clone()) {
            Ok(seq_no) => (seq_no, 201),
            Err(conflict) => {
                let seq_no = conflict.seq_no;
                let reason = format!(
                    "[{}]: version conflict, document already exists (current version [1], seqNo [{seq_no}])",
                    action.id
                );
                return failed(
                    action,
                    &of,
                    409,
                    "version_conflict_engine_exception",
                    &reason,
                );
            }
        },
        _ => {
            let status = if index.get(&action.id).is_some() {
                200
            } else {
                201
            };
            (index.put(&action.id, action.source.clone()), status)
        }
    };
    done(
        action,
        &of,
        seq_no,
        status,
        if status == 201 { "created" } else { "updated" },
    )
}

fn delete(store: &mut Store, action: &Action, name: &str, tally: &mut Tally) -> Value {
    if store
        .targets
        .get(name)
        .is_some_and(|target| target.is_stream)
    {
        let reason = "only write ops with an op_type of create are allowed in data streams";
        return failed(action, name, 400, "illegal_argument_exception", reason);
    }
    let Some(index) = store.index(name) else {
        return failed(
            action,
            name,
            404,
            "index_not_found_exception",
            &format!("no such index [{name}]"),
        );
    };
    match index.delete(&action.id, action.if_seq_no) {
        Ok((seq_no, true)) => {
            tally.deleted += 1;
            done(action, name, seq_no, 200, "deleted")
        }
        Ok((seq_no, false)) => done(action, name, seq_no, 404, "not_found"),
        Err(conflict) => {
            let reason = format!(
                "[{}]: version conflict, required seqNo [{}], primary term [1]. current document has seqNo [{}] and primary term [1]",
                action.id,
                action.if_seq_no.unwrap_or_default(),
                conflict.seq_no
            );
            failed(
                action,
                name,
                409,
                "version_conflict_engine_exception",
                &reason,
            )
        }
    }
}

/// There is no shard for this document.
pub(crate) fn unavailable(action: &Action, target: Option<&str>) -> Value {
    let name = action.index.as_deref().or(target).unwrap_or_default();
    let reason = format!("[{name}][0] primary shard is not active Timeout: [1m]");
    failed(action, name, 503, "unavailable_shards_exception", &reason)
}

/// Too busy for this document.
pub(crate) fn busy(action: &Action, target: Option<&str>) -> Value {
    let name = action.index.as_deref().or(target).unwrap_or_default();
    let reason = "rejected execution of coordinating operation [coordinating_and_primary_bytes=1, max_coordinating_and_primary_bytes=1]";
    failed(action, name, 429, "es_rejected_execution_exception", reason)
}

fn done(action: &Action, index: &str, seq_no: u64, status: u16, result: &str) -> Value {
    json!({action.op.name(): {
        "_index": index, "_id": action.id, "_version": 1, "result": result,
        "_shards": {"total": 1, "successful": 1, "failed": 0},
        "_seq_no": seq_no, "_primary_term": 1, "status": status,
    }})
}

fn failed(action: &Action, index: &str, status: u16, kind: &str, reason: &str) -> Value {
    let mut error = json!({"type": kind, "reason": reason});
    if status == 400 {
        error["caused_by"] =
            json!({"type": "illegal_argument_exception", "reason": "For input string: \"x\""});
    }
    json!({action.op.name(): {"_index": index, "_id": action.id, "status": status, "error": error}})
}

fn made_up_id() -> String {
    format!("auto-{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flavour::Flavour;

    fn statuses(store: &mut Store, body: &str, rules: &Rules, fault: Fault) -> Vec<u64> {
        let actions = parse(&Bytes::from(body.to_owned())).expect("a body");
        let mut tally = Tally::default();
        let items = actions.iter().map(|action| {
            let block = Block::of(fault, rules);
            apply(store, action, Some("logs"), rules, block, &mut tally)
        });
        items
            .map(|item| {
                item.as_object()
                    .and_then(|item| item.values().next()?["status"].as_u64())
                    .unwrap_or(0)
            })
            .collect()
    }

    #[test]
    fn actions_are_done_and_answered_one_by_one() {
        let mut store = Store::new(Flavour::OpenSearch);
        store.make("logs", true);
        let rules = Rules {
            refuse: "refuse-me".into(),
            ..Rules::default()
        };
        let body = concat!(
            "{\"create\":{\"_id\":\"a\"}}\n{\"@timestamp\":1}\n",
            "{\"create\":{\"_id\":\"a\"}}\n{\"@timestamp\":1}\n",
            "{\"create\":{\"_id\":\"b\"}}\n{\"@timestamp\":1,\"m\":\"refuse-me\"}\n",
            "{\"create\":{\"_id\":\"c\"}}\n{\"@timestamp\":1\n",
            "{\"index\":{\"_id\":\"d\"}}\n{\"@timestamp\":1}\n",
            "{\"delete\":{\"_index\":\".ds-logs-000001\",\"_id\":\"a\",\"if_seq_no\":0,\"if_primary_term\":1}}\n",
            "{\"delete\":{\"_index\":\".ds-logs-000001\",\"_id\":\"a\"}}\n",
        );
        assert_eq!(
            statuses(&mut store, body, &rules, Fault::None),
            [201, 409, 400, 400, 400, 200, 404]
        );
        assert!(store.held().is_empty());
    }

    #[test]
    fn what_blocks_writes_blocks_deletes_too() {
        let mut store = Store::new(Flavour::OpenSearch);
        store.make("logs", true);
        let create = "{\"create\":{\"_id\":\"a\"}}\n{\"@timestamp\":1}\n";
        let delete = "{\"delete\":{\"_index\":\".ds-logs-000001\",\"_id\":\"a\"}}\n";
        let rules = Rules::default();
        assert_eq!(statuses(&mut store, create, &rules, Fault::None), [201]);
        let blocked = Rules {
            read_only: true,
            ..Rules::default()
        };
        let both = format!("{create}{delete}");
        for (fault, rules, status) in [
            (Fault::None, &blocked, 403),
            (Fault::ReadOnly, &rules, 403),
            (Fault::FloodStage, &rules, 429),
            (Fault::IndexClosed, &rules, 400),
        ] {
            let found = statuses(&mut store, &both, rules, fault);
            assert_eq!(found, [status, status], "{fault:?}");
        }
        assert_eq!(store.held().len(), 1);
        assert_eq!(statuses(&mut store, &both, &rules, Fault::None), [409, 200]);
    }

    #[test]
    fn a_failure_store_has_what_the_data_stream_does_not_take_as_often_as_it_is_sent() {
        let mut store = Store::new(Flavour::Elasticsearch);
        store.make("logs", true);
        let rules = Rules {
            refuse: "refuse-me".into(),
            failure_store: true,
            ..Rules::default()
        };
        let body = "{\"create\":{\"_id\":\"a\"}}\n{\"@timestamp\":1,\"m\":\"refuse-me\"}\n";
        for copies in [1, 2] {
            assert_eq!(statuses(&mut store, body, &rules, Fault::None), [201]);
            let held = store.held();
            let failed = held.iter().filter(|d| d.index.starts_with(".fs-logs-"));
            assert_eq!((failed.count(), held.len()), (copies, copies));
        }
        assert_eq!(store.indices("logs").len(), 1);
        let mut plain = Store::new(Flavour::ElasticsearchOss);
        assert_eq!(statuses(&mut plain, body, &rules, Fault::None), [400]);
    }

    #[test]
    fn what_is_no_bulk_is_refused_as_a_whole() {
        for body in ["", "x", "x\n", "{\"create\":{\"_id\":\"a\"}}\n"] {
            assert!(parse(&Bytes::from(body)).is_err(), "{body:?}");
        }
    }
}
