//! One reconcile.

use std::time::{Duration, Instant};

use bt_consumers::Notice;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::apply::{self, Outcome};
use super::build::{self, Surroundings};
use super::dereference::Versions;
use super::desired::Desired;
use super::manifests::{Circumstances, Template, manifests};
use super::memory::Memory;
use super::owned::{Kind, Live, LiveDeployment};
use super::rollout::{self, History, Phase, Step, Watch};
use super::scaling::Inputs;
use super::sink_health::Noticed;
use super::source_topics::TopicShape;
use super::status::{self, Report, Rollback, Seen, Verdict, Workload};
use super::{Consumers, desired, key, templates};
use crate::api::{TelemetryConsumer, TelemetryConsumerStatus, is_paused};
use crate::clusters::Cluster;

/// When the second half of a change follows.
const SOON: Duration = Duration::from_millis(100);

/// What came of it, and when to look again if nothing changes before.
pub type Reconciled = (&'static str, Option<Duration>);

/// Makes the objects as the spec wants them, and writes how they fare.
pub async fn reconcile(
    consumer: &TelemetryConsumer,
    consumers: &Consumers,
    memory: &mut Memory,
) -> Result<Reconciled, kube::Error> {
    let task = Task {
        status: memory.status(consumer),
        namespace: consumer.namespace().unwrap_or_default(),
        consumer,
        consumers,
    };
    task.tell_notices().await;
    let (report, again) = task.examine(memory).await?;
    if !report.has_decided() {
        consumers.scalers.interrupt(&key(consumer));
    }
    let reason = report.reason;
    let written = status::write(consumer, &task.status, report, &consumers.context).await?;
    if let Some(written) = written {
        memory.wrote(written);
    }
    Ok((reason, again))
}

struct Task<'a> {
    consumer: &'a TelemetryConsumer,
    consumers: &'a Consumers,
    status: TelemetryConsumerStatus,
    namespace: String,
}

impl Task<'_> {
    /// The object of that kind, if it is this consumer's.
    fn own(&self, kind: Kind) -> Option<Live> {
        let name = kind.object_name(&self.consumer.name_any());
        let live = self.consumers.owned.get(kind, &self.namespace, &name)?;
        let (_, owner) = live.owner.as_ref()?;
        (Some(owner) == self.consumer.uid().as_ref()).then_some(live)
    }

    fn deployment(&self) -> Option<LiveDeployment> {
        self.own(Kind::Deployment)?.deployment
    }

    /// Why there are no pods, or why they are not ready.
    fn problem(&self, live: Option<&LiveDeployment>) -> Option<String> {
        let unmade = live.and_then(|live| live.failure.clone());
        unmade.or_else(|| self.consumers.sinks.pod_problem(self.consumer))
    }

    /// Tells what happened to the pods.
    async fn tell_notices(&self) {
        let about = self.consumer.object_ref(&());
        for Noticed { pod, uid, notice } in self.consumers.sinks.take_notices(self.consumer) {
            let identity = [&uid, &notice.at, &notice.reason, &notice.message].map(String::as_str);
            let identity = identity.join("\n");
            let notice = Notice {
                message: format!("pod {pod}: {}", notice.message),
                ..notice
            };
            let related = ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                namespace: Some(self.namespace.clone()),
                name: Some(pod),
                uid: Some(uid),
                ..ObjectReference::default()
            };
            let context = &self.consumers.context;
            context
                .event_once(&about, related, &identity, &notice)
                .await;
        }
    }

    fn seen(&self) -> Seen {
        let settings = &self.consumers.context.settings;
        let limit = 4 * settings.lag_interval();
        Seen {
            reading: self.consumers.lag.of(self.consumer, limit),
            sink: self.consumers.sinks.of(self.consumer),
            live: self.deployment(),
        }
    }

    /// What is the case with this consumer, after its objects were made as the spec wants them.
    async fn examine(
        &self,
        memory: &mut Memory,
    ) -> Result<(Report, Option<Duration>), kube::Error> {
        let (consumer, context) = (self.consumer, &self.consumers.context);
        let invalid = |problems: &[String]| Ok((Report::invalid(problems, self.seen()), None));
        if is_paused(consumer) {
            return Ok((Report::paused(self.seen()), None));
        }
        let (versions, mut problems) = match self.consumers.secrets.of(consumer).await? {
            Ok(versions) => (versions, Vec::new()),
            Err(problems) => (Versions::default(), problems),
        };
        let desired = match desired::validate(consumer, versions.at_start, &context.settings) {
            Ok(desired) if problems.is_empty() => desired,
            Ok(_) => return invalid(&problems),
            Err(more) => {
                problems.extend(more);
                return invalid(&problems);
            }
        };
        let secrets = versions.running;
        let secrets = (!secrets.is_empty()).then(|| build::credentials_digest(&secrets));
        let history = History::of(&self.status, secrets.as_deref());
        let cluster = desired::cluster(consumer, &context.settings);
        let surroundings = Surroundings {
            kafka_ports: self.consumers.lag.kafka_ports(&cluster),
            pod_monitors: self.consumers.owned.has_pod_monitors(),
            state_topic: self.state_topic(&desired, &cluster),
        };
        let objects = match build::objects(consumer, &desired, &surroundings) {
            Ok(objects) => objects,
            Err(problems) => return invalid(&problems),
        };

        let now = Instant::now();
        let wanted = objects.revision.clone();
        let before = self.deployment();
        let awaited = awaited(&wanted, &history);
        let overdue = self.watch(memory, awaited, secrets.as_deref(), before.as_ref(), now);
        let (decision, template) = self
            .template(memory, &wanted, &history, before.as_ref(), overdue)
            .await?;
        let target = match &decision.step {
            Step::Apply => &wanted,
            Step::RollBack { to } | Step::StayRolledBack { to } => to,
        };
        let (replicas, scaling) = self.scale(before.as_ref(), target, now);
        let mut workload = Workload {
            warning: desired.warning.clone(),
            rollback: None,
            proven: decision.history.good.as_ref() == Some(target),
            replicas,
            autoscaled: consumer.spec.autoscaling.is_some(),
            overdue,
            deadline: consumer.spec.progress_deadline_seconds,
            problem: self.problem(before.as_ref()),
            state_topic: None,
            wanted_revision: wanted.clone(),
            secrets,
        };
        if let Step::RollBack { to } | Step::StayRolledBack { to } = &decision.step {
            workload.rollback = Some(Rollback {
                why: self.why(&workload, &history, to),
                to: to.clone(),
            });
        }
        if let Step::RollBack { .. } = decision.step {
            // Noted before it is done, so that it is not tried again whatever happens in between.
            let report = Report::of(&workload, decision.history, scaling, self.seen());
            return Ok((report, Some(SOON)));
        }

        let keeps_state = objects.keeps_state;
        let settled = is_settled(before.as_ref(), &wanted, &decision.history);
        let circumstances = Circumstances {
            replicas,
            template,
            settled,
            ports_known: surroundings.kafka_ports.is_some(),
            data: self
                .own(Kind::ConfigMap)
                .map(|live| live.content)
                .unwrap_or_default(),
            policy: self
                .own(Kind::NetworkPolicy)
                .map(|live| live.content)
                .unwrap_or_default(),
        };
        let (objects, mut unwanted) = manifests(consumer, objects, circumstances);
        if !surroundings.pod_monitors {
            // There are none, or it is not known yet which there are.
            unwanted.remove(&Kind::PodMonitor);
        }
        let outcome = apply::apply(
            consumer,
            &objects,
            &unwanted,
            &mut memory.applied,
            &self.consumers.owned,
            context,
        )
        .await?;
        Ok(match outcome {
            Outcome::Foreign(kind) => (Report::foreign(kind, consumer, self.seen()), None),
            Outcome::Former(kind) => (Report::former(kind, self.seen()), None),
            Outcome::Refused(why) => return invalid(&[why]),
            Outcome::Applied => {
                workload.state_topic = self.state_topic_trouble().filter(|_| keeps_state);
                let report = Report::of(&workload, decision.history, scaling, self.seen());
                let again = memory.watch.as_ref().filter(|_| !overdue);
                let again = again.map(|watch| watch.look_again(self.deadline(), now));
                (report, again)
            }
        })
    }

    /// What the state topic is to be like, where there is to be one, or there is one still.
    fn state_topic(&self, desired: &Desired, cluster: &Cluster) -> Option<TopicShape> {
        let live = self.own(Kind::KafkaTopic).and_then(|live| live.topic);
        if live.is_none() && desired.config.state_topic.is_none() {
            return None;
        }
        let (consumer, topics) = (self.consumer, &self.consumers.topics);
        let sources = topics.largest(
            cluster,
            &consumer.spec.topics,
            ObjectRef::from_obj(consumer),
        );
        build::state_topic::shape(sources, live.as_ref())
    }

    /// Why the state topic is not ready, in the words of its KafkaTopic.
    fn state_topic_trouble(&self) -> Option<String> {
        let (reason, message) = self.own(Kind::KafkaTopic)?.topic?.trouble?;
        let name = Kind::KafkaTopic.object_name(&self.consumer.name_any());
        Some(format!("KafkaTopic {name}: {reason}: {message}"))
    }

    fn deadline(&self) -> Duration {
        let seconds = self.consumer.spec.progress_deadline_seconds;
        Duration::from_secs(seconds.try_into().unwrap_or(0))
    }

    /// Takes notice of how far the pods are; whether their time is over.
    fn watch(
        &self,
        memory: &mut Memory,
        awaited: &str,
        secrets: Option<&str>,
        live: Option<&LiveDeployment>,
        now: Instant,
    ) -> bool {
        let pods = live.map_or(0, |live| live.wanted);
        memory.watch = Watch::look(memory.watch.take(), awaited, secrets, pods, live, now);
        match (&memory.watch, live) {
            (Some(watch), Some(live)) => watch.is_overdue(live, self.deadline(), now),
            _ => false,
        }
    }

    /// Decides which revision the pods run, and finds its template. A revision of which the template is lost cannot be gone back to.
    async fn template(
        &self,
        memory: &mut Memory,
        wanted: &str,
        history: &History,
        live: Option<&LiveDeployment>,
        overdue: bool,
    ) -> Result<(rollout::Decision, Template), kube::Error> {
        let decision = rollout::decide(wanted, history, live, overdue);
        let (Step::RollBack { to } | Step::StayRolledBack { to }) = &decision.step else {
            memory.template = None;
            return Ok((decision, Template::Wanted));
        };
        if memory.template.as_ref().is_none_or(|(of, _)| of != to) {
            let uid = self.own(Kind::Deployment).map(|live| live.uid);
            let client = &self.consumers.context.client;
            let uid = uid.unwrap_or_default();
            let found = templates::find(client, self.consumer, &uid, to).await?;
            memory.template = found.map(|template| (to.clone(), template));
        }
        let there = live.is_some_and(|live| live.runs(to));
        Ok(match &memory.template {
            Some((_, template)) => {
                let template = Template::Earlier(template.clone());
                (decision, template)
            }
            // It is where it should be.
            None if there => (decision, Template::Unknown),
            None => {
                let lost = History::default();
                let decision = rollout::decide(wanted, &lost, live, overdue);
                (decision, Template::Wanted)
            }
        })
    }

    /// The number of pods, and `ScalingActive`.
    fn scale(&self, live: Option<&LiveDeployment>, target: &str, now: Instant) -> (i32, Verdict) {
        let (spec, key) = (&self.consumer.spec, key(self.consumer));
        let Some(autoscaling) = &spec.autoscaling else {
            self.consumers.scalers.forget(&key);
            let message = "spec.replicas says how many pods there are; autoscaling is not given";
            return (spec.replicas, ("False", "Disabled", message.into()));
        };
        let decided = self.status.desired_replicas;
        let reading = self.seen().reading;
        let decision = self.consumers.scalers.decide(
            &key,
            Inputs {
                now,
                autoscaling,
                start_from: spec.start_from,
                // A new consumer starts with a pod: until one has been there, nothing is committed, and lag means little.
                current: decided
                    .or(live.map(|live| live.wanted))
                    .unwrap_or(autoscaling.min_replicas.max(1)),
                ready: live.map_or(0, |live| live.ready),
                rolling_out: live.is_none_or(|live| live.rolls_out(target)),
                reading: reading.as_ref(),
            },
        );
        (decision.replicas, decision.verdict)
    }

    /// Why the wanted revision was taken back: what was found then, where it is known.
    fn why(&self, workload: &Workload, history: &History, to: &str) -> String {
        let said =
            self.status.conditions.iter().find(|condition| {
                condition.kind == "Progressing" && condition.reason == "RolledBack"
            });
        let same = history.failed.as_ref() == Some(&workload.wanted_revision);
        match said.filter(|_| same) {
            Some(condition) => condition.message.clone(),
            None => workload.failure(to),
        }
    }
}

/// The revision that is to get ready: where the wanted one has failed, it is the good one.
fn awaited<'a>(wanted: &'a str, history: &'a History) -> &'a str {
    match (&history.failed, &history.good) {
        (Some(failed), Some(good)) if failed == wanted => good,
        _ => wanted,
    }
}

/// Whether nothing of an earlier revision is needed any more.
fn is_settled(live: Option<&LiveDeployment>, wanted: &str, history: &History) -> bool {
    let proven = history.good.as_deref().is_none_or(|good| good == wanted);
    let settled =
        |live: &LiveDeployment| rollout::phase(live, wanted, live.wanted, false) == Phase::Settled;
    proven && live.is_none_or(settled)
}
