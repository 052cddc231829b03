//! From Kafka to the sink: polling, assignments, back-pressure, commits, dead letters.
//!
//! One thread polls one consumer and owns all state. Sinks acknowledge through a channel, in any order; a [`Watermark`] for
//! each partition turns that into the offset that may be committed. What a sink refuses becomes a dead letter, which is written
//! in one transaction with the offset that passes its record. Each assignment of a partition is a generation of its own, so
//! that what was taken under an earlier one is told apart.

mod commit;
mod commits;
mod committer;
mod committing;
mod context;
mod core;
mod held;
mod joining;
mod lease;
mod letter;
mod observe;
mod outbox;
mod owned;
mod poll;
mod pressure;
mod rebalance;
mod record;
mod rejects;
mod restore;
mod stall;
mod start;
mod topic_watch;
mod transactions;
mod watermark;

use std::time::Duration;

pub(crate) use commits::Commits;
pub(crate) use committer::{Committing, Exactly};
pub(crate) use lease::Lease;
pub(crate) use letter::{Letters, header};
pub use poll::PipelineError;
pub(crate) use poll::{Parts, Pipeline, Settings};
pub(crate) use pressure::Limits;
pub(crate) use record::{Ack, Acks, Assignment, Ended, Origin, Original, Refused, ack_channel};
pub(crate) use rejects::TOO_MANY;
pub(crate) use restore::is_final;
pub(crate) use topic_watch::url_safe;
pub(crate) use watermark::Watermark;

/// How long a revoked partition's work may take to be finished before it is left to the next owner.
pub(crate) const REVOKE_DEADLINE: Duration = Duration::from_secs(8);
/// As [`REVOKE_DEADLINE`], at SIGTERM. Both one after the other, with commit and leaving the group (5 s), must fit the pod's grace period of 30 s.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(14);
