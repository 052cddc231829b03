//! The life of one Admin request: objects, options, queue, wait, event.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::time::{Duration, Instant};

use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::Admin;
use super::native::{Owned, array, string};
use super::session::Session;
use crate::Error;

/// How often a call that waits looks whether its connection was refused.
const SLICE: Duration = Duration::from_millis(200);

/// One of librdkafka's Admin requests: it is sent with objects of type `N`, and its result `R` is a list of `I`.
pub(super) struct Request<N, R, I> {
    /// Kafka's name of it.
    pub(super) call: &'static str,
    pub(super) op: sys::rd_kafka_admin_op_t,
    pub(super) send: Sends<N>,
    pub(super) result: unsafe extern "C" fn(*mut sys::rd_kafka_event_t) -> *const R,
    pub(super) items: unsafe extern "C" fn(*const R, *mut usize) -> *mut *const I,
}

type Client = *mut sys::rd_kafka_t;
type NativeOptions = *const sys::rd_kafka_AdminOptions_t;
type Queue = *mut sys::rd_kafka_queue_t;

/// How a request takes its objects. It copies what it needs of them.
pub(super) enum Sends<N> {
    /// As an array with its length.
    Each(unsafe extern "C" fn(Client, *mut *mut N, usize, NativeOptions, Queue)),
    /// One at a time.
    One(unsafe fn(Client, *mut N, NativeOptions, Queue)),
}

/// One outcome for each of what was asked about, by name.
pub(super) type Outcomes<T> = BTreeMap<String, Result<T, Error>>;

/// The objects that could be made; what is wrong with the others is their outcome, so that nothing else suffers.
pub(super) fn made<N, T>(
    tried: impl Iterator<Item = (String, Result<Owned<N>, Error>)>,
    outcomes: &mut Outcomes<T>,
) -> Vec<Owned<N>> {
    let kept = tried.filter_map(|(name, object)| match object {
        Ok(object) => Some(object),
        Err(error) => {
            outcomes.insert(name, Err(error));
            None
        }
    });
    kept.collect()
}

/// Which options a request carries besides its timeout.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    /// Ask the broker to check the request and do nothing.
    pub(super) validate_only: bool,
    /// Wait until the controller has done it rather than until it has accepted it.
    pub(super) await_completion: bool,
    /// No offset of a transaction that is still open, but an error instead (KIP-447).
    pub(super) require_stable: bool,
    /// The end is that of what is decided: the last stable offset (KIP-98).
    pub(super) read_committed: bool,
}

impl Admin {
    /// Makes the objects, sends the request with them, waits for the answer and reads it. Nothing is sent for no objects. Both
    /// `objects` and `read` add to what is returned.
    ///
    /// # Safety
    /// All functions of the request, and its `op`, are those of one and the same call of librdkafka's.
    pub(super) async unsafe fn ask<N, R, I, T>(
        &self,
        request: Request<N, R, I>,
        options: Options,
        objects: impl FnOnce(&mut T) -> Vec<Owned<N>> + Send + 'static,
        read: impl FnOnce(&[*const I], &mut T) -> Result<(), Error> + Send + 'static,
    ) -> Result<T, Error>
    where
        N: 'static,
        R: 'static,
        I: 'static,
        T: Default + Send + 'static,
    {
        let admin = self.clone();
        let call = move || {
            let mut found = T::default();
            let objects = objects(&mut found);
            if objects.is_empty() {
                return Ok(found);
            }
            let session = admin.session()?;
            let started = Instant::now();
            // SAFETY: by the caller's promise.
            let answer = unsafe { admin.exchange(&session, &request, options, &objects) };
            let answer = answer.and_then(|event| {
                let mut count = 0;
                // SAFETY: the event answers this request, so it has that result. What `read` makes of the items cannot
                // outlive the event: it owns all that it has, pointers not being `Send`.
                let items = unsafe {
                    let result = (request.result)(event.ptr());
                    array((request.items)(result, &mut count), count)
                };
                read(items, &mut found)
            });
            if let Some(told) = &admin.on_call {
                told(request.call, answer.is_ok(), started.elapsed());
            }
            if answer.is_err() {
                admin.close_lost(&session);
            }
            answer.map(|()| found)
        };
        tokio::task::spawn_blocking(call)
            .await
            .expect("an Admin call does not panic and is never aborted")
    }

    /// Sends one request and waits for its event.
    ///
    /// # Safety
    /// As for [`Self::ask`].
    unsafe fn exchange<N, R, I>(
        &self,
        session: &Session,
        request: &Request<N, R, I>,
        options: Options,
        objects: &[Owned<N>],
    ) -> Result<Owned<sys::rd_kafka_event_t>, Error> {
        let mut raw: Vec<*mut N> = objects.iter().map(Owned::ptr).collect();
        // SAFETY: the client, the options, the objects and the queue are alive during the calls.
        let queue = unsafe {
            let client = session.native();
            let native = self.options(client, request.op, options);
            let queue = Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)
                .expect("librdkafka makes queues");
            match request.send {
                Sends::Each(send) => send(
                    client,
                    raw.as_mut_ptr(),
                    raw.len(),
                    native.ptr(),
                    queue.ptr(),
                ),
                Sends::One(send) => send(client, raw[0], native.ptr(), queue.ptr()),
            }
            queue
        };
        let Some(event) = self.wait(session, &queue)? else {
            return Err(session.cause().unwrap_or_else(|| {
                Error::new(
                    request.call,
                    RDKafkaErrorCode::OperationTimedOut,
                    "no answer",
                )
            }));
        };
        // SAFETY: the event is alive.
        let code = unsafe { sys::rd_kafka_event_error(event.ptr()) };
        if code.is_error() {
            // SAFETY: as above.
            let message = unsafe { string(sys::rd_kafka_event_error_string(event.ptr())) };
            let error = Error::new(request.call, code.into(), message);
            // "Timed out" is what is left when the connection failed; why it failed is what helps.
            let cause = session.cause().filter(|_| error.is_unreachable());
            return Err(cause.unwrap_or(error));
        }
        session.answered();
        Ok(event)
    }

    /// Waits for the request's event, which its own timeout makes come at the latest; none where it does not.
    ///
    /// # Errors
    /// When the connection was refused meanwhile, so that no answer can come.
    fn wait(
        &self,
        session: &Session,
        queue: &Owned<sys::rd_kafka_queue_t>,
    ) -> Result<Option<Owned<sys::rd_kafka_event_t>>, Error> {
        // The margin is for the event to be queued.
        let until = Instant::now() + self.timeout + Duration::from_secs(5);
        let slice = SLICE.as_millis() as i32;
        loop {
            // SAFETY: the queue is alive.
            let event = unsafe { sys::rd_kafka_queue_poll(queue.ptr(), slice) };
            let event = Owned::new(event, sys::rd_kafka_event_destroy);
            if event.is_some() || Instant::now() > until {
                return Ok(event);
            }
            if let Some(refusal) = session.refusal() {
                return Err(refusal);
            }
        }
    }

    /// The native options of a request.
    ///
    /// # Safety
    /// The client is alive.
    unsafe fn options(
        &self,
        client: Client,
        op: sys::rd_kafka_admin_op_t,
        options: Options,
    ) -> Owned<sys::rd_kafka_AdminOptions_t> {
        let millis = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX);
        let mut text = [0 as c_char; 512];
        // SAFETY: by the caller's promise; the buffer is alive during the calls.
        unsafe {
            let native = Owned::new(
                sys::rd_kafka_AdminOptions_new(client, op),
                sys::rd_kafka_AdminOptions_destroy,
            )
            .expect("librdkafka makes options for every operation");
            let (ptr, text, size) = (native.ptr(), text.as_mut_ptr(), text.len());
            sys::rd_kafka_AdminOptions_set_request_timeout(ptr, millis, text, size);
            if options.validate_only {
                sys::rd_kafka_AdminOptions_set_validate_only(ptr, 1, text, size);
            }
            if options.await_completion {
                sys::rd_kafka_AdminOptions_set_operation_timeout(ptr, millis, text, size);
            }
            if options.require_stable {
                let error = sys::rd_kafka_AdminOptions_set_require_stable_offsets(ptr, 1);
                debug_assert!(error.is_null(), "only asked of calls that have it");
            }
            if options.read_committed {
                let level = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
                let error = sys::rd_kafka_AdminOptions_set_isolation_level(ptr, level);
                debug_assert!(error.is_null(), "only asked of calls that have it");
            }
            native
        }
    }
}
