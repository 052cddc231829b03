//! Text for terminals: colours, columns, folded paragraphs. All of it fits [`WIDTH`].

use std::io::IsTerminal;

/// The widest line, in characters.
pub const WIDTH: usize = 100;

/// Whether standard output is a terminal, and nobody asked for no colours (<https://no-color.org>).
pub fn wants_color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !refused
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
    Bold,
    Name,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub struct Style(bool);

impl Style {
    pub fn new(colors: bool) -> Self {
        Self(colors)
    }

    /// The text in its tone (ECMA-48, SGR).
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Bold => "1",
            Tone::Name => "36",
        };
        match self.0 && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// One cell of a table.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
    right: bool,
}

/// A cell to the left.
pub fn left(text: impl Into<String>, tone: Tone) -> Cell {
    Cell {
        text: clean(&text.into()),
        tone,
        right: false,
    }
}

/// A cell to the right: a number.
pub fn right(text: impl Into<String>, tone: Tone) -> Cell {
    Cell {
        right: true,
        ..left(text, tone)
    }
}

/// Aligned columns under a head, `indent` characters in. Where they are too wide, the column `flexible` is cut.
pub fn table(
    style: Style,
    indent: usize,
    head: &[&str],
    rows: &[Vec<Cell>],
    flexible: usize,
) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.text.chars().count()).max();
        widest.unwrap_or(0).max(head[column].chars().count())
    };
    let mut widths: Vec<usize> = (0..head.len()).map(width_of).collect();
    let gaps = 2 * head.len().saturating_sub(1);
    let all: usize = indent + widths.iter().sum::<usize>() + gaps;
    if let Some(width) = widths.get_mut(flexible) {
        let least = (*width).min(8);
        *width = width.saturating_sub(all.saturating_sub(WIDTH)).max(least);
    }
    let line = |cells: &[Cell]| {
        let mut out = " ".repeat(indent);
        for (i, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let text = cut(&cell.text, *width);
            let pad = " ".repeat(width.saturating_sub(text.chars().count()));
            let painted = style.paint(cell.tone, &text);
            match cell.right {
                true => out.push_str(&format!("{pad}{painted}")),
                false => out.push_str(&format!("{painted}{pad}")),
            }
            if i + 1 < cells.len() {
                out.push_str("  ");
            }
        }
        format!("{}\n", out.trim_end())
    };
    let is_right = |column: usize| {
        rows.first()
            .and_then(|row| row.get(column))
            .is_some_and(|cell| cell.right)
    };
    let heads: Vec<Cell> = head
        .iter()
        .enumerate()
        .map(|(column, name)| Cell {
            right: is_right(column),
            ..left(*name, Tone::Dim)
        })
        .collect();
    let mut out = match head.iter().all(|name| name.is_empty()) {
        true => String::new(),
        false => line(&heads),
    };
    for row in rows {
        out.push_str(&line(row));
    }
    out
}

/// At most so many characters, the last an ellipsis where there were more.
pub fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => {
            let kept: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{kept}…")
        }
        false => text.to_owned(),
    }
}

/// A paragraph: lines of at most [`WIDTH`], all but the first `indent` characters in. The first is taken to begin there already.
pub fn fold(text: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    let text = clean(text);
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let last = lines.last_mut().expect("there is always one");
            let used = last.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + rest.len() <= room {
                if gap > 0 {
                    last.push(' ');
                }
                last.extend(rest);
                break;
            }
            if used > 0 {
                lines.push(String::new());
            } else {
                // Longer than a line.
                let tail = rest.split_off(room);
                last.extend(rest);
                lines.push(String::new());
                rest = tail;
            }
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// Without control characters: what others wrote must not move the cursor.
pub fn clean(text: &str) -> String {
    let visible = |c: char| match c.is_control() {
        true => ' ',
        false => c,
    };
    text.chars().map(visible).collect()
}

/// An error with its causes, each where it says more than those before.
pub fn words(error: &anyhow::Error) -> String {
    let mut all = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if all.is_empty() {
            all = cause;
        } else if !all.contains(&cause) {
            all = format!("{all}: {cause}");
        }
    }
    all
}

/// A number with thousands apart: 12 345.
pub fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    match number < 0 {
        true => format!("-{out}"),
        false => out,
    }
}

/// How long, in one unit or two: 42s, 7m, 3h20m, 5d.
pub fn ago(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{minutes}m"),
        7200..172_800 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_fit() {
        let rows = vec![
            vec![
                left("logs", Tone::Plain),
                right("7", Tone::Good),
                left("x".repeat(120), Tone::Plain),
            ],
            vec![
                left("metrics", Tone::Plain),
                right("1 234", Tone::Bad),
                left("short", Tone::Plain),
            ],
        ];
        let shown = table(Style::new(false), 2, &["NAME", "LAG", "WHY"], &rows, 2);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "  NAME       LAG  WHY");
        assert!(lines[1].starts_with("  logs         7  xxx") && lines[1].ends_with('…'));
        assert_eq!(lines[1].chars().count(), WIDTH);
        assert_eq!(lines[2], "  metrics  1 234  short");
        let painted = table(
            Style::new(true),
            0,
            &["A"],
            &[vec![left("b", Tone::Bad)]],
            0,
        );
        assert!(painted.contains("\x1b[31mb\x1b[0m"), "{painted:?}");
    }

    #[test]
    fn paragraphs_are_folded_and_harmless() {
        let long = "word ".repeat(40);
        let folded = fold(&long, 6);
        assert!(folded.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(folded.lines().count(), 3);
        assert!(
            folded
                .lines()
                .skip(1)
                .all(|line| line.starts_with("      word"))
        );
        let unbroken = fold(&"x".repeat(250), 10);
        assert!(unbroken.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(fold("a\x1b[2Jb\nc", 0), "a [2Jb c");
    }

    #[test]
    fn numbers_and_times_are_readable() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1 000"),
            (-1_234_567, "-1 234 567"),
        ] {
            assert_eq!(number(n), text);
        }
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (600, "10m"),
            (12_000, "3h20m"),
            (432_000, "5d"),
        ] {
            assert_eq!(ago(seconds), text);
        }
    }
}
