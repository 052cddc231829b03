//! The comments of a YAML file, which its parser throws away.

use std::collections::{HashMap, HashSet};

/// What is said of keys, by their path.
#[derive(Default)]
pub struct Comments {
    said: HashMap<String, Vec<String>>,
    blocks: HashSet<String>,
}

impl Comments {
    /// The lines about a key.
    pub fn get(&self, path: &str) -> &[String] {
        self.said.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether what a key has stands in lines of its own.
    pub fn is_block(&self, path: &str) -> bool {
        self.blocks.contains(path)
    }
}

/// Reads block maps: comments stand above a key, without an empty line between, or behind its value.
pub fn read(text: &str) -> Comments {
    let mut comments = Comments::default();
    let mut above: Vec<String> = Vec::new();
    // The keys that a line is in, with their indentation.
    let mut path: Vec<(usize, String)> = Vec::new();
    // Text of several lines, and lists, that are deeper than this are no keys.
    let mut skipped: Option<usize> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.is_empty() {
            above.clear();
            continue;
        }
        if skipped.is_some_and(|than| indent > than) {
            continue;
        }
        skipped = None;
        if let Some(comment) = trimmed.strip_prefix('#') {
            let comment = comment.strip_prefix(' ').unwrap_or(comment);
            match comment.starts_with("-----") {
                true => above.clear(),
                false => above.push(comment.trim_end().to_owned()),
            }
            continue;
        }
        let Some((key, value)) = key(trimmed) else {
            above.clear();
            continue;
        };
        path.retain(|(at, _)| *at < indent);
        path.push((indent, key.to_owned()));
        let of: Vec<_> = path.iter().map(|(_, key)| key.as_str()).collect();
        let of = of.join(".");
        let (value, behind) = split(value);
        match value {
            "" => {
                comments.blocks.insert(of.clone());
            }
            _ if value.starts_with(['|', '>']) => skipped = Some(indent),
            _ => {}
        }
        let mut said = std::mem::take(&mut above);
        said.extend(behind.map(str::to_owned));
        if !said.is_empty() {
            comments.said.insert(of, said);
        }
    }
    comments
}

fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let plain = !key.starts_with(['-', '{', '[']) && (value.is_empty() || value.starts_with(' '));
    plain.then_some((key.trim_matches('"'), value.trim()))
}

/// A value, and the comment behind it.
fn split(value: &str) -> (&str, Option<&str>) {
    let mut quote = None;
    let mut before = ' ';
    for (at, char) in value.char_indices() {
        match (quote, char) {
            (None, '#') if before == ' ' => {
                return (value[..at].trim_end(), Some(value[at + 1..].trim()));
            }
            // An apostrophe in plain text opens nothing.
            (None, '"' | '\'') if " [{,".contains(before) => quote = Some(char),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
        before = char;
    }
    (value, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_belongs_to_the_key_below_or_before_it() {
        let text = "\
# of nothing

# of a,
# in two lines
a:
  b: \"no # comment\"   # of b
  c: |
    # text
    d: text
  e.f: 1
  # of nothing
  - g: 1
h: {i: 1} # of h
";
        let comments = read(text);
        assert_eq!(comments.get("a"), ["of a,", "in two lines"]);
        assert_eq!(comments.get("a.b"), ["of b"]);
        assert!(comments.get("a.c").is_empty() && comments.get("a.c.d").is_empty());
        assert!(comments.get("a.e.f").is_empty());
        assert_eq!(comments.get("h"), ["of h"]);
        assert!(comments.is_block("a") && !comments.is_block("h"));
    }
}
