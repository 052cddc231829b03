//! The metrics that operator and consumers tell of themselves.

use bt_consumers::Described;

use super::markdown::{code, table};
use crate::metrics::Metrics;

/// The page.
pub fn page() -> String {
    format!(
        "# Metrics\n\n\
         What operator and consumers tell of themselves on port 8080 at `/metrics`, from their registries. A metric with labels is shown from its \
         first value on. What the prometheus sink makes of events, on port 9090, is in [metrics.md](../metrics.md).\n\n\
         ## Operator\n\n{}## Consumers\n\n\
         Of each pod. Names with `bulk` are of an elasticsearch sink, those with `series`, `state`, `restore` and `shown` of a prometheus \
         sink.\n\n{}",
        rows(Metrics::default().described()),
        rows(bt_consumers::described_metrics()),
    )
}

fn rows(metrics: Vec<Described>) -> String {
    let rows = metrics.into_iter().map(|metric| {
        let labels: Vec<_> = metric.labels.iter().map(code).collect();
        [
            code(metric.name),
            metric.kind.to_owned(),
            labels.join(", "),
            metric.help,
        ]
    });
    table(["metric", "type", "labels", "meaning"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_there_and_well_named() {
        let operator = Metrics::default().described();
        let consumers = bt_consumers::described_metrics();
        assert!(operator.len() >= 10 && consumers.len() >= 30);
        for (prefix, metrics) in [("bt_operator_", operator), ("bt_consumer_", consumers)] {
            for metric in metrics {
                assert!(metric.name.starts_with(prefix), "{}", metric.name);
                assert!(!metric.help.is_empty(), "{}", metric.name);
                let total = metric.name.ends_with("_total");
                assert_eq!(total, metric.kind == "counter", "{}", metric.name);
            }
        }
    }
}
