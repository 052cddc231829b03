//! The topic controller: `KafkaTopic` resources become topics.
//!
//! A reconcile is: validate the spec, find out who owns the topic, observe Kafka, decide (pure), apply, write the status.

mod apply;
mod deletion;
mod desired;
mod observe;
mod ownership;
mod plan;
mod status;
mod written;

use std::sync::Arc;
use std::time::Duration;

use futures::{Future, StreamExt};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::utils::Predicate;
use kube::runtime::{WatchStreamExt, predicates, watcher};
use kube::{Api, Resource, ResourceExt};

use crate::api::{DeletionPolicy, KafkaTopic, is_paused};
use crate::context::Context;
pub use deletion::FINALIZER;
use status::{Reason, Report};
use written::Written;

/// Reconciles that run at a time; Kafka's answers are awaited, not computed.
const CONCURRENCY: u16 = 16;

struct Topics {
    context: Arc<Context>,
    store: Store<KafkaTopic>,
    written: Written,
}

/// Runs until `stop` resolves and the reconciles in flight are done.
pub async fn run(context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let api = Api::<KafkaTopic>::all(context.client.clone());
    let (store, writer) = reflector::store();
    // Generation, annotations and finalizers: a status write changes none of them, so it does not come back as work.
    let changes = watcher(api.clone(), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(predicates::finalizers),
            Default::default(),
        );
    let topics = Arc::new(Topics {
        context: context.clone(),
        store: store.clone(),
        written: Written::default(),
    });
    let default = context.settings.kafka();
    Controller::for_stream(changes, store.clone())
        // Whoever shares a topic with a resource that changed or went away may own it now.
        .watches(api, watcher::Config::default(), move |changed| {
            ownership::rivals(&changed, &store.state(), &default)
                .map(|rival| ObjectRef::from_obj(&*rival))
                .collect::<Vec<_>>()
        })
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop)
        .run(reconcile, failed, topics)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// A step that Kubernetes did not let us do; what Kafka refuses is a condition instead.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot write the status: {0}")]
    Status(#[source] kube::Error),
    #[error("cannot set the finalizer: {0}")]
    Finalizer(#[source] kube::Error),
    #[error("the resource is gone")]
    Gone,
    #[error("cannot list the KafkaTopics that share the topic: {0}")]
    Rivals(#[source] kube::Error),
}

async fn reconcile(topic: Arc<KafkaTopic>, topics: Arc<Topics>) -> Result<Action, Error> {
    let context = &topics.context;
    let timer = context.metrics.reconcile("KafkaTopic");
    // What we have written ourselves counts before what the watch has brought back of it.
    let topic = topics.written.over(&topic);
    if topic.meta().deletion_timestamp.is_some() {
        let action = deletion::finish(&topic, context).await?;
        if action == Action::await_change() {
            topics.written.forget(&topic);
        }
        timer.outcome("deleted");
        return Ok(action);
    }
    let report = match examine(&topic, &topics).await {
        // Deleted while we looked: nothing may be made for it any more.
        Err(Error::Gone) => {
            topics.written.forget(&topic);
            return Ok(Action::await_change());
        }
        report => report?,
    };
    timer.outcome(report.reason.as_str());
    let wait = if report.retry {
        context.backoff(&key(&topic))
    } else {
        context.reset_backoff(&key(&topic));
        report.look_again.unwrap_or(context.settings.resync())
    };
    let status = status::write(&topic, report, context)
        .await
        .map_err(Error::Status)?;
    topics.written.remember(&topic, status, &topics.store);
    Ok(Action::requeue(wait))
}

/// What is the case with this topic, after what could be done about it was done.
async fn examine(topic: &KafkaTopic, topics: &Topics) -> Result<Report, Error> {
    let context = &topics.context;
    if is_paused(topic) {
        return Ok(Report::paused());
    }
    let default = context.settings.kafka();
    let desired = match desired::validate(topic, &default) {
        Ok(desired) => desired,
        Err(invalid) => return Ok(Report::plain(Reason::InvalidConfig, invalid.to_string())),
    };
    let all = topics.written.over_all(topics.store.state());
    if let Some(owner) = ownership::owner(topic, &all, &default) {
        return Ok(Report::superseded(&desired.name, &owner));
    }
    // Only a resource whose deletion has something to do in Kafka holds itself back with a finalizer.
    let holds = desired.deletion != DeletionPolicy::Retain;
    if !deletion::ensure_finalizer(topic, holds, context)
        .await
        .map_err(Error::Finalizer)?
    {
        return Err(Error::Gone);
    }
    let admin = match context.admin(&desired.connection) {
        Ok(admin) => admin,
        Err(error) => return Ok(Report::kafka(&error, &desired)),
    };
    let observed = match observe::topic(&admin, &desired.name).await {
        Ok(observed) => observed,
        Err(error) => return Ok(Report::kafka(&error, &desired)),
    };
    if let Some(observed) = &observed {
        if observed.topic.internal {
            return Ok(Report::internal(&desired.name));
        }
        // Two spellings of one cluster's address look like two topics; the id tells that they are one.
        if let Some(owner) = ownership::owner_by_id(topic, &observed.topic.id, &all) {
            return Ok(Report::superseded(&desired.name, &owner));
        }
    }
    let remembered = plan::Remembered::of(topic);
    let plan = plan::decide(&desired, &remembered, observed.as_ref());
    if matches!(plan.verdict, plan::Verdict::Create(_)) && !status::was_refused(topic) {
        // Said before it is done: a topic that was made while its answer got lost is then known to be ours.
        let status = status::write(topic, Report::creating(&desired.name, &plan), context)
            .await
            .map_err(Error::Status)?;
        topics.written.remember(topic, status, &topics.store);
    }
    let applied = apply::carry_out(&admin, &desired, &plan).await;
    Ok(status::report(
        &desired,
        &plan,
        &applied,
        observed,
        &remembered,
    ))
}

fn failed(topic: Arc<KafkaTopic>, error: &Error, topics: Arc<Topics>) -> Action {
    tracing::warn!(topic = key(&topic), %error, "reconcile failed");
    topics
        .context
        .metrics
        .reconcile("KafkaTopic")
        .outcome("error");
    Action::requeue(
        topics
            .context
            .backoff(&key(&topic))
            .max(Duration::from_secs(1)),
    )
}

fn key(topic: &KafkaTopic) -> String {
    format!(
        "topic/{}/{}",
        topic.namespace().unwrap_or_default(),
        topic.name_any()
    )
}

fn reference(topic: &KafkaTopic) -> ObjectReference {
    topic.object_ref(&())
}
