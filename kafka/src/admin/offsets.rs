use std::collections::BTreeMap;

use rdkafka::error::IsError;
use rdkafka_sys as sys;

use super::Admin;
use super::request::{Options, Owned, array, c_string, outcome, string};
use crate::Error;

/// Offsets by topic and partition. A partition that could not be answered is absent: unknown is not zero.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// librdkafka's "no offset committed".
const NOT_COMMITTED: i64 = sys::RD_KAFKA_OFFSET_INVALID as i64;

impl Admin {
    /// The first offsets that partitions still hold (the log start).
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn log_start_offsets(
        &self,
        partitions: Vec<(String, i32)>,
    ) -> Result<Offsets, Error> {
        self.list_offsets(partitions, i64::from(sys::RD_KAFKA_OFFSET_BEGINNING))
            .await
    }

    /// The offsets that the next records will get (the log end).
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn log_end_offsets(&self, partitions: Vec<(String, i32)>) -> Result<Offsets, Error> {
        self.list_offsets(partitions, i64::from(sys::RD_KAFKA_OFFSET_END))
            .await
    }

    async fn list_offsets(
        &self,
        partitions: Vec<(String, i32)>,
        which: i64,
    ) -> Result<Offsets, Error> {
        const CALL: &str = "ListOffsets";
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        self.blocking(move |admin| {
            let list = partition_list(CALL, &partitions, which)?;
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
                Options::default(),
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_ListOffsets(client, list.ptr(), options, queue);
                },
                // SAFETY: the event is this request's, and everything read is copied.
                |event| unsafe {
                    let mut count = 0;
                    let result = sys::rd_kafka_event_ListOffsets_result(event);
                    let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
                    array(infos, count)
                        .iter()
                        .filter_map(|info| {
                            known_offset(sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info))
                        })
                        .collect()
                },
            )
        })
        .await
    }

    /// The offsets that a consumer group has committed, for all partitions that it ever committed.
    ///
    /// # Errors
    /// When no broker answered, or the group's coordinator refused.
    pub async fn committed_offsets(&self, group: &str) -> Result<Offsets, Error> {
        const CALL: &str = "ListConsumerGroupOffsets";
        let group = c_string(CALL, group)?;
        self.blocking(move |admin| {
            let native = Owned::new(
                // SAFETY: the group is valid for the call, which copies it; no list means all partitions.
                unsafe {
                    sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), std::ptr::null())
                },
                sys::rd_kafka_ListConsumerGroupOffsets_destroy,
            )
            .expect("librdkafka makes group requests");
            let mut raw = [native.ptr()];
            admin.request(
                CALL,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
                Options::default(),
                // SAFETY: all pointers are valid for the call, which copies what it needs.
                |client, options, queue| unsafe {
                    sys::rd_kafka_ListConsumerGroupOffsets(
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
                    let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event);
                    let groups =
                        sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
                    let mut offsets = Offsets::new();
                    for group in array(groups, count) {
                        outcome(CALL, sys::rd_kafka_group_result_error(*group))?;
                        let list = sys::rd_kafka_group_result_partitions(*group);
                        if list.is_null() {
                            continue;
                        }
                        for index in 0..(*list).cnt as usize {
                            offsets.extend(known_offset((*list).elems.add(index)));
                        }
                    }
                    Ok(offsets)
                },
            )?
        })
        .await
    }
}

fn partition_list(
    call: &'static str,
    partitions: &[(String, i32)],
    offset: i64,
) -> Result<Owned<sys::rd_kafka_topic_partition_list_t>, Error> {
    // SAFETY: the list is ours; each name is valid for the call that copies it.
    unsafe {
        let list = Owned::new(
            sys::rd_kafka_topic_partition_list_new(partitions.len() as i32),
            sys::rd_kafka_topic_partition_list_destroy,
        )
        .expect("librdkafka makes partition lists");
        for (topic, partition) in partitions {
            let topic = c_string(call, topic)?;
            let entry =
                sys::rd_kafka_topic_partition_list_add(list.ptr(), topic.as_ptr(), *partition);
            (*entry).offset = offset;
        }
        Ok(list)
    }
}

/// # Safety
/// `entry` is a valid partition entry.
unsafe fn known_offset(
    entry: *const sys::rd_kafka_topic_partition_t,
) -> Option<((String, i32), i64)> {
    // SAFETY: by the caller's promise.
    let entry = unsafe { &*entry };
    if entry.err.is_error() || entry.offset == NOT_COMMITTED || entry.offset < 0 {
        return None;
    }
    // SAFETY: as above.
    let topic = unsafe { string(entry.topic) };
    Some(((topic, entry.partition), entry.offset))
}
