//! Counting into a native histogram, whose resolution halves where its buckets would become too many. Merging two
//! neighbouring buckets is exact, so at what moment it happens makes no difference to the result.

use super::snapshot::Native;

/// The finest resolution: each bucket is 2^(1/8), that is 9 %, wider than the one before.
pub(super) const FINEST: i8 = 3;
/// The coarsest one of the standard schemas. All numbers between 2^-128 and 2^1024 of both signs take less than
/// [`MAX_BUCKETS`] of its buckets.
pub(super) const COARSEST: i8 = -4;
/// The most buckets of both signs together, as OpenTelemetry has it.
pub(super) const MAX_BUCKETS: usize = 160;

/// The upper bounds of the finest buckets between 1/2 and 1: 2^(i/8 - 1).
const BOUNDS: [f64; 8] = [
    0.5,
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    0.707_106_781_186_547_5,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_4,
    0.917_004_043_204_671_1,
];

impl Native {
    /// Counts one finite observation.
    pub fn observe(&mut self, value: f64) {
        let size = value.abs();
        if size <= self.zero_threshold {
            self.zero_count += 1;
            return;
        }
        let index = coarser(finest_index(size), FINEST - self.schema);
        let buckets = if value > 0.0 {
            &mut self.positive
        } else {
            &mut self.negative
        };
        match buckets.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => buckets[at].1 += 1,
            Err(at) => {
                if buckets.len() == buckets.capacity() {
                    buckets.reserve_exact(4 + buckets.len() / 4);
                }
                buckets.insert(at, (index, 1));
                while self.positive.len() + self.negative.len() > MAX_BUCKETS
                    && self.schema > COARSEST
                {
                    self.halve();
                }
            }
        }
    }

    fn halve(&mut self) {
        self.schema -= 1;
        for buckets in [&mut self.positive, &mut self.negative] {
            for (index, _) in buckets.iter_mut() {
                *index = coarser(*index, 1);
            }
            buckets.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    kept.1 += next.1;
                }
                same
            });
        }
    }
}

/// The bucket that holds bucket `index` where the resolution is halved `times` times: half of it, rounded up, because
/// buckets include their upper bound.
fn coarser(index: i32, times: i8) -> i32 {
    (index + (1 << times) - 1) >> times
}

/// The finest bucket of a normal positive number.
fn finest_index(size: f64) -> i32 {
    // size = fraction * 2^exponent, the fraction in [1/2, 1).
    let bits = size.to_bits();
    let exponent = (bits >> 52) as i32 - 1022;
    let fraction = f64::from_bits(bits & ((1 << 52) - 1) | 1022 << 52);
    let within = BOUNDS.partition_point(|bound| *bound < fraction);
    within as i32 + (exponent - 1) * BOUNDS.len() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The upper bound of a bucket.
    fn bound(schema: i8, index: i32) -> f64 {
        (f64::from(index) * (-f64::from(schema)).exp2()).exp2()
    }

    fn total(native: &Native) -> u64 {
        let buckets = native.positive.iter().chain(&native.negative);
        native.zero_count + buckets.map(|(_, count)| count).sum::<u64>()
    }

    #[test]
    fn an_observation_falls_into_the_bucket_whose_bounds_enclose_it() {
        for value in [1e-30, 0.001, 0.7, 1.0, 1.01, 2.0, 3.0, 1024.0, 1.5e300] {
            let mut native = Native::default();
            native.observe(value);
            let (index, count) = native.positive[0];
            assert_eq!(count, 1);
            let slack = 1.0 + 1e-12;
            assert!(
                bound(FINEST, index - 1) < value && value <= bound(FINEST, index) * slack,
                "{value} in {index}"
            );
        }
        // Powers of two are bounds, and buckets include their upper one.
        let mut native = Native::default();
        for value in [1.0, 2.0, 0.5, -4.0] {
            native.observe(value);
        }
        assert_eq!(native.positive, [(-8, 1), (0, 1), (8, 1)]);
        assert_eq!(native.negative, [(16, 1)]);
    }

    #[test]
    fn what_is_next_to_zero_is_counted_as_zero() {
        let mut native = Native::default();
        for value in [0.0, -0.0, 1e-39, -1e-39, f64::MIN_POSITIVE, 5e-324] {
            native.observe(value);
        }
        assert_eq!(native.zero_count, 6);
        assert_eq!(total(&native), 6);
    }

    #[test]
    fn the_resolution_halves_where_buckets_become_too_many_and_nothing_is_lost() {
        let mut native = Native::default();
        let mut seen = Vec::new();
        for i in 0..4000 {
            let value = (f64::from(i) / 3.0 - 120.0).exp2().min(f64::MAX);
            let value = if i % 3 == 0 { -value } else { value };
            native.observe(value);
            seen.push(value);
            assert!(native.positive.len() + native.negative.len() <= MAX_BUCKETS);
        }
        assert_eq!(native.schema, COARSEST);
        assert_eq!(total(&native), 4000);
        // The same as if every observation had been counted at the last resolution from the beginning.
        let mut coarse = Native {
            schema: native.schema,
            ..Native::default()
        };
        for value in seen {
            coarse.observe(value);
        }
        assert_eq!(coarse, native);
    }
}
