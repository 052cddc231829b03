use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One aspect of a resource's state (Kubernetes API conventions, `metav1.Condition`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect, for example `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in CamelCase, for programs.
    pub reason: String,
    /// Why and what to do, for people.
    pub message: String,
    /// The generation of the spec that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    pub last_transition_time: Time,
}

/// Puts a condition into the list: `lastTransitionTime` moves only when `status` flips. Returns whether status or reason changed.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Time,
) -> bool {
    let new = Condition {
        kind: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: now,
    };
    let Some(old) = conditions.iter_mut().find(|old| old.kind == kind) else {
        conditions.push(new);
        return true;
    };
    let changed = old.status != new.status || old.reason != new.reason;
    let since = if old.status == new.status {
        old.last_transition_time.clone()
    } else {
        new.last_transition_time.clone()
    };
    *old = Condition {
        last_transition_time: since,
        ..new
    };
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("in range"))
    }

    #[test]
    fn transition_time_moves_only_when_the_status_flips() {
        let mut conditions = Vec::new();
        let mut set = |status, reason, second| {
            let changed = set_condition(
                &mut conditions,
                "Ready",
                status,
                reason,
                "",
                Some(1),
                at(second),
            );
            (changed, conditions[0].last_transition_time.clone())
        };
        assert_eq!(set("False", "Waiting", 1), (true, at(1)));
        assert_eq!(set("False", "Waiting", 2), (false, at(1)));
        assert_eq!(set("False", "Failed", 3), (true, at(1)));
        assert_eq!(set("True", "Synced", 4), (true, at(4)));
    }
}
