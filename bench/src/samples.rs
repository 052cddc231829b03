//! The consumer's own metrics, in Prometheus' text format.

/// A page of them.
pub struct Samples(String);

/// What became of the events so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Those that the sink took.
    pub taken: u64,
    /// The others, in words; empty where there are none.
    pub refused: String,
}

impl Samples {
    /// The samples of a page.
    pub fn new(page: String) -> Self {
        Self(page)
    }

    /// The samples of this name: labels and value.
    fn of<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, f64)> {
        self.0.lines().filter_map(move |line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let whole = labels.is_empty() || labels.starts_with('{');
            whole.then_some((labels, value.parse().ok()?))
        })
    }

    /// The sum over all labels; nothing where there is no such metric.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values = self.of(name).map(|(_, value)| value);
        values.reduce(|sum, value| sum + value)
    }

    /// The sum over all samples with this label, written as in the page; nothing where there is none.
    pub fn sum_with(&self, name: &str, label: &str) -> Option<f64> {
        let with = self.of(name).filter(|(labels, _)| labels.contains(label));
        with.map(|(_, value)| value)
            .reduce(|sum, value| sum + value)
    }

    /// What became of the events so far.
    pub fn events(&self) -> Taken {
        let mut events = Taken::default();
        for (labels, value) in self.of("bt_consumer_events_total") {
            if labels.contains("outcome=\"taken\"") {
                events.taken += value as u64;
            } else if value > 0.0 {
                events.refused.push_str(&format!("{labels} {value} "));
            }
        }
        events
    }

    /// The seconds of a duration: a gauge's value (the largest where there are several), or a histogram's mean.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        let gauge = self.of(name).map(|(_, value)| value).reduce(f64::max);
        gauge.or_else(|| {
            let sum = self.sum(&format!("{name}_sum"))?;
            let count = self.sum(&format!("{name}_count"))?;
            (count > 0.0).then(|| sum / count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        Samples::new(
            "\
# TYPE bt_consumer_events_total counter
bt_consumer_events_total{outcome=\"taken\",reason=\"\"} 41
bt_consumer_events_total{outcome=\"rejected\",reason=\"invalid_label\"} 2
bt_consumer_events_total{outcome=\"dropped\",reason=\"max_series\"} 0
bt_consumer_series 7
bt_consumer_series_bytes{partition=\"0\"} 10
bt_consumer_series_bytes{partition=\"1\"} 20
bt_consumer_restore_duration_seconds_sum 3
bt_consumer_restore_duration_seconds_count 2
"
            .into(),
        )
    }

    #[test]
    fn events_are_told_apart_by_outcome() {
        let expected = Taken {
            taken: 41,
            refused: "{outcome=\"rejected\",reason=\"invalid_label\"} 2 ".into(),
        };
        assert_eq!(samples().events(), expected);
    }

    #[test]
    fn labels_are_summed_and_other_names_left_out() {
        assert_eq!(samples().sum("bt_consumer_series"), Some(7.0));
        assert_eq!(samples().sum("bt_consumer_series_bytes"), Some(30.0));
        assert_eq!(samples().sum("bt_consumer_lag"), None);
    }

    #[test]
    fn a_duration_may_be_a_gauge_or_a_histogram() {
        let name = "bt_consumer_restore_duration_seconds";
        assert_eq!(samples().seconds(name), Some(1.5));
        let gauge = Samples::new(format!(
            "{name}{{partition=\"0\"}} 1\n{name}{{partition=\"1\"}} 2\n"
        ));
        assert_eq!(gauge.seconds(name), Some(2.0));
        assert_eq!(gauge.seconds("bt_consumer_series"), None);
    }
}
