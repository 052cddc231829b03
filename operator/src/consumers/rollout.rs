//! Which revision the pods should run: the wanted one, or, where that did not become ready, the last good one. No I/O.

use std::time::{Duration, Instant};

use super::owned::LiveDeployment;
use crate::api::TelemetryConsumerStatus;

/// What the status remembers of earlier revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The last revision of which all pods were ready.
    pub good: Option<String>,
    /// The revision that did not become ready in time; it is not tried again.
    pub failed: Option<String>,
}

impl History {
    /// What the status remembers. `secrets` is a digest of what the sink's Secrets hold now: it may be for want of another that a
    /// revision has failed.
    pub fn of(status: &TelemetryConsumerStatus, secrets: Option<&str>) -> Self {
        let same = status.failed_secrets.as_deref() == secrets;
        Self {
            good: status.last_good_revision.clone(),
            failed: status.failed_revision.clone().filter(|_| same),
        }
    }
}

/// What to do with the Deployment's pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The wanted template.
    Apply,
    /// The wanted revision has failed now: note that, then go back.
    RollBack { to: String },
    /// The wanted revision has failed before: the template of the good one.
    StayRolledBack { to: String },
}

/// How the pods of one revision fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There are as many pods as wanted, all run this revision, and all are ready.
    Settled,
    /// Pods of another revision are being replaced, or were not looked at yet.
    RollingOut,
    /// All pods run this revision; their number is on its way to what is wanted, or some are not ready.
    Incomplete,
    /// The rollout, or the wait for more pods, took longer than `progressDeadlineSeconds`.
    Overdue,
}

impl LiveDeployment {
    /// Whether pods of another revision than this are being replaced, or may be.
    pub fn rolls_out(&self, revision: &str) -> bool {
        !self.runs(revision)
            || self.observed_generation < self.generation
            || self.updated != self.replicas
    }
}

/// Measures how long pods have made no progress. The Deployment's own deadline ends with a rollout, so that pods of a revision
/// that was rolled out with no pods, and fail once some are wanted, would never be late.
#[derive(Debug, Clone)]
pub struct Watch {
    subject: (String, i32),
    /// A digest of what the sink's Secrets held all the time.
    secrets: Option<String>,
    /// Whether the Deployment's own deadline may have begun while the Secrets held something else: it does not count then.
    alone: bool,
    /// The most pods that were of that revision, and that were available.
    progress: (i32, i32),
    began: Instant,
    since: Instant,
}

/// For this long what the Deployment says of its deadline may still speak of the revision before.
const SETTLING: Duration = Duration::from_secs(5);
/// Within this time the kubelet brings what a Secret now holds to pods that run.
const SPREADING: Duration = Duration::from_secs(120);

impl Watch {
    /// Takes notice of the Deployment as it is, which should have `wanted` pods of `revision`. `secrets` is a digest of what the sink's
    /// Secrets hold now: with another one the pods get the whole time again, so that a revision never fails for what was put right
    /// late. `None` where nothing is awaited.
    pub fn look(
        before: Option<Self>,
        revision: &str,
        secrets: Option<&str>,
        wanted: i32,
        live: Option<&LiveDeployment>,
        now: Instant,
    ) -> Option<Self> {
        let live = live?;
        // What is not even made cannot be late.
        let none = wanted == 0 || !live.runs(revision);
        if none || phase(live, revision, wanted, false) == Phase::Settled {
            return None;
        }
        let subject = (revision.to_owned(), wanted);
        let progress = (live.updated, live.available);
        match before {
            Some(watch) if watch.subject.0 == subject.0 && watch.secrets.as_deref() != secrets => {
                Some(Self {
                    subject,
                    secrets: secrets.map(Into::into),
                    alone: true,
                    progress,
                    began: now,
                    since: now + SPREADING,
                })
            }
            Some(watch) if watch.subject == subject => Some(watch.advance(progress, now)),
            // One pod more or less wanted is not another rollout.
            Some(watch) if watch.subject.0 == subject.0 => Some(Self {
                since: now.max(watch.since),
                subject,
                progress,
                ..watch
            }),
            _ => Some(Self {
                subject,
                // Over before anybody looked: which Secrets the pods had is not known.
                alone: secrets.is_some() && live.deadline_exceeded,
                secrets: secrets.map(Into::into),
                progress,
                began: now,
                since: now,
            }),
        }
    }

    /// Pods that crash again and again come and go: only more than there ever were is progress.
    fn advance(self, (updated, available): (i32, i32), now: Instant) -> Self {
        let most = (updated.max(self.progress.0), available.max(self.progress.1));
        let since = match most == self.progress {
            true => self.since,
            false => now.max(self.since),
        };
        Self {
            progress: most,
            since,
            ..self
        }
    }

    /// Whether the time without progress is over.
    pub fn is_overdue(&self, live: &LiveDeployment, deadline: Duration, now: Instant) -> bool {
        let settling = now.duration_since(self.began) < SETTLING;
        let exceeded = live.deadline_exceeded && !settling && !self.alone;
        exceeded || now.duration_since(self.since) >= deadline
    }

    /// When to look again at the latest.
    pub fn look_again(&self, deadline: Duration, now: Instant) -> Duration {
        let left = deadline.saturating_sub(now.duration_since(self.since));
        left.max(Duration::from_secs(1))
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub step: Step,
    pub history: History,
}

/// Decides from the revision that the spec asks for, what the status remembers, and the Deployment as it is. `overdue`: the time for
/// pods of the wanted revision to become ready is over.
pub fn decide(
    wanted: &str,
    history: &History,
    live: Option<&LiveDeployment>,
    overdue: bool,
) -> Decision {
    let good = history.good.as_deref();
    // Going back is going elsewhere.
    let back = good.filter(|good| *good != wanted);
    if history.failed.as_deref() == Some(wanted)
        && let Some(to) = back
    {
        return Decision {
            step: Step::StayRolledBack { to: to.into() },
            history: history.clone(),
        };
    }
    let mut next = History {
        good: history.good.clone(),
        failed: None,
    };
    let live = live.filter(|live| live.runs(wanted));
    if let Some(live) = live {
        let phase = phase(live, wanted, live.wanted, overdue);
        // No pods prove nothing.
        if phase == Phase::Settled && live.wanted > 0 {
            next.good = Some(wanted.into());
        } else if phase == Phase::Overdue
            && let Some(to) = back
        {
            next.failed = Some(wanted.into());
            return Decision {
                step: Step::RollBack { to: to.into() },
                history: next,
            };
        }
    }
    Decision {
        step: Step::Apply,
        history: next,
    }
}

/// How the pods fare that should be `wanted` in number and run `revision`.
pub fn phase(live: &LiveDeployment, revision: &str, wanted: i32, overdue: bool) -> Phase {
    let there = live.runs(revision) && live.wanted == wanted;
    // Nothing need be awaited of a Deployment without pods.
    if there && wanted == 0 && live.replicas == 0 {
        return Phase::Settled;
    }
    let seen = there && live.observed_generation >= live.generation;
    let all_updated = live.updated == live.replicas;
    if seen && all_updated && live.replicas == wanted && live.available >= wanted {
        Phase::Settled
    } else if seen && overdue {
        Phase::Overdue
    } else if live.runs(revision) && all_updated && live.replicas > 0 {
        Phase::Incomplete
    } else {
        Phase::RollingOut
    }
}

#[cfg(test)]
mod tests;
