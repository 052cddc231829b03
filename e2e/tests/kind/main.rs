//! The tests on a real kind cluster, in which the chart has been installed by the commands that users type.

mod bad_input;
mod faults;
mod flow;
mod install;
mod leader;
mod operator_metrics;
mod scale;
mod secure;
mod topic_admission;
mod topic_adoption;
mod topic_clusters;
mod topic_drift;
mod topic_model;
mod topic_ownership;
mod topic_refusals;
mod topic_states;
mod topics;
mod uninstall;
