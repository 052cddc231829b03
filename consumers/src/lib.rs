//! The consumers: Kafka topics into Prometheus or Elasticsearch.
