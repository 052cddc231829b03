//! From what is the case to what people read: status, conditions, Events.

mod judge;

use std::time::Duration;

use bt_consumers::config::HumanDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

use super::build::selector;
use super::desired::group_id;
use super::lag::Reading;
use super::owned::{Kind, LiveDeployment};
use super::rollout::History;
use crate::api::{TelemetryConsumer, TelemetryConsumerStatus, set_condition};
use crate::context::Context;
use crate::status::write_status;
pub use judge::{Rollback, Workload};

/// One condition to set: status, reason, message.
pub type Verdict = (&'static str, &'static str, String);

/// What is seen of a consumer, whatever its spec says.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Of lag; none where it is unknown.
    pub reading: Option<Reading>,
    /// `SinkReady`.
    pub sink: Verdict,
    /// Its Deployment.
    pub live: Option<LiveDeployment>,
}

/// What a reconcile found and did.
pub struct Report {
    /// Why `Ready` is what it is.
    pub reason: &'static str,
    ready: Verdict,
    config_valid: Option<Verdict>,
    progressing: Option<Verdict>,
    scaling: Option<Verdict>,
    seen: Seen,
    decided: Option<Decided>,
}

struct Decided {
    /// The revision that the spec asks for.
    revision: String,
    /// What was decided of it.
    history: History,
    /// The number of pods.
    replicas: i32,
    /// A digest of what the sink's Secrets hold.
    secrets: Option<String>,
}

impl Report {
    fn new(ready: Verdict, seen: Seen) -> Self {
        Self {
            reason: ready.1,
            ready,
            config_valid: None,
            progressing: None,
            scaling: None,
            seen,
            decided: None,
        }
    }

    /// The annotation keeps the operator's hands off.
    pub fn paused(seen: Seen) -> Self {
        let message =
            "paused by the annotation monitoring.bt.dev/paused; the pods are left as they are";
        Self::new(("Unknown", "Paused", message.into()), seen)
    }

    /// The spec, or what it refers to, is wrong.
    pub fn invalid(problems: &[String], seen: Seen) -> Self {
        let all = problems.join("; ");
        let message =
            format!("{all}. Nothing was changed; pods that run keep the last good configuration");
        Self {
            config_valid: Some(("False", "Invalid", message)),
            ..Self::new(("False", "ConfigInvalid", all), seen)
        }
    }

    /// Whether the number of pods was decided.
    pub fn has_decided(&self) -> bool {
        self.decided.is_some()
    }

    /// An object's name is taken.
    pub fn foreign(kind: Kind, consumer: &TelemetryConsumer, seen: Seen) -> Self {
        let message = format!(
            "a {} named {} exists in this namespace and is not this consumer's; rename one of them, or delete it. Nothing was changed",
            kind.name(),
            kind.object_name(&consumer.name_any())
        );
        Self::new(("False", "Conflict", message), seen)
    }

    /// An object's name is taken for the moment.
    pub fn former(kind: Kind, seen: Seen) -> Self {
        let message = format!(
            "waits until the {} of the former resource of this name is gone",
            kind.name()
        );
        Self::new(("False", "RollingOut", message), seen)
    }

    /// The objects are as wanted.
    pub fn of(workload: &Workload, history: History, scaling: Verdict, seen: Seen) -> Self {
        let (ready, progressing) = workload.judge(seen.live.as_ref(), &seen.sink);
        let applied = "the configuration was checked and applied";
        let valid = match &workload.warning {
            Some(warning) => (
                "True",
                "CredentialsInClear",
                format!("{applied}, but {warning}"),
            ),
            None => ("True", "Valid", applied.into()),
        };
        Self {
            config_valid: Some(valid),
            progressing: Some(progressing),
            scaling: Some(scaling),
            decided: Some(Decided {
                revision: workload.wanted_revision.clone(),
                history,
                replicas: workload.replicas,
                secrets: workload.secrets.clone(),
            }),
            ..Self::new(ready, seen)
        }
    }
}

/// Seconds where it is soon, minutes where it is not: what nobody can tell so exactly need not be written again and again.
fn eta(time: Duration) -> String {
    let unit = match time.as_secs() {
        0..60 => 1,
        60..600 => 10,
        600..7200 => 60,
        _ => 3600,
    };
    HumanDuration::from_secs(time.as_secs().div_ceil(unit) * unit).to_string()
}

/// An Event to tell: its kind, reason and note.
type News = (EventType, &'static str, String);

/// The status after this report, and what there is to tell.
fn next(
    consumer: &TelemetryConsumer,
    old: &TelemetryConsumerStatus,
    report: Report,
    now: Timestamp,
) -> (TelemetryConsumerStatus, Vec<News>) {
    let generation = consumer.metadata.generation;
    let selector = selector(&consumer.name_any());
    let selector: Vec<_> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let seen = report.seen;
    let live = seen.live.unwrap_or_default();
    let reading = seen.reading.as_ref();
    let mut new = TelemetryConsumerStatus {
        observed_generation: generation,
        sink: Some(consumer.spec.sink.name().into()),
        selector: Some(selector.join(",")),
        group_id: Some(group_id(consumer)),
        replicas: live.replicas,
        ready_replicas: live.ready,
        lag: reading.and_then(|reading| reading.lag.clone()),
        consume_rate: reading.and_then(|reading| reading.rate),
        drain_eta: reading.and_then(|reading| reading.drain_eta).map(eta),
        ..old.clone()
    };
    if let Some(decided) = report.decided {
        let History { good, failed } = decided.history;
        new.revision = Some(decided.revision);
        new.last_good_revision = good;
        new.failed_secrets = decided.secrets.filter(|_| failed.is_some());
        new.failed_revision = failed;
        new.desired_replicas = Some(decided.replicas);
    }
    let mut news = Vec::new();
    let scaled = consumer.spec.autoscaling.is_some()
        && old.desired_replicas.is_some()
        && old.desired_replicas != new.desired_replicas;
    if scaled && let Some((_, reason, message)) = &report.scaling {
        news.push((EventType::Normal, *reason, message.clone()));
    }
    // Where nothing could be decided, the reason of what was decided before is none of now.
    let scaling = report.scaling.or_else(|| {
        let message = "the number of pods stays as it is; see Ready".to_owned();
        let autoscaled = consumer.spec.autoscaling.is_some();
        autoscaled.then_some(("False", report.reason, message))
    });
    let verdicts = [
        ("Ready", Some(report.ready)),
        ("ConfigValid", report.config_valid),
        ("SinkReady", Some(seen.sink)),
        ("Progressing", report.progressing),
        ("ScalingActive", scaling),
    ];
    for (kind, verdict) in verdicts {
        let Some((status, reason, message)) = verdict else {
            continue;
        };
        let changed = set_condition(
            &mut new.conditions,
            kind,
            status,
            reason,
            message.clone(),
            generation,
            Time(now),
        );
        let type_ = match (kind, status, reason) {
            ("Ready", "False", "RollingOut" | "Scaling" | "PodsNotReady") => EventType::Normal,
            ("Ready", "False", _) => EventType::Warning,
            ("Ready", _, _) => EventType::Normal,
            ("Progressing", _, "RolledBack" | "ProgressDeadlineExceeded") => EventType::Warning,
            ("ConfigValid", _, "CredentialsInClear") => EventType::Warning,
            _ => continue,
        };
        if changed {
            news.push((type_, reason, message));
        }
    }
    (new, news)
}

/// Writes the status where it changed from `old`, and says so in Events where the state did. The resource as it is then, if it was
/// written.
pub async fn write(
    consumer: &TelemetryConsumer,
    old: &TelemetryConsumerStatus,
    report: Report,
    context: &Context,
) -> Result<Option<TelemetryConsumer>, kube::Error> {
    let (new, news) = next(consumer, old, report, Timestamp::now());
    let written = write_status(consumer, old, &new, context).await?;
    for (type_, reason, message) in news {
        let about = consumer.object_ref(&());
        context
            .event(&about, type_, reason, "Reconcile", message)
            .await;
    }
    Ok(written)
}

#[cfg(test)]
mod tests;
