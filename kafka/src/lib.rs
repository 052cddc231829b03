//! Kafka connections and administration, the one place for both.
