use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::{IsError, KafkaError, KafkaResult};
use rdkafka_sys as sys;

use super::context::KafkaConsumer;

/// Commits without waiting; the outcome comes by the context's `commit_callback` while polling.
///
/// rust-rdkafka's own asynchronous commit never tells: librdkafka reports it only to a callback that rust-rdkafka does
/// not set. With the consumer's queue to reply to, the outcome is an event like any other.
///
/// # Errors
/// When librdkafka does not take the commit up.
pub(crate) fn commit_async(
    consumer: &KafkaConsumer,
    offsets: &TopicPartitionList,
) -> KafkaResult<()> {
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives; the list is copied; the reference to the queue is given back here.
    let code = unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(client);
        let code =
            sys::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, std::ptr::null_mut());
        sys::rd_kafka_queue_destroy(queue);
        code
    };
    if code.is_error() {
        return Err(KafkaError::ConsumerCommit(code.into()));
    }
    Ok(())
}

/// What fences a transaction's offsets. None while the consumer is no member: Kafka would take offsets from somebody without
/// a generation as from anyone.
pub(super) fn member_of(consumer: &KafkaConsumer) -> Option<ConsumerGroupMetadata> {
    let group = consumer.group_metadata()?;
    // SAFETY: the client lives; what is made here is destroyed here.
    let generation = unsafe {
        let native = sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if native.is_null() {
            return None;
        }
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(native);
        sys::rd_kafka_consumer_group_metadata_destroy(native);
        generation
    };
    (generation >= 0).then_some(group)
}

/// The outcome of a commit, that of each partition included: Kafka may refuse one and take the others.
pub(super) fn outcome(result: KafkaResult<()>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    result?;
    partitions
        .elements()
        .iter()
        .try_for_each(|element| element.error())
}
