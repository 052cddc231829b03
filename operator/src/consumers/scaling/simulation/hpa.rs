//! What Kubernetes' HorizontalPodAutoscaler does with the metric of KEDA's Kafka scaler: lag, at most `lagThreshold` times the
//! number of partitions; an average value for each pod, a tolerance of 10 %, five minutes of stabilization downwards, and
//! upwards at most four pods or as many again each 15 seconds.

use std::collections::VecDeque;

use super::world::{PARTITIONS, World};

/// Seconds between two decisions.
const SYNC: u32 = 15;
/// Seconds of stabilization downwards.
const STABILIZATION: u32 = 300;

pub(super) struct Hpa {
    pub(super) min: i32,
    pub(super) max: i32,
    pub(super) lag_threshold: f64,
    recommended: VecDeque<(u32, i32)>,
}

impl Hpa {
    pub(super) fn new(min: i32, max: i32, lag_threshold: f64) -> Self {
        Self {
            min,
            max,
            lag_threshold,
            recommended: VecDeque::new(),
        }
    }

    /// The number of pods, where it is time to decide. Without a metric it stays.
    pub(super) fn decide(&mut self, world: &World) -> Option<i32> {
        if !world.second.is_multiple_of(SYNC) || world.away {
            return None;
        }
        let current = world.replicas;
        let metric = world.lag().min(self.lag_threshold * PARTITIONS as f64);
        let usage = metric / (self.lag_threshold * f64::from(current));
        let asked = match (usage - 1.0).abs() <= 0.1 {
            true => current,
            false => (metric / self.lag_threshold).ceil() as i32,
        };
        let asked = asked.clamp(self.min, self.max);
        let oldest = world.second.saturating_sub(STABILIZATION);
        self.recommended.retain(|(second, _)| *second > oldest);
        self.recommended.push_back((world.second, asked));
        let most = self.recommended.iter().map(|(_, asked)| *asked).max();
        let wanted = match asked < current {
            true => most.unwrap_or(asked).min(current),
            false => asked,
        };
        Some(wanted.min((2 * current).max(current + 4)))
    }
}
