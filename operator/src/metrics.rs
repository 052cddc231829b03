//! The operator's own metrics, `bt_operator_…`.

use std::time::Instant;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// The operator's own metrics. No label grows with the number of resources.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    durations: HistogramVec,
    leader: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let reconciles = IntCounterVec::new(
            Opts::new(
                "bt_operator_reconciles_total",
                "Reconciles by kind and outcome",
            ),
            &["kind", "outcome"],
        )
        .expect("the name and labels are valid");
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "bt_operator_reconcile_duration_seconds",
                "Duration of reconciles by kind",
            ),
            &["kind"],
        )
        .expect("the name and labels are valid");
        let leader = IntGauge::new("bt_operator_leader", "1 while this replica holds the Lease")
            .expect("the name is valid");
        let registry = Registry::new();
        for collector in [
            Box::new(reconciles.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(durations.clone()),
            Box::new(leader.clone()),
        ] {
            registry
                .register(collector)
                .expect("each name is registered once");
        }
        Self {
            registry,
            reconciles,
            durations,
            leader,
        }
    }
}

impl Metrics {
    /// Starts the clock of one reconcile.
    pub fn reconcile(&self, kind: &'static str) -> Reconcile<'_> {
        Reconcile {
            metrics: self,
            kind,
            started: Instant::now(),
        }
    }

    /// Says whether this replica is the leader.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(leader.into());
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("gathered metrics are valid text")
    }
}

/// One reconcile being measured.
pub struct Reconcile<'a> {
    metrics: &'a Metrics,
    kind: &'static str,
    started: Instant,
}

impl Reconcile<'_> {
    /// Counts the reconcile under what it came to.
    pub fn outcome(self, outcome: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics
            .durations
            .with_label_values(&[self.kind])
            .observe(seconds);
        self.metrics
            .reconciles
            .with_label_values(&[self.kind, outcome])
            .inc();
    }
}
