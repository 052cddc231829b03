use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::admin::{
    AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::{Kafka, TIMEOUT};

/// What somebody does to Kafka who does not know of the operator.
impl Kafka {
    /// Makes a topic with one replica and these settings. Whether there was none of that name.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn make(
        &self,
        topic: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<bool> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = config
            .iter()
            .fold(new, |new, (key, value)| new.set(key, value));
        match self
            .admin
            .create_topics([&new], &options())
            .await?
            .pop()
            .context("no answer")?
        {
            Ok(_) => Ok(true),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(false),
            Err((topic, code)) => bail!("topic {topic} cannot be made: {code}"),
        }
    }

    /// Deletes a topic. Whether it was there.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn delete(&self, topic: &str) -> Result<bool> {
        match self
            .admin
            .delete_topics(&[topic], &options())
            .await?
            .pop()
            .context("no answer")?
        {
            Ok(_) => Ok(true),
            Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(false),
            Err((topic, code)) => bail!("topic {topic} cannot be deleted: {code}"),
        }
    }

    /// Deletes a topic and makes another of its name, however quickly the operator makes one meanwhile.
    ///
    /// # Errors
    /// When Kafka refuses either.
    pub async fn make_anew(
        &self,
        topic: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<()> {
        for _ in 0..20 {
            self.delete(topic).await?;
            if self.make(topic, partitions, config).await? {
                return Ok(());
            }
        }
        bail!("topic {topic} is made by others as soon as it is deleted");
    }

    /// Sets a key of a topic's configuration and leaves the others as they are.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn alter(&self, topic: &str, changes: &[(&str, &str)]) -> Result<()> {
        // Kafka's older request replaces all keys, so those there are go along.
        let mut all = self.own_settings(topic).await?;
        all.extend(
            changes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        let config = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let config = all
            .iter()
            .fold(config, |config, (key, value)| config.set(key, value));
        let outcome = self.admin.alter_configs([&config], &options()).await?.pop();
        let outcome = outcome.context("no answer")?;
        outcome
            .map(drop)
            .map_err(|(_, code)| anyhow!("topic {topic} cannot be altered: {code}"))
    }

    /// What is set on the topic itself, rather than by default or for the whole broker.
    ///
    /// # Errors
    /// When there is no such topic.
    pub async fn own_settings(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let config = self.describe(ResourceSpecifier::Topic(topic)).await?;
        let own = config
            .entries
            .into_iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic);
        Ok(own
            .filter_map(|entry| Some((entry.name, entry.value?)))
            .collect())
    }

    /// A setting of the broker.
    ///
    /// # Errors
    /// When there is no such setting.
    pub async fn broker_setting(&self, key: &str) -> Result<String> {
        let config = self.describe(ResourceSpecifier::Broker(1)).await?;
        let value = config.get(key).and_then(|entry| entry.value.clone());
        value.with_context(|| format!("the broker has no {key}"))
    }

    async fn describe(&self, what: ResourceSpecifier<'_>) -> Result<ConfigResource> {
        let mut answers = self.admin.describe_configs([&what], &options()).await?;
        let answer = answers.pop().context("no answer")?;
        answer.map_err(|code| anyhow!("{what:?}: {code}"))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT))
}
