use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, c_char};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::Admin;
use super::native::{Owned, c_string, outcome, string};
use super::request::{Options, Outcomes, Request, Sends, made};
use crate::Error;

/// A consumer group as its coordinator describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// What it does.
    pub state: GroupState,
    /// Number of members.
    pub members: usize,
}

/// What a consumer group does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// All members have their partitions.
    Stable,
    /// Members come or go, and partitions move (`PreparingRebalance`, `CompletingRebalance`).
    Rebalancing,
    /// No members; it may have offsets.
    Empty,
    /// There is no such group, or it is no classic one.
    Dead,
    /// A state that the client does not know.
    Unknown,
}

impl Admin {
    /// The named groups, each from its coordinator. A group that does not exist is [`GroupState::Dead`].
    ///
    /// # Errors
    /// When no broker answered; an inner error where a group's coordinator refused or is away.
    pub async fn describe_groups(
        &self,
        groups: &[&str],
    ) -> Result<BTreeMap<String, Result<Group, Error>>, Error> {
        const CALL: &str = "DescribeConsumerGroups";
        /// # Safety
        /// As for librdkafka's own, which leaves the names as they are.
        unsafe extern "C" fn send(
            client: *mut sys::rd_kafka_t,
            groups: *mut *mut c_char,
            count: usize,
            options: *const sys::rd_kafka_AdminOptions_t,
            queue: *mut sys::rd_kafka_queue_t,
        ) {
            // SAFETY: by the caller's promise.
            unsafe {
                sys::rd_kafka_DescribeConsumerGroups(client, groups.cast(), count, options, queue);
            }
        }
        // It refuses names that come twice.
        let names: BTreeSet<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
            send: Sends::Each(send),
            result: sys::rd_kafka_event_DescribeConsumerGroups_result,
            items: sys::rd_kafka_DescribeConsumerGroups_result_groups,
        };
        let objects = move |outcomes: &mut _| {
            let tried = names.into_iter().map(|name| {
                let native = c_string(CALL, &name).map(owned_name);
                (name, native)
            });
            made(tried, outcomes)
        };
        let read = |groups: &[*const sys::rd_kafka_ConsumerGroupDescription_t],
                    outcomes: &mut Outcomes<Group>| {
            // SAFETY: the descriptions are the answer's.
            outcomes.extend(groups.iter().map(|group| unsafe {
                let name = string(sys::rd_kafka_ConsumerGroupDescription_group_id(*group));
                (name, describe(CALL, *group))
            }));
            Ok(())
        };
        // SAFETY: all of it is DescribeConsumerGroups'.
        unsafe { self.ask(request, Options::default(), objects, read) }.await
    }

    /// Deletes a consumer group with its offsets. One that does not exist is deleted already.
    ///
    /// # Errors
    /// When the group still has members ([`Error::is_group_not_empty`]), its coordinator refused, or no broker answered.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        const CALL: &str = "DeleteGroups";
        let name = c_string(CALL, group)?;
        let request = Request {
            call: CALL,
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEGROUPS,
            send: Sends::Each(sys::rd_kafka_DeleteGroups),
            result: sys::rd_kafka_event_DeleteGroups_result,
            items: sys::rd_kafka_DeleteGroups_result_groups,
        };
        let objects = move |_: &mut _| vec![delete_group(&name)];
        let read = |groups: &[*const sys::rd_kafka_group_result_t], (): &mut ()| {
            // SAFETY: the results are the answer's.
            let outcomes = groups
                .iter()
                .map(|group| unsafe { outcome(CALL, sys::rd_kafka_group_result_error(*group)) });
            outcomes.collect()
        };
        // SAFETY: all of it is DeleteGroups'.
        let deleted = unsafe { self.ask(request, Options::default(), objects, read) }.await;
        deleted.or_else(|error| match error.code {
            RDKafkaErrorCode::GroupIdNotFound => Ok(()),
            _ => Err(error),
        })
    }
}

/// A name as an object of a request.
fn owned_name(name: CString) -> Owned<c_char> {
    /// # Safety
    /// The name is one that [`owned_name`] let go of.
    unsafe extern "C" fn destroy(name: *mut c_char) {
        // SAFETY: by the caller's promise.
        drop(unsafe { CString::from_raw(name) });
    }
    Owned::new(name.into_raw(), destroy).expect("a string is not null")
}

fn delete_group(name: &CString) -> Owned<sys::rd_kafka_DeleteGroup_t> {
    // SAFETY: the name is alive during the call, which copies it.
    let native = unsafe { sys::rd_kafka_DeleteGroup_new(name.as_ptr()) };
    Owned::new(native, sys::rd_kafka_DeleteGroup_destroy).expect("librdkafka makes delete requests")
}

/// # Safety
/// `group` is a valid description.
unsafe fn describe(
    call: &'static str,
    group: *const sys::rd_kafka_ConsumerGroupDescription_t,
) -> Result<Group, Error> {
    use sys::rd_kafka_consumer_group_state_t as State;
    // SAFETY: by the caller's promise; all that is read belongs to the description.
    let (error, state, members) = unsafe {
        (
            outcome(call, sys::rd_kafka_ConsumerGroupDescription_error(group)),
            sys::rd_kafka_ConsumerGroupDescription_state(group),
            sys::rd_kafka_ConsumerGroupDescription_member_count(group),
        )
    };
    let state = match state {
        _ if matches!(&error, Err(error) if error.code == RDKafkaErrorCode::GroupIdNotFound) => {
            return Ok(Group {
                state: GroupState::Dead,
                members: 0,
            });
        }
        State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE
        | State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupState::Rebalancing,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupState::Empty,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Dead,
        _ => GroupState::Unknown,
    };
    error.map(|()| Group { state, members })
}
