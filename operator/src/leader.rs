//! Leader election by a Lease (coordination.k8s.io/v1), after client-go's rules: only the holder writes.
//!
//! A holder that cannot renew gives up before anybody else may take over; a lease counts as expired only when this
//! replica itself has seen it unchanged for its whole duration, so the clocks of two machines need not agree.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

/// After which a silent holder has lost the lease.
const DURATION: Duration = Duration::from_secs(10);
/// After which a holder that cannot renew stops writing.
const RENEW_DEADLINE: Duration = Duration::from_secs(7);
/// How long a Lease that was never seen may still be on its way: Helm applies it after the Deployment, and refuses a release
/// one of whose objects somebody else has made meanwhile.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(2);
/// After a try of the holder's that failed.
const SOON: Duration = Duration::from_millis(500);
/// How long a candidate's try may take.
const STEP: Duration = Duration::from_secs(5);

/// One replica's part in the election.
pub struct Candidate {
    leases: Api<Lease>,
    lease: String,
    name: String,
    started: Instant,
    /// When the last successful renewal was begun: nobody can have seen it earlier.
    renewed: Instant,
    /// The lease as last seen to change, and when we saw it.
    seen: Option<(Observed, Instant)>,
}

/// What of a lease tells whether its holder is alive.
#[derive(Debug, Clone, PartialEq)]
struct Observed {
    holder: Option<String>,
    renewed: Option<Timestamp>,
}

/// What came of one look at the lease.
enum Step {
    /// Ours, written just now.
    Ours,
    /// Another's, and alive.
    Others,
    /// Somebody wrote it between our look and our write; who holds it, the next look tells.
    Conflict,
}

/// What to do about the lease.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Ours: renew it.
    Renew,
    /// Nobody's, or its holder's time is over: take it.
    Take,
    /// Another's.
    Wait,
}

fn decide(me: &str, seen: &Observed, unchanged_for: Duration) -> Decision {
    match seen.holder.as_deref() {
        Some(holder) if holder == me => Decision::Renew,
        None | Some("") => Decision::Take,
        Some(_) if unchanged_for >= DURATION => Decision::Take,
        Some(_) => Decision::Wait,
    }
}

impl Candidate {
    /// A candidate of this name for the lease in a namespace.
    pub fn new(client: Client, namespace: &str, lease: &str, name: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            lease: lease.into(),
            name: name.into(),
            started: Instant::now(),
            renewed: Instant::now(),
            seen: None,
        }
    }

    /// Resolves when this replica is the leader.
    pub async fn acquire(&mut self) {
        loop {
            match self.try_step(STEP).await {
                Some(Step::Ours) => return,
                Some(Step::Conflict) => continue,
                Some(Step::Others) | None => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Renews for ever; resolves when leadership is lost, or could not be renewed in time.
    pub async fn hold(&mut self) {
        let mut wait = RETRY;
        loop {
            tokio::time::sleep(wait.min(self.left())).await;
            if self.left().is_zero() {
                tracing::error!(lease = self.lease, "the Lease could not be renewed in time");
                return;
            }
            wait = match self.try_step(self.left()).await {
                Some(Step::Ours) => RETRY,
                Some(Step::Others) => {
                    tracing::error!(lease = self.lease, "another replica holds the Lease");
                    return;
                }
                Some(Step::Conflict) | None => SOON,
            };
        }
    }

    /// What is left of the time in which nobody else can take the lease over.
    fn left(&self) -> Duration {
        RENEW_DEADLINE.saturating_sub(self.renewed.elapsed())
    }

    /// One step within a bound; nothing when the API did not answer, or with an error.
    async fn try_step(&mut self, bound: Duration) -> Option<Step> {
        let begun = Instant::now();
        match tokio::time::timeout(bound, self.step()).await {
            Ok(Ok(step)) => {
                if matches!(step, Step::Ours) {
                    self.renewed = begun;
                }
                Some(step)
            }
            Ok(Err(error)) => {
                tracing::warn!(lease = self.lease, %error, "cannot read or write the Lease");
                None
            }
            Err(_) => {
                tracing::warn!(
                    lease = self.lease,
                    "no answer about the Lease within {bound:?}"
                );
                None
            }
        }
    }

    /// Gives the lease back, so that another replica need not wait for it to expire.
    pub async fn release(&mut self) {
        let released = async {
            let mut lease = self.leases.get(&self.lease).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.name) {
                spec.holder_identity = Some(String::new());
                self.leases
                    .replace(&self.lease, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<_, kube::Error>(())
        };
        match released.await {
            Ok(()) => tracing::info!(lease = self.lease, "gave the Lease back"),
            Err(error) => {
                tracing::warn!(lease = self.lease, %error, "cannot give the Lease back; it expires by itself")
            }
        }
    }

    /// One look at the lease, and one write where it is ours or free.
    async fn step(&mut self) -> Result<Step, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.lease).await? else {
            if self.seen.is_none() && self.started.elapsed() < ARRIVAL {
                return Ok(Step::Others);
            }
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.lease.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.claim(&LeaseSpec::default(), true)),
            };
            return written(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let now = Observed {
            holder: spec.holder_identity.clone(),
            renewed: spec.renew_time.as_ref().map(|time| time.0),
        };
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != now) {
            self.seen = Some((now.clone(), Instant::now()));
        }
        let since = self
            .seen
            .as_ref()
            .map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let decision = decide(&self.name, &now, since);
        if decision == Decision::Wait {
            return Ok(Step::Others);
        }
        lease.spec = Some(self.claim(&spec, decision == Decision::Take));
        // The resource version in the object makes a second writer fail.
        written(
            self.leases
                .replace(&self.lease, &PostParams::default(), &lease)
                .await,
        )
    }

    fn claim(&self, old: &LeaseSpec, taking: bool) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        LeaseSpec {
            holder_identity: Some(self.name.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            renew_time: now.clone(),
            acquire_time: if taking {
                now
            } else {
                old.acquire_time.clone()
            },
            lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(taking)),
            ..old.clone()
        }
    }
}

fn written<T>(outcome: Result<T, kube::Error>) -> Result<Step, kube::Error> {
    match outcome {
        Ok(_) => Ok(Step::Ours),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Step::Conflict),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_when_free_or_silent_for_its_whole_duration() {
        let held_by = |holder: Option<&str>| Observed {
            holder: holder.map(Into::into),
            renewed: None,
        };
        let nearly = DURATION - Duration::from_millis(1);
        for (holder, unchanged_for, expected) in [
            (None, Duration::ZERO, Decision::Take),
            (Some(""), Duration::ZERO, Decision::Take),
            (Some("me"), DURATION * 5, Decision::Renew),
            (Some("other"), Duration::ZERO, Decision::Wait),
            (Some("other"), nearly, Decision::Wait),
            (Some("other"), DURATION, Decision::Take),
        ] {
            assert_eq!(
                decide("me", &held_by(holder), unchanged_for),
                expected,
                "{holder:?} {unchanged_for:?}"
            );
        }
    }

    #[test]
    fn a_holder_stops_writing_before_another_may_start() {
        assert!(RENEW_DEADLINE + RETRY < DURATION);
    }
}
