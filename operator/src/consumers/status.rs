//! From what is the case to what people read: status, conditions, Events.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

use super::build::selector;
use super::desired::{Desired, group_id};
use super::lag::Reading;
use crate::api::{TelemetryConsumer, TelemetryConsumerStatus, set_condition};
use crate::context::Context;
use crate::status::write_status;

/// One condition to set: status, reason, message.
type Verdict = (&'static str, &'static str, String);

/// What a reconcile found and did.
pub struct Report {
    /// Why `Ready` is what it is.
    pub reason: &'static str,
    ready: Verdict,
    config_valid: Option<Verdict>,
    progressing: Option<Verdict>,
    deployment: Option<DeploymentStatus>,
    lag: Option<Reading>,
}

impl Report {
    fn new(ready: Verdict, lag: Option<Reading>) -> Self {
        Self {
            reason: ready.1,
            ready,
            config_valid: None,
            progressing: None,
            deployment: None,
            lag,
        }
    }

    pub fn paused(lag: Option<Reading>) -> Self {
        let message =
            "paused by the annotation monitoring.bt.dev/paused; the pods are left as they are";
        Self::new(("Unknown", "Paused", message.into()), lag)
    }

    pub fn invalid(problems: &[String], lag: Option<Reading>) -> Self {
        let all = problems.join("; ");
        let message =
            format!("{all}. Nothing was changed; pods that run keep the last good configuration");
        Self {
            config_valid: Some(("False", "Invalid", message)),
            ..Self::new(("False", "ConfigInvalid", all), lag)
        }
    }

    pub fn foreign(kind: &str, consumer: &TelemetryConsumer, lag: Option<Reading>) -> Self {
        let message = format!(
            "a {kind} named {} exists in this namespace and is not this consumer's; rename one of them, or delete it. Nothing was changed",
            consumer.name_any()
        );
        Self::new(("False", "Conflict", message), lag)
    }

    pub fn of(desired: &Desired, deployment: &Deployment, lag: Option<Reading>) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let (ready, progressing) = judge(desired.replicas, deployment.metadata.generation, &status);
        Self {
            config_valid: Some((
                "True",
                "Valid",
                "the configuration was checked and applied".into(),
            )),
            progressing: Some(progressing),
            deployment: Some(status),
            ..Self::new(ready, lag)
        }
    }
}

/// `Ready` and `Progressing`, from how the Deployment fares.
fn judge(wanted: i32, generation: Option<i64>, status: &DeploymentStatus) -> (Verdict, Verdict) {
    let ready = status.ready_replicas.unwrap_or(0);
    let updated = status.updated_replicas.unwrap_or(0);
    let seen = status.observed_generation >= generation;
    let settled =
        seen && updated == wanted && status.replicas.unwrap_or(0) == wanted && ready == wanted;
    if settled {
        let done = (
            "False",
            "Settled",
            format!("{wanted} of {wanted} pods run this configuration"),
        );
        let verdict = if wanted == 0 {
            (
                "True",
                "ScaledToZero",
                "scaled to zero: nothing is carried".to_owned(),
            )
        } else {
            (
                "True",
                "Running",
                format!("{ready} of {wanted} pods are ready"),
            )
        };
        return (verdict, done);
    }
    let why = |kind: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind)
    };
    let failure = why("ReplicaFailure")
        .or_else(|| why("Progressing").filter(|condition| condition.status == "False"));
    let message = match failure.and_then(|condition| condition.message.clone()) {
        Some(message) => format!("{ready} of {wanted} pods are ready: {message}"),
        None => format!("{ready} of {wanted} pods are ready, {updated} run this configuration"),
    };
    let reason = if failure.is_some() {
        "PodsFailing"
    } else {
        "RollingOut"
    };
    let progressing = if failure.is_some() { "False" } else { "True" };
    (
        ("False", reason, message.clone()),
        (progressing, reason, message),
    )
}

/// Writes the status where it changed, and says so in an Event where the state did.
pub async fn write(
    consumer: &TelemetryConsumer,
    report: Report,
    context: &Context,
) -> Result<(), kube::Error> {
    let old = consumer.status.clone().unwrap_or_default();
    let name = consumer.name_any();
    let selector: Vec<_> = selector(&name)
        .into_iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let mut new = TelemetryConsumerStatus {
        observed_generation: consumer.metadata.generation,
        sink: Some(consumer.spec.sink.name().into()),
        selector: Some(selector.join(",")),
        group_id: Some(group_id(consumer)),
        lag: report.lag.as_ref().and_then(|reading| reading.lag.clone()),
        consume_rate: report.lag.as_ref().and_then(|reading| reading.rate),
        ..old.clone()
    };
    if let Some(deployment) = &report.deployment {
        new.replicas = deployment.replicas.unwrap_or(0);
        new.ready_replicas = deployment.ready_replicas.unwrap_or(0);
    }
    let mut set = |kind: &str, (status, reason, message): Verdict| {
        set_condition(
            &mut new.conditions,
            kind,
            status,
            reason,
            message,
            consumer.metadata.generation,
            Time(Timestamp::now()),
        )
    };
    let message = report.ready.2.clone();
    let kind = match report.ready.0 {
        "False" if report.reason != "RollingOut" => EventType::Warning,
        _ => EventType::Normal,
    };
    let changed = set("Ready", report.ready);
    for (kind, verdict) in [
        ("ConfigValid", report.config_valid),
        ("Progressing", report.progressing),
    ] {
        if let Some(verdict) = verdict {
            set(kind, verdict);
        }
    }
    write_status(consumer, &old, &new, context).await?;
    if changed {
        context
            .event(
                &consumer.object_ref(&()),
                kind,
                report.reason,
                "Reconcile",
                message,
            )
            .await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(generation: i64, replicas: i32, updated: i32, ready: i32) -> DeploymentStatus {
        DeploymentStatus {
            observed_generation: Some(generation),
            replicas: Some(replicas),
            updated_replicas: Some(updated),
            ready_replicas: Some(ready),
            ..DeploymentStatus::default()
        }
    }

    #[test]
    fn ready_means_that_every_pod_runs_this_configuration() {
        for (wanted, status, expected) in [
            (2, status(5, 2, 2, 2), ("True", "Running")),
            (2, status(4, 2, 2, 2), ("False", "RollingOut")),
            (2, status(5, 3, 2, 3), ("False", "RollingOut")),
            (2, status(5, 2, 2, 1), ("False", "RollingOut")),
            (0, status(5, 0, 0, 0), ("True", "ScaledToZero")),
        ] {
            let (ready, _) = judge(wanted, Some(5), &status);
            assert_eq!((ready.0, ready.1), expected, "{wanted} {status:?}");
        }
    }
}
