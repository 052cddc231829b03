use std::collections::BTreeMap;

/// What an engine has seen and done.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// `_bulk` requests.
    pub bulk_requests: u64,
    /// Documents in them.
    pub documents: u64,
    /// Bytes of their bodies, as they were sent.
    pub bytes: u64,
    /// The most `_bulk` requests that were there at the same time.
    pub peak: u64,
    /// Requests by [`Fault::name`](crate::Fault::name).
    pub faults: BTreeMap<&'static str, u64>,
    /// Documents that came again before the time that `Retry-After` had said.
    pub early: u64,
    /// How often documents were refused for contradicting the mapping, by their id.
    pub refused: BTreeMap<String, u64>,
    /// `_bulk` requests answered 400 or 413 as a whole.
    pub refused_requests: u64,
    /// Documents that were deleted.
    pub deleted: u64,
    /// Requests that looked documents up.
    pub looked_up: u64,
}
