use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// The most that chance adds.
const MOST_JITTER: Duration = Duration::from_secs(1);

/// Longer and longer waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How long to wait now: twice as long as the last time, and as long as the engine asks for.
    pub fn next(&mut self, at_least: Option<Duration>) -> Duration {
        let wait = FIRST * 2_u32.saturating_pow(self.attempts.min(10));
        self.attempts += 1;
        jittered(wait.min(LONGEST).max(at_least.unwrap_or_default()))
    }

    /// How often it was waited.
    pub fn waits(&self) -> u32 {
        self.attempts
    }
}

/// A little longer, so that not all come back at the same moment.
pub(super) fn jittered(wait: Duration) -> Duration {
    wait + (wait / 2).min(MOST_JITTER).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_never_shorter_than_the_engine_asks_for() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next(None)).collect();
        for (wait, least) in waits.iter().zip([200, 400, 800, 1600, 3200, 5000, 5000]) {
            let least = Duration::from_millis(least);
            assert!((least..=least * 3 / 2).contains(wait), "{wait:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= LONGEST + MOST_JITTER));
        let asked = Duration::from_secs(30);
        let wait = Backoff::default().next(Some(asked));
        assert!((asked..=asked + MOST_JITTER).contains(&wait), "{wait:?}");
    }
}
