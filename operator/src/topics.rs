//! The topic controller: `KafkaTopic` resources become topics.
//!
//! What changes goes into a queue for each Kafka cluster; batches are taken from it and reconciled: admit (validate, find the
//! owner), observe Kafka, decide (pure), prepare (finalizer, plan in the status), apply, write the statuses.

mod apply;
mod batch;
mod deletion;
mod desired;
mod observe;
mod ownership;
mod plan;
mod queue;
mod registry;
mod report;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{Future, StreamExt};
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::task::JoinSet;

use crate::api::KafkaTopic;
use crate::clusters::Cluster;
use crate::context::Context;
pub use deletion::FINALIZER;
use queue::{Next, Queue};
use registry::{Registry, Uid};
pub use report::Reason;

/// How often unused clients are closed and topics are counted for the metrics.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// What all batches share.
struct Topics {
    context: Arc<Context>,
    registry: Mutex<Registry>,
}

impl Topics {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that is over: its cluster, and when to look at its resources again.
type Done = (Cluster, Vec<(Uid, Next)>);

/// Runs until `stop` resolves and the batches under way are done. `tell` hears what the watch says, before it is dealt with.
pub async fn run(
    context: Arc<Context>,
    tell: impl Fn(&watcher::Event<KafkaTopic>),
    stop: impl Future<Output = ()>,
) {
    let api = Api::<KafkaTopic>::all(context.client.clone());
    let mut changes = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut stop = std::pin::pin!(stop);
    let topics = Arc::new(Topics {
        registry: Mutex::new(Registry::new(&context.settings.kafka_bootstrap)),
        context,
    });
    let mut queue = Queue::<Cluster, Uid>::default();
    let mut batches = JoinSet::<Done>::new();
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    loop {
        let due = queue
            .next_due()
            .unwrap_or_else(|| Instant::now() + HOUSEKEEPING);
        tokio::select! {
            () = &mut stop => break,
            Some(done) = batches.join_next() => {
                let (cluster, next) = done.expect("a batch neither panics nor is aborted");
                queue.done(&cluster, next, Instant::now());
            }
            Some(change) = changes.next() => match change {
                Ok(event) => {
                    tell(&event);
                    sort_in(&topics, &mut queue, event);
                }
                Err(error) => tracing::warn!(%error, "KafkaTopics cannot be watched; trying again"),
            },
            () = tokio::time::sleep_until(due.into()) => {}
            _ = housekeeping.tick() => {
                topics.context.clusters.close_unused();
                let registry = topics.registry();
                topics.context.metrics.set_topics(&registry.counts());
                topics.context.metrics.set_each_topic(registry.all());
            }
        }
        while let Some((cluster, uids)) = queue.take(Instant::now()) {
            let topics = topics.clone();
            batches.spawn(async move {
                let next = batch::reconcile(topics, cluster.clone(), uids).await;
                (cluster, next)
            });
        }
        topics.context.metrics.set_queue_depth(queue.depth());
    }
    while batches.join_next().await.is_some() {}
}

/// Puts everybody whom a change concerns into the queue.
fn sort_in(topics: &Topics, queue: &mut Queue<Cluster, Uid>, event: watcher::Event<KafkaTopic>) {
    let mut registry = topics.registry();
    for uid in registry.watched(event) {
        match registry.get(&uid) {
            Some(topic) => queue.changed(uid, registry.cluster(&topic)),
            None => queue.gone(&uid),
        }
    }
}
