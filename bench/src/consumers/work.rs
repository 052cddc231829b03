//! The consumers that are measured, and what is waited for.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use bt_operator::api::TelemetryConsumer;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::board::{Board, State};

/// How many of those that are late are named.
const NAMED: usize = 5;

/// A consumer of no pods, of the topic and the group of its own name; one half with each kind of sink.
pub fn sleeping(number: usize, name: &str) -> Result<TelemetryConsumer> {
    let sink = if number.is_multiple_of(2) {
        json!({"prometheus": {}})
    } else {
        json!({"elasticsearch": {"urls": ["http://elasticsearch:9200"]}})
    };
    consumer(
        name,
        json!({"topics": [name], "groupId": name, "replicas": 0, "sink": sink}),
    )
}

/// A consumer that scales by lag. Its pods do nothing: the lag is what somebody else makes it.
pub fn scaling(name: &str, image: &str, most: i32, target_lag: i64) -> Result<TelemetryConsumer> {
    consumer(
        name,
        json!({
            "topics": [name],
            "groupId": name,
            "autoscaling": {"minReplicas": 1, "maxReplicas": most, "targetLag": target_lag},
            "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}},
            "sink": {"custom": {
                "image": image,
                // As process 1 it would not hear SIGTERM of itself.
                "command": ["bash", "-c", "trap 'exit 0' TERM; sleep infinity & wait"],
            }},
        }),
    )
}

fn consumer(name: &str, spec: Value) -> Result<TelemetryConsumer> {
    Ok(TelemetryConsumer::new(name, serde_json::from_value(spec)?))
}

/// Creates them, so many requests at a time.
///
/// # Errors
/// When one is refused.
pub async fn create(
    api: &Api<TelemetryConsumer>,
    consumers: &[TelemetryConsumer],
    parallel: usize,
) -> Result<()> {
    let writes: Vec<_> = consumers
        .iter()
        .map(|consumer| async move {
            let created = api.create(&PostParams::default(), consumer).await;
            let name = consumer.metadata.name.as_deref().unwrap_or_default();
            created.with_context(|| format!("TelemetryConsumer {name}"))?;
            Ok(())
        })
        .collect();
    let writes = stream::iter(writes).buffer_unordered(parallel.max(1));
    writes.try_collect().await
}

/// Deletes them, and waits until they are gone.
///
/// # Errors
/// When they do not go before `until`.
pub async fn delete(
    api: &Api<TelemetryConsumer>,
    board: &mut Board,
    names: &[String],
    until: Instant,
) -> Result<()> {
    for name in names {
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("TelemetryConsumer {name}"))?;
    }
    all(board, names, "gone", |state| *state == State::Gone, until).await
}

/// Waits until all of these are Ready.
///
/// # Errors
/// When they are not before `until`; names some that are late.
pub async fn ready(board: &mut Board, names: &[String], until: Instant) -> Result<()> {
    let is_ready = |state: &State| matches!(state, State::Ready(_));
    all(board, names, "Ready", is_ready, until).await
}

async fn all(
    board: &mut Board,
    names: &[String],
    what: &str,
    is_so: impl Fn(&State) -> bool,
    until: Instant,
) -> Result<()> {
    let mut waiting: HashMap<String, String> = names
        .iter()
        .map(|name| (name.clone(), "nothing said yet".into()))
        .collect();
    while !waiting.is_empty() {
        let Ok(change) = timeout_at(until, board.next()).await else {
            bail!(late(what, &waiting));
        };
        note(change?, &is_so, &mut waiting);
    }
    Ok(())
}

fn note(
    (name, state): (String, State),
    is_so: impl Fn(&State) -> bool,
    waiting: &mut HashMap<String, String>,
) {
    if is_so(&state) {
        waiting.remove(&name);
    } else if let Some(words) = waiting.get_mut(&name) {
        *words = match state {
            State::NotReady(words) => words,
            State::Ready(generation) => format!("Ready of generation {generation}"),
            State::Gone => "deleted".into(),
        };
    }
}

fn late(what: &str, waiting: &HashMap<String, String>) -> String {
    let mut text = format!("{} consumers were not {what} in time", waiting.len());
    for (name, words) in waiting.iter().take(NAMED) {
        text.push_str(&format!("\n  {name}: {words}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_of_no_pods_have_either_sink() {
        let specs: Vec<_> = (0..2)
            .map(|number| sleeping(number, "a").expect("a consumer").spec)
            .collect();
        assert_eq!(specs[0].sink.name(), "prometheus");
        assert_eq!(specs[1].sink.name(), "elasticsearch");
        assert!(specs.iter().all(|spec| spec.replicas == 0));
        assert!(specs.iter().all(|spec| spec.topics == ["a"]));
        assert!(
            specs
                .iter()
                .all(|spec| spec.group_id.as_deref() == Some("a"))
        );
    }

    #[test]
    fn what_scales_is_of_the_contract() {
        let spec = scaling("a", "image:1", 5, 1000).expect("a consumer").spec;
        let autoscaling = spec.autoscaling.expect("it scales");
        assert_eq!((autoscaling.min_replicas, autoscaling.max_replicas), (1, 5));
        assert_eq!(autoscaling.target_lag, 1000);
        assert_eq!(spec.sink.custom.expect("a custom sink").image, "image:1");
    }

    #[test]
    fn who_is_late_is_named_with_its_last_words() {
        let mut waiting = HashMap::from([
            ("a".to_owned(), String::new()),
            ("b".to_owned(), String::new()),
        ]);
        let is_ready = |state: &State| matches!(state, State::Ready(_));
        note(("a".into(), State::Ready(1)), is_ready, &mut waiting);
        note(
            ("b".into(), State::NotReady("refused".into())),
            is_ready,
            &mut waiting,
        );
        note(
            ("c".into(), State::NotReady("else".into())),
            is_ready,
            &mut waiting,
        );
        assert_eq!(
            late("Ready", &waiting),
            "1 consumers were not Ready in time\n  b: refused"
        );
    }
}
