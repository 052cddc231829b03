use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{IsError, KafkaError, KafkaResult, RDKafkaErrorCode};
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

/// Commits and waits for the outcome until the deadline, calling `meanwhile` now and then. librdkafka's own synchronous commit waits
/// for a broker that does not answer as long as the connection's time-out.
///
/// # Errors
/// Kafka's, and that there was no answer in time: the commit may yet get done.
pub(super) fn commit_by<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
    deadline: Instant,
    mut meanwhile: impl FnMut(),
) -> KafkaResult<()> {
    const SLICE: Duration = Duration::from_millis(100);
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives; the list is copied; the queue is given back below, and an answer that comes later is dropped by
    // librdkafka.
    let (queue, code) = unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        let code =
            sys::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, std::ptr::null_mut());
        (queue, code)
    };
    let outcome = loop {
        if code.is_error() {
            break Err(KafkaError::ConsumerCommit(code.into()));
        }
        let wait = deadline
            .saturating_duration_since(Instant::now())
            .min(SLICE);
        // SAFETY: the queue lives, and so does an event until it is given back.
        let answer = unsafe {
            let event = sys::rd_kafka_queue_poll(queue, wait.as_millis() as i32);
            (!event.is_null()).then(|| {
                let code = sys::rd_kafka_event_error(event);
                let answer = answer_of(code, sys::rd_kafka_event_topic_partition_list(event));
                sys::rd_kafka_event_destroy(event);
                answer
            })
        };
        match answer {
            Some(answer) => break answer,
            None if Instant::now() >= deadline => {
                break Err(KafkaError::ConsumerCommit(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            None => meanwhile(),
        }
    };
    // SAFETY: it is not used any more.
    unsafe { sys::rd_kafka_queue_destroy(queue) };
    outcome
}

/// As [`outcome`], of a list that is librdkafka's.
///
/// # Safety
/// The list lives, or is null.
unsafe fn answer_of(
    code: sys::rd_kafka_resp_err_t,
    list: *const sys::rd_kafka_topic_partition_list_t,
) -> KafkaResult<()> {
    // SAFETY: as the caller says; a list has as many elements as it says.
    let elements = match unsafe { list.as_ref() } {
        Some(list) if list.cnt > 0 => unsafe {
            std::slice::from_raw_parts(list.elems, list.cnt as usize)
        },
        _ => &[],
    };
    let codes = std::iter::once(code).chain(elements.iter().map(|element| element.err));
    match codes.into_iter().find(|code| code.is_error()) {
        Some(code) => Err(KafkaError::ConsumerCommit(code.into())),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use rdkafka::{ClientConfig, Offset};

    use super::*;

    #[test]
    fn a_commit_is_not_waited_for_beyond_its_deadline() {
        let kafka = MockCluster::new(1).expect("a mock");
        kafka.create_topic("t", 1, 1).expect("a topic");
        let member: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap_servers())
            .set("group.id", "group")
            .create()
            .expect("a consumer");
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("t", 0, Offset::Offset(3))
            .expect("a valid offset");
        let commit = |seconds, meanwhile: &mut dyn FnMut()| {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            commit_by(&member, &offsets, deadline, meanwhile)
        };
        commit(20, &mut || {}).expect("committed");
        kafka.request_errors(
            RDKafkaApiKey::OffsetCommit,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED],
        );
        let refused = commit(20, &mut || {}).expect_err("it is refused");
        assert_eq!(
            refused.rdkafka_error_code(),
            Some(RDKafkaErrorCode::GroupAuthorizationFailed)
        );
        kafka
            .broker_round_trip_time(1, Duration::from_secs(8))
            .expect("it gets slow");
        let began = Instant::now();
        let mut times = 0;
        let late = commit(1, &mut || times += 1).expect_err("there is no answer yet");
        assert_eq!(
            late.rdkafka_error_code(),
            Some(RDKafkaErrorCode::OperationTimedOut)
        );
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(times > 3, "{times}");
        kafka
            .broker_round_trip_time(1, Duration::ZERO)
            .expect("it gets fast");
    }
}
