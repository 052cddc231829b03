//! The operator: KafkaTopic and TelemetryConsumer resources become topics and consumer Deployments.
