//! Reports of lost events: a warning in the log, and a counter for Prometheus.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Metric;
use crate::counts::Counts;

/// The least time between two warnings about the same reason.
pub(crate) const INTERVAL: Duration = Duration::from_secs(30);

/// What has been reported.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    logged: BTreeMap<String, (Instant, u64)>,
    sent: BTreeMap<String, u64>,
    delivered: u64,
}

impl Reporter {
    /// Warns of each reason with new drops: of the first at once, then every [`INTERVAL`], and at the end.
    pub(crate) fn log(&mut self, counts: &Counts, now: Instant, last: bool) {
        for (reason, count) in counts.dropped() {
            let before = self.logged.get(&reason);
            let (at, known) = before.map_or((None, 0), |&(at, known)| (Some(at), known));
            let due = at.is_none_or(|at| now.duration_since(at) >= INTERVAL);
            if count > known && (due || last) {
                let detail = counts.detail(&reason);
                tracing::warn!(
                    target: "bt_events",
                    "dropped {} event(s): {reason}: {detail} ({count} in all)",
                    count - known
                );
                self.logged.insert(reason, (now, count));
            }
        }
    }

    /// The drops since those that were sent, as counters. None while Kafka takes nothing: the news of the loss would be lost
    /// itself. (`idle`: nothing waits for Kafka.)
    pub(crate) fn send(
        &mut self,
        counts: &Counts,
        idle: bool,
        mut send: impl FnMut(Metric<'static>),
    ) {
        let delivered = counts.delivered_so_far();
        if !idle && delivered == self.delivered {
            return;
        }
        self.delivered = delivered;
        for (reason, count) in counts.dropped() {
            let known = self.sent.get(&reason).copied().unwrap_or_default();
            if count == known {
                continue;
            }
            let metric = Metric::counter("bt_sdk_events_dropped_total", (count - known) as f64)
                .help("Events that the SDK could not deliver.")
                .label("reason", &reason);
            send(metric);
            self.sent.insert(reason, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::counts::Refusal;

    #[test]
    fn drops_are_sent_once_and_not_while_kafka_takes_nothing() {
        let counts = Counts::default();
        let sent = RefCell::new(Vec::new());
        let take = |metric: Metric<'static>| sent.borrow_mut().push(metric.value);
        let mut reporter = Reporter::default();
        counts.refused(Refusal::QueueFull);
        reporter.send(&counts, false, take);
        assert!(sent.borrow().is_empty());
        counts.delivered();
        counts.refused(Refusal::QueueFull);
        reporter.send(&counts, true, take);
        reporter.send(&counts, true, take);
        counts.refused(Refusal::QueueFull);
        counts.delivered();
        reporter.send(&counts, false, take);
        assert_eq!(*sent.borrow(), [2.0, 1.0]);
    }

    #[test]
    fn the_log_has_a_line_for_a_reason_in_an_interval() {
        let counts = Counts::default();
        let mut reporter = Reporter::default();
        let lines = crate::testing::Lines::default();
        let now = Instant::now();
        tracing::subscriber::with_default(lines.subscriber(), || {
            counts.refused_with(Refusal::Invalid, "metric name");
            reporter.log(&counts, now, false);
            counts.refused(Refusal::Invalid);
            reporter.log(&counts, now + INTERVAL / 2, false);
            reporter.log(&counts, now + INTERVAL, false);
            counts.refused(Refusal::Invalid);
            reporter.log(&counts, now + INTERVAL, true);
        });
        let text = lines.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("dropped 1 event(s): invalid: metric name (1 in all)"));
        assert!(lines[2].contains("(3 in all)"));
    }
}
