use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::DEFAULT;
use crate::cluster::Cluster;

/// A topic as Kafka's own tools show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Kafka's id, as a status has it.
    pub id: String,
    /// Number of partitions.
    pub partitions: usize,
    /// Replication factor.
    pub replicas: usize,
}

impl Cluster {
    /// All topics of the default Kafka.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn topics_in_kafka(&self) -> Result<BTreeMap<String, Described>> {
        self.topics_in(DEFAULT, "kafka-0", "localhost:9092").await
    }

    /// Kafka's id of a topic of the default Kafka.
    ///
    /// # Errors
    /// When there is no such topic.
    pub async fn id_in_kafka(&self, topic: &str) -> Result<String> {
        let mut topics = self.topics_in_kafka().await?;
        let found = topics.remove(topic);
        Ok(found
            .with_context(|| format!("Kafka has no topic {topic}"))?
            .id)
    }

    /// All topics of a Kafka, asked from within its pod.
    pub(crate) async fn topics_in(
        &self,
        namespace: &str,
        pod: &str,
        bootstrap: &str,
    ) -> Result<BTreeMap<String, Described>> {
        let tool = "/opt/kafka/bin/kafka-topics.sh";
        let args = [
            "exec",
            pod,
            "-n",
            namespace,
            "--",
            tool,
            "--bootstrap-server",
            bootstrap,
            "--describe",
        ];
        let shown = self.kubectl(&args).await?;
        let heads = shown.lines().filter(|line| line.contains("TopicId:"));
        heads
            .map(|line| topic(line).with_context(|| format!("kafka-topics.sh says {line}")))
            .collect()
    }
}

/// A line of tab-separated fields: `Topic: orders`, `TopicId: AbC`, `PartitionCount: 2`, `ReplicationFactor: 1`, …
fn topic(line: &str) -> Result<(String, Described)> {
    let field = |name: &str| {
        let value = line
            .split('\t')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim).with_context(|| format!("no {name}"))
    };
    let described = Described {
        // The tools write base64 as in URLs, librdkafka as in mail.
        id: field("TopicId")?.replace('-', "+").replace('_', "/"),
        partitions: field("PartitionCount")?.parse()?,
        replicas: field("ReplicationFactor")?.parse()?,
    };
    Ok((field("Topic")?.to_owned(), described))
}

#[cfg(test)]
mod tests {
    use super::topic;

    #[test]
    fn reads_a_line_of_kafka_topics() {
        let line =
            "Topic: a.b\tTopicId: x-y_z\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: a=b,c=d";
        let (name, topic) = topic(line).expect("valid");
        assert_eq!((name.as_str(), topic.id.as_str()), ("a.b", "x+y/z"));
        assert_eq!((topic.partitions, topic.replicas), (3, 1));
    }
}
