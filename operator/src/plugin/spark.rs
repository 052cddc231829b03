//! A history as a line of blocks.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One character for each value, from the least (0 counts as one) to the greatest; a blank where nothing is known.
pub fn spark(values: &[Option<f64>]) -> String {
    let known = values.iter().flatten().copied().filter(|v| v.is_finite());
    let most = known.fold(0.0, f64::max);
    let block = |value: &Option<f64>| match value {
        Some(value) if value.is_finite() && most > 0.0 => {
            let step = (value.max(0.0) / most * (BLOCKS.len() - 1) as f64).ceil() as usize;
            BLOCKS[step.min(BLOCKS.len() - 1)]
        }
        Some(value) if value.is_finite() => BLOCKS[0],
        _ => ' ',
    };
    values.iter().map(block).collect()
}

/// The values of a history at `steps` moments, the last `end`, `step` seconds apart; a moment takes the last value that is not older
/// than one step.
pub fn at_steps(history: &[(f64, f64)], end: f64, step: f64, steps: usize) -> Vec<Option<f64>> {
    let at = |i: usize| {
        let moment = end - step * (steps - 1 - i) as f64;
        let mut recent = history.iter().rev();
        let found = recent.find(|(t, _)| *t <= moment + step / 2.0)?;
        (found.0 > moment - step * 1.5).then_some(found.1)
    };
    (0..steps).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_with_the_value_and_gaps_stay() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(spark(&some(&[0.0, 0.0])), "▁▁");
        assert_eq!(spark(&some(&[0.0, 1.0, 50.0, 100.0])), "▁▂▅█");
        assert_eq!(spark(&[None, Some(5.0), Some(f64::NAN)]), " █ ");
        assert_eq!(spark(&[]), "");
    }

    #[test]
    fn a_history_is_taken_at_even_steps() {
        let history = [(100.0, 1.0), (110.0, 2.0), (130.0, 4.0)];
        assert_eq!(
            at_steps(&history, 130.0, 10.0, 5),
            [None, Some(1.0), Some(2.0), Some(2.0), Some(4.0)]
        );
    }
}
