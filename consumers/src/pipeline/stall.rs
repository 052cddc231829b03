use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long there may be work and no progress. Longer than a broker's restart and its partitions' recovery.
const PATIENCE: Duration = Duration::from_secs(180);

/// Finds partitions that stand still though there is something to fetch and nobody outside to wait for.
#[derive(Default)]
pub(crate) struct StallDetector {
    /// Position, and since when it is there.
    positions: HashMap<(Arc<str>, i32), (i64, Instant)>,
}

/// One partition at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The next offset to be handed out, or to be committed for a partition that waits for acknowledgements.
    pub position: i64,
    /// Records behind the end; 0 when unknown.
    pub lag: i64,
    /// Progress depends on something outside: no broker is connected, or the sink waits.
    pub waiting: bool,
}

impl StallDetector {
    /// Takes what is seen of all assigned partitions, and says what is stuck.
    pub fn observe(&mut self, now: Instant, seen: &[Observation]) -> Option<String> {
        let mut positions = HashMap::new();
        let mut stuck = None;
        for o in seen {
            let key = (o.topic.clone(), o.partition);
            let since = match self.positions.get(&key) {
                Some((position, since)) if *position == o.position && o.lag > 0 && !o.waiting => {
                    *since
                }
                _ => now,
            };
            let standing = now.duration_since(since);
            if standing > PATIENCE {
                stuck = Some(format!(
                    "{}/{} has a lag of {} and has not moved from offset {} for {} s",
                    o.topic,
                    o.partition,
                    o.lag,
                    o.position,
                    standing.as_secs()
                ));
            }
            positions.insert(key, (o.position, since));
        }
        self.positions = positions;
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lag_without_progress_or_excuse_is_stuck() {
        type Step = (i64, i64, bool);
        // Per step of 100 s: position, lag, waiting; and whether it is stuck at the end.
        let cases: [(&str, &[Step], bool); 6] = [
            (
                "idle",
                &[(5, 0, false), (5, 0, false), (5, 0, false)],
                false,
            ),
            (
                "moving",
                &[(5, 9, false), (6, 9, false), (7, 9, false)],
                false,
            ),
            (
                "stuck",
                &[(5, 9, false), (5, 9, false), (5, 9, false)],
                true,
            ),
            ("too early to tell", &[(5, 9, false), (5, 9, false)], false),
            (
                "the sink is down",
                &[(5, 9, true), (5, 9, true), (5, 9, true)],
                false,
            ),
            (
                "lag has just come",
                &[(5, 0, false), (5, 0, false), (5, 1, false)],
                false,
            ),
        ];
        for (name, steps, want) in cases {
            let mut detector = StallDetector::default();
            let mut now = Instant::now();
            let mut stuck = None;
            for (position, lag, waiting) in steps {
                stuck = detector.observe(
                    now,
                    &[Observation {
                        topic: "t".into(),
                        partition: 0,
                        position: *position,
                        lag: *lag,
                        waiting: *waiting,
                    }],
                );
                now += Duration::from_secs(100);
            }
            assert_eq!(stuck.is_some(), want, "{name}: {stuck:?}");
        }
    }
}
