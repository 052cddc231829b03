//! Replicas over time, as text.

use super::Run;

/// Seconds that one column stands for.
const COLUMN: usize = 30;
/// Replicas that one row stands for.
const ROW: i32 = 2;

/// Two runs of the same load, one below the other.
pub(super) fn draw(name: &str, runs: &[(&str, &Run)]) -> String {
    let mut text = format!("\n{name}\n");
    for (who, run) in runs {
        let most = run.replicas.iter().copied().max().unwrap_or(0);
        text += &format!("  {who}: {run}\n");
        let columns: Vec<i32> = run
            .replicas
            .chunks(COLUMN)
            .map(|of| of[of.len() - 1])
            .collect();
        for row in (0..(most + ROW - 1) / ROW).rev() {
            let line: String = columns
                .iter()
                .map(|replicas| match replicas - row * ROW {
                    ..=0 => ' ',
                    1 => '▄',
                    _ => '█',
                })
                .collect();
            text += &format!("  {:>3} {}\n", (row + 1) * ROW, line.trim_end());
        }
        text += &format!("  lag {}\n", lag(run));
    }
    text
}

fn lag(run: &Run) -> String {
    let most = run.lag.iter().copied().fold(1.0, f64::max);
    let bars = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = run.lag.chunks(COLUMN);
    let line: String = columns
        .map(|of| bars[(of[of.len() - 1] / most * 8.0).round() as usize])
        .collect();
    line.trim_end().to_owned()
}
