//! Kafka connections and administration: the one place for librdkafka's settings and for the Admin API.
//!
//! rust-rdkafka's own admin client drops the broker's error messages, has no incremental alter and no topic ids;
//! [`Admin`] calls librdkafka's Admin API itself, in batches.

mod admin;
mod connection;
mod error;

pub use admin::{
    Admin, ConfigEntry, ConfigOp, ConfigSource, Group, GroupState, NewTopic, Offsets, Topic,
};
pub use connection::{ClientCertificate, Connection, Mechanism, Sasl, Secret, Tls};
pub use error::Error;
