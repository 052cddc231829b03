use rdkafka::error::RDKafkaErrorCode as Code;

/// What Kafka, or the client on its way there, answered. It is of one class at most.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {message}")]
pub struct Error {
    /// The Admin API call that failed, for example `CreateTopics`; `connect` where none was sent.
    pub call: &'static str,
    /// Kafka's error code, or one of librdkafka's own (negative) codes.
    pub code: Code,
    /// Kafka's own words where it sent some, else the code's description.
    pub message: String,
}

#[derive(PartialEq)]
enum Class {
    Unreachable,
    Auth,
    Tls,
    Invalid,
    Replication,
    DeletionDisabled,
    UnknownTopic,
    TopicExists,
    GroupNotEmpty,
    Other,
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

    fn class(&self) -> Class {
        match self.code {
            Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::BadMessage
            | Code::RequestTimedOut
            | Code::TimedOutQueue
            | Code::BrokerNotAvailable
            | Code::NotController
            | Code::NetworkException => Class::Unreachable,
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed => Class::Auth,
            Code::SSL => Class::Tls,
            Code::InvalidConfig
            | Code::InvalidRequest
            | Code::InvalidArgument
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicaAssignment
            | Code::PolicyViolation => Class::Invalid,
            Code::InvalidReplicationFactor => Class::Replication,
            Code::TopicDeletionDisabled => Class::DeletionDisabled,
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                Class::UnknownTopic
            }
            Code::TopicAlreadyExists => Class::TopicExists,
            Code::NonEmptyGroup => Class::GroupNotEmpty,
            _ => Class::Other,
        }
    }

    /// No broker answered, or none in time: down, wrong address, unknown host or a network in between.
    pub fn is_unreachable(&self) -> bool {
        self.class() == Class::Unreachable
    }

    /// A broker answered, and refused name or password, or does not authorize what was asked.
    pub fn is_auth(&self) -> bool {
        self.class() == Class::Auth
    }

    /// TLS could not be agreed on: one side does not trust the other's certificate or has none, or what is given as PEM is
    /// none.
    pub fn is_tls(&self) -> bool {
        self.class() == Class::Tls
    }

    /// Kafka has no such name, value or count in its rules: sending it again is useless until the request changes.
    pub fn is_invalid(&self) -> bool {
        self.class() == Class::Invalid
    }

    /// The replication factor cannot be had: mostly more replicas than brokers that live.
    pub fn is_replication(&self) -> bool {
        self.class() == Class::Replication
    }

    /// The brokers' `delete.topic.enable` is false.
    pub fn is_deletion_disabled(&self) -> bool {
        self.class() == Class::DeletionDisabled
    }

    /// A topic of that name exists already.
    pub fn is_topic_exists(&self) -> bool {
        self.class() == Class::TopicExists
    }

    /// The topic does not exist.
    pub fn is_unknown_topic(&self) -> bool {
        self.class() == Class::UnknownTopic
    }

    /// The consumer group still has members.
    pub fn is_group_not_empty(&self) -> bool {
        self.class() == Class::GroupNotEmpty
    }
}
