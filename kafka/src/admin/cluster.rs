use std::ffi::c_void;
use std::ptr::NonNull;

use rdkafka_sys as sys;

use super::Admin;
use super::native::{Owned, string};
use super::request::{Options, Request, Sends};
use crate::Error;

impl Admin {
    /// The brokers that are there, as they advertise themselves on the listener that answers: host and port.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn brokers(&self) -> Result<Vec<(String, u16)>, Error> {
        let request = Request {
            call: "DescribeCluster",
            op: sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER,
            // SAFETY: the pointers are those that the request was given.
            send: Sends::One(|client, _: *mut c_void, options, queue| unsafe {
                sys::rd_kafka_DescribeCluster(client, options, queue);
            }),
            result: sys::rd_kafka_event_DescribeCluster_result,
            items: sys::rd_kafka_DescribeCluster_result_nodes,
        };
        let objects = |_: &mut _| vec![no_object()];
        let read = |nodes: &[*const sys::rd_kafka_Node_t], brokers: &mut Vec<_>| {
            // SAFETY: the nodes are the answer's.
            brokers.extend(nodes.iter().map(|node| unsafe {
                let host = string(sys::rd_kafka_Node_host(*node));
                (host, sys::rd_kafka_Node_port(*node))
            }));
            Ok(())
        };
        // SAFETY: all of it is DescribeCluster's.
        unsafe { self.ask(request, Options::default(), objects, read) }.await
    }
}

/// What is sent with a request that takes no object.
fn no_object() -> Owned<c_void> {
    unsafe extern "C" fn nothing(_: *mut c_void) {}
    Owned::new(NonNull::dangling().as_ptr(), nothing).expect("it is not null")
}
