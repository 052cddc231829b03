//! Index state management: <https://docs.opensearch.org/latest/im-plugin/ism/api/>.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::Place;
use super::super::call::{self, MANAGED_BY, Undone, covers};
use super::super::streams::Stream;
use super::super::template::PRIORITY;
use super::{ROLLOVER_SIZE, in_paths, rollover_age, time};

/// Policies have no `_meta`: ours are told by how their description begins.
const DESCRIPTION: &str = "Managed by bt-monitoring";

/// Whether the engine has it: without the plugin there is no such path (400), with it no such policy (404) or ours.
pub(super) async fn is_there(place: &Place<'_>) -> Result<bool, Undone> {
    let path = path(place);
    let answer = call::send(place.client, Method::GET, &path, None).await?;
    match answer.status.as_u16() {
        200..=299 | 404 => Ok(true),
        401 | 403 => {
            let what = format!("GET {path}");
            Err(call::refusal(&what, &answer))
        }
        _ => Ok(false),
    }
}

/// Makes the policy what it should be. Its template takes the indices that are made from then on.
pub(super) async fn keep(place: &Place<'_>, retention: Duration) -> Result<(), Undone> {
    let wanted = policy(place, retention);
    let mut path = path(place);
    if let Some(current) = call::get(place.client, &path).await? {
        if !is_ours(&current) {
            return Err(Undone::refused(format!(
                "the ISM policy {} was not made by {MANAGED_BY} and is left alone; delete or rename it",
                place.name
            )));
        }
        if covers(&current["policy"], &wanted["policy"]) {
            return Ok(());
        }
        // So that a change of somebody else in between is not lost.
        let number = |name: &str| current[name].as_u64().unwrap_or_default();
        let (seq_no, term) = (number("_seq_no"), number("_primary_term"));
        path = format!("{path}?if_seq_no={seq_no}&if_primary_term={term}");
    }
    let answer = call::send(place.client, Method::PUT, &path, Some(&wanted)).await?;
    match answer.status.as_u16() {
        200..=299 => {
            tracing::info!(policy = place.name, "the ISM policy is made");
            Ok(())
        }
        // Another pod of ours was faster, or somebody else: the next check compares again.
        409 => Ok(()),
        _ => Err(call::refusal(&format!("PUT {path}"), &answer)),
    }
}

/// Puts existing indices under the policy as it is now, unless they have another: ISM itself keeps an index without a policy, or with
/// the version of it that the index began with.
pub(super) async fn attach(place: &Place<'_>, streams: &[Stream]) -> Result<(), Undone> {
    let policy = call::get(place.client, &path(place)).await?;
    let seq_no = policy.and_then(|policy| policy["_seq_no"].as_i64());
    let (mut bare, mut outdated, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (index, said) in explain(place, streams).await? {
        let of = said["policy_seq_no"].as_i64();
        match policy_of(&said) {
            None => bare.push(index),
            Some(policy) if policy != place.name => others.push(format!("{index} ({policy})")),
            // Absent or negative until ISM has begun with the index, by the policy as it is then.
            Some(_) if of.is_some_and(|of| of >= 0) && of != seq_no => outdated.push(index),
            Some(_) => {}
        }
    }
    let body = json!({"policy_id": place.name});
    for (what, indices) in [("add", bare), ("change_policy", outdated)] {
        for indices in in_paths(&indices) {
            let path = format!("/_plugins/_ism/{what}/{indices}");
            let answer = call::json(place.client, Method::POST, &path, Some(&body)).await?;
            match answer["failures"].as_bool() {
                // Most often because an index is just moving on: the next time, then.
                Some(true) => {
                    tracing::debug!(%answer, "not all indices were put under the ISM policy")
                }
                _ => tracing::info!(
                    indices,
                    policy = place.name,
                    "indices are put under the ISM policy"
                ),
            }
        }
    }
    match others.first() {
        None => Ok(()),
        Some(first) => Err(Undone::refused(format!(
            "{} indices have another ISM policy and are left to it, first {first}",
            others.len()
        ))),
    }
}

/// Removes the policy if it is ours, and the indices from it.
pub(super) async fn remove(place: &Place<'_>, streams: &[Stream]) -> Result<(), Undone> {
    match call::get(place.client, &path(place)).await {
        Ok(Some(current)) if is_ours(&current) => {}
        // None, or another's, or no plugin, or none that we may see.
        Ok(_) | Err(Undone::Refused(_)) => return Ok(()),
        Err(undone) => return Err(undone),
    }
    let explained = explain(place, streams).await?;
    let under = explained.into_iter().filter_map(|(index, said)| {
        let is_ours = policy_of(&said) == Some(&*place.name);
        is_ours.then_some(index)
    });
    for indices in in_paths(&under.collect::<Vec<_>>()) {
        let path = format!("/_plugins/_ism/remove/{indices}");
        call::json(place.client, Method::POST, &path, None).await?;
    }
    call::json(place.client, Method::DELETE, &path(place), None).await?;
    tracing::info!(policy = place.name, "the ISM policy is removed");
    Ok(())
}

/// What ISM says of each index.
async fn explain(place: &Place<'_>, streams: &[Stream]) -> Result<Vec<(String, Value)>, Undone> {
    let indices: Vec<String> = streams
        .iter()
        .flat_map(|stream| stream.indices.iter().cloned())
        .collect();
    let mut explained = Vec::with_capacity(indices.len());
    for path in in_paths(&indices) {
        let path = format!("/_plugins/_ism/explain/{path}");
        let said = call::get(place.client, &path).await?.unwrap_or_default();
        let of_index = indices.iter().filter_map(|index| {
            let said = said.get(index)?;
            Some((index.clone(), said.clone()))
        });
        explained.extend(of_index);
    }
    Ok(explained)
}

fn policy_of(said: &Value) -> Option<&str> {
    said["index.plugins.index_state_management.policy_id"].as_str()
}

fn is_ours(policy: &Value) -> bool {
    let description = policy["policy"]["description"].as_str();
    description.is_some_and(|description| description.starts_with(DESCRIPTION))
}

fn path(place: &Place<'_>) -> String {
    format!("/_plugins/_ism/policies/{}", call::segment(&place.name))
}

fn policy(place: &Place<'_>, retention: Duration) -> Value {
    let stream = &place.config.data_stream;
    json!({"policy": {
        "description": format!("{DESCRIPTION}: {stream} is kept for {}", time(retention)),
        "default_state": "current",
        "states": [
            {
                "name": "current",
                "actions": [{"rollover": {
                    "min_index_age": time(rollover_age(retention)), "min_size": ROLLOVER_SIZE,
                }}],
                // From the rollover on: the youngest document is as old then.
                "transitions": [{"state_name": "old", "conditions": {"min_rollover_age": time(retention)}}],
            },
            {"name": "old", "actions": [{"delete": {}}], "transitions": []},
        ],
        // ISM looks up a backing index by the name of its data stream.
        "ism_template": [{"index_patterns": [place.pattern], "priority": PRIORITY}],
    }})
}
