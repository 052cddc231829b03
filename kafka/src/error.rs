use rdkafka::error::RDKafkaErrorCode as Code;

/// What Kafka, or the client on its way there, answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {message}")]
pub struct Error {
    /// The Admin API call that failed, for example `CreateTopics`.
    pub call: &'static str,
    /// Kafka's error code, or one of librdkafka's own (negative) codes.
    pub code: Code,
    /// Kafka's own words where it sent some, else the code's description.
    pub message: String,
}

impl Error {
    pub(crate) fn new(call: &'static str, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        let message = if message.is_empty() {
            code.to_string()
        } else {
            message
        };
        Self {
            call,
            code,
            message,
        }
    }

    /// Kafka has answered, and not yet with what must come: to be asked again.
    pub fn not_yet(call: &'static str, message: impl Into<String>) -> Self {
        Self::new(call, Code::OperationTimedOut, message)
    }

    /// No broker answered: down, wrong address, unknown host or a network in between.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self.code,
            Code::OperationTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::RequestTimedOut
                | Code::TimedOutQueue
                | Code::BrokerNotAvailable
                | Code::NotController
                | Code::NetworkException
        )
    }

    /// A broker answered, and refused the credentials or the certificate.
    pub fn is_auth(&self) -> bool {
        matches!(
            self.code,
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::GroupAuthorizationFailed
        )
    }

    /// The topic does not exist.
    pub fn is_unknown_topic(&self) -> bool {
        matches!(
            self.code,
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition
        )
    }

    /// Kafka has no such topic, value or count in its rules: sending it again is useless until the request changes.
    pub fn is_invalid(&self) -> bool {
        matches!(
            self.code,
            Code::InvalidConfig
                | Code::InvalidRequest
                | Code::InvalidArgument
                | Code::InvalidTopic
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::InvalidReplicaAssignment
                | Code::PolicyViolation
        )
    }
}
