//! From Kafka to the sink: polling, assignments, back-pressure, commits, dead letters.
//!
//! One thread polls one consumer and owns all state. Sinks and the dead-letter producer acknowledge through a channel,
//! in any order; a [`Watermark`] for each partition turns that into the offset that may be committed. Each assignment
//! of a partition is a generation of its own, so that what was taken under an earlier one is told apart.

mod commit;
mod commits;
mod committing;
mod context;
mod core;
mod dead_letters;
mod exact;
mod held;
mod joining;
mod lease;
mod letter;
mod observe;
mod owned;
mod poll;
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
pub(crate) use dead_letters::DeadLetters;
pub(crate) use lease::Lease;
pub(crate) use letter::Letters;
pub use poll::PipelineError;
pub(crate) use poll::{Parts, Pipeline, Settings};
pub(crate) use record::{Acks, Assignment, Origin, Original, ack_channel};
pub(crate) use watermark::Watermark;

pub(crate) use exact::{Exactly, exact};

/// How long a revoked partition's work may take to be finished before it is left to the next owner.
pub(crate) const REVOKE_DEADLINE: Duration = Duration::from_secs(8);
/// As [`REVOKE_DEADLINE`], at SIGTERM. Both one after the other, with commit and leaving the group (5 s), must fit the pod's grace period of 30 s.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(14);
