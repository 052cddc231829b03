use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rdkafka::Statistics;
use rustix::time::{ClockId, clock_gettime};

/// For how long this process may take its partitions for its own without having heard of the group.
///
/// Kafka gives a silent member's partitions to others when `session.timeout.ms` is over. A member that was paused, or cut
/// off, cannot know; but it can see by its own clock that it has not heard of the group's coordinator for too long, and
/// must show nothing then, since the next owner may.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Microseconds of CLOCK_MONOTONIC.
    until: AtomicI64,
}

impl Lease {
    /// Holds from the first time on that the coordinator is heard of.
    pub fn new() -> Self {
        Self {
            until: AtomicI64::new(i64::MIN),
        }
    }

    /// Holds for ever: nobody is to be kept from showing anything.
    pub fn unlimited() -> Self {
        Self {
            until: AtomicI64::new(i64::MAX),
        }
    }

    pub fn holds(&self) -> bool {
        now_micros() < self.until.load(Ordering::Acquire)
    }
}

/// What an answer of the coordinator may take to arrive: it counts the session from before it answers.
const LATENCY: Duration = Duration::from_secs(2);

/// Prolongs a lease by what librdkafka's statistics tell of the coordinator.
pub(super) struct Renewal {
    lease: Arc<Lease>,
    /// Shorter than the session by what an answer may have taken to arrive.
    length: i64,
    /// Since when it is known that the lease is over; such a time has to pass one more statistic, before which the news
    /// that the partitions are lost comes.
    lapsed: bool,
}

impl Renewal {
    pub fn new(lease: Arc<Lease>, session: Duration) -> Self {
        Self {
            lease,
            length: session.saturating_sub(LATENCY).as_micros() as i64,
            lapsed: false,
        }
    }

    pub fn observe(&mut self, statistics: &Statistics) {
        let now = now_micros();
        let silent = statistics
            .brokers
            .values()
            .filter(|broker| broker.name == "GroupCoordinator" && broker.rxidle >= 0)
            .map(|broker| broker.rxidle)
            .min();
        // librdkafka's clock is CLOCK_MONOTONIC too; the statistic may have waited in its queue.
        let contact = silent.map(|silent| statistics.ts - silent);
        self.renew(now, contact);
    }

    fn renew(&mut self, now: i64, contact: Option<i64>) {
        let until = self.lease.until.load(Ordering::Acquire);
        let held_before = until != i64::MIN;
        let over = held_before && now >= until;
        let fresh = contact
            .map(|contact| contact + self.length)
            .filter(|until| *until > now);
        let Some(fresh) = fresh else {
            self.lapsed |= over;
            return;
        };
        if over && !self.lapsed {
            tracing::warn!(
                "the group's coordinator was not heard of for too long: no series were shown meanwhile"
            );
            self.lapsed = true;
            return;
        }
        self.lapsed = false;
        self.lease.until.store(fresh.max(until), Ordering::Release);
    }
}

fn now_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_itself_and_is_renewed_by_contact() {
        let second = 1_000_000;
        // Each step: the time, when the coordinator was last heard of, and until when the lease holds then, in seconds.
        let steps = [
            (100, None, None),
            (101, Some(100), Some(113)),
            (102, Some(102), Some(115)),
            (105, Some(102), Some(115)),
            // Too old, after a pause of the whole process, in a statistic that was still in the queue.
            (130, Some(106), Some(115)),
            // The coordinator was heard of; if it said that the partitions are lost, that is known before the next.
            (131, Some(131), Some(144)),
        ];
        let lease = Arc::new(Lease::new());
        let mut renewal = Renewal::new(lease.clone(), Duration::from_secs(15));
        for (now, contact, until) in steps {
            renewal.renew(now * second, contact.map(|c: i64| c * second));
            let held = until.map_or(i64::MIN, |until: i64| until * second);
            assert_eq!(lease.until.load(Ordering::Acquire), held, "at {now}");
        }
        // Without an old statistic in between, the first one after the end only takes notice.
        renewal.renew(200 * second, Some(200 * second));
        assert_eq!(lease.until.load(Ordering::Acquire), 144 * second);
        renewal.renew(201 * second, Some(201 * second));
        assert_eq!(lease.until.load(Ordering::Acquire), 214 * second);
    }

    #[test]
    fn an_unlimited_lease_holds() {
        assert!(Lease::unlimited().holds());
        assert!(!Lease::new().holds());
    }
}
