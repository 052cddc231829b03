use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bt_kafka::{Admin, ConfigOp, Connection, Error, NewTopic};
use tokio::time::Instant;

use super::work::{PARTITIONS, REPLICAS, SETTING, Step, config};

/// Kafka's side of the work, in batches.
pub struct Kafka {
    admin: Admin,
    batch: usize,
}

impl Kafka {
    /// A client of the cluster at this address.
    ///
    /// # Errors
    /// When librdkafka refuses the address.
    pub fn new(bootstrap: &str, batch: usize) -> Result<Self> {
        let admin = Admin::new(&Connection::plaintext(bootstrap), "bt-bench")?;
        Ok(Self {
            // Thousands of partitions at once keep a broker busy for longer than an operator should wait.
            admin: admin.with_timeout(Duration::from_secs(60)),
            batch: batch.max(1),
        })
    }

    /// How many topics go into one call.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Does a step for all of these topics; how long that took.
    ///
    /// # Errors
    /// When Kafka refuses one of them.
    pub async fn perform(&self, step: Step, names: &[String]) -> Result<Duration> {
        let started = Instant::now();
        for batch in names.chunks(self.batch) {
            let outcomes = match step {
                Step::Create => {
                    let topics = batch.iter().map(|name| NewTopic {
                        name: name.clone(),
                        partitions: Some(PARTITIONS),
                        replicas: Some(REPLICAS),
                        config: config(step),
                    });
                    self.admin.create_topics(topics.collect(), false).await
                }
                Step::Modify => {
                    let ops = config(step).into_iter();
                    let ops: BTreeMap<_, _> = ops
                        .filter(|(key, _)| key == SETTING)
                        .map(|(key, value)| (key, ConfigOp::Set(value)))
                        .collect();
                    let changes = batch.iter().map(|name| (name.clone(), ops.clone()));
                    self.admin
                        .incremental_alter_configs(changes.collect(), false)
                        .await
                }
                Step::Delete => {
                    let names: Vec<&str> = batch.iter().map(String::as_str).collect();
                    self.admin.delete_topics(&names).await
                }
            };
            for (name, outcome) in outcomes.context("Kafka")? {
                outcome.with_context(|| format!("topic {name}"))?;
            }
        }
        Ok(started.elapsed())
    }

    /// Of these topics, at most a batch, those that Kafka does not show as the step leaves them.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn not_yet(&self, step: Step, names: Vec<String>) -> Result<Vec<String>> {
        ensure!(names.len() <= self.batch, "more than a batch");
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut done = match step {
            Step::Create => found(self.admin.describe_topics(&asked).await?, |topic| {
                topic.partitions == PARTITIONS
            })?,
            Step::Modify => {
                let wanted = config(step).remove(SETTING);
                found(
                    self.admin.describe_configs(&asked, |_, _| true).await?,
                    |entries| entries.get(SETTING).map(|entry| &entry.value) == Some(&wanted),
                )?
            }
            Step::Delete => {
                let there = found(self.admin.describe_topics(&asked).await?, |_| true)?;
                let gone = there.into_iter().map(|(name, there)| (name, !there));
                gone.collect()
            }
        };
        let not_yet = |name: &String| !done.remove(name).unwrap_or_default();
        Ok(names.into_iter().filter(not_yet).collect())
    }
}

/// Which topics are there and as they should be.
fn found<T>(
    answers: BTreeMap<String, Result<T, Error>>,
    right: impl Fn(T) -> bool,
) -> Result<BTreeMap<String, bool>> {
    let told = answers.into_iter().map(|(name, answer)| match answer {
        Ok(answer) => Ok((name, right(answer))),
        Err(error) if error.is_unknown_topic() => Ok((name, false)),
        Err(error) => Err(error).with_context(|| format!("topic {name}")),
    });
    told.collect()
}
