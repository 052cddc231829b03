//! The life of one librdkafka Admin request: options, queue, wait, event.

use std::ffi::{CStr, CString, c_char};
use std::sync::PoisonError;
use std::time::Instant;

use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::Admin;
use crate::Error;

/// A pointer that librdkafka gave to us, with the function that takes it back.
pub(super) struct Owned<T> {
    ptr: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    pub(super) fn new(ptr: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        (!ptr.is_null()).then_some(Self { ptr, destroy })
    }

    pub(super) fn ptr(&self) -> *mut T {
        self.ptr
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka with this destructor, and nobody else destroys it.
        unsafe { (self.destroy)(self.ptr) }
    }
}

/// The pointers of owned objects, as librdkafka's calls take them.
pub(super) fn pointers<T>(owned: &[Owned<T>]) -> Vec<*mut T> {
    owned.iter().map(Owned::ptr).collect()
}

/// Which options a request carries besides its timeout.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    /// Ask the broker to check the request and do nothing.
    pub(super) validate_only: bool,
    /// Wait until the controller has done it rather than until it has accepted it.
    pub(super) await_completion: bool,
}

impl Admin {
    /// Sends one request and waits for its event. `send` starts it; `read` takes what is wanted out of the event.
    pub(super) fn request<T>(
        &self,
        call: &'static str,
        op: sys::rd_kafka_admin_op_t,
        options: Options,
        send: impl FnOnce(
            *mut sys::rd_kafka_t,
            *const sys::rd_kafka_AdminOptions_t,
            *mut sys::rd_kafka_queue_t,
        ),
        read: impl FnOnce(*mut sys::rd_kafka_event_t) -> T,
    ) -> Result<T, Error> {
        let client = self.client.native_ptr();
        let millis = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX);
        let mut text = [0 as c_char; 512];
        // SAFETY: the client outlives the call; every pointer made here is owned and destroyed here.
        let event = unsafe {
            let native = Owned::new(
                sys::rd_kafka_AdminOptions_new(client, op),
                sys::rd_kafka_AdminOptions_destroy,
            )
            .expect("librdkafka makes options for every operation");
            sys::rd_kafka_AdminOptions_set_request_timeout(
                native.ptr(),
                millis,
                text.as_mut_ptr(),
                text.len(),
            );
            if options.validate_only {
                sys::rd_kafka_AdminOptions_set_validate_only(
                    native.ptr(),
                    1,
                    text.as_mut_ptr(),
                    text.len(),
                );
            }
            if options.await_completion {
                sys::rd_kafka_AdminOptions_set_operation_timeout(
                    native.ptr(),
                    millis,
                    text.as_mut_ptr(),
                    text.len(),
                );
            }
            let queue = Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)
                .expect("librdkafka makes queues");
            send(client, native.ptr(), queue.ptr());
            // The request's own timeout comes first; the margin is for its event to be queued.
            let event = sys::rd_kafka_queue_poll(queue.ptr(), millis.saturating_add(5_000));
            Owned::new(event, sys::rd_kafka_event_destroy)
        };
        let cause = self.connection_error();
        let Some(event) = event else {
            return Err(cause.unwrap_or_else(|| {
                Error::new(call, RDKafkaErrorCode::OperationTimedOut, "no answer")
            }));
        };
        // SAFETY: the event is alive until the end of this function.
        let code = unsafe { sys::rd_kafka_event_error(event.ptr()) };
        if code.is_error() {
            // SAFETY: as above.
            let message = unsafe { string(sys::rd_kafka_event_error_string(event.ptr())) };
            let error = Error::new(call, code.into(), message);
            // "Timed out" is what is left when the connection failed; why it failed is what helps.
            return Err(match cause {
                Some(cause) if error.is_unreachable() => Error {
                    message: format!("{} ({})", cause.message, error.message),
                    ..cause
                },
                _ => error,
            });
        }
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(read(event.ptr()))
    }

    /// Empties the client's main queue, where librdkafka puts its log lines and connection errors; the last telling error
    /// since the last success.
    fn connection_error(&self) -> Option<Error> {
        let mut found = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the client is alive; the queue reference and each event are destroyed here.
        unsafe {
            let queue = Owned::new(
                sys::rd_kafka_queue_get_main(self.client.native_ptr()),
                sys::rd_kafka_queue_destroy,
            )?;
            let until = Instant::now() + std::time::Duration::from_millis(50);
            while Instant::now() < until {
                let Some(event) = Owned::new(
                    sys::rd_kafka_queue_poll(queue.ptr(), 0),
                    sys::rd_kafka_event_destroy,
                ) else {
                    break;
                };
                match sys::rd_kafka_event_type(event.ptr()) {
                    sys::RD_KAFKA_EVENT_ERROR => {
                        let error = Error::new(
                            "connect",
                            sys::rd_kafka_event_error(event.ptr()).into(),
                            string(sys::rd_kafka_event_error_string(event.ptr())),
                        );
                        tracing::debug!(code = ?error.code, "{}", error.message);
                        // "All brokers down" follows every failure and tells least.
                        if found.is_none() || error.code != RDKafkaErrorCode::AllBrokersDown {
                            *found = Some(error);
                        }
                    }
                    sys::RD_KAFKA_EVENT_LOG => {
                        let (mut facility, mut line, mut level) =
                            (std::ptr::null(), std::ptr::null(), 0);
                        sys::rd_kafka_event_log(event.ptr(), &mut facility, &mut line, &mut level);
                        tracing::debug!(facility = string(facility), "{}", string(line));
                    }
                    _ => {}
                }
            }
        }
        found.clone()
    }
}

/// A C string of librdkafka's as our own; empty for null.
///
/// # Safety
/// `text` is null or a valid C string.
pub(super) unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// A string for librdkafka.
///
/// # Errors
/// When it contains a NUL, which no name or value of Kafka's can.
pub(super) fn c_string(call: &'static str, text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| {
        Error::new(
            call,
            RDKafkaErrorCode::InvalidArgument,
            format!("{text:?} contains a NUL character"),
        )
    })
}

/// An array of librdkafka's as a slice of pointers.
///
/// # Safety
/// `array` holds `count` valid pointers that live as long as the event that they came from, and `'a` does not outlive it.
pub(super) unsafe fn array<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(array, count) }
}

/// An error object's outcome; null and "no error" are success.
///
/// # Safety
/// `error` is null or a valid error object.
pub(super) unsafe fn outcome(
    call: &'static str,
    error: *const sys::rd_kafka_error_t,
) -> Result<(), Error> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by the caller's promise.
    unsafe {
        let code = sys::rd_kafka_error_code(error);
        if code.is_error() {
            Err(Error::new(
                call,
                code.into(),
                string(sys::rd_kafka_error_string(error)),
            ))
        } else {
            Ok(())
        }
    }
}
