//! The SDK as a service sees it, with the mock of Kafka that librdkafka carries.

mod conformance;
mod exit;
mod health;
mod http;
#[path = "../common/kafka.rs"]
mod kafka;
mod logs;
mod mock;
mod outage;
mod refusals;
mod speed;
