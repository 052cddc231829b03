//! What a Pod's own status tells.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use kube::ResourceExt;
use serde_json::Value;

const CONSUMER: &str = "monitoring.bt.dev/consumer";
const SINK: &str = "monitoring.bt.dev/sink";
/// The longest quotation of a pod's last words, in bytes.
const MAX_WORDS: usize = 300;

/// Takes away what is of no use here, so that thousands of pods fit into the operator's memory.
pub fn strip(pod: &mut Pod) {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    pod.metadata.owner_references = None;
    if let Some(labels) = &mut pod.metadata.labels {
        labels.retain(|key, _| [CONSUMER, SINK].contains(&key.as_str()));
    }
    if let Some(status) = pod.status.take() {
        pod.status = Some(PodStatus {
            phase: status.phase,
            reason: status.reason,
            message: status.message,
            pod_ip: status.pod_ip,
            conditions: status.conditions,
            container_statuses: status.container_statuses,
            init_container_statuses: status.init_container_statuses,
            ..PodStatus::default()
        });
    }
}

/// Namespace and name of the consumer that a pod belongs to.
pub fn consumer(pod: &Pod) -> Option<(String, String)> {
    let name = pod.labels().get(CONSUMER)?;
    Some((pod.namespace()?, name.clone()))
}

/// Runs our own image, is there and is not about to go.
pub fn can_be_asked(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && phase(pod) == "Running"
        && consumer(pod).is_some()
        && pod.labels().get(SINK).is_some_and(|sink| sink != "custom")
}

/// Whether Kubernetes says so.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|(status, _)| status == "True")
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Status and message of a condition.
fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((
        &condition.status,
        condition.message.as_deref().unwrap_or_default(),
    ))
}

/// Why a pod is not ready; `None` when it is, or when it is going. `unready` is what its `/readyz` says.
pub fn problem(pod: &Pod, unready: Option<&str>) -> Option<String> {
    if pod.metadata.deletion_timestamp.is_some() || is_ready(pod) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    if let Some(("False", why)) = condition(pod, "PodScheduled") {
        return Some(format!("pod {name} cannot be scheduled: {why}"));
    }
    let init = status.init_container_statuses.iter().flatten();
    let containers: Vec<&ContainerStatus> = init
        .chain(status.container_statuses.iter().flatten())
        .collect();
    let of = |container: &ContainerStatus, why: String| {
        format!("pod {name}, container {}: {why}", container.name)
    };
    // The consumer says best why it does not run; a sidecar may wait for it.
    let mut troubled = containers
        .iter()
        .filter_map(|container| Some((container, trouble(container)?)))
        .collect::<Vec<_>>();
    troubled.sort_by_key(|(container, _)| container.name != "consumer");
    if let Some((container, why)) = troubled.into_iter().next() {
        return Some(of(container, why));
    }
    if let Some(why) = unready.filter(|why| !why.is_empty()) {
        return Some(format!("pod {name}: {why}"));
    }
    if phase(pod) == "Failed" {
        let reason = status.reason.as_deref().unwrap_or("Failed");
        let message = status.message.as_deref().unwrap_or_default();
        return Some(format!("pod {name}: {reason}: {message}"));
    }
    let running = |container: &ContainerStatus| {
        container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some())
    };
    let unready = containers
        .iter()
        .find(|container| running(container) && !container.ready);
    Some(match unready {
        Some(container) => of(container, "runs, but its readiness probe fails".into()),
        None => format!(
            "pod {name} has not started: its volumes, its network or its image are not there yet"
        ),
    })
}

/// What is wrong with a container, if its status says so.
fn trouble(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        return match (reason, last) {
            ("ContainerCreating" | "PodInitializing", _) => None,
            // Kubelet's own message says only how long it waits.
            ("CrashLoopBackOff", Some(last)) => Some(format!("{reason}: {}", words(last))),
            _ => {
                let message = waiting.message.as_deref().unwrap_or_default();
                Some(
                    format!("{reason}: {}", cut(message))
                        .trim_end_matches(": ")
                        .to_owned(),
                )
            }
        };
    }
    match &state.terminated {
        Some(ended) if ended.exit_code != 0 => Some(words(ended)),
        Some(_) => None,
        // Started again and not ready yet: how it ended before is what matters.
        None if !container.ready => last.map(words),
        None => None,
    }
}

/// How a container ended, with its last words.
fn words(ended: &ContainerStateTerminated) -> String {
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let ended_how = format!("ended with exit code {} ({reason})", ended.exit_code);
    let message = ended.message.as_deref().unwrap_or_default();
    match message
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
    {
        Some(line) => format!("{ended_how}: {}", cut(&plain(line))),
        None => ended_how,
    }
}

/// A line of a log; of one in JSON, as our consumers write it, the message.
fn plain(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(fields)) => match fields.get("message") {
            Some(Value::String(message)) => message.clone(),
            _ => line.to_owned(),
        },
        _ => line.to_owned(),
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
#[path = "pods_tests.rs"]
mod tests;
