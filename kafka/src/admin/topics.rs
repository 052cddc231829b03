use std::collections::BTreeMap;
use std::ffi::{CString, c_char};

use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::Admin;
use super::native::{Owned, array, c_string, c_strings, coded, outcome, string};
use super::request::{Options, Outcomes, Request, Sends, made};
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
        let names = c_strings(CALL, names)?;
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            // SAFETY: the pointers are those that the request was given.
            send: Sends::One(|client, names, options, queue| unsafe {
                sys::rd_kafka_DescribeTopics(client, names, options, queue);
            }),
            result: sys::rd_kafka_event_DescribeTopics_result,
            items: sys::rd_kafka_DescribeTopics_result_topics,
        };
        let objects = move |_: &mut _| collection(&names).into_iter().collect();
        let read = |topics: &[*const sys::rd_kafka_TopicDescription_t],
                    outcomes: &mut Outcomes<Topic>| {
            // SAFETY: the descriptions are the answer's.
            outcomes.extend(topics.iter().map(|topic| unsafe {
                let name = string(sys::rd_kafka_TopicDescription_name(*topic));
                (name, describe(CALL, *topic))
            }));
            Ok(())
        };
        // SAFETY: all of it is DescribeTopics'.
        unsafe { self.ask(request, Options::default(), objects, read) }.await
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
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS,
            send: Sends::Each(sys::rd_kafka_CreateTopics),
            result: sys::rd_kafka_event_CreateTopics_result,
            items: sys::rd_kafka_CreateTopics_result_topics,
        };
        let options = Options {
            validate_only,
            await_completion: true,
            ..Options::default()
        };
        let objects = move |outcomes: &mut _| {
            let topics = topics.into_iter();
            let tried = topics.map(|topic| {
                let native = new_topic(CALL, &topic);
                (topic.name, native)
            });
            made(tried, outcomes)
        };
        // SAFETY: all of it is CreateTopics', and the results are the answer's.
        unsafe {
            self.ask(request, options, objects, |topics, outcomes| {
                topic_results(CALL, topics, outcomes)
            })
        }
        .await
    }

    /// Grows topics to the given total numbers of partitions, or only asks whether Kafka would (`validate_only`). One
    /// outcome a topic.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn create_partitions(
        &self,
        totals: BTreeMap<String, usize>,
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        const CALL: &str = "CreatePartitions";
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
            send: Sends::Each(sys::rd_kafka_CreatePartitions),
            result: sys::rd_kafka_event_CreatePartitions_result,
            items: sys::rd_kafka_CreatePartitions_result_topics,
        };
        let options = Options {
            validate_only,
            await_completion: true,
            ..Options::default()
        };
        let objects = move |outcomes: &mut _| {
            let totals = totals.into_iter();
            let tried = totals.map(|(name, total)| {
                let native = new_partitions(CALL, &name, total);
                (name, native)
            });
            made(tried, outcomes)
        };
        // SAFETY: all of it is CreatePartitions', and the results are the answer's.
        unsafe {
            self.ask(request, options, objects, |topics, outcomes| {
                topic_results(CALL, topics, outcomes)
            })
        }
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
        let mut names = c_strings(CALL, names)?;
        // Kafka refuses a request that names a topic twice.
        names.sort();
        names.dedup();
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS,
            send: Sends::Each(sys::rd_kafka_DeleteTopics),
            result: sys::rd_kafka_event_DeleteTopics_result,
            items: sys::rd_kafka_DeleteTopics_result_topics,
        };
        let options = Options {
            await_completion: true,
            ..Options::default()
        };
        let objects = move |_: &mut _| names.iter().map(delete_topic).collect();
        // SAFETY: all of it is DeleteTopics', and the results are the answer's.
        let mut outcomes = unsafe {
            self.ask(request, options, objects, |topics, outcomes| {
                topic_results(CALL, topics, outcomes)
            })
        }
        .await?;
        // In the version of the request that librdkafka sends there is no code of its own for this.
        for error in outcomes
            .values_mut()
            .filter_map(|outcome| outcome.as_mut().err())
        {
            if error.code == RDKafkaErrorCode::InvalidRequest {
                let why = "the brokers delete no topics: their delete.topic.enable is false";
                *error = Error::new(CALL, RDKafkaErrorCode::TopicDeletionDisabled, why);
            }
        }
        Ok(outcomes)
    }
}

/// The names as librdkafka takes them; none for no names.
fn collection(names: &[CString]) -> Option<Owned<sys::rd_kafka_TopicCollection_t>> {
    let mut raw: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    if raw.is_empty() {
        return None;
    }
    // SAFETY: the names are alive during the call, which copies them.
    let native =
        unsafe { sys::rd_kafka_TopicCollection_of_topic_names(raw.as_mut_ptr(), raw.len()) };
    Owned::new(native, sys::rd_kafka_TopicCollection_destroy)
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
    let (partitions, replicas) = (topic.partitions.unwrap_or(-1), topic.replicas.unwrap_or(-1));
    let mut text = [0 as c_char; 512];
    // SAFETY: name and buffer are alive during the call, which copies the name; its message ends with a NUL.
    let native = unsafe {
        let (text, size) = (text.as_mut_ptr(), text.len());
        let native = sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replicas, text, size);
        Owned::new(native, sys::rd_kafka_NewTopic_destroy).ok_or_else(|| string(text))
    };
    // It refuses by itself what is beyond its own limits.
    let native = native.map_err(|message| {
        let code = match () {
            () if message.contains("num_partitions") => RDKafkaErrorCode::InvalidPartitions,
            () if message.contains("replication_factor") => {
                RDKafkaErrorCode::InvalidReplicationFactor
            }
            () => RDKafkaErrorCode::InvalidTopic,
        };
        Error::new(call, code, message)
    })?;
    for (key, value) in &topic.config {
        let (name, value) = (c_string(call, key)?, c_string(call, value)?);
        // SAFETY: the topic and the strings are alive during the call, which copies them.
        let code = unsafe {
            sys::rd_kafka_NewTopic_set_config(native.ptr(), name.as_ptr(), value.as_ptr())
        };
        if code.is_error() {
            let message = format!("{key} is no setting");
            return Err(Error::new(call, code.into(), message));
        }
    }
    Ok(native)
}

fn new_partitions(
    call: &'static str,
    name: &str,
    total: usize,
) -> Result<Owned<sys::rd_kafka_NewPartitions_t>, Error> {
    let name = c_string(call, name)?;
    let mut text = [0 as c_char; 512];
    // SAFETY: name and buffer are alive during the call, which copies the name; its message ends with a NUL.
    unsafe {
        let (text, size) = (text.as_mut_ptr(), text.len());
        let native = sys::rd_kafka_NewPartitions_new(name.as_ptr(), total, text, size);
        Owned::new(native, sys::rd_kafka_NewPartitions_destroy)
            .ok_or_else(|| Error::new(call, RDKafkaErrorCode::InvalidPartitions, string(text)))
    }
}

fn delete_topic(name: &CString) -> Owned<sys::rd_kafka_DeleteTopic_t> {
    // SAFETY: the name is alive during the call, which copies it.
    let native = unsafe { sys::rd_kafka_DeleteTopic_new(name.as_ptr()) };
    Owned::new(native, sys::rd_kafka_DeleteTopic_destroy).expect("librdkafka makes delete requests")
}

/// # Safety
/// The results are valid.
unsafe fn topic_results(
    call: &'static str,
    results: &[*const sys::rd_kafka_topic_result_t],
    outcomes: &mut Outcomes<()>,
) -> Result<(), Error> {
    // SAFETY: by the caller's promise.
    outcomes.extend(results.iter().map(|result| unsafe {
        let code = sys::rd_kafka_topic_result_error(*result);
        let message = sys::rd_kafka_topic_result_error_string(*result);
        let name = string(sys::rd_kafka_topic_result_name(*result));
        (name, coded(call, code, message))
    }));
    Ok(())
}
