//! Pieces of Markdown.

use std::fmt::Write;

/// A table; nothing where there are no rows.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut text = String::new();
    for row in rows {
        if text.is_empty() {
            line(&mut text, header.map(str::to_owned));
            line(&mut text, [(); N].map(|()| "---".to_owned()));
        }
        line(&mut text, row.map(|cell| escaped(&cell)));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn line<const N: usize>(text: &mut String, cells: [String; N]) {
    let cells = cells.map(|cell| match cell.is_empty() {
        true => " ".to_owned(),
        false => format!(" {cell} "),
    });
    let _ = writeln!(text, "|{}|", cells.join("|"));
}

/// What stands in a cell: on one line, with no bar that would end it.
fn escaped(cell: &str) -> String {
    let words: Vec<_> = cell.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// Text as code.
pub fn code(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_in_its_cell() {
        let rows = [["a|b".to_owned(), "two\nlines".to_owned(), String::new()]];
        let expected = "| x | y | z |\n| --- | --- | --- |\n| a\\|b | two lines | |\n\n";
        assert_eq!(table(["x", "y", "z"], rows), expected);
        assert_eq!(table(["x"], []), "");
    }
}
