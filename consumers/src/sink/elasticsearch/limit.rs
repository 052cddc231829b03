use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::backoff::Backoff;

/// How many requests may be under way: one more after as many successes as that, half as many when the engine has too much
/// to do (additive increase, multiplicative decrease).
#[derive(Debug, Clone)]
pub(super) struct Limit {
    most: usize,
    now: usize,
    successes: usize,
    round: Round,
}

/// Requests sent between two failures. What comes back from before the last one says nothing of the limit since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round(u64);

impl Limit {
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            now: most.max(1),
            successes: 0,
            round: Round(0),
        }
    }

    /// How many requests may be under way.
    pub fn now(&self) -> usize {
        self.now
    }

    /// The round of a request that is sent now.
    pub fn round(&self) -> Round {
        self.round
    }

    /// A request of that round was answered, and the engine had room for it.
    pub fn succeeded(&mut self, round: Round) {
        if round != self.round {
            return;
        }
        self.successes += 1;
        if self.successes >= self.now {
            self.successes = 0;
            self.now = (self.now + 1).min(self.most);
        }
    }

    /// A request of that round failed, for lack of room or for another reason. Whether it is the first of its round.
    pub fn failed(&mut self, round: Round, overload: bool) -> bool {
        if round != self.round {
            return false;
        }
        self.round = Round(self.round.0 + 1);
        self.successes = 0;
        if overload {
            self.now = (self.now / 2).max(1);
        }
        true
    }
}

/// Lets so many requests through as [`Limit`] says, and none while the engine takes nothing at all.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Semaphore,
    state: Mutex<State>,
    shown: IntGauge,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    /// Permits to be taken away when they come back.
    excess: usize,
    /// Nothing is let through before.
    closed_until: Option<Instant>,
    /// Rounds that failed, and nothing has succeeded since.
    failures: u32,
    backoff: Backoff,
}

/// Lets one request through; how it went is to be told.
#[must_use]
pub(super) struct Pass<'g> {
    gate: &'g Gate,
    permit: Option<SemaphorePermit<'g>>,
    round: Round,
}

impl Gate {
    /// `shown` shows the limit.
    pub fn new(most: usize, shown: IntGauge) -> Self {
        let limit = Limit::new(most);
        shown.set(limit.now() as i64);
        Self {
            permits: Semaphore::new(limit.now()),
            state: Mutex::new(State {
                limit,
                excess: 0,
                closed_until: None,
                failures: 0,
                backoff: Backoff::default(),
            }),
            shown,
        }
    }

    /// Waits for its turn.
    pub async fn enter(&self) -> Pass<'_> {
        // Only fails when the semaphore was closed, which is never done.
        let permit = self.permits.acquire().await.ok();
        loop {
            let until = self.lock().closed_until;
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => break,
            }
        }
        Pass {
            gate: self,
            permit,
            round: self.lock().limit.round(),
        }
    }

    /// Whether a request would be let through at once.
    pub fn is_open(&self) -> bool {
        let closed = self.lock().closed_until;
        self.permits.available_permits() > 0 && closed.is_none_or(|until| until <= Instant::now())
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        self.permits.available_permits() == state.limit.now() + state.excess
    }

    /// Applies a change of the limit.
    fn change(&self, state: &mut State, change: impl FnOnce(&mut State)) {
        let before = state.limit.now();
        change(state);
        let now = state.limit.now();
        for _ in before..now {
            match state.excess {
                0 => self.permits.add_permits(1),
                _ => state.excess -= 1,
            }
        }
        let fewer = before.saturating_sub(now);
        state.excess += fewer - self.permits.forget_permits(fewer);
        self.shown.set(now as i64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The engine had room for it.
    pub fn succeeded(self) {
        let mut state = self.gate.lock();
        state.failures = 0;
        state.backoff = Backoff::default();
        self.gate
            .change(&mut state, |state| state.limit.succeeded(self.round));
    }

    /// The engine had no room for a part of it.
    pub fn partly(self) {
        let mut state = self.gate.lock();
        state.failures = 0;
        state.backoff = Backoff::default();
        self.gate.change(&mut state, |state| {
            state.limit.failed(self.round, true);
        });
    }

    /// Nothing is known of the engine: it was not asked, or it is only this request's index that is not well.
    pub fn unused(self) {}

    /// The engine took nothing. The gate is closed for as long as the engine asks for, and when this is not the first time in a
    /// row for longer and longer.
    pub fn failed(self, overload: bool, retry_after: Option<Duration>) {
        let mut state = self.gate.lock();
        self.gate.change(&mut state, |state| {
            let mut wait = retry_after;
            if state.limit.failed(self.round, overload) {
                state.failures += 1;
                if state.failures > 1 {
                    wait = Some(state.backoff.next(retry_after));
                }
            }
            if let Some(wait) = wait {
                let until = Instant::now() + wait;
                state.closed_until = state.closed_until.max(Some(until));
            }
        });
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if state.excess > 0
            && let Some(permit) = self.permit.take()
        {
            state.excess -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
