use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Statistics, TopicPartitionList};

use super::commit;

pub(crate) type KafkaConsumer = BaseConsumer<Context>;

/// A change of the assignment that the poll thread has to carry out; librdkafka waits for it.
#[derive(Debug)]
pub(crate) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// Takes librdkafka's callbacks, which come while polling, for the poll thread to deal with right after. So the
/// rebalance runs with the pipeline's state at hand and without a lock around it.
#[derive(Default)]
pub(crate) struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    statistics: Mutex<Option<Statistics>>,
    commits: Mutex<Vec<KafkaResult<()>>>,
    /// librdkafka's words on the last error; polling gives the code only.
    reason: Mutex<String>,
    /// Something of the above is there.
    news: AtomicBool,
    /// The pipeline has stopped: nobody waits for rebalances any more.
    closing: AtomicBool,
}

impl Context {
    /// Whether any of the `take_…` has something; cheap.
    pub fn has_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    pub fn take_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    pub fn take_statistics(&self) -> Option<Statistics> {
        lock(&self.statistics).take()
    }

    /// Outcomes of asynchronous commits.
    pub fn take_commits(&self) -> Vec<KafkaResult<()>> {
        std::mem::take(&mut *lock(&self.commits))
    }

    /// What librdkafka said of the error that polling just gave.
    pub fn take_reason(&self) -> String {
        std::mem::take(&mut *lock(&self.reason))
    }

    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        *lock(&self.statistics) = Some(statistics);
        self.news.store(true, Ordering::Release);
    }

    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut lock(&self.reason));
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assign = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            // Those that were never fetched are not in librdkafka's own assignment.
            let fetched = consumer.assignment().unwrap_or_default();
            let mut leaving = TopicPartitionList::new();
            for element in partitions.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                if fetched.find_partition(topic, partition).is_some() {
                    leaving.add_partition(topic, partition);
                }
            }
            let answered = match assign {
                true => consumer.incremental_assign(&TopicPartitionList::new()),
                false => consumer.incremental_unassign(&leaving),
            };
            if let Err(error) = answered {
                tracing::warn!(%error, "cannot answer a rebalance while leaving the group");
            }
            return;
        }
        let rebalance = match assign {
            true => Rebalance::Assign(partitions.clone()),
            false => Rebalance::Revoke(partitions.clone()),
        };
        lock(&self.rebalances).push_back(rebalance);
        self.news.store(true, Ordering::Release);
    }

    fn commit_callback(&self, result: KafkaResult<()>, partitions: &TopicPartitionList) {
        lock(&self.commits).push(commit::outcome(result, partitions));
        self.news.store(true, Ordering::Release);
    }
}
