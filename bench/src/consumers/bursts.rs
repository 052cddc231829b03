//! From a burst of records to the number of pods that it asks for, in status.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bt_operator::api::TelemetryConsumer;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::wait::await_condition;
use tokio::time::{Instant, sleep, timeout};

use super::kafka::Kafka;
use super::work::scaling;
use crate::board::Conditioned;

/// Partitions of the topic.
pub const PARTITIONS: i32 = 10;
/// The most pods: fewer than partitions, so as not to fill a small cluster.
pub const MOST: i32 = 5;
/// Records that one pod may be behind.
pub const TARGET_LAG: i64 = 1000;
/// The burst, in target lags.
pub const TIMES: i64 = 10;

// It asks for all the pods there may be, each with as many partitions as the others, and the same number of records in each.
const _: () = assert!(TIMES >= MOST as i64 && PARTITIONS % MOST == 0);
const _: () = assert!(TIMES * TARGET_LAG % PARTITIONS as i64 == 0);

/// One burst.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    /// How long after a reading of lag it began, at least.
    pub after: Duration,
    /// Until Kafka had all records.
    pub produce: Duration,
    /// From then until status told the wanted number; nothing where it told it before.
    pub took: Duration,
}

/// A consumer that scales by lag, with a burst for it.
///
/// # Errors
/// When it does not come to rest with one pod, or does not scale, each within `deadline`.
pub async fn burst(
    kafka: &Kafka,
    api: &Api<TelemetryConsumer>,
    name: &str,
    image: &str,
    after: Duration,
    deadline: Duration,
) -> Result<Burst> {
    let group = [name.to_owned()];
    kafka.make(&group, PARTITIONS).await?;
    kafka.commit(&group, PARTITIONS, 0).await?;
    // A group with a member is one that works, and this one carries nothing: the lag stays.
    let member = kafka.join(name).await?;
    let consumer = scaling(name, image, MOST, TARGET_LAG)?;
    api.create(&PostParams::default(), &consumer).await?;
    reached(api, name, deadline, "at rest with one pod", is_at_rest).await?;
    sleep(after).await;

    let (watch, watched) = (api.clone(), name.to_owned());
    let scaled = tokio::spawn(async move {
        let reached = reached(&watch, &watched, deadline, "scaled out", |consumer| {
            wanted(consumer) == Some(MOST)
        });
        reached.await.map(|()| Instant::now())
    });
    let started = Instant::now();
    let each = usize::try_from(TIMES * TARGET_LAG / i64::from(PARTITIONS))?;
    kafka.produce(name, PARTITIONS, each).await?;
    let produced = Instant::now();
    let scaled = scaled.await.context("the watch of the consumer")??;

    api.delete(name, &DeleteParams::default()).await?;
    member.leave().await;
    Ok(Burst {
        after,
        produce: produced - started,
        took: scaled.saturating_duration_since(produced),
    })
}

async fn reached(
    api: &Api<TelemetryConsumer>,
    name: &str,
    deadline: Duration,
    what: &str,
    is_so: impl Fn(&TelemetryConsumer) -> bool,
) -> Result<()> {
    let condition = |consumer: Option<&TelemetryConsumer>| consumer.is_some_and(&is_so);
    let waited = timeout(deadline, await_condition(api.clone(), name, condition)).await;
    match waited {
        Ok(seen) => {
            seen.with_context(|| format!("the watch of TelemetryConsumer {name}"))?;
            Ok(())
        }
        Err(_) => {
            let last = api.get_opt(name).await?;
            let words = last.map_or_else(|| "it is gone".into(), |consumer| words(&consumer));
            bail!("TelemetryConsumer {name} was not {what} within {deadline:?}: {words}")
        }
    }
}

fn wanted(consumer: &TelemetryConsumer) -> Option<i32> {
    consumer.status.as_ref()?.desired_replicas
}

/// One pod, ready, nothing behind, and a decision that this is enough.
fn is_at_rest(consumer: &TelemetryConsumer) -> bool {
    let Some(status) = &consumer.status else {
        return false;
    };
    let scales = consumer.condition("ScalingActive");
    status.desired_replicas == Some(1)
        && status.ready_replicas == 1
        && status.lag.as_ref().is_some_and(|lag| lag.total == 0)
        && scales.is_some_and(|condition| condition.status == "True")
}

fn words(consumer: &TelemetryConsumer) -> String {
    let status = consumer.status.clone().unwrap_or_default();
    let mut words = format!(
        "wanted {:?}, ready {}, lag {:?}",
        status.desired_replicas,
        status.ready_replicas,
        status.lag.map(|lag| lag.total)
    );
    for kind in ["Ready", "ScalingActive"] {
        if let Some(condition) = consumer.condition(kind) {
            words.push_str(&format!(
                "; {kind} {} ({}): {}",
                condition.status, condition.reason, condition.message
            ));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use bt_operator::api::TelemetryConsumerStatus;
    use serde_json::json;

    use super::*;

    fn with(status: serde_json::Value) -> TelemetryConsumer {
        let mut consumer = scaling("a", "image:1", MOST, TARGET_LAG).expect("a consumer");
        let status: TelemetryConsumerStatus = serde_json::from_value(status).expect("a status");
        consumer.status = Some(status);
        consumer
    }

    #[test]
    fn at_rest_is_one_ready_pod_without_lag_and_a_decision() {
        let condition = json!({
            "type": "ScalingActive", "status": "True", "reason": "AsWanted", "message": "1 pod is enough",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let rest = json!({"desiredReplicas": 1, "readyReplicas": 1, "lag": {"total": 0}, "conditions": [condition]});
        assert!(is_at_rest(&with(rest.clone())));
        for (key, other) in [
            ("desiredReplicas", json!(2)),
            ("readyReplicas", json!(0)),
            ("lag", json!({"total": 1})),
            ("lag", json!(null)),
            ("conditions", json!([])),
        ] {
            let mut status = rest.clone();
            status[key] = other;
            assert!(!is_at_rest(&with(status)), "{key}");
        }
    }

    #[test]
    fn who_does_not_scale_says_why() {
        let said = words(&with(json!({"lag": {"total": 7}, "conditions": [{
            "type": "ScalingActive", "status": "Unknown", "reason": "Rebalancing", "message": "the group moves",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]})));
        assert_eq!(
            said,
            "wanted None, ready 0, lag Some(7); ScalingActive Unknown (Rebalancing): the group moves"
        );
    }
}
