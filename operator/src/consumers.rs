//! The consumer controller: `TelemetryConsumer` resources become Deployments of consumer pods.
//!
//! A reconcile is: read what the spec refers to, validate the spec, build the objects, decide which revision the pods run and how
//! many there are (all three pure), apply what differs, write the status. It follows a change of the resource, of an object that
//! it owns, of what the sinks' pods say, and every reading of lag.

mod apply;
mod build;
mod deletion;
mod dereference;
mod desired;
mod lag;
mod manifests;
mod memory;
mod owned;
mod reconcile;
mod rollout;
mod scaling;
mod search;
mod sink_health;
mod source_topics;
mod status;
mod templates;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{Future, StreamExt};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, Store};
use kube::runtime::utils::Predicate;
use kube::runtime::{WatchStreamExt, predicates, watcher};
use kube::{Api, Resource, ResourceExt};

use crate::api::{TelemetryConsumer, is_paused};
use crate::context::{Context, is_namespace_going};
pub use build::state_topic::CONFIG as STATE_TOPIC_CONFIG;
pub use deletion::FINALIZER;
use dereference::Secrets;
use lag::LagReader;
use memory::{Memories, Memory};
pub use owned::{TopicEvents, relay};
use scaling::Scalers;
use sink_health::SinkHealth;
pub use sink_health::is_ready;
use source_topics::SourceTopics;

/// Reconciles that run at a time. They wait for the API server for most of their time.
const CONCURRENCY: u16 = 16;
/// A consumer of which nothing is heard is looked at this often.
const RESYNC: Duration = Duration::from_secs(300);
/// How often the metrics are told what is the case for each consumer.
const TELL: Duration = Duration::from_secs(5);

struct Consumers {
    context: Arc<Context>,
    owned: Arc<owned::Store>,
    secrets: Secrets,
    lag: LagReader,
    topics: SourceTopics,
    sinks: SinkHealth,
    scalers: Scalers,
    memories: Memories,
}

/// Runs until `stop` resolves and the reconciles in flight are done. `topics` are of the KafkaTopics' one watch, by [`relay`].
pub async fn run(
    context: Arc<Context>,
    topics: TopicEvents,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = context.client.clone();
    let interval = context.settings.lag_interval();
    let api = Api::<TelemetryConsumer>::all(client.clone());
    let (store, writer) = reflector::store();
    // Generation and annotations: a status write changes neither, so it does not come back as work.
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|consumer| consumer.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects()
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            Default::default(),
        );
    let (owned, touched, mut tasks) = owned::watch(client.clone(), topics);
    let (topics, questions) = SourceTopics::new();
    let (answering, answered) = topics.keep_answering(questions, context.clone());
    tasks.spawn(answering);
    let (lag, read) = LagReader::new(topics.clone());
    tasks.spawn(lag.clone().keep_reading(context.clone(), store.clone()));
    let (sinks, judged) = SinkHealth::new(client.clone());
    tasks.spawn(sinks.clone().watch(interval));
    let consumers = Arc::new(Consumers {
        owned,
        secrets: Secrets::new(client, interval),
        lag,
        topics,
        sinks,
        scalers: Scalers::default(),
        memories: Memories::default(),
        context,
    });
    tasks.spawn(sweep(consumers.clone(), store.clone()));
    tasks.spawn(tell(consumers.context.clone(), store.clone()));
    Controller::for_stream(changes, store)
        .reconcile_on(touched)
        .reconcile_on(read)
        .reconcile_on(answered)
        .reconcile_on(judged)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop)
        .run(reconcile, failed, consumers)
        .for_each(|_| std::future::ready(()))
        .await;
    tasks.shutdown().await;
}

/// Drops what is remembered of consumers that are gone, from time to time: not each deletion is seen.
async fn sweep(consumers: Arc<Consumers>, store: Store<TelemetryConsumer>) {
    loop {
        tokio::time::sleep(RESYNC).await;
        let alive: HashSet<_> = store.state().iter().map(|consumer| key(consumer)).collect();
        for key in consumers.memories.retain(&alive) {
            consumers.scalers.forget(&key);
            consumers.context.reset_backoff(&key);
        }
        consumers.secrets.sweep();
    }
}

/// Tells the metrics what the statuses say, all the time.
async fn tell(context: Arc<Context>, store: Store<TelemetryConsumer>) {
    loop {
        context.metrics.set_consumers(&store.state());
        tokio::time::sleep(TELL).await;
    }
}

async fn reconcile(
    consumer: Arc<TelemetryConsumer>,
    consumers: Arc<Consumers>,
) -> Result<Action, kube::Error> {
    let context = &consumers.context;
    let timer = context.metrics.reconcile("TelemetryConsumer");
    let key = key(&consumer);
    if consumer.meta().deletion_timestamp.is_some() {
        // Owner references take the objects away.
        consumers.lag.forget(&consumer);
        consumers.scalers.forget(&key);
        consumers.memories.forget(&key);
        let again = deletion::finish(&consumer, context).await?;
        context.reset_backoff(&key);
        timer.outcome("deleted");
        return Ok(again.map_or_else(Action::await_change, Action::requeue));
    }
    if !is_paused(consumer.as_ref()) && !deletion::prepare(&consumer, context).await? {
        return Ok(Action::await_change());
    }
    consumers.owned.ready().await;
    let mut memory = match consumers.memories.take(&key, &consumer) {
        Some(memory) => memory,
        None => {
            // What was decided for a former resource of that name means nothing.
            consumers.scalers.forget(&key);
            Memory::new(&consumer)
        }
    };
    let outcome = reconcile::reconcile(&consumer, &consumers, &mut memory).await;
    consumers.memories.put(key.clone(), memory);
    let (reason, again) = match outcome {
        // The resource goes next.
        Err(error) if is_namespace_going(&error) => return Ok(Action::await_change()),
        outcome => outcome?,
    };
    timer.outcome(reason);
    context.reset_backoff(&key);
    Ok(Action::requeue(again.unwrap_or(RESYNC).min(RESYNC)))
}

fn failed(
    consumer: Arc<TelemetryConsumer>,
    error: &kube::Error,
    consumers: Arc<Consumers>,
) -> Action {
    tracing::warn!(consumer = key(&consumer), %error, "reconcile failed");
    let context = &consumers.context;
    context
        .metrics
        .reconcile("TelemetryConsumer")
        .outcome("error");
    Action::requeue(context.backoff(&key(&consumer)))
}

fn key(consumer: &TelemetryConsumer) -> String {
    format!(
        "consumer/{}/{}",
        consumer.namespace().unwrap_or_default(),
        consumer.name_any()
    )
}
