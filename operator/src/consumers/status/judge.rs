//! `Ready` and `Progressing`, from how the pods fare. No I/O.

use super::Verdict;
use crate::consumers::owned::LiveDeployment;
use crate::consumers::rollout::{Phase, phase};

/// What the pods should be.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// What is unwise in the configuration, though it is valid.
    pub warning: Option<String>,
    /// The revision that the spec asks for.
    pub wanted_revision: String,
    /// Where the pods went, or are to go, back to.
    pub rollback: Option<Rollback>,
    /// Whether all pods were once ready with the revision that they are to run.
    pub proven: bool,
    /// The number of pods.
    pub replicas: i32,
    /// Whether autoscaling set it.
    pub autoscaled: bool,
    /// Whether the time to become ready is over.
    pub overdue: bool,
    /// How long pods may make no progress, in seconds.
    pub deadline: i32,
    /// Why pods are not ready, in their own words.
    pub problem: Option<String>,
    /// Why the state topic is not ready, where the pods need one.
    pub state_topic: Option<String>,
    /// A digest of what the sink's Secrets hold, where it has any.
    pub secrets: Option<String>,
}

/// A revision that did not become ready was taken back.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The good revision.
    pub to: String,
    /// Why.
    pub why: String,
}

impl Workload {
    /// What `Progressing` says where the wanted revision is taken back because of this.
    pub fn failure(&self, to: &str) -> String {
        let problem = self.problem.as_deref();
        format!(
            "revision {} did not become ready within {} s ({}); the pods went back to revision {to}. It is tried again when the spec, or a Secret that it names, changes",
            self.wanted_revision,
            self.deadline,
            problem.unwrap_or("its pods do not say why")
        )
    }

    /// The revision that the pods should run now.
    fn target(&self) -> &str {
        let rollback = self.rollback.as_ref();
        rollback.map_or(&self.wanted_revision, |rollback| &rollback.to)
    }

    /// `Ready` and `Progressing`.
    pub fn judge(&self, live: Option<&LiveDeployment>, sink: &Verdict) -> (Verdict, Verdict) {
        let none = LiveDeployment::default();
        let live = live.unwrap_or(&none);
        let phase = phase(live, self.target(), self.replicas, self.overdue);
        let (mut ready, mut progressing) = self.pods(live, phase);
        if let Some(rollback) = &self.rollback {
            ready.2 = format!(
                "{}; revision {} did not become ready, so revision {} is what they run (see Progressing)",
                ready.2, self.wanted_revision, rollback.to
            );
            progressing = ("False", "RolledBack", rollback.why.clone());
        }
        if ready.0 == "True" && sink.0 == "False" {
            ready = ("False", "SinkNotReady", sink.2.clone());
        }
        if let Some(trouble) = &self.state_topic {
            let message = match ready.0 {
                "True" => trouble.clone(),
                _ => format!("{trouble}; {}", ready.2),
            };
            ready = ("False", "StateTopicNotReady", message);
        }
        (ready, progressing)
    }

    fn pods(&self, live: &LiveDeployment, phase: Phase) -> (Verdict, Verdict) {
        let wanted = self.replicas;
        let count = format!("{} of {wanted} pods are ready", live.ready);
        let problem = live.failure.as_ref().or(self.problem.as_ref());
        let because = |text: String| match problem {
            Some(problem) => format!("{text}: {problem}"),
            None => text,
        };
        let going = |reason, message: String| {
            (
                ("False", reason, message.clone()),
                ("True", reason, message),
            )
        };
        let settled = || {
            let done = format!("{wanted} of {wanted} pods run this configuration");
            let ready = match wanted {
                0 => (
                    "True",
                    "ScaledToZero",
                    "scaled to zero: nothing is carried".to_owned(),
                ),
                _ => ("True", "Running", count.clone()),
            };
            (ready, ("False", "Settled", done))
        };
        let complete = live.runs(self.target())
            && (live.wanted, live.replicas, live.updated) == (wanted, wanted, wanted)
            && live.available >= wanted;
        match phase {
            // An edit that leaves the pods alone, or was undone, is not a rollout.
            Phase::Incomplete if self.proven && complete => settled(),
            Phase::Settled => settled(),
            Phase::Overdue => {
                let late = format!(
                    "{count}, {} run this configuration, and no more became ready within {} s",
                    live.updated, self.deadline
                );
                let message = because(late);
                (
                    ("False", "PodsFailing", message.clone()),
                    ("False", "ProgressDeadlineExceeded", message),
                )
            }
            // The number is the operator's own affair: what was ready is so while it changes.
            Phase::Incomplete if self.autoscaled && self.proven && live.ready > 0 => (
                ("True", "Running", because(count.clone())),
                ("True", "Scaling", because(count)),
            ),
            Phase::Incomplete if self.proven && live.ready >= wanted => {
                going("Scaling", format!("{count}, there are {}", live.replicas))
            }
            Phase::Incomplete if self.proven => going("PodsNotReady", because(count)),
            Phase::Incomplete | Phase::RollingOut => {
                let updated = live.updated;
                let message = format!("{count}, {updated} run this configuration");
                going("RollingOut", because(message))
            }
        }
    }
}
