//! A Prometheus histogram, from the text of a `/metrics`.

/// What a histogram has counted, over all its labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound and count up to it, ascending; the last bound is infinite.
    buckets: Vec<(f64, u64)>,
    sum: f64,
}

impl Histogram {
    /// The histogram of this name; none where the text has none.
    pub fn of(metrics: &str, name: &str) -> Option<Self> {
        let mut found = Self::default();
        let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
        for (series, value) in samples.filter_map(|line| line.rsplit_once(' ')) {
            if let Some(labels) = series.strip_prefix("_bucket{") {
                let (Some(bound), Ok(count)) = (bound(labels), value.parse::<f64>()) else {
                    continue;
                };
                found.add(bound, count as u64);
            } else if series.starts_with("_sum") {
                found.sum += value.parse::<f64>().unwrap_or_default();
            }
        }
        (!found.buckets.is_empty()).then_some(found)
    }

    fn add(&mut self, bound: f64, count: u64) {
        match self.buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, counted)) => *counted += count,
            None => {
                self.buckets.push((bound, count));
                self.buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            }
        }
    }

    /// What was counted after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().map(|(bound, count)| {
            let before = earlier.buckets.iter().find(|(known, _)| known == bound);
            let before = before.map_or(0, |(_, count)| *count);
            (*bound, count.saturating_sub(before))
        });
        Self {
            buckets: buckets.collect(),
            sum: self.sum - earlier.sum,
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// Their mean; none where there were none.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum / self.count() as f64)
    }

    /// The bound that all of them stayed below; infinite where they did not, none where there were none.
    pub fn all_below(&self) -> Option<f64> {
        let all = self.count();
        let first = self.buckets.iter().find(|(_, count)| *count == all);
        first.filter(|_| all > 0).map(|(bound, _)| *bound)
    }
}

fn bound(labels: &str) -> Option<f64> {
    let labels = labels.strip_suffix('}')?;
    let le = labels
        .split(',')
        .find_map(|label| label.strip_prefix("le=\""))?;
    match le.strip_suffix('"')? {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE round_seconds histogram
round_seconds_bucket{le=\"0.5\"} 1
round_seconds_bucket{le=\"1\"} 3
round_seconds_bucket{le=\"+Inf\"} 3
round_seconds_sum 1.5
round_seconds_count 3
round_seconds_total_bucket{le=\"9\"} 9
";

    #[test]
    fn it_is_read_from_the_text() {
        let histogram = Histogram::of(METRICS, "round_seconds").expect("it is there");
        assert_eq!(histogram.count(), 3);
        assert_eq!(histogram.mean(), Some(0.5));
        assert_eq!(histogram.all_below(), Some(1.0));
        assert_eq!(Histogram::of(METRICS, "round_millis"), None);
    }

    #[test]
    fn labels_are_summed() {
        let two = METRICS.replace("{le", "{kafka=\"b:9092\",le") + METRICS;
        let histogram = Histogram::of(&two, "round_seconds").expect("it is there");
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.mean(), Some(0.5));
    }

    #[test]
    fn a_difference_forgets_what_was_before() {
        let before = Histogram::of(METRICS, "round_seconds").expect("it is there");
        let later = METRICS
            .replace("\"0.5\"} 1", "\"0.5\"} 3")
            .replace("1\"} 3", "1\"} 5")
            .replace("+Inf\"} 3", "+Inf\"} 5")
            .replace("_sum 1.5", "_sum 1.75");
        let later = Histogram::of(&later, "round_seconds").expect("it is there");
        let since = later.since(&before);
        assert_eq!(since.count(), 2);
        assert_eq!(since.mean(), Some(0.125));
        assert_eq!(since.all_below(), Some(0.5));
        let nothing = before.since(&before);
        assert_eq!((nothing.mean(), nothing.all_below()), (None, None));
    }

    #[test]
    fn one_above_every_bound_is_below_none() {
        let slow = METRICS.replace("+Inf\"} 3", "+Inf\"} 4");
        let histogram = Histogram::of(&slow, "round_seconds").expect("it is there");
        assert_eq!(histogram.all_below(), Some(f64::INFINITY));
    }
}
