//! `bt-consumers replay` on a real Kafka, with a plaintext listener at KAFKA_BOOTSTRAP, and a real Elasticsearch or OpenSearch at
//! SEARCH_URL:
//! cargo test -p bt-consumers --features broker --test replay
#![cfg(feature = "broker")]

mod by_hand;
mod chosen;
mod engine;
#[path = "../common/kafka.rs"]
mod kafka;
mod once;
#[path = "../common/process.rs"]
mod process;
mod program;
mod stage;
