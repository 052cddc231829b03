//! Kafka, topics, consumers and sinks, as the operator and the pods see them.

use bt_consumers::SinkCondition;
use kube::ResourceExt;

use crate::api::{Condition, KafkaTopic, TelemetryConsumer};
use crate::plugin::advice::{self, Level};
use crate::plugin::doctor::Check;
use crate::plugin::doctor::facts::{Fact, Facts};

fn condition<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

fn ready_of(topic: &KafkaTopic) -> Option<&Condition> {
    condition(&topic.status.as_ref()?.conditions, "Ready")
}

/// Kafka, as the operator sees it.
pub fn kafka(topics: &Fact<Vec<KafkaTopic>>, consumers: &Fact<Vec<TelemetryConsumer>>) -> Check {
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

pub fn topics(topics: &Fact<Vec<KafkaTopic>>) -> Check {
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

pub fn consumers(facts: &Facts) -> Vec<Check> {
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
pub fn sinks(facts: &Facts) -> Vec<Check> {
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
