//! Index lifecycle management: <https://www.elastic.co/guide/en/elasticsearch/reference/7.10/index-lifecycle-management-api.html>.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::Place;
use super::super::call::{self, MANAGED_BY, Undone, covers};
use super::super::streams::Stream;
use super::{Part, ROLLOVER_SIZE, in_paths, rollover_age, time};

/// Whether the engine has it, and whether it works.
pub(super) async fn is_there(place: &Place<'_>) -> Result<bool, Undone> {
    let path = "/_ilm/status";
    let answer = call::send(place.client, Method::GET, path, None).await?;
    match answer.status.as_u16() {
        200..=299 => {
            let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            match status["operation_mode"].as_str() {
                Some("STOPPED" | "STOPPING") => Err(Undone::refused(
                    "ILM is stopped; start it with POST _ilm/start".into(),
                )),
                _ => Ok(true),
            }
        }
        401 | 403 => Err(call::refusal("GET /_ilm/status", &answer)),
        _ => Ok(false),
    }
}

/// Makes the policy what it should be.
pub(super) async fn keep(
    place: &Place<'_>,
    previous: &Part,
    retention: Duration,
) -> Result<(), Undone> {
    let wanted = policy(place, retention);
    let current = current(place).await?;
    if let Some(current) = &current {
        if covers(&current["policy"], &wanted["policy"]) {
            return Ok(());
        }
        if !is_ours(place, current, previous) {
            return Err(Undone::refused(format!(
                "the ILM policy {} was not made by {MANAGED_BY} and is left alone; delete or rename it",
                place.name
            )));
        }
    }
    call::json(place.client, Method::PUT, &path(place), Some(&wanted)).await?;
    tracing::info!(policy = place.name, "the ILM policy is made");
    Ok(())
}

/// Puts existing indices under the policy that the template gives to new ones, unless they have another.
pub(super) async fn attach(place: &Place<'_>, streams: &[Stream]) -> Result<(), Undone> {
    let body = json!({"index.lifecycle.name": place.name});
    let mut others = Vec::new();
    for stream in streams {
        let policies = policies(place, stream).await?;
        let mut bare = Vec::new();
        for index in &stream.indices {
            match policy_of(&policies, index) {
                None => bare.push(index.clone()),
                Some(policy) if policy == place.name => {}
                Some(policy) => others.push(format!("{index} ({policy})")),
            }
        }
        for indices in in_paths(&bare) {
            let path = format!("/{indices}/_settings");
            call::json(place.client, Method::PUT, &path, Some(&body)).await?;
            tracing::info!(
                indices,
                policy = place.name,
                "indices are put under the ILM policy"
            );
        }
    }
    match others.first() {
        None => Ok(()),
        Some(first) => Err(Undone::refused(format!(
            "{} indices have another ILM policy and are left to it, first {first}",
            others.len()
        ))),
    }
}

/// Removes the policy if it is ours, and the indices from it.
pub(super) async fn remove(
    place: &Place<'_>,
    previous: &Part,
    streams: &[Stream],
) -> Result<(), Undone> {
    let current = match current(place).await {
        Ok(Some(current)) => current,
        Ok(None) => return Ok(()),
        // Who may not see policies has made none.
        Err(Undone::Refused(failure)) if previous.policy.is_none() => {
            tracing::debug!(why = failure.why, "ILM policies cannot be seen");
            return Ok(());
        }
        Err(undone) => return Err(undone),
    };
    if !is_ours(place, &current, previous) {
        return Ok(());
    }
    for stream in streams {
        let policies = policies(place, stream).await?;
        let is_under = |index: &&String| policy_of(&policies, index) == Some(&*place.name);
        let under: Vec<String> = stream.indices.iter().filter(is_under).cloned().collect();
        for indices in in_paths(&under) {
            let path = format!("/{indices}/_ilm/remove");
            call::json(place.client, Method::POST, &path, None).await?;
        }
    }
    call::json(place.client, Method::DELETE, &path(place), None).await?;
    tracing::info!(policy = place.name, "the ILM policy is removed");
    Ok(())
}

async fn current(place: &Place<'_>) -> Result<Option<Value>, Undone> {
    let answer = call::get(place.client, &path(place)).await?;
    Ok(answer.map(|mut answer| answer[&place.name].take()))
}

/// Policies say whose they are from 7.16 on; one that does not is ours if our template names it.
fn is_ours(place: &Place<'_>, policy: &Value, previous: &Part) -> bool {
    let says = &policy["policy"]["_meta"]["managed_by"];
    let is_named = previous.policy.as_ref() == Some(&place.name);
    says == MANAGED_BY || says.is_null() && is_named
}

fn has_meta(place: &Place<'_>) -> bool {
    place.info.is_elasticsearch([7, 16])
}

/// The setting `index.lifecycle.name` of a stream's indices that have it.
async fn policies(place: &Place<'_>, stream: &Stream) -> Result<Value, Undone> {
    let stream = call::segment(&stream.name);
    let path = format!("/{stream}/_settings/index.lifecycle.name?flat_settings=true");
    Ok(call::get(place.client, &path).await?.unwrap_or_default())
}

fn policy_of<'a>(policies: &'a Value, index: &str) -> Option<&'a str> {
    policies[index]["settings"]["index.lifecycle.name"].as_str()
}

fn path(place: &Place<'_>) -> String {
    format!("/_ilm/policy/{}", call::segment(&place.name))
}

fn policy(place: &Place<'_>, retention: Duration) -> Value {
    let mut policy = json!({"phases": {
        "hot": {"actions": {"rollover": {
            "max_age": time(rollover_age(retention)), "max_size": ROLLOVER_SIZE,
        }}},
        // From the rollover on: the youngest document is as old then.
        "delete": {"min_age": time(retention), "actions": {"delete": {}}},
    }});
    if has_meta(place) {
        policy["_meta"] = json!({"managed_by": MANAGED_BY});
    }
    json!({"policy": policy})
}
