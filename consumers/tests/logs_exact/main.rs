//! The logs sink, on a real Kafka with a plaintext listener at KAFKA_BOOTSTRAP and on a search engine that fails by a script: whatever
//! the engine answers, and whatever becomes of the members of the group, what was produced is indexed or in the dead-letter topic, each
//! exactly once.
//!
//! cargo test -p bt-consumers --features broker --test logs_exact
//!
//! BT_CHAOS_KILLS (18) says how many members are killed under random faults, BT_CHAOS_SEED repeats a run's random choices,
//! BT_STALL_SECONDS (30) for how long the engine hangs; 330 is longer than Kafka lets a member be without polling
//! (`max.poll.interval.ms`, which the program leaves at 5 minutes).
#![cfg_attr(
    not(feature = "broker"),
    allow(
        dead_code,
        reason = "without Kafka only the checks themselves are tested"
    )
)]

mod ledger;

#[cfg(feature = "broker")]
mod chaos;
#[cfg(feature = "broker")]
mod counters;
#[cfg(feature = "broker")]
mod group;
#[cfg(feature = "broker")]
mod hang;
#[cfg(feature = "broker")]
#[path = "../common/kafka.rs"]
mod kafka;
#[cfg(feature = "broker")]
mod letters;
#[cfg(feature = "broker")]
#[path = "../common/process.rs"]
mod process;
#[cfg(feature = "broker")]
mod restarts;
#[cfg(feature = "broker")]
mod scenarios;
#[cfg(feature = "broker")]
mod setup;
#[cfg(feature = "broker")]
mod stage;
#[cfg(feature = "broker")]
mod traffic;
