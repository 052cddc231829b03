//! The operator: `KafkaTopic` and `TelemetryConsumer` resources become topics and consumer Deployments.
//!
//! [`api`] has the resources, [`run`] the operator itself, [`plugin`] what users type: `kubectl bt`. Two controllers, [`topics`](self) and [`consumers`](self), live in
//! modules of these names; each has a pure middle that is tested without a cluster.

pub mod api;
pub mod plugin;

mod clusters;
mod consumers;
mod context;
mod crds;
mod finalizer;
mod leader;
mod metrics;
mod reference;
mod release;
mod run;
mod saved_objects;
mod server;
mod settings;
mod status;
mod topics;

pub use consumers::STATE_TOPIC_CONFIG;
pub use crds::write as write_crds;
pub use reference::write as write_reference;
pub use release::{let_go, release};
pub use run::run;
pub use saved_objects::import_saved_objects;
pub use settings::Settings;
