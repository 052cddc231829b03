//! Whether Prometheus gets what it should.

use kube::ResourceExt;

use crate::api::TelemetryConsumer;
use crate::consumers::is_ready;
use crate::plugin::doctor::Check;
use crate::plugin::doctor::facts::Facts;
use crate::plugin::prometheus::Target;

pub fn scraping(facts: &Facts) -> Vec<Check> {
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
    if let Some(down) = ours.iter().find(|target| !target.up && !target.new) {
        let count = ours.iter().filter(|t| !t.up && !t.new).count();
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
    let new = ours.iter().filter(|target| target.new).count();
    if new > 0 {
        let found = format!("{new} of {} targets were not scraped yet", ours.len());
        return Check::warn(area, found, "look again in a scrape interval");
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
