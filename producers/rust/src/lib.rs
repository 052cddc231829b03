//! The wire format of bt-monitoring's events.
