use std::collections::BTreeMap;
use std::ffi::c_char;

use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::Admin;
use super::request::{Options, Owned, array, c_string, outcome, pointers, string};
use crate::Error;

/// A topic as Kafka describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Kafka's id of this very topic (KIP-516), base64: another topic of the same name has another.
    pub id: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of the first partition, which is what a topic is made with.
    pub replicas: i32,
    /// Kafka's own topic, such as `__consumer_offsets`.
    pub internal: bool,
}

/// A topic to make. What is absent is the broker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: Option<i32>,
    /// Replication factor.
    pub replicas: Option<i32>,
    /// Topic configuration.
    pub config: BTreeMap<String, String>,
}

impl Admin {
    /// The named topics; an inner error where one does not exist or may not be seen.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn describe_topics(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, Result<Topic, Error>>, Error> {
        const CALL: &str = "DescribeTopics";
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names = names
            .iter()
            .map(|name| c_string(CALL, name))
            .collect::<Result<Vec<_>, _>>()?;
        self.blocking(move |admin| {
            let mut raw: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
            // SAFETY: the collection copies the names; it is destroyed when it leaves scope.
            let collection = Owned::new(
                unsafe {
                    sys::rd_kafka_TopicCollection_of_topic_names(raw.as_mut_ptr(), raw.len())
                },
                sys::rd_kafka_TopicCollection_destroy,
            )
            .expect("librdkafka makes topic collections");
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                Options::default(),
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_DescribeTopics(client, collection.ptr(), options, queue);
                },
                // SAFETY: the event is this request's, and everything read is copied.
                |event| unsafe {
                    let result = sys::rd_kafka_event_DescribeTopics_result(event);
                    let mut count = 0;
                    let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
                    array(topics, count)
                        .iter()
                        .map(|topic| {
                            let name = string(sys::rd_kafka_TopicDescription_name(*topic));
                            (name, describe(CALL, *topic))
                        })
                        .collect()
                },
            )
        })
        .await
    }

    /// Makes topics, or only asks whether Kafka would (`validate_only`). One outcome a topic.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        const CALL: &str = "CreateTopics";
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.blocking(move |admin| {
            let native = topics
                .iter()
                .map(|topic| new_topic(CALL, topic))
                .collect::<Result<Vec<_>, _>>()?;
            let mut raw = pointers(&native);
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS,
                Options {
                    validate_only,
                    await_completion: true,
                },
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_CreateTopics(client, raw.as_mut_ptr(), raw.len(), options, queue);
                },
                // SAFETY: the event is this request's, and everything read is copied.
                |event| unsafe {
                    let mut count = 0;
                    let result = sys::rd_kafka_event_CreateTopics_result(event);
                    let topics = sys::rd_kafka_CreateTopics_result_topics(result, &mut count);
                    topic_results(CALL, array(topics, count))
                },
            )
        })
        .await
    }

    /// Grows topics to the given total numbers of partitions. One outcome a topic.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn create_partitions(
        &self,
        totals: BTreeMap<String, usize>,
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        const CALL: &str = "CreatePartitions";
        if totals.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.blocking(move |admin| {
            let native = totals
                .iter()
                .map(|(name, total)| {
                    let name = c_string(CALL, name)?;
                    let mut text = [0 as c_char; 512];
                    // SAFETY: name and buffer are valid for the call, which copies the name.
                    let new = unsafe {
                        sys::rd_kafka_NewPartitions_new(
                            name.as_ptr(),
                            *total,
                            text.as_mut_ptr(),
                            text.len(),
                        )
                    };
                    // SAFETY: librdkafka ends its message with a NUL.
                    Owned::new(new, sys::rd_kafka_NewPartitions_destroy).ok_or_else(|| unsafe {
                        Error::new(
                            CALL,
                            RDKafkaErrorCode::InvalidPartitions,
                            string(text.as_ptr()),
                        )
                    })
                })
                .collect::<Result<Vec<_>, _>>()?;
            let mut raw = pointers(&native);
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
                Options {
                    validate_only,
                    await_completion: true,
                },
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_CreatePartitions(
                        client,
                        raw.as_mut_ptr(),
                        raw.len(),
                        options,
                        queue,
                    );
                },
                // SAFETY: the event is this request's, and everything read is copied.
                |event| unsafe {
                    let mut count = 0;
                    let result = sys::rd_kafka_event_CreatePartitions_result(event);
                    let topics = sys::rd_kafka_CreatePartitions_result_topics(result, &mut count);
                    topic_results(CALL, array(topics, count))
                },
            )
        })
        .await
    }

    /// Deletes topics by name. Whoever calls has compared the id of the topic that bears the name.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn delete_topics(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        const CALL: &str = "DeleteTopics";
        let names = names
            .iter()
            .map(|name| c_string(CALL, name))
            .collect::<Result<Vec<_>, _>>()?;
        self.blocking(move |admin| {
            let native = names
                .iter()
                .map(|name| {
                    Owned::new(
                        // SAFETY: the name is valid for the call, which copies it.
                        unsafe { sys::rd_kafka_DeleteTopic_new(name.as_ptr()) },
                        sys::rd_kafka_DeleteTopic_destroy,
                    )
                    .expect("librdkafka makes delete requests")
                })
                .collect::<Vec<_>>();
            let mut raw = pointers(&native);
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS,
                Options {
                    await_completion: true,
                    ..Options::default()
                },
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_DeleteTopics(client, raw.as_mut_ptr(), raw.len(), options, queue);
                },
                // SAFETY: the event is this request's, and everything read is copied.
                |event| unsafe {
                    let mut count = 0;
                    let result = sys::rd_kafka_event_DeleteTopics_result(event);
                    let topics = sys::rd_kafka_DeleteTopics_result_topics(result, &mut count);
                    topic_results(CALL, array(topics, count))
                },
            )
        })
        .await
    }
}

/// # Safety
/// `topic` is a valid description.
unsafe fn describe(
    call: &'static str,
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<Topic, Error> {
    // SAFETY: by the caller's promise; all that is read belongs to the description.
    unsafe {
        outcome(call, sys::rd_kafka_TopicDescription_error(topic))?;
        let mut count = 0;
        let partitions = array(
            sys::rd_kafka_TopicDescription_partitions(topic, &mut count),
            count,
        );
        let mut replicas = 0;
        if let Some(first) = partitions.first() {
            sys::rd_kafka_TopicPartitionInfo_replicas(*first, &mut replicas);
        }
        Ok(Topic {
            id: string(sys::rd_kafka_Uuid_base64str(
                sys::rd_kafka_TopicDescription_topic_id(topic),
            )),
            partitions: partitions.len() as i32,
            replicas: replicas as i32,
            internal: sys::rd_kafka_TopicDescription_is_internal(topic) != 0,
        })
    }
}

fn new_topic(
    call: &'static str,
    topic: &NewTopic,
) -> Result<Owned<sys::rd_kafka_NewTopic_t>, Error> {
    let name = c_string(call, &topic.name)?;
    let mut text = [0 as c_char; 512];
    // SAFETY: all pointers are valid for the calls, which copy what they need.
    unsafe {
        let native = Owned::new(
            sys::rd_kafka_NewTopic_new(
                name.as_ptr(),
                topic.partitions.unwrap_or(-1),
                topic.replicas.unwrap_or(-1),
                text.as_mut_ptr(),
                text.len(),
            ),
            sys::rd_kafka_NewTopic_destroy,
        )
        .ok_or_else(|| {
            Error::new(
                call,
                RDKafkaErrorCode::InvalidArgument,
                string(text.as_ptr()),
            )
        })?;
        for (key, value) in &topic.config {
            let (name, value) = (c_string(call, key)?, c_string(call, value)?);
            let code =
                sys::rd_kafka_NewTopic_set_config(native.ptr(), name.as_ptr(), value.as_ptr());
            if code.is_error() {
                return Err(Error::new(
                    call,
                    code.into(),
                    format!("{key} is no setting"),
                ));
            }
        }
        Ok(native)
    }
}

/// # Safety
/// The results are valid.
unsafe fn topic_results(
    call: &'static str,
    results: &[*const sys::rd_kafka_topic_result_t],
) -> BTreeMap<String, Result<(), Error>> {
    results
        .iter()
        // SAFETY: by the caller's promise.
        .map(|result| unsafe {
            let name = string(sys::rd_kafka_topic_result_name(*result));
            let code = sys::rd_kafka_topic_result_error(*result);
            let outcome = if code.is_error() {
                let message = string(sys::rd_kafka_topic_result_error_string(*result));
                Err(Error::new(call, code.into(), message))
            } else {
                Ok(())
            };
            (name, outcome)
        })
        .collect()
}
