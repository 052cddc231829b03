//! The tests on a real kind cluster.
