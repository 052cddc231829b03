//! Verdicts, from facts. No I/O.

use bt_consumers::SinkCondition;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::Check;
use super::crd_check::compare;
use super::facts::{Fact, Facts};
use crate::api::{Condition, KafkaTopic, TelemetryConsumer};
use crate::plugin::advice::{self, Level};
use crate::plugin::cluster::is_ready;
use crate::plugin::prometheus::Target;
use crate::plugin::text::ago;

/// Rules in definitions (CEL) are there from then on.
const OLDEST: u32 = 25;
/// A Lease is renewed every 2 seconds, and lost after 10.
const LEASE: i64 = 20;
/// This build's version, which images bear as their tag.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const APPLY: &str = "kubectl apply -f crds/ (of the operator's version), then helm upgrade";
const ROLE: &str = "docs/kubectl-bt.md has a ClusterRole for users of this plugin";

/// All checks, in the order in which one thing needs another.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut all = vec![cluster(&facts.version)];
    for (plural, build, found) in &facts.definitions {
        all.push(match found {
            Ok(Some(found)) => {
                let difference = compare(build, found);
                definition(plural, &difference.missing, &difference.unknown)
            }
            Ok(None) => Check::fail(
                "definitions",
                format!("{plural} are not known to this cluster"),
                APPLY,
            ),
            Err(why) => Check::warn("definitions", why, ""),
        });
    }
    all.push(user(&facts.user_lacks));
    all.extend(operator(facts));
    all.extend(versions(facts));
    all.push(images(facts));
    all.push(kafka(&facts.topics, &facts.consumers));
    all.push(topics(&facts.topics));
    all.extend(consumers(facts));
    all.extend(sinks(facts));
    all.extend(scraping(facts));
    all
}

fn cluster(version: &Fact<(String, String)>) -> Check {
    let (major, minor) = match version {
        Ok(version) => version,
        Err(why) => return Check::fail("cluster", why, "check the kubeconfig and the network"),
    };
    let found = format!("reachable, Kubernetes {major}.{minor}");
    // Some providers write 29+.
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(minor) if minor < OLDEST => Check::fail(
            "cluster",
            found,
            format!("upgrade to 1.{OLDEST} or newer: the definitions have rules (CEL)"),
        ),
        _ => Check::ok("cluster", found),
    }
}

/// The definitions are checked field by field.
fn definition(plural: &str, missing: &[String], unknown: &[String]) -> Check {
    let some = |fields: &[String]| {
        let shown: Vec<_> = fields.iter().take(3).map(String::as_str).collect();
        let more = fields.len().saturating_sub(shown.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{more}", shown.join(", "))
    };
    if !missing.is_empty() {
        let found = format!(
            "{plural}: the cluster's definition is older, without {}",
            some(missing)
        );
        return Check::fail("definitions", found, APPLY);
    }
    match unknown.is_empty() {
        true => Check::ok(
            "definitions",
            format!("{plural}: all fields of version {VERSION}"),
        ),
        false => Check::warn(
            "definitions",
            format!(
                "{plural}: the cluster's definition is newer than this kubectl-bt ({VERSION}): {}",
                some(unknown)
            ),
            "install the kubectl-bt of the operator's version",
        ),
    }
}

fn user(lacks: &Fact<Vec<String>>) -> Check {
    match lacks {
        Ok(lacks) if lacks.is_empty() => Check::ok("your rights", "all that this plugin needs"),
        Ok(lacks) => Check::fail(
            "your rights",
            format!("you may not: {}", lacks.join("; ")),
            ROLE,
        ),
        Err(why) => Check::warn("your rights", why, ""),
    }
}

fn operator(facts: &Facts) -> Vec<Check> {
    let area = "operator";
    let operator = match &facts.operator {
        Ok(Some(operator)) => operator,
        Ok(None) => {
            let fix = "helm install bt-monitoring charts/ -n NAMESPACE";
            return vec![Check::fail(
                area,
                "there is none: no Deployment with the label app.kubernetes.io/name=bt-operator",
                fix,
            )];
        }
        Err(why) => return vec![Check::warn(area, why, ROLE)],
    };
    let place = format!(
        "{}/{}",
        operator.namespace().unwrap_or_default(),
        operator.name_any()
    );
    let status = operator.status.clone().unwrap_or_default();
    let wanted = operator
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or_default();
    let found = format!("{place}: {ready} of {wanted} pods ready");
    let see = format!(
        "kubectl logs -n {} deploy/{}; kubectl describe pod there",
        operator.namespace().unwrap_or_default(),
        operator.name_any()
    );
    let mut checks = vec![match (ready, wanted) {
        (_, 0) => Check::fail(
            area,
            format!("{place} is scaled to 0"),
            format!(
                "kubectl scale -n {} deploy/{} --replicas=1",
                operator.namespace().unwrap_or_default(),
                operator.name_any()
            ),
        ),
        (0, _) => Check::fail(area, found, see),
        (ready, wanted) if ready < wanted => Check::warn(area, found, see),
        _ => Check::ok(area, found),
    }];
    checks.push(lease(facts));
    checks.push(match &facts.operator_lacks {
        Ok(lacks) if lacks.is_empty() => Check::ok("its rights", "all that the operator needs"),
        Ok(lacks) => Check::fail(
            "its rights",
            format!("the operator may not: {}", lacks.join("; ")),
            "helm upgrade puts its ClusterRole right",
        ),
        Err(why) => Check::warn("its rights", format!("not checked: {why}"), ""),
    });
    checks
}

fn lease(facts: &Facts) -> Check {
    let area = "leader";
    let fix = "the operator's log says why it cannot take the Lease";
    let lease = match &facts.lease {
        Ok(Some(lease)) => lease,
        Ok(None) => return Check::fail(area, "there is no Lease", fix),
        Err(why) => return Check::warn(area, why, ROLE),
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let (Some(holder), Some(renewed)) = (holder, spec.renew_time) else {
        return Check::fail(
            area,
            "nobody holds the Lease, so that nobody reconciles",
            fix,
        );
    };
    let age = facts.now.as_second() - renewed.0.as_second();
    match age > LEASE {
        true => Check::fail(
            area,
            format!(
                "{holder} has not renewed the Lease for {}: nobody reconciles",
                ago(age)
            ),
            fix,
        ),
        false => Check::ok(area, format!("{holder} holds the Lease")),
    }
}

/// A value of the operator's environment.
pub fn env<'d>(operator: &'d Deployment, name: &str) -> Option<&'d str> {
    let spec = operator.spec.as_ref()?.template.spec.as_ref()?;
    let mut all = spec
        .containers
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    all.find(|env| env.name == name)?.value.as_deref()
}

/// What stands behind the colon; a digest says nothing.
fn tag(image: &str) -> Option<&str> {
    let name = image.rsplit('/').next()?;
    let (_, tag) = name.split_once(':')?;
    (!image.contains('@')).then_some(tag)
}

/// Tags are the version, which may have more behind it: 0.1.0-c0ffee.
fn is_of_version(image: &str, version: &str) -> bool {
    tag(image).is_none_or(|tag| {
        tag == version
            || tag.starts_with(&format!("{version}-"))
            || !tag.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn versions(facts: &Facts) -> Option<Check> {
    let area = "versions";
    let operator = facts.operator.as_ref().ok()?.as_ref()?;
    let spec = operator.spec.as_ref()?.template.spec.as_ref()?;
    let image = spec.containers.first()?.image.as_deref()?;
    let consumers = env(operator, "CONSUMER_IMAGE").unwrap_or_default();
    let others: Vec<String> = facts
        .consumer_pods
        .iter()
        .flatten()
        .filter(|pod| {
            pod.labels()
                .get("monitoring.bt.dev/sink")
                .is_some_and(|sink| sink != "custom")
        })
        .filter_map(|pod| {
            let mut containers = pod.spec.as_ref()?.containers.iter();
            let used = containers
                .find(|c| c.name == "consumer")?
                .image
                .as_deref()?;
            (used != consumers).then(|| format!("{} runs {used}", pod.name_any()))
        })
        .collect();
    if !is_of_version(image, VERSION) || !is_of_version(consumers, VERSION) {
        let found =
            format!("this kubectl-bt is {VERSION}; operator {image}, consumers {consumers}");
        return Some(Check::warn(
            area,
            found,
            "use one version of all three: helm upgrade, or install the kubectl-bt of the operator's version",
        ));
    }
    Some(match others.is_empty() {
        true => Check::ok(
            area,
            format!("{VERSION}: operator {image}, consumers {consumers}"),
        ),
        false => Check::warn(
            area,
            format!(
                "pods with another image than {consumers}: {}",
                others.join(", ")
            ),
            "wait for the rollout; a podTemplate that names an image keeps it",
        ),
    })
}

fn images(facts: &Facts) -> Check {
    let pods = facts
        .operator_pods
        .iter()
        .chain(facts.consumer_pods.iter().flatten());
    let troubled: Vec<String> = pods.filter_map(not_pulled).collect();
    match troubled.is_empty() {
        true => Check::ok("images", "none is waited for"),
        false => Check::fail(
            "images",
            troubled.join("; "),
            "correct the image's name or tag in the values, give imagePullSecrets, or load it into the cluster",
        ),
    }
}

fn not_pulled(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        let is_pull = matches!(
            reason,
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName"
        );
        is_pull.then(|| format!("pod {}: {reason} {}", pod.name_any(), container.image))
    })
}

fn condition<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

fn ready_of(topic: &KafkaTopic) -> Option<&Condition> {
    condition(&topic.status.as_ref()?.conditions, "Ready")
}

/// Kafka, as the operator sees it.
fn kafka(topics: &Fact<Vec<KafkaTopic>>, consumers: &Fact<Vec<TelemetryConsumer>>) -> Check {
    let area = "Kafka";
    let (topics, consumers) = match (topics, consumers) {
        (Ok(topics), Ok(consumers)) => (topics, consumers),
        (Err(why), _) | (_, Err(why)) => return Check::fail(area, why, ""),
    };
    let unreachable = |reason: &str| {
        matches!(
            reason,
            "KafkaUnreachable" | "KafkaAuthFailed" | "KafkaTlsFailed" | "KafkaError"
        )
    };
    let failing = topics.iter().filter_map(|topic| {
        let ready = ready_of(topic)?;
        unreachable(&ready.reason).then_some((topic, ready))
    });
    let failing: Vec<_> = failing.collect();
    if let Some((topic, ready)) = failing.first() {
        let more = match failing.len() {
            1 => String::new(),
            all => format!(" (and {} more topics)", all - 1),
        };
        let found = format!(
            "{}: topic {}: {}{more}",
            ready.reason,
            topic.name_any(),
            ready.message
        );
        return Check::fail(area, found, advice::of_topic(&ready.reason).what);
    }
    let blind: Vec<_> = consumers
        .iter()
        .filter(|consumer| {
            consumer
                .status
                .as_ref()
                .is_some_and(|status| status.lag.is_none())
        })
        .map(ResourceExt::name_any)
        .collect();
    let seen = topics
        .iter()
        .filter(|topic| ready_of(topic).is_some())
        .count();
    match (blind.is_empty(), seen) {
        (false, _) => Check::warn(
            area,
            format!("the lag is not known of: {}", blind.join(", ")),
            "wait 20 s; then see the operator's log",
        ),
        (true, 0) => Check::warn(
            area,
            "no topic here tells whether it is reachable",
            "look at another namespace (-n), or at all (-A)",
        ),
        (true, seen) => Check::ok(
            area,
            format!(
                "reachable: the operator sees {seen} topics and the lag of {} consumers",
                consumers.len()
            ),
        ),
    }
}

fn topics(topics: &Fact<Vec<KafkaTopic>>) -> Check {
    let area = "topics";
    let topics = match topics {
        Ok(topics) => topics,
        Err(why) => return Check::fail(area, why, ""),
    };
    let bad: Vec<_> = topics
        .iter()
        .filter_map(|topic| {
            let Some(ready) = ready_of(topic) else {
                return Some((
                    topic.name_any(),
                    "not seen by the operator".to_owned(),
                    "see the operator above",
                ));
            };
            let advice = advice::of_topic(&ready.reason);
            (advice.level >= Level::Warn)
                .then(|| (topic.name_any(), ready.reason.clone(), advice.what))
        })
        .collect();
    match bad.first() {
        None => Check::ok(area, format!("{} are as wanted", topics.len())),
        Some((_, _, fix)) => {
            let named: Vec<_> = bad
                .iter()
                .take(5)
                .map(|(name, reason, _)| format!("{name} {reason}"))
                .collect();
            Check::fail(
                area,
                format!(
                    "{} of {} are not: {}",
                    bad.len(),
                    topics.len(),
                    named.join(", ")
                ),
                *fix,
            )
        }
    }
}

fn consumers(facts: &Facts) -> Vec<Check> {
    let area = "consumers";
    let consumers = match &facts.consumers {
        Ok(consumers) if consumers.is_empty() => {
            return vec![Check::warn(
                area,
                "there are none here",
                "look at another namespace (-n), or at all (-A)",
            )];
        }
        Ok(consumers) => consumers,
        Err(why) => return vec![Check::fail(area, why, "")],
    };
    let mut checks = Vec::new();
    for consumer in consumers {
        let name = consumer.name_any();
        let conditions = consumer
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice());
        let Some(ready) = condition(conditions.unwrap_or_default(), "Ready") else {
            checks.push(Check::fail(
                area,
                format!("{name}: not seen by the operator"),
                "see the operator above",
            ));
            continue;
        };
        // What the sink has to say comes by itself.
        let sink_only = ready.reason == "SinkNotReady";
        let advice = advice::of_consumer("Ready", &ready.reason);
        let found = format!("{name}: {} {}", ready.reason, ready.message);
        let fix = advice.what.replace("NAME", &name);
        match advice.level {
            Level::Bad if !sink_only => checks.push(Check::fail(area, found, fix)),
            Level::Warn => checks.push(Check::warn(area, found, fix)),
            _ => {}
        }
    }
    let (all, bad) = (consumers.len(), checks.len());
    if bad < all {
        checks.insert(
            0,
            Check::ok(
                area,
                format!("{} of {all} run, or are as they are wanted", all - bad),
            ),
        );
    }
    checks
}

/// What the operator says of each sink, and what the pods say themselves.
fn sinks(facts: &Facts) -> Vec<Check> {
    let area = "sinks";
    let mut checks = Vec::new();
    let mut well = 0;
    for consumer in facts.consumers.iter().flatten() {
        let name = consumer.name_any();
        let key = format!("{}/{name}", consumer.namespace().unwrap_or_default());
        let conditions = consumer
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice());
        let Some(sink) = condition(conditions.unwrap_or_default(), "SinkReady") else {
            continue;
        };
        let advice = advice::of_consumer("SinkReady", &sink.reason);
        let found = format!(
            "{name} ({}): {} {}",
            consumer.spec.sink.name(),
            sink.reason,
            sink.message
        );
        match advice.level {
            Level::Bad => checks.push(Check::fail(area, found, advice.what)),
            Level::Warn => checks.push(Check::warn(area, found, advice.what)),
            Level::Fine | Level::Note => {
                let pods = facts.sinks.iter().filter(|(consumer, ..)| *consumer == key);
                let troubled: Vec<Check> = pods
                    .filter_map(|(_, pod, report)| of_pod(area, pod, report))
                    .collect();
                well += usize::from(troubled.is_empty());
                checks.extend(troubled);
            }
        }
    }
    if well > 0 {
        let asked = facts.sinks.len();
        checks.insert(
            0,
            Check::ok(
                area,
                format!("{well} take what they are given ({asked} pods asked)"),
            ),
        );
    }
    checks
}

/// What is to be told of what a pod answers.
fn of_pod(area: &'static str, pod: &str, report: &Fact<bt_consumers::SinkReport>) -> Option<Check> {
    match report {
        Err(why) => Some(Check::warn(
            area,
            format!("pod {pod} does not answer: {why}"),
            "",
        )),
        Ok(report) if !matches!(report.state, SinkCondition::Ready | SinkCondition::Starting) => {
            let advice = advice::of_consumer("SinkReady", report.state.as_str());
            Some(Check::fail(
                area,
                format!("pod {pod}: {} {}", report.state.as_str(), report.message),
                advice.what,
            ))
        }
        Ok(report) if report.rejected > 0 => {
            let found = format!(
                "pod {pod}: {} events of the last minute became dead letters, {} were taken",
                report.rejected, report.taken
            );
            Some(Check::warn(
                area,
                found,
                "`kubectl bt dead-letters list` has the reasons",
            ))
        }
        Ok(_) => None,
    }
}

fn scraping(facts: &Facts) -> Vec<Check> {
    let area = "scraping";
    let mut checks = Vec::new();
    let shown = facts.consumer_pods.iter().flatten().filter(|pod| {
        is_ready(pod)
            && pod
                .labels()
                .get("monitoring.bt.dev/sink")
                .is_some_and(|sink| sink == "prometheus")
    });
    checks.push(match &facts.targets {
        Ok(targets) => of_targets(targets, shown.count()),
        Err(why) => Check::warn(
            area,
            format!("not checked: {why}"),
            "a Prometheus of another name is checked by --prometheus URL",
        ),
    });
    match &facts.monitors {
        Ok(None) => checks.push(Check::ok(
            "PodMonitor",
            "no Prometheus Operator here: none is needed",
        )),
        Ok(Some(monitors)) => {
            let scraped = |consumer: &&TelemetryConsumer| match &consumer.spec.sink.custom {
                Some(custom) => custom.metrics_port.is_some(),
                None => true,
            };
            let missing: Vec<_> = facts
                .consumers
                .iter()
                .flatten()
                .filter(scraped)
                .filter(|c| !monitors.contains(&(c.namespace().unwrap_or_default(), c.name_any())))
                .map(ResourceExt::name_any)
                .collect();
            checks.push(match missing.is_empty() {
                true => Check::ok("PodMonitor", "each consumer has one"),
                false => Check::fail("PodMonitor", format!("there is none for: {}", missing.join(", ")), "restart the operator when the kind came after it: it looks for it at its start"),
            });
        }
        Err(why) => checks.push(Check::warn("PodMonitor", why, "")),
    }
    checks
}

/// Our targets are those whose job, or pool, has one of our names in it.
fn of_targets(targets: &[Target], shown: usize) -> Check {
    let area = "scraping";
    let ours: Vec<_> = targets
        .iter()
        .filter(|target| {
            target.job.contains("bt-")
                || target.url.contains(":9090/metrics") && target.job.contains("podMonitor")
        })
        .collect();
    let jobs =
        "README.md has the scrape jobs (helm template … -s templates/stack/prometheus-config.yaml)";
    if ours.is_empty() {
        return Check::fail(
            area,
            format!(
                "Prometheus has {} targets, none of them of ours",
                targets.len()
            ),
            jobs,
        );
    }
    if let Some(down) = ours.iter().find(|target| !target.up) {
        let count = ours.iter().filter(|target| !target.up).count();
        let found = format!(
            "{count} of {} targets are down: {} {}: {}",
            ours.len(),
            down.job,
            down.url,
            down.error
        );
        return Check::fail(
            area,
            found,
            "check that the pod runs, and network policies between Prometheus and it",
        );
    }
    let pages = ours
        .iter()
        .filter(|target| target.job == "bt-metrics")
        .count();
    if pages > 0 && pages < shown {
        let found = format!(
            "Prometheus has {pages} targets of the job bt-metrics for {shown} pods of prometheus sinks"
        );
        return Check::warn(
            area,
            found,
            "wait for its discovery; then see its own page Status, Service discovery",
        );
    }
    Check::ok(area, format!("{} targets are up", ours.len()))
}
