//! The metrics that a program tells of itself: registered once, shown, and listed for the reference.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricType;
use prometheus::{Registry, TextEncoder};

/// What a metric is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// Its help text.
    pub help: String,
}

/// A registry that knows its metrics also before they have a value. Clones share it.
#[derive(Clone, Default)]
pub struct OwnMetrics {
    registry: Registry,
    described: Arc<Mutex<Vec<Described>>>,
}

impl OwnMetrics {
    /// Registers what was made.
    ///
    /// # Panics
    /// When a name, a label or a bucket is not valid, or a name is registered twice: mistakes of the program.
    pub fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("the metric's name, labels and buckets are valid");
        self.registry
            .register(Box::new(collector.clone()))
            .expect("each metric is registered once");
        let families = collector.collect();
        let described = collector.desc().into_iter().zip(families);
        self.described
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(described.map(|(desc, family)| Described {
                name: desc.fq_name.clone(),
                kind: kind(family.get_field_type()),
                labels: desc.variable_labels.clone(),
                help: desc.help.clone(),
            }));
        collector
    }

    /// Everything that has a value, in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("gathered metrics are valid text")
    }

    /// All that are registered, by name.
    pub fn described(&self) -> Vec<Described> {
        let described = self
            .described
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut described = described.clone();
        described.sort();
        described
    }
}

fn kind(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounterVec, Opts};

    use super::*;

    #[test]
    fn a_metric_without_a_value_is_not_shown_but_described() {
        let metrics = OwnMetrics::default();
        let counter = IntCounterVec::new(Opts::new("seen_total", "Seen."), &["by"]);
        let counter = metrics.register(counter);
        assert_eq!(metrics.render(), "");
        let expected = Described {
            name: "seen_total".into(),
            kind: "counter",
            labels: vec!["by".into()],
            help: "Seen.".into(),
        };
        assert_eq!(metrics.described(), [expected]);
        counter.with_label_values(&["me"]).inc();
        assert!(metrics.render().contains("seen_total{by=\"me\"} 1"));
    }
}
