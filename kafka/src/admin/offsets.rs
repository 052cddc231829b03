use std::collections::BTreeMap;
use std::ffi::CString;

use rdkafka::error::IsError;
use rdkafka_sys as sys;

use super::Admin;
use super::native::{Owned, c_string, outcome, string};
use super::request::{Options, Request, Sends};
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
        let partitions = partitions
            .into_iter()
            .map(|(topic, partition)| Ok((c_string(CALL, &topic)?, partition)))
            .collect::<Result<Vec<_>, Error>>()?;
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
            // SAFETY: the pointers are those that the request was given.
            send: Sends::One(|client, partitions, options, queue| unsafe {
                sys::rd_kafka_ListOffsets(client, partitions, options, queue);
            }),
            result: sys::rd_kafka_event_ListOffsets_result,
            items: sys::rd_kafka_ListOffsets_result_infos,
        };
        let objects = move |_: &mut _| {
            let list = (!partitions.is_empty()).then(|| partition_list(&partitions, which));
            list.into_iter().collect()
        };
        let read = |infos: &[*const sys::rd_kafka_ListOffsetsResultInfo_t],
                    offsets: &mut Offsets| {
            // SAFETY: the infos are the answer's.
            offsets.extend(infos.iter().filter_map(|info| unsafe {
                known_offset(sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info))
            }));
            Ok(())
        };
        // SAFETY: all of it is ListOffsets'.
        unsafe { self.ask(request, Options::default(), objects, read) }.await
    }

    /// The offsets that a consumer group has committed, for all partitions that it ever committed.
    ///
    /// # Errors
    /// When no broker answered, or the group's coordinator refused.
    pub async fn committed_offsets(&self, group: &str) -> Result<Offsets, Error> {
        const CALL: &str = "ListConsumerGroupOffsets";
        let group = c_string(CALL, group)?;
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
            send: Sends::Each(sys::rd_kafka_ListConsumerGroupOffsets),
            result: sys::rd_kafka_event_ListConsumerGroupOffsets_result,
            items: sys::rd_kafka_ListConsumerGroupOffsets_result_groups,
        };
        let objects = move |_: &mut _| vec![whole_group(&group)];
        // SAFETY: all of it is ListConsumerGroupOffsets', and the groups are the answer's.
        unsafe {
            self.ask(request, Options::default(), objects, |groups, offsets| {
                group_offsets(CALL, groups, offsets)
            })
        }
        .await
    }
}

/// A group, to be asked for all its partitions.
fn whole_group(group: &CString) -> Owned<sys::rd_kafka_ListConsumerGroupOffsets_t> {
    // SAFETY: the group's name is alive during the call, which copies it; no list means all partitions.
    let native =
        unsafe { sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), std::ptr::null()) };
    Owned::new(native, sys::rd_kafka_ListConsumerGroupOffsets_destroy)
        .expect("librdkafka makes group requests")
}

/// # Safety
/// The groups are valid.
unsafe fn group_offsets(
    call: &'static str,
    groups: &[*const sys::rd_kafka_group_result_t],
    offsets: &mut Offsets,
) -> Result<(), Error> {
    for group in groups {
        // SAFETY: by the caller's promise; the list is the group's, and has that many entries.
        unsafe {
            outcome(call, sys::rd_kafka_group_result_error(*group))?;
            let list = sys::rd_kafka_group_result_partitions(*group);
            if list.is_null() {
                continue;
            }
            for index in 0..(*list).cnt as usize {
                offsets.extend(known_offset((*list).elems.add(index)));
            }
        }
    }
    Ok(())
}

fn partition_list(
    partitions: &[(CString, i32)],
    offset: i64,
) -> Owned<sys::rd_kafka_topic_partition_list_t> {
    // SAFETY: the list is ours; each name is alive during the call, which copies it.
    unsafe {
        let list = Owned::new(
            sys::rd_kafka_topic_partition_list_new(partitions.len() as i32),
            sys::rd_kafka_topic_partition_list_destroy,
        )
        .expect("librdkafka makes partition lists");
        for (topic, partition) in partitions {
            let entry =
                sys::rd_kafka_topic_partition_list_add(list.ptr(), topic.as_ptr(), *partition);
            (*entry).offset = offset;
        }
        list
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
