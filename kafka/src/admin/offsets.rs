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
        let which = i64::from(sys::RD_KAFKA_OFFSET_BEGINNING);
        self.list_offsets(partitions, which, Options::default())
            .await
    }

    /// The offsets that the next records will get (the log end).
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn log_end_offsets(&self, partitions: Vec<(String, i32)>) -> Result<Offsets, Error> {
        let which = i64::from(sys::RD_KAFKA_OFFSET_END);
        self.list_offsets(partitions, which, Options::default())
            .await
    }

    /// The offsets below which every transaction is decided: as far as one gets with `isolation.level=read_committed`.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn last_stable_offsets(
        &self,
        partitions: Vec<(String, i32)>,
    ) -> Result<Offsets, Error> {
        let which = i64::from(sys::RD_KAFKA_OFFSET_END);
        let options = Options {
            read_committed: true,
            ..Options::default()
        };
        self.list_offsets(partitions, which, options).await
    }

    async fn list_offsets(
        &self,
        partitions: Vec<(String, i32)>,
        which: i64,
        options: Options,
    ) -> Result<Offsets, Error> {
        const CALL: &str = "ListOffsets";
        let partitions = c_partitions(CALL, partitions)?;
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
        unsafe { self.ask(request, options, objects, read) }.await
    }

    /// The offsets that a consumer group has committed, for all partitions that it ever committed.
    ///
    /// # Errors
    /// When no broker answered, or the group's coordinator refused.
    pub async fn committed_offsets(&self, group: &str) -> Result<Offsets, Error> {
        self.group_offsets(group, None, Options::default()).await
    }

    /// As [`Self::committed_offsets`], of these partitions, with the promise that no transaction that is still open
    /// changes them (KIP-447).
    ///
    /// # Errors
    /// As there, and while there is such a transaction for one of them, or one cannot be answered.
    pub async fn stable_committed_offsets(
        &self,
        group: &str,
        partitions: Vec<(String, i32)>,
    ) -> Result<Offsets, Error> {
        let options = Options {
            require_stable: true,
            ..Options::default()
        };
        self.group_offsets(group, Some(partitions), options).await
    }

    async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<Vec<(String, i32)>>,
        options: Options,
    ) -> Result<Offsets, Error> {
        const CALL: &str = "ListConsumerGroupOffsets";
        let group = c_string(CALL, group)?;
        let partitions = partitions.map(|all| c_partitions(CALL, all)).transpose()?;
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
            send: Sends::Each(sys::rd_kafka_ListConsumerGroupOffsets),
            result: sys::rd_kafka_event_ListConsumerGroupOffsets_result,
            items: sys::rd_kafka_ListConsumerGroupOffsets_result_groups,
        };
        let objects = move |_: &mut _| vec![group_request(&group, partitions.as_deref())];
        // SAFETY: all of it is ListConsumerGroupOffsets', and the groups are the answer's.
        unsafe {
            self.ask(request, options, objects, move |groups, offsets| {
                group_offsets(CALL, groups, options.require_stable, offsets)
            })
        }
        .await
    }
}

fn c_partitions(
    call: &'static str,
    partitions: Vec<(String, i32)>,
) -> Result<Vec<(CString, i32)>, Error> {
    let partitions = partitions.into_iter();
    partitions
        .map(|(topic, partition)| Ok((c_string(call, &topic)?, partition)))
        .collect()
}

/// A group, to be asked for these partitions, or for all that it has.
fn group_request(
    group: &CString,
    partitions: Option<&[(CString, i32)]>,
) -> Owned<sys::rd_kafka_ListConsumerGroupOffsets_t> {
    let list = partitions.map(|partitions| partition_list(partitions, NOT_COMMITTED));
    let list = list
        .as_ref()
        .map_or(std::ptr::null(), |list| list.ptr().cast_const());
    // SAFETY: the group's name and the list are alive during the call, which copies them; no list means all partitions.
    let native = unsafe { sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list) };
    Owned::new(native, sys::rd_kafka_ListConsumerGroupOffsets_destroy)
        .expect("librdkafka makes group requests")
}

/// # Safety
/// The groups are valid.
unsafe fn group_offsets(
    call: &'static str,
    groups: &[*const sys::rd_kafka_group_result_t],
    all: bool,
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
                let entry = (*list).elems.add(index);
                let code = (*entry).err;
                if all && code.is_error() {
                    let topic = string((*entry).topic);
                    let partition = (*entry).partition;
                    let code = rdkafka::error::RDKafkaErrorCode::from(code);
                    return Err(Error::new(
                        call,
                        code,
                        format!("{topic}/{partition}: {code}"),
                    ));
                }
                offsets.extend(known_offset(entry));
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
