//! librdkafka's objects, strings and arrays.

use std::ffi::{CStr, CString, c_char};

use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use crate::Error;

/// A pointer that librdkafka gave to us, with the function that takes it back.
pub(super) struct Owned<T> {
    ptr: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// None for null.
    pub(super) fn new(ptr: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        // Not `then_some`: that would make one of null too, and destroy it.
        (!ptr.is_null()).then(|| Self { ptr, destroy })
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

/// Strings for librdkafka.
///
/// # Errors
/// When one contains a NUL.
pub(super) fn c_strings(call: &'static str, texts: &[&str]) -> Result<Vec<CString>, Error> {
    texts.iter().map(|text| c_string(call, text)).collect()
}

/// An array of librdkafka's as a slice of pointers.
///
/// # Safety
/// `array` holds `count` valid pointers, all of which live for `'a`.
pub(super) unsafe fn array<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(array, count) }
}

/// The outcome that a code and its message tell.
///
/// # Safety
/// `message` is null or a valid C string.
pub(super) unsafe fn coded(
    call: &'static str,
    code: sys::rd_kafka_resp_err_t,
    message: *const c_char,
) -> Result<(), Error> {
    if code.is_error() {
        // SAFETY: by the caller's promise.
        Err(Error::new(call, code.into(), unsafe { string(message) }))
    } else {
        Ok(())
    }
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
        let message = sys::rd_kafka_error_string(error);
        coded(call, sys::rd_kafka_error_code(error), message)
    }
}
