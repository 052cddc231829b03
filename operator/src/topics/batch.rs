//! One batch of resources of one cluster, from what they want to what their statuses say.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{Future, StreamExt, stream};
use kube::{Resource, ResourceExt};

use super::apply::{self, Task};
use super::desired::{self, Desired};
use super::observe::{self, Observations, Observed};
use super::plan::{self, Plan, Remembered, Verdict};
use super::queue::Next;
use super::registry::Uid;
use super::report::{self, Reason, Report};
use super::{Topics, deletion, ownership, status};
use crate::api::{AdoptionPolicy, DeletionPolicy, KafkaTopic, is_paused};
use crate::clusters::Cluster;

/// Requests to Kubernetes that a batch has under way at a time.
const WRITES: usize = 32;

/// A resource that owns its topic, with what is to be done about it.
pub struct Work {
    pub topic: Arc<KafkaTopic>,
    pub desired: Desired,
    pub remembered: Remembered,
    pub observed: Option<Observed>,
    pub plan: Plan,
}

/// Brings the resources and their topics together, as far as that can be done now, and tells when to look again.
pub async fn reconcile(topics: Arc<Topics>, cluster: Cluster, uids: Vec<Uid>) -> Vec<(Uid, Next)> {
    let timer = topics.context.metrics.reconcile("KafkaTopic");
    topics.context.metrics.batch(uids.len());
    let known: Vec<_> = {
        let registry = topics.registry();
        uids.iter().filter_map(|uid| registry.get(uid)).collect()
    };
    let (deleting, living): (Vec<_>, Vec<_>) = known
        .into_iter()
        .partition(|topic| topic.meta().deletion_timestamp.is_some());
    let (mut next, reports) = futures::join!(
        deletion::finish(&topics, &cluster, deleting, timer),
        keep(&topics, &cluster, living)
    );
    let writes = reports.into_iter().map(|(topic, report)| {
        let topics = &topics;
        async move {
            let again = report::look_again(&report, topics.context.settings.resync());
            let reason = report.reason;
            let outcome = status::write(topics, &topic, report).await;
            let next = match outcome {
                Ok(()) => {
                    timer.outcome(reason.as_str());
                    again
                }
                Err(error) => failed(topics, &topic, "cannot write the status", &error),
            };
            (uid(&topic), next)
        }
    });
    next.extend(side_by_side(writes.collect()).await);
    // Whoever fell out on the way comes again: Kubernetes did not let us write, or Kafka is not at one with itself.
    let settled: HashSet<&Uid> = next.iter().map(|(uid, _)| uid).collect();
    let others: Vec<_> = uids
        .into_iter()
        .filter(|uid| !settled.contains(uid))
        .collect();
    next.extend(others.into_iter().map(|uid| (uid, Next::Backoff)));
    next
}

/// What is the case with each topic, after what could be done about it was done.
async fn keep(
    topics: &Topics,
    cluster: &Cluster,
    living: Vec<Arc<KafkaTopic>>,
) -> Vec<(Arc<KafkaTopic>, Report)> {
    let mut reports = Vec::new();
    let wanted = admit(topics, living, &mut reports);
    if wanted.is_empty() {
        return reports;
    }
    let everybody = |wanted: Vec<(Arc<KafkaTopic>, Desired)>, report: &dyn Fn() -> Report| {
        wanted
            .into_iter()
            .map(|(topic, _)| (topic, report()))
            .collect::<Vec<_>>()
    };
    let admin = match topics.context.clusters.connect(cluster).await {
        Ok(admin) => admin,
        Err(error) => {
            reports.extend(everybody(wanted, &|| Report::unconnected(&error, cluster)));
            return reports;
        }
    };
    let observations = match observe::topics(&admin, settings_of(&wanted)).await {
        Ok(observations) => observations,
        Err(error) => {
            topics.context.clusters.does_not_answer(cluster, &error);
            reports.extend(everybody(wanted, &|| Report::kafka(&error, cluster)));
            return reports;
        }
    };
    let works = decide(topics, cluster, wanted, observations, &mut reports);
    let prepared = side_by_side(
        works
            .into_iter()
            .map(|work| prepare(topics, work))
            .collect(),
    )
    .await;
    let works: Vec<Work> = prepared.into_iter().flatten().collect();
    let mut tasks: Vec<Task<'_>> = works
        .iter()
        .map(|work| Task::new(&work.desired.name, &work.plan))
        .collect();
    let told: Vec<Report> = match apply::rehearse(&admin, &mut tasks).await {
        Ok(()) => {
            apply::carry_out(&admin, &mut tasks).await;
            works
                .iter()
                .zip(&tasks)
                .map(|(work, task)| Report::of(work, task))
                .collect()
        }
        Err(error) => works
            .iter()
            .map(|_| Report::kafka(&error, cluster))
            .collect(),
    };
    // Shown by one broker and not yet by another: nothing can be said of it before they agree.
    let unclear: Vec<bool> = tasks.iter().map(Task::is_unclear).collect();
    let now = |work: Work| as_written(topics, &work.topic);
    let settled = works.into_iter().map(now).zip(told).zip(unclear);
    reports.extend(
        settled
            .filter(|(_, unclear)| !unclear)
            .map(|(told, _)| told),
    );
    reports
}

/// Those that may have a topic: not paused, valid, and not a younger one's.
fn admit(
    topics: &Topics,
    living: Vec<Arc<KafkaTopic>>,
    reports: &mut Vec<(Arc<KafkaTopic>, Report)>,
) -> Vec<(Arc<KafkaTopic>, Desired)> {
    let registry = topics.registry();
    let mut wanted = Vec::new();
    for topic in living {
        if is_paused(&*topic) {
            reports.push((topic, Report::paused()));
            continue;
        }
        match desired::validate(&topic) {
            Err(invalid) => {
                let report = Report::plain(Reason::InvalidConfig, invalid.to_string());
                reports.push((topic, report));
            }
            Ok(desired) => match ownership::owner(&topic, &registry.rivals(&topic)) {
                Some(owner) => {
                    let report = Report::superseded(&desired.name, &owner);
                    reports.push((topic, report));
                }
                None => wanted.push((topic, desired)),
            },
        }
    }
    wanted
}

/// The settings of each topic that are ours, or were.
fn settings_of(wanted: &[(Arc<KafkaTopic>, Desired)]) -> HashMap<String, HashSet<String>> {
    wanted
        .iter()
        .map(|(topic, desired)| {
            let managed = Remembered::of(topic).managed;
            let keys = desired.config.keys().cloned().chain(managed).collect();
            (desired.name.clone(), keys)
        })
        .collect()
}

fn decide(
    topics: &Topics,
    cluster: &Cluster,
    wanted: Vec<(Arc<KafkaTopic>, Desired)>,
    mut observations: Observations,
    reports: &mut Vec<(Arc<KafkaTopic>, Report)>,
) -> Vec<Work> {
    let registry = topics.registry();
    let mut works = Vec::new();
    for (topic, desired) in wanted {
        let observed = match observations.remove(&desired.name).transpose() {
            Ok(observed) => observed,
            Err(error) => {
                reports.push((topic, Report::kafka(&error, cluster)));
                continue;
            }
        };
        if let Some(observed) = &observed {
            if observed.topic.internal {
                let report = Report::internal(&desired.name);
                reports.push((topic, report));
                continue;
            }
            // Two spellings of one cluster's address look like two topics; the id tells that they are one.
            let holders = registry.holders(&topic, &observed.topic.id);
            if let Some(owner) = ownership::owner_by_id(&topic, &holders) {
                let report = Report::superseded(&desired.name, &owner);
                reports.push((topic, report));
                continue;
            }
        }
        let remembered = Remembered::of(&topic);
        let plan = plan::decide(&desired, &remembered, observed.as_ref());
        works.push(Work {
            topic,
            desired,
            remembered,
            observed,
            plan,
        });
    }
    works
}

/// What Kubernetes must know before Kafka is touched: the finalizer, and what is about to be done. None where that cannot be
/// written, or the resource is gone: nothing may be made for it any more.
async fn prepare(topics: &Topics, work: Work) -> Option<Work> {
    // Only a resource whose deletion has something to do in Kafka holds itself back.
    let holds = work.desired.deletion != DeletionPolicy::Retain;
    match deletion::ensure_finalizer(topics, &work.topic, holds).await {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            failed(topics, &work.topic, "cannot set the finalizer", &error);
            return None;
        }
    }
    let topic = as_written(topics, &work.topic);
    let said = match &work.plan.verdict {
        // Adoption would be in order anyway, and so is that of a topic that was made while its answer got lost.
        Verdict::Create(_) if work.desired.adoption == AdoptionPolicy::Adopt => Ok(()),
        Verdict::Create(_) if report::was_refused(&topic) => Ok(()),
        Verdict::Create(_) => {
            status::write(
                topics,
                &topic,
                Report::creating(&work.desired.name, &work.plan),
            )
            .await
        }
        _ if work.plan.enforce && !work.plan.steps().is_empty() => {
            status::announce(topics, &topic, &work.plan).await
        }
        _ => Ok(()),
    };
    match said {
        Ok(()) => Some(work),
        Err(error) => {
            failed(
                topics,
                &topic,
                "cannot write the plan into the status",
                &error,
            );
            None
        }
    }
}

/// Runs requests to Kubernetes side by side, so many at a time.
pub async fn side_by_side<F: Future>(requests: Vec<F>) -> Vec<F::Output> {
    stream::iter(requests)
        .buffer_unordered(WRITES)
        .collect()
        .await
}

/// The resource of the generation that is being dealt with, with the status that we wrote last.
fn as_written(topics: &Topics, topic: &Arc<KafkaTopic>) -> Arc<KafkaTopic> {
    match topics.registry().get(&uid(topic)) {
        Some(known) if known.status != topic.status => Arc::new(KafkaTopic {
            status: known.status.clone(),
            ..KafkaTopic::clone(topic)
        }),
        _ => topic.clone(),
    }
}

/// Notes a step that Kubernetes did not let us do; what Kafka refuses is a condition instead.
pub fn failed(
    topics: &Topics,
    topic: &KafkaTopic,
    what: &str,
    error: &dyn std::fmt::Display,
) -> Next {
    let (namespace, name) = (topic.namespace().unwrap_or_default(), topic.name_any());
    tracing::warn!(namespace, name, %error, "{what}");
    topics
        .context
        .metrics
        .reconcile("KafkaTopic")
        .outcome("error");
    Next::Backoff
}

pub fn uid(topic: &KafkaTopic) -> Uid {
    topic.uid().unwrap_or_default().into()
}
