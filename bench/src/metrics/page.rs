//! What a page in Prometheus' text format shows of the preloaded series.

use super::events::{Kind, Plan, ROUTE};

/// The preloaded series on a page.
#[derive(Debug)]
pub struct Page {
    /// How many there are.
    pub series: usize,
    /// By series: the value of a counter, the number of observations of a histogram, 1 for a gauge. Nothing where it is absent.
    values: Vec<Option<f64>>,
}

impl Page {
    /// Reads a page that may have so many of them.
    ///
    /// # Errors
    /// A series that is there twice, or one that was never produced.
    pub fn read(text: &str, series: u64) -> Result<Self, String> {
        let mut page = Self {
            series: 0,
            values: vec![None; series as usize],
        };
        for line in text.lines().filter(|line| line.starts_with("bench_")) {
            let Some((name, rest)) = line.split_once('{') else {
                continue;
            };
            let gauge = name.ends_with("_ratio");
            if !gauge && !name.ends_with("_total") && !name.ends_with("_seconds_count") {
                continue;
            }
            let (number, value) =
                number_and_value(rest).ok_or_else(|| format!("not understood: {line}"))?;
            let known = page.values.get_mut(number);
            let place = known.ok_or_else(|| format!("never produced: {line}"))?;
            if place.replace(if gauge { 1.0 } else { value }).is_some() {
                return Err(format!("there twice: {line}"));
            }
            page.series += 1;
        }
        Ok(page)
    }

    /// The sum of all counters.
    pub fn counters(&self) -> f64 {
        let counters = (0..)
            .zip(&self.values)
            .filter(|(series, _)| Plan::kind(*series) == Kind::Counter);
        counters.filter_map(|(_, value)| *value).sum()
    }

    /// Compares with what was produced, series by series.
    ///
    /// # Errors
    /// How many differ, in words, with the first of them.
    pub fn compare(&self, sums: &[u64]) -> Result<(), String> {
        let differs = |(series, sum): &(u64, &u64)| {
            let expected = match Plan::kind(*series) {
                Kind::Gauge => 1.0,
                Kind::Counter | Kind::Histogram => **sum as f64,
            };
            self.values.get(*series as usize).copied().flatten() != Some(expected)
        };
        let mut wrong = (0..).zip(sums).filter(differs);
        let Some((series, sum)) = wrong.next() else {
            return Ok(());
        };
        let produced = (0..).zip(sums);
        let produced = produced.filter(|(series, _)| Plan::kind(*series) == Kind::Counter);
        Err(format!(
            "{} of {} series differ from what was produced, the first is {series}: {:?} is shown, {sum} produced; \
             all counters together: {} shown, {} produced",
            1 + wrong.count(),
            sums.len(),
            self.values.get(series as usize).copied().flatten(),
            self.counters(),
            produced.map(|(_, sum)| sum).sum::<u64>()
        ))
    }
}

/// The series' number and the sample's value, from what follows the name.
fn number_and_value(rest: &str) -> Option<(usize, f64)> {
    let (_, route) = rest.split_once(ROUTE)?;
    let (number, _) = route.split_once('"')?;
    let (_, value) = rest.rsplit_once("} ")?;
    Some((number.parse().ok()?, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE bench_calls_00_0_total counter
bench_calls_00_0_total{service=\"service-000\",route=\"/items/000000\",source=\"t/1\"} 12
bench_usage_16_0_ratio{service=\"service-000\",route=\"/items/000016\",source=\"t/1\"} 0.25
bench_duration_0_seconds_bucket{route=\"/items/000019\",source=\"t/1\",le=\"+Inf\"} 2
bench_duration_0_seconds_sum{route=\"/items/000019\",source=\"t/1\"} 0.5
bench_duration_0_seconds_count{route=\"/items/000019\",source=\"t/1\"} 2
other_total{route=\"/items/000001\"} 1
";

    fn sums() -> Vec<u64> {
        let mut sums = vec![0; 20];
        (sums[0], sums[16], sums[19]) = (12, 7, 2);
        sums
    }

    #[test]
    fn series_are_found_by_their_route() {
        let page = Page::read(TEXT, 20).expect("a page");
        assert_eq!((page.series, page.counters()), (3, 12.0));
        let why = page.compare(&sums()).expect_err("17 are not there");
        assert!(why.starts_with("17 of 20 series differ"), "{why}");
    }

    #[test]
    fn a_counter_that_is_one_too_high_is_told() {
        let page = Page::read(&TEXT.replace("} 12", "} 13"), 20).expect("a page");
        let why = page.compare(&sums()[..1]).expect_err("13 is not 12");
        assert!(why.contains("Some(13.0) is shown, 12 produced"), "{why}");
        let page = Page::read(TEXT, 20).expect("a page");
        assert_eq!(page.compare(&sums()[..1]), Ok(()));
    }

    #[test]
    fn what_is_there_twice_or_never_was_is_refused() {
        let twice = format!("{TEXT}{}", TEXT.replace("t/1", "t/2"));
        assert!(
            Page::read(&twice, 20)
                .expect_err("twice")
                .starts_with("there twice")
        );
        assert!(
            Page::read(TEXT, 5)
                .expect_err("16")
                .starts_with("never produced")
        );
    }
}
