//! The consumer controller: `TelemetryConsumer` resources become Deployments of consumer pods.
//!
//! A reconcile is: validate the spec, build the objects (pure), apply them, read how they fare, write the status.

mod apply;
mod build;
mod desired;
mod lag;
mod status;

use std::sync::Arc;

use futures::{Future, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector;
use kube::runtime::utils::Predicate;
use kube::runtime::{WatchStreamExt, predicates, watcher};
use kube::{Api, Resource, ResourceExt};

use crate::api::{TelemetryConsumer, is_paused};
use crate::context::Context;
use lag::LagReader;
use status::Report;

/// Reconciles that run at a time.
const CONCURRENCY: u16 = 4;

struct Consumers {
    context: Arc<Context>,
    lag: LagReader,
}

/// Runs until `stop` resolves and the reconciles in flight are done.
pub async fn run(context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let api = Api::<TelemetryConsumer>::all(context.client.clone());
    let (store, writer) = reflector::store();
    // Generation and annotations: a status write changes neither, so it does not come back as work.
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            Default::default(),
        );
    let lag = LagReader::default();
    let reading = tokio::spawn(lag.clone().keep_reading(context.clone(), store.clone()));
    let ours = || watcher::Config::default().labels(build::OWNED_SELECTOR);
    let client = context.client.clone();
    let consumers = Arc::new(Consumers { context, lag });
    Controller::for_stream(changes, store)
        .owns(Api::<Deployment>::all(client.clone()), ours())
        .owns(Api::<ConfigMap>::all(client.clone()), ours())
        .owns(Api::<Service>::all(client), ours())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop)
        .run(reconcile, failed, consumers)
        .for_each(|_| std::future::ready(()))
        .await;
    reading.abort();
}

async fn reconcile(
    consumer: Arc<TelemetryConsumer>,
    consumers: Arc<Consumers>,
) -> Result<Action, kube::Error> {
    let context = &consumers.context;
    let timer = context.metrics.reconcile("TelemetryConsumer");
    if consumer.meta().deletion_timestamp.is_some() {
        // Owner references take the objects away.
        consumers.lag.forget(&consumer);
        timer.outcome("deleted");
        return Ok(Action::await_change());
    }
    let report = examine(&consumer, &consumers).await?;
    timer.outcome(report.reason);
    status::write(&consumer, report, context).await?;
    context.reset_backoff(&key(&consumer));
    Ok(Action::requeue(context.settings.lag_interval()))
}

/// What is the case with this consumer, after its objects were made as the spec wants them.
async fn examine(
    consumer: &TelemetryConsumer,
    consumers: &Consumers,
) -> Result<Report, kube::Error> {
    let context = &consumers.context;
    let lag = consumers
        .lag
        .of(consumer, 4 * context.settings.lag_interval());
    if is_paused(consumer) {
        return Ok(Report::paused(lag));
    }
    let desired = match desired::validate(consumer, &context.settings) {
        Ok(desired) => desired,
        Err(problems) => return Ok(Report::invalid(&problems, lag)),
    };
    let objects = build::objects(consumer, &desired);
    Ok(match apply::apply(consumer, &objects, context).await? {
        apply::Outcome::Applied(deployment) => Report::of(&desired, &deployment, lag),
        apply::Outcome::Foreign(kind) => Report::foreign(kind, consumer, lag),
        apply::Outcome::Refused(why) => Report::invalid(&[why], lag),
    })
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
