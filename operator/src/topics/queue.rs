//! Who is next: a first-in first-out queue for each Kafka cluster, so that a cluster that is slow holds up none but its own.
//!
//! A resource is in the queue once, however often it changes, so the queue is never longer than there are resources. What has
//! changed comes before what is only due for another look. No I/O and no clock: the time is given.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The most resources in one batch.
pub const BATCH: usize = 100;
/// Batches of one cluster under way at a time: while Kafka works on one, Kubernetes is told about the other.
const PARALLEL: usize = 2;
/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(60);

/// When a resource that was dealt with is to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// After this time.
    After(Duration),
    /// It failed: after 1 s, 2 s, 4 s … 60 s of one failure after the other.
    Backoff,
    /// Never: it is gone, or nothing is left to be done.
    Never,
}

/// The queues of all clusters `C`, with resources named by `K`.
pub struct Queue<C, K> {
    lanes: HashMap<C, Lane<K>>,
    /// The lanes in the order in which they are served.
    turn: VecDeque<C>,
    places: HashMap<K, Place<C>>,
    due: BTreeSet<(Instant, K)>,
    tickets: u64,
}

struct Lane<K> {
    changed: VecDeque<(u64, K)>,
    looks: VecDeque<(u64, K)>,
    running: usize,
}

struct Place<C> {
    cluster: C,
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// In a lane, under this ticket; entries with another are stale.
    Waiting {
        ticket: u64,
        changed: bool,
    },
    /// In a batch, and whether it has changed meanwhile.
    Running {
        again: bool,
    },
    Due(Instant),
    Idle,
}

impl<C: Hash + Eq + Clone, K: Hash + Ord + Clone> Default for Queue<C, K> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            turn: VecDeque::new(),
            places: HashMap::new(),
            due: BTreeSet::new(),
            tickets: 0,
        }
    }
}

impl<C: Hash + Eq + Clone, K: Hash + Ord + Clone> Queue<C, K> {
    /// A resource that changed, or is new, waits for its turn from now on; one that waits already keeps its turn.
    pub fn changed(&mut self, key: K, cluster: C) {
        if let Some(place) = self.places.get_mut(&key) {
            let moved = place.cluster != cluster;
            place.failures = 0;
            match &mut place.state {
                State::Waiting { changed: true, .. } if !moved => return,
                State::Running { again } => {
                    *again = true;
                    // Its batch goes on in the old cluster's lane; the new one is for the next time.
                    place.cluster = cluster;
                    return;
                }
                State::Due(at) => {
                    let at = *at;
                    self.due.remove(&(at, key.clone()));
                }
                _ => {}
            }
        }
        self.wait(key, cluster, true);
    }

    /// A resource that is gone for good.
    pub fn gone(&mut self, key: &K) {
        if let Some(place) = self.places.remove(key)
            && let State::Due(at) = place.state
        {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// The next batch, if a cluster with waiting resources may have one more. Clusters take turns.
    pub fn take(&mut self, now: Instant) -> Option<(C, Vec<K>)> {
        while let Some((at, key)) = self.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, key.clone()));
            let cluster = self.places[&key].cluster.clone();
            self.wait(key, cluster, false);
        }
        for _ in 0..self.turn.len() {
            let cluster = self.turn.pop_front()?;
            let lane = self.lanes.get_mut(&cluster)?;
            let mut batch = Vec::new();
            if lane.running < PARALLEL {
                while batch.len() < BATCH
                    && let Some((ticket, key)) =
                        lane.changed.pop_front().or_else(|| lane.looks.pop_front())
                {
                    let Some(place) = self.places.get_mut(&key) else {
                        continue;
                    };
                    if matches!(place.state, State::Waiting { ticket: valid, .. } if valid == ticket)
                    {
                        place.state = State::Running { again: false };
                        batch.push(key);
                    }
                }
            }
            if batch.is_empty()
                && lane.running == 0
                && lane.changed.is_empty()
                && lane.looks.is_empty()
            {
                self.lanes.remove(&cluster);
                continue;
            }
            self.turn.push_back(cluster.clone());
            if !batch.is_empty() {
                self.lanes.get_mut(&cluster)?.running += 1;
                return Some((cluster, batch));
            }
        }
        None
    }

    /// A batch of this cluster is over, and this is when its resources are to be looked at again.
    pub fn done(&mut self, cluster: &C, batch: impl IntoIterator<Item = (K, Next)>, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(cluster) {
            lane.running = lane.running.saturating_sub(1);
        }
        for (key, next) in batch {
            let Some(place) = self.places.get_mut(&key) else {
                continue;
            };
            if place.state == (State::Running { again: true }) {
                let cluster = place.cluster.clone();
                self.wait(key, cluster, true);
                continue;
            }
            let wait = match next {
                Next::After(wait) => {
                    place.failures = 0;
                    wait
                }
                Next::Backoff => {
                    let wait = Duration::from_secs(1 << place.failures.min(6)).min(LONGEST);
                    place.failures += 1;
                    wait
                }
                Next::Never => {
                    place.state = State::Idle;
                    continue;
                }
            };
            place.state = State::Due(now + wait);
            self.due.insert((now + wait, key));
        }
    }

    /// How many wait for their turn.
    pub fn depth(&self) -> usize {
        let waits = |place: &&Place<C>| matches!(place.state, State::Waiting { .. });
        self.places.values().filter(waits).count()
    }

    /// When the next look is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn wait(&mut self, key: K, cluster: C, changed: bool) {
        self.tickets += 1;
        let ticket = self.tickets;
        let place = self.places.entry(key.clone()).or_insert_with(|| Place {
            cluster: cluster.clone(),
            state: State::Idle,
            failures: 0,
        });
        place.cluster = cluster.clone();
        place.state = State::Waiting { ticket, changed };
        let lane = self.lanes.entry(cluster.clone()).or_insert_with(|| {
            self.turn.push_back(cluster);
            Lane {
                changed: VecDeque::new(),
                looks: VecDeque::new(),
                running: 0,
            }
        });
        let line = if changed {
            &mut lane.changed
        } else {
            &mut lane.looks
        };
        line.push_back((ticket, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        // One origin for all: only differences matter.
        static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *ORIGIN.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    fn queue(entries: &[(&'static str, u32)]) -> Queue<&'static str, u32> {
        let mut queue = Queue::default();
        for (cluster, key) in entries {
            queue.changed(*key, *cluster);
        }
        queue
    }

    #[test]
    fn first_in_first_out_and_once_however_often_it_changes() {
        let mut queue = queue(&[("a", 3), ("a", 1), ("a", 3), ("a", 2), ("a", 1)]);
        assert_eq!(queue.depth(), 3);
        assert_eq!(queue.take(at(0)), Some(("a", vec![3, 1, 2])));
        assert_eq!(queue.take(at(0)), None);
    }

    #[test]
    fn a_cluster_that_does_not_answer_holds_up_no_other() {
        let mut queue = Queue::default();
        for key in 0..1000 {
            queue.changed(key, "dead");
        }
        queue.changed(5000, "well");
        let first = queue.take(at(0)).expect("a batch");
        assert_eq!((first.0, first.1.len()), ("dead", BATCH));
        assert_eq!(queue.take(at(0)), Some(("well", vec![5000])));
        assert_eq!(queue.take(at(0)).expect("a batch").0, "dead");
        // Two batches of the dead one are all that it gets; the other one gets its next at once.
        assert_eq!(queue.take(at(0)), None);
        queue.changed(5001, "well");
        assert_eq!(queue.take(at(0)), Some(("well", vec![5001])));
    }

    #[test]
    fn what_changes_in_a_batch_comes_again() {
        let mut queue = queue(&[("a", 1)]);
        queue.take(at(0));
        queue.changed(1, "a");
        assert_eq!(queue.take(at(0)), None, "not twice at a time");
        queue.done(&"a", [(1, Next::After(Duration::from_secs(30)))], at(1));
        assert_eq!(queue.take(at(1)), Some(("a", vec![1])));
        queue.done(&"a", [(1, Next::After(Duration::from_secs(30)))], at(2));
        assert_eq!(queue.take(at(31)), None);
        assert_eq!(queue.next_due(), Some(at(32)));
        assert_eq!(queue.take(at(32)), Some(("a", vec![1])));
    }

    #[test]
    fn changes_come_before_looks() {
        let mut queue = queue(&[("a", 1), ("a", 2)]);
        queue.take(at(0));
        queue.done(
            &"a",
            [1, 2].map(|key| (key, Next::After(Duration::from_secs(1)))),
            at(0),
        );
        queue.changed(3, "a");
        assert_eq!(queue.take(at(5)), Some(("a", vec![3, 1, 2])));
    }

    #[test]
    fn a_resource_that_fails_waits_longer_each_time_and_not_after_a_change() {
        let mut queue = queue(&[("a", 1)]);
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..8 {
            assert!(queue.take(now).is_some());
            queue.done(&"a", [(1, Next::Backoff)], now);
            let due = queue.next_due().expect("due");
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        queue.changed(1, "a");
        assert_eq!(queue.next_due(), None);
        assert!(queue.take(now).is_some());
        queue.done(&"a", [(1, Next::Backoff)], now);
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_gone_or_has_moved_is_not_taken_where_it_was() {
        let mut queue = queue(&[("a", 1), ("a", 2), ("a", 3)]);
        queue.gone(&1);
        queue.changed(2, "b");
        assert_eq!(queue.depth(), 2);
        let mut taken = [queue.take(at(0)), queue.take(at(0))];
        taken.sort();
        assert_eq!(taken, [Some(("a", vec![3])), Some(("b", vec![2]))]);
        queue.done(&"a", [(3, Next::Never)], at(0));
        queue.done(&"b", [(2, Next::Never)], at(0));
        assert_eq!(
            (queue.take(at(9)), queue.depth(), queue.next_due()),
            (None, 0, None)
        );
        assert!(queue.lanes.is_empty());
    }
}
