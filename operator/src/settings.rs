use std::time::Duration;

/// The operator's own configuration, from its environment (the chart sets it).
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Kafka for resources that name none: comma-separated host:port pairs.
    #[arg(long, env = "KAFKA_BOOTSTRAP", default_value = "kafka:9092")]
    pub kafka_bootstrap: String,
    /// Elasticsearch or OpenSearch for sinks that name no URLs.
    #[arg(
        long,
        env = "ELASTICSEARCH_HOST",
        default_value = "http://elasticsearch:9200"
    )]
    pub elasticsearch_host: String,
    /// The topic for events that no sink can take, where a sink names none.
    #[arg(long, env = "DEAD_LETTER_TOPIC", default_value = "dead-letters")]
    pub dead_letter_topic: String,
    /// The image of the consumer pods.
    #[arg(long, env = "CONSUMER_IMAGE", default_value = concat!("bt-monitoring/consumers:", env!("CARGO_PKG_VERSION")))]
    pub consumer_image: String,
    /// When the consumers' image is pulled.
    #[arg(
        long,
        env = "CONSUMER_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent"
    )]
    pub consumer_image_pull_policy: String,
    /// Whether each consumer gets a NetworkPolicy.
    #[arg(long, env = "NETWORK_POLICIES", default_value_t = true, action = clap::ArgAction::Set)]
    pub network_policies: bool,
    /// This pod's name: the holder of the Lease.
    #[arg(long, env = "POD_NAME", default_value = "bt-operator")]
    pub pod_name: String,
    /// This pod's namespace: where the Lease is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub pod_namespace: String,
    /// The Lease that decides which replica writes.
    #[arg(long, env = "LEASE_NAME", default_value = "bt-operator")]
    pub lease_name: String,
    /// How often a topic in sync is compared with Kafka again, in seconds.
    #[arg(long, env = "RESYNC_SECONDS", default_value_t = 30)]
    pub resync_seconds: u64,
    /// How often lag is read, in seconds.
    #[arg(long, env = "LAG_SECONDS", default_value_t = 10)]
    pub lag_seconds: u64,
    /// How long the deletion of a resource waits for an unreachable Kafka, in seconds.
    #[arg(long, env = "DELETION_BOUND_SECONDS", default_value_t = 60)]
    pub deletion_bound_seconds: u64,
    /// Port of /healthz, /readyz and /metrics.
    #[arg(long, env = "HTTP_PORT", default_value_t = 8080)]
    pub http_port: u16,
}

impl Settings {
    /// Time between two looks at a topic in sync.
    pub fn resync(&self) -> Duration {
        Duration::from_secs(self.resync_seconds.max(1))
    }

    /// Time between two readings of lag.
    pub fn lag_interval(&self) -> Duration {
        Duration::from_secs(self.lag_seconds.max(1))
    }
}
