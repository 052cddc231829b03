use bt_events::{Event, Health, Kind, Metric, Op, Status};

use super::snapshot::Exemplar;
use crate::config::check_buckets;
use crate::sink::Rejection;

/// The longest help text, in bytes.
pub(super) const MAX_HELP: usize = 1024;
/// The longest unit, in bytes.
pub(super) const MAX_UNIT: usize = 64;

/// The state of services and their checks.
const HEALTH: &str = "bt_service_health";
const HEALTH_LATENCY: &str = "bt_service_health_latency_seconds";
/// Counts of business events.
const EVENTS: &str = "bt_events_total";
/// The names of the consumer's own samples.
pub(super) const OWN: [&str; 4] = [HEALTH, HEALTH_LATENCY, EVENTS, "bt_events_created"];

/// A change to one series, without the series' labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'s> {
    pub name: &'s str,
    pub update: Update,
    pub help: Option<&'s str>,
    pub unit: Option<&'s str>,
    /// A histogram's upper bounds, where the event names them.
    pub buckets: Option<&'s [f64]>,
    /// It is of one of the consumer's own families.
    pub own: bool,
}

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Update {
    Increment(f64),
    Set(f64),
    Add(f64),
    Observe(f64),
}

impl Update {
    /// A metric event's change, if its value can be one.
    pub fn of(metric: &Metric<'_>) -> Result<Self, Rejection> {
        let value = metric.value;
        if !value.is_finite() {
            return Err(Rejection::new(
                "non_finite_value",
                format!("{}: the value must be finite", metric.name),
            ));
        }
        match (metric.kind, metric.op) {
            (Kind::Counter, _) if value < 0.0 => Err(Rejection::new(
                "negative_increment",
                format!(
                    "{}: a counter's value is an increment of at least 0, found {value}",
                    metric.name
                ),
            )),
            (Kind::Counter, _) => Ok(Update::Increment(value)),
            (Kind::Gauge, Op::Set) => Ok(Update::Set(value)),
            (Kind::Gauge, Op::Add) => Ok(Update::Add(value)),
            (Kind::Histogram, _) => Ok(Update::Observe(value)),
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            Update::Increment(_) => Kind::Counter,
            Update::Set(_) | Update::Add(_) => Kind::Gauge,
            Update::Observe(_) => Kind::Histogram,
        }
    }
}

impl<'s> Sample<'s> {
    /// What a metric event changes; the texts are the event's own, decoded.
    pub fn of_metric(
        metric: &'s Metric<'_>,
        update: Update,
        name: &'s str,
        help: Option<&'s str>,
        unit: Option<&'s str>,
    ) -> Result<Self, Rejection> {
        let buckets = metric.buckets.as_deref();
        if let Some(Err(why)) = buckets.map(check_buckets) {
            return Err(Rejection::new(
                "invalid_buckets",
                format!("field `buckets`: {why}"),
            ));
        }
        for (reason, field, text, max) in [
            ("help_too_long", "help", help, MAX_HELP),
            ("unit_too_long", "unit", unit, MAX_UNIT),
        ] {
            let length = text.map_or(0, str::len);
            if length > max {
                return Err(Rejection::new(
                    reason,
                    format!("field `{field}`: has {length} bytes, {max} are possible"),
                ));
            }
        }
        Ok(Self {
            name,
            update,
            help,
            unit,
            buckets,
            own: false,
        })
    }

    /// What a business event changes.
    pub fn of_business() -> Self {
        Self {
            name: EVENTS,
            update: Update::Increment(1.0),
            help: Some("Business events by service and type."),
            unit: None,
            buckets: None,
            own: true,
        }
    }
}

/// What a health event changes, each with its value of the label `check`: the service as a whole is the series without.
pub(super) fn of_health<'h>(
    health: &'h Health<'_>,
) -> impl Iterator<Item = (Option<&'h str>, Sample<'static>)> {
    let gauge = |name, help, unit, value| Sample {
        name,
        update: Update::Set(value),
        help: Some(help),
        unit,
        buckets: None,
        own: true,
    };
    let status = move |status| {
        let value = match status {
            Status::Up => 1.0,
            Status::Degraded => 0.5,
            Status::Down => 0.0,
        };
        let help = "1 up, 0.5 degraded, 0 down; without the label check: the service as a whole.";
        gauge(HEALTH, help, None, value)
    };
    let latency = health.latency_ms.map(|millis| {
        let help = "How long the health check took.";
        (
            None,
            gauge(HEALTH_LATENCY, help, Some("seconds"), millis / 1000.0),
        )
    });
    let checks = health.checks.iter();
    [(None, status(health.status))]
        .into_iter()
        .chain(latency)
        .chain(checks.map(move |(check, of_check)| (Some(&**check), status(*of_check))))
}

/// The trace of an observation, to be shown with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traced<'t> {
    trace_id: &'t str,
    /// Milliseconds since the epoch.
    at: i64,
}

impl<'t> Traced<'t> {
    /// A metric event's trace, if it has one that can be shown.
    pub fn of(event: &Event<'_>, trace_id: &'t str) -> Option<Self> {
        let good = (1..=64).contains(&trace_id.len())
            && trace_id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        good.then(|| Self {
            trace_id,
            at: event.ts.at().as_millisecond(),
        })
    }

    /// Puts it in the place of the one that was there.
    pub fn keep<P: Copy + PartialEq>(
        self,
        exemplars: &mut Vec<(P, Exemplar)>,
        place: P,
        value: f64,
    ) {
        let Some((_, old)) = exemplars.iter_mut().find(|(other, _)| *other == place) else {
            exemplars.reserve_exact(1);
            exemplars.push((
                place,
                Exemplar {
                    trace_id: self.trace_id.into(),
                    value,
                    at: self.at,
                },
            ));
            return;
        };
        // Trace ids are all of one length, so this memory is used again.
        let mut trace_id = std::mem::take(&mut old.trace_id).into_string();
        trace_id.clear();
        trace_id.push_str(self.trace_id);
        *old = Exemplar {
            trace_id: trace_id.into(),
            value,
            at: self.at,
        };
    }
}
