use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What goes wrong, and when. The default: nothing does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// Of the random choices; the same seed and the same order of requests give the same faults.
    pub seed: u64,
    /// What holds all the time.
    pub rules: Rules,
    /// One after the other; the last one lasts. None: no faults.
    pub phases: Vec<Phase>,
}

/// What holds for every request, as it would with a real engine's settings and mappings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// Requests with a larger body are answered 413; 0: none is too large.
    pub max_bytes: usize,
    /// A `_bulk` with this text in it is answered 400 as a whole; empty: none is.
    pub poison: String,
    /// Documents with this text contradict the mapping; empty: none do.
    pub refuse: String,
    /// Documents with this text are answered 429; empty: none are.
    pub busy: String,
    /// One id in so many contradicts the mapping, by [`is_refused`]; 0: none does.
    pub refuse_one_in: u64,
    /// Documents that contradict the mapping go into their data stream's failure store, under ids that the engine makes: one that is
    /// sent again is there again. As Elasticsearch has it from 8.19 on; not where there are no data streams.
    pub failure_store: bool,
    /// Nothing can be written: `cluster_block_exception`, 403, for each document.
    pub read_only: bool,
    /// Requests without this `Authorization` header are answered 401; empty: none is needed.
    pub authorization: String,
}

/// Faults for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Phase {
    /// Ends after so many requests; 0: not by their number.
    pub requests: u64,
    /// Ends after so many seconds; 0: not by time.
    pub seconds: f64,
    /// Whether requests that set up the engine (templates, policies) fail too; those for documents always do.
    pub set_up: bool,
    /// What happens to a request. The weights of all are what the whole is.
    pub faults: Vec<Weighted>,
}

/// A fault, and how often it happens beside the others of its phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    /// Its part of the sum of all weights.
    pub weight: u32,
    /// What happens.
    #[serde(flatten)]
    pub fault: Fault,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "fault",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Fault {
    /// It is done and answered.
    None,
    /// 429 as a whole.
    TooManyRequests {
        /// When to come again.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// 429 for some of the documents; the others are done.
    TooManyItems {
        /// Of a hundred documents.
        percent: u8,
        /// When to come again.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// 503 as a whole.
    Unavailable {
        /// When to come again.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// 401 as a whole.
    Unauthorized,
    /// The connection is reset before anything is read.
    ResetBefore,
    /// It is done, and the connection is reset instead of an answer.
    ResetAfter,
    /// It is done, half of the answer is sent, and the connection ends.
    HalfAnswer,
    /// It is done and not answered; the connection is reset after this time, or when another script is played.
    DoneThenHangs {
        /// How long.
        seconds: f64,
    },
    /// It is not done and not answered; the connection is reset after this time, or when another script is played.
    Hangs {
        /// How long.
        seconds: f64,
    },
    /// The connection is reset after a tenth of this time, and it is done after all of it: what its sender sends again comes first.
    DoneLate {
        /// How long.
        seconds: f64,
    },
    /// It is read at this speed, done and answered.
    SlowRead {
        /// The speed.
        bytes_per_second: u32,
    },
    /// It is done and answered after this time.
    SlowAnswer {
        /// How long.
        seconds: f64,
    },
    /// Nothing is written, and all is answered with `cluster_block_exception`, 403.
    ReadOnly,
    /// The disk is nearly full: the same with 429, as Elasticsearch 7.10 and OpenSearch do. Documents cannot be deleted either.
    FloodStage,
    /// The same with `index_closed_exception`, 400.
    IndexClosed,
    /// Some documents are answered with `unavailable_shards_exception`, 503; the others are done.
    UnavailableShards {
        /// Of a hundred documents.
        percent: u8,
    },
    /// Data streams roll over when half of the documents are done.
    Rollover,
    /// As [`Fault::Rollover`], and the connection is reset instead of an answer.
    RolloverThenReset,
}

/// The header `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryAfter {
    /// In so many seconds, given as a number.
    Seconds(u64),
    /// In so many seconds, given as a date.
    Date(u64),
}

impl Fault {
    /// Its name, for counts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TooManyRequests { .. } => "tooManyRequests",
            Self::TooManyItems { .. } => "tooManyItems",
            Self::Unavailable { .. } => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::ResetBefore => "resetBefore",
            Self::ResetAfter => "resetAfter",
            Self::HalfAnswer => "halfAnswer",
            Self::DoneThenHangs { .. } => "doneThenHangs",
            Self::Hangs { .. } => "hangs",
            Self::DoneLate { .. } => "doneLate",
            Self::SlowRead { .. } => "slowRead",
            Self::SlowAnswer { .. } => "slowAnswer",
            Self::ReadOnly => "readOnly",
            Self::FloodStage => "floodStage",
            Self::IndexClosed => "indexClosed",
            Self::UnavailableShards { .. } => "unavailableShards",
            Self::Rollover => "rollover",
            Self::RolloverThenReset => "rolloverThenReset",
        }
    }
}

impl Script {
    /// One fault, which happens to so many of a hundred requests, for ever.
    pub fn only(seed: u64, fault: Fault, percent: u32) -> Self {
        Self::mix(seed, &[(percent, fault)])
    }

    /// Some faults, each of which happens to so many of a hundred requests, for ever.
    pub fn mix(seed: u64, faults: &[(u32, Fault)]) -> Self {
        let others = 100_u32.saturating_sub(faults.iter().map(|(percent, _)| percent).sum());
        let all = faults.iter().copied().chain([(others, Fault::None)]);
        let faults = all.map(|(weight, fault)| Weighted { weight, fault });
        Self {
            seed,
            phases: vec![Phase {
                faults: faults.collect(),
                ..Phase::default()
            }],
            ..Self::default()
        }
    }

    /// The same with these rules.
    pub fn with(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }
}

/// Whether the document of this id is one of those that contradict the mapping: one in so many, always the same.
pub fn is_refused(id: &str, one_in: u64) -> bool {
    one_in > 0 && hash(id).is_multiple_of(one_in)
}

/// FNV-1a: the same in every build.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A script that is being played.
pub(crate) struct Playing {
    pub script: Script,
    random: fastrand::Rng,
    phase: usize,
    /// Requests of this phase so far.
    requests: u64,
    since: Instant,
}

impl Playing {
    pub fn new(script: Script) -> Self {
        Self {
            random: fastrand::Rng::with_seed(script.seed),
            script,
            phase: 0,
            requests: 0,
            since: Instant::now(),
        }
    }

    /// What happens to the next request.
    pub fn next(&mut self, sets_up: bool) -> Fault {
        while self.phase + 1 < self.script.phases.len() && self.is_over() {
            self.phase += 1;
            self.requests = 0;
            self.since = Instant::now();
        }
        let Some(phase) = self.script.phases.get(self.phase) else {
            return Fault::None;
        };
        if sets_up && !phase.set_up {
            return Fault::None;
        }
        self.requests += 1;
        let sum: u32 = phase.faults.iter().map(|fault| fault.weight).sum();
        if sum == 0 {
            return Fault::None;
        }
        let mut at = self.random.u32(..sum);
        for Weighted { weight, fault } in &phase.faults {
            if at < *weight {
                return *fault;
            }
            at -= weight;
        }
        Fault::None
    }

    /// Whether one document of a request is among so many of a hundred.
    pub fn happens(&mut self, percent: u8) -> bool {
        self.random.u8(..100) < percent
    }

    fn is_over(&self) -> bool {
        let phase = &self.script.phases[self.phase];
        (phase.requests > 0 && self.requests >= phase.requests)
            || (phase.seconds > 0.0
                && self.since.elapsed() >= Duration::from_secs_f64(phase.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_the_faults_and_phases_follow_each_other() {
        let faults = vec![
            Weighted {
                weight: 1,
                fault: Fault::ResetAfter,
            },
            Weighted {
                weight: 3,
                fault: Fault::None,
            },
        ];
        let script = Script {
            seed: 5,
            phases: vec![
                Phase {
                    requests: 400,
                    faults,
                    ..Phase::default()
                },
                Phase::default(),
            ],
            ..Script::default()
        };
        let play = || {
            let mut playing = Playing::new(script.clone());
            (0..800).map(|_| playing.next(false)).collect::<Vec<_>>()
        };
        let played = play();
        assert_eq!(played, play());
        let resets = |faults: &[Fault]| faults.iter().filter(|f| **f == Fault::ResetAfter).count();
        assert!(
            (60..140).contains(&resets(&played[..400])),
            "{}",
            resets(&played[..400])
        );
        assert_eq!(resets(&played[400..]), 0);
    }

    #[test]
    fn setting_up_fails_only_where_a_phase_says_so() {
        let mut script = Script::only(1, Fault::Unauthorized, 100);
        assert_eq!(Playing::new(script.clone()).next(true), Fault::None);
        script.phases[0].set_up = true;
        assert_eq!(Playing::new(script).next(true), Fault::Unauthorized);
    }

    #[test]
    fn a_script_is_read_from_json() {
        let json = r#"{"seed": 3, "rules": {"maxBytes": 1000, "refuseOneIn": 5000}, "phases": [{"seconds": 1.5, "faults": [
            {"weight": 2, "fault": "tooManyItems", "percent": 30, "retryAfter": {"date": 2}}, {"weight": 8, "fault": "none"}]}]}"#;
        let script: Script = serde_json::from_str(json).expect("a script");
        assert_eq!(script.rules.refuse_one_in, 5000);
        let retry_after = Some(RetryAfter::Date(2));
        let fault = Fault::TooManyItems {
            percent: 30,
            retry_after,
        };
        assert_eq!(script.phases[0].faults[0], Weighted { weight: 2, fault });
    }

    #[test]
    fn one_id_in_so_many_is_refused() {
        let refused = (0..100_000)
            .filter(|n| is_refused(&format!("id-{n}"), 5000))
            .count();
        assert!((5..60).contains(&refused), "{refused}");
        assert!(!is_refused("id", 0));
    }
}
