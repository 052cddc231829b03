//! Exactly once, on a real Kafka with a plaintext listener at KAFKA_BOOTSTRAP: members of a consumer group are killed, stopped and
//! replaced while events arrive, all their scrapes are kept, and what they showed is compared with a model of a few lines.
//!
//! cargo test -p bt-consumers --features broker --test exactly_once
//!
//! BT_CHAOS_KILLS (100) says how many members are killed, BT_CHAOS_SEED repeats a run's random choices.
#![cfg_attr(
    not(feature = "broker"),
    allow(
        dead_code,
        reason = "without Kafka only the checks themselves are tested"
    )
)]

mod checks;
mod exposition;
mod model;
mod scrapes;

#[cfg(feature = "broker")]
mod chaos;
#[cfg(feature = "broker")]
mod expiry;
#[cfg(feature = "broker")]
mod group;
#[cfg(feature = "broker")]
mod growth;
#[cfg(feature = "broker")]
mod hung;
#[cfg(feature = "broker")]
#[path = "../common/kafka.rs"]
mod kafka;
#[cfg(feature = "broker")]
mod letters;
#[cfg(feature = "broker")]
mod member;
#[cfg(feature = "broker")]
mod offsets;
#[cfg(feature = "broker")]
#[path = "../common/process.rs"]
mod process;
#[cfg(feature = "broker")]
mod stage;
#[cfg(feature = "broker")]
mod state_topic;
#[cfg(feature = "broker")]
mod takeover;
#[cfg(feature = "broker")]
mod traffic;
#[cfg(feature = "broker")]
mod zombie;
