//! The objects that consumers own, as Kubernetes has them: watched, and kept as fingerprints with the few parts that decisions
//! need.

mod kind;
mod live;
mod store;
mod topics;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::build::OWNED_SELECTOR;
use crate::api::TelemetryConsumer;
pub use kind::Kind;
pub use live::{Live, LiveDeployment, digest, owner};
pub use store::Store;
pub use topics::{LiveTopic, TopicEvents, relay};

/// How often the cluster is asked whether it has PodMonitors.
const DISCOVERY: Duration = Duration::from_secs(45);

/// Watches all kinds for ever, but for the KafkaTopics, which the topic controller's watch tells of. The stream has the consumer of
/// each object that changed.
pub fn watch(
    client: Client,
    topics: TopicEvents,
) -> (
    Arc<Store>,
    impl Stream<Item = ObjectRef<TelemetryConsumer>> + Send,
    JoinSet<()>,
) {
    let store = Arc::new(Store::default());
    let (changed, mut changes) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(hear(topics, store.clone(), changed.clone()));
    for kind in Kind::ALL {
        let (client, store, changed) = (client.clone(), store.clone(), changed.clone());
        match kind {
            Kind::KafkaTopic => continue,
            Kind::PodMonitor => tasks.spawn(watch_pod_monitors(client, store, changed)),
            kind => tasks.spawn(watch_kind(kind, client, store, changed)),
        };
    }
    let changes = futures::stream::poll_fn(move |context| changes.poll_recv(context));
    (store, changes, tasks)
}

/// Takes notice of what the topic controller's watch tells.
async fn hear(
    mut topics: TopicEvents,
    store: Arc<Store>,
    changed: mpsc::UnboundedSender<ObjectRef<TelemetryConsumer>>,
) {
    while let Some(event) = topics.recv().await {
        for owner in store.watched(Kind::KafkaTopic, event) {
            let _ = changed.send(owner);
        }
    }
}

async fn watch_kind(
    kind: Kind,
    client: Client,
    store: Arc<Store>,
    changed: mpsc::UnboundedSender<ObjectRef<TelemetryConsumer>>,
) {
    let api = Api::<DynamicObject>::all_with(client, &kind.resource());
    let ours = watcher::Config::default().labels(OWNED_SELECTOR);
    let mut events = pin!(watcher(api, ours).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                for owner in store.watched(kind, event) {
                    // The receiver goes with the controller, and this task with it.
                    let _ = changed.send(owner);
                }
            }
            Err(error) => {
                tracing::warn!(kind = kind.name(), %error, "cannot be watched; trying again");
            }
        }
    }
}

/// Watches PodMonitors while the cluster knows that kind.
async fn watch_pod_monitors(
    client: Client,
    store: Arc<Store>,
    changed: mpsc::UnboundedSender<ObjectRef<TelemetryConsumer>>,
) {
    let mut watching: Option<JoinSet<()>> = None;
    loop {
        match is_served(&client).await {
            Ok(true) if watching.is_none() => {
                tracing::info!("the cluster has PodMonitors: consumers get one");
                let task = watch_kind(
                    Kind::PodMonitor,
                    client.clone(),
                    store.clone(),
                    changed.clone(),
                );
                watching.insert(JoinSet::new()).spawn(task);
            }
            Ok(false) => {
                watching = None;
                store.clear(Kind::PodMonitor);
            }
            Ok(true) => {}
            Err(error) => {
                tracing::warn!(%error, "the cluster does not say whether it has PodMonitors");
            }
        }
        tokio::time::sleep(DISCOVERY).await;
    }
}

async fn is_served(client: &Client) -> Result<bool, kube::Error> {
    let resource = Kind::PodMonitor.resource();
    match client.list_api_group_resources(&resource.api_version).await {
        Ok(list) => Ok(list
            .resources
            .iter()
            .any(|served| served.kind == resource.kind)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}
