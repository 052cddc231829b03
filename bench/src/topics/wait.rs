use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

use super::kafka::Kafka;
use super::work::Step;
use crate::board::{Board, State};

/// Between two questions to Kafka about the same topics.
const AGAIN: Duration = Duration::from_millis(20);
/// How many of those that are late are named.
const NAMED: usize = 5;

/// Waits until a step has come to its end for all of these: in status, and where `kafka` is given in Kafka too, which is asked as soon
/// as a batch is through. How long it took in status.
///
/// # Errors
/// When it does not before `until`; names some that are late.
pub async fn reached(
    board: &mut Board,
    kafka: Option<&Kafka>,
    step: Step,
    names: &[String],
    until: Instant,
) -> Result<Duration> {
    let started = Instant::now();
    let mut waiting: HashMap<String, String> = names
        .iter()
        .map(|name| (name.clone(), "nothing said yet".into()))
        .collect();
    let mut in_status = waiting.is_empty().then_some(Duration::ZERO);
    let mut to_ask: Vec<String> = Vec::new();
    while !(waiting.is_empty() && to_ask.is_empty()) {
        if Instant::now() > until {
            bail!(late(step, &waiting, &to_ask));
        }
        let batch = kafka.map_or(0, Kafka::batch);
        let enough = to_ask.len() >= batch || waiting.is_empty();
        match kafka {
            Some(kafka) if enough && !to_ask.is_empty() => {
                let asked = to_ask.drain(..batch.min(to_ask.len())).collect();
                let not_yet = kafka.not_yet(step, asked).await?;
                if !not_yet.is_empty() {
                    to_ask.extend(not_yet);
                    sleep(AGAIN).await;
                }
                while let Some(change) = board.try_next() {
                    note(step, change, &mut waiting, &mut to_ask);
                }
            }
            _ => {
                let Ok(change) = timeout_at(until, board.next()).await else {
                    continue;
                };
                note(step, change?, &mut waiting, &mut to_ask);
            }
        }
        if kafka.is_none() {
            to_ask.clear();
        }
        if waiting.is_empty() {
            in_status.get_or_insert_with(|| started.elapsed());
        }
    }
    Ok(in_status.unwrap_or_else(|| started.elapsed()))
}

fn note(
    step: Step,
    (name, state): (String, State),
    waiting: &mut HashMap<String, String>,
    through: &mut Vec<String>,
) {
    let arrived = match (&state, step.generation()) {
        (State::Ready(generation), Some(wanted)) => *generation == wanted,
        (State::Gone, None) => true,
        _ => false,
    };
    if arrived {
        if waiting.remove(&name).is_some() {
            through.push(name);
        }
    } else if let Some(words) = waiting.get_mut(&name) {
        *words = match state {
            State::NotReady(words) => words,
            State::Ready(generation) => format!("Ready of generation {generation}"),
            State::Gone => "deleted".into(),
        };
    }
}

fn late(step: Step, waiting: &HashMap<String, String>, to_ask: &[String]) -> String {
    let mut text = format!(
        "{}: {} topics were not through in status in time, {} of the others not in Kafka",
        step.name(),
        waiting.len(),
        to_ask.len()
    );
    for (name, words) in waiting.iter().take(NAMED) {
        text.push_str(&format!("\n  {name}: {words}"));
    }
    for name in to_ask.iter().take(NAMED) {
        text.push_str(&format!("\n  {name}: not in Kafka as it should be"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(step: Step, states: &[State]) -> (usize, usize) {
        let mut waiting = HashMap::from([("a".to_owned(), String::new())]);
        let mut through = Vec::new();
        for state in states {
            note(
                step,
                ("a".into(), state.clone()),
                &mut waiting,
                &mut through,
            );
        }
        (waiting.len(), through.len())
    }

    #[test]
    fn a_step_is_through_when_its_own_generation_is_ready() {
        let refused = State::NotReady("refused".into());
        assert_eq!(after(Step::Create, &[refused, State::Ready(1)]), (0, 1));
        assert_eq!(after(Step::Modify, &[State::Ready(1)]), (1, 0));
        assert_eq!(
            after(Step::Modify, &[State::Ready(2), State::Ready(2)]),
            (0, 1)
        );
        assert_eq!(after(Step::Delete, &[State::Ready(2)]), (1, 0));
        assert_eq!(after(Step::Delete, &[State::Gone]), (0, 1));
    }
}
