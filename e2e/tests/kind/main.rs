//! The tests on a real kind cluster, in which the chart has been installed by the commands that users type.

mod bad_input;
mod faults;
mod flow;
mod install;
mod leader;
mod scale;
mod topics;
mod uninstall;
