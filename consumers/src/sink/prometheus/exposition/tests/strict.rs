//! A parser of the text format and OpenMetrics that takes nothing that they do not allow, as far as a page of ours can
//! go wrong.

use std::collections::{BTreeMap, BTreeSet};

/// What was read.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    /// By family.
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    /// Without escapes.
    pub labels: Vec<(String, String)>,
    pub value: f64,
    /// Trace id, value, time.
    pub exemplar: Option<(String, f64, f64)>,
}

/// Reads a page, or says what is wrong in which line.
pub fn read(text: &str, open: bool) -> Result<Page, String> {
    let mut reader = Reader {
        open,
        page: Page::default(),
        family: String::new(),
        meta: BTreeSet::new(),
        claimed: BTreeSet::new(),
        seen: BTreeSet::new(),
    };
    let body = match open {
        false => text,
        true => text.strip_suffix("# EOF\n").ok_or("no EOF at the end")?,
    };
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    for line in body.split_terminator('\n') {
        reader.line(line).map_err(|why| format!("{why}: {line}"))?;
    }
    Ok(reader.page)
}

struct Reader {
    open: bool,
    page: Page,
    family: String,
    /// HELP, TYPE, UNIT of the family.
    meta: BTreeSet<String>,
    /// Names that are some family's, or its samples'.
    claimed: BTreeSet<String>,
    /// Series.
    seen: BTreeSet<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        match line.strip_prefix("# ") {
            Some(comment) => self.comment(comment),
            None => self.sample(line),
        }
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let mut words = comment.splitn(3, ' ');
        let mut word = || words.next().ok_or("a word is missing");
        let (what, name, rest) = (word()?, word()?, word()?);
        if self.family != name {
            if self.page.types.contains_key(name) {
                return Err("a family in two places".into());
            }
            name.clone_into(&mut self.family);
            self.meta.clear();
        }
        if !self.meta.insert(what.to_owned()) {
            return Err("twice".into());
        }
        match what {
            "HELP" if self.page.types.contains_key(name) => Err("HELP after TYPE".into()),
            "HELP" => unescape(rest, self.open).map(drop),
            "TYPE" => {
                for part in parts(rest, self.open)? {
                    if !self.claimed.insert(format!("{name}{part}")) {
                        return Err(format!("{name}{part} is another family's"));
                    }
                }
                self.page.types.insert(name.to_owned(), rest.to_owned());
                Ok(())
            }
            "UNIT" if self.open && name.ends_with(&format!("_{rest}")) => Ok(()),
            _ => Err("a comment that is not allowed".into()),
        }
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let (name, rest) = line.split_once('{').ok_or("no labels")?;
        let (labels, rest) = read_labels(rest)?;
        let (rest, exemplar) = match rest.split_once(" # {") {
            None => (rest, None),
            Some((rest, exemplar)) => (rest, Some(exemplar)),
        };
        let value = read_value(rest.strip_prefix(' ').ok_or("no value")?)?;
        let kind = self.page.types.get(&self.family).ok_or("no TYPE")?;
        let part = name
            .strip_prefix(&*self.family)
            .ok_or("outside of its family")?;
        let is_counter = kind == "counter";
        let allowed = match &**kind {
            "histogram" => !part.is_empty() && parts(kind, self.open)?.contains(&part),
            "counter" if self.open => matches!(part, "_total" | "_created"),
            _ => part.is_empty(),
        };
        if !allowed {
            return Err(format!("not a sample of a {kind}"));
        }
        let exemplar = match exemplar {
            None => None,
            Some(_) if !self.open || !(part == "_bucket" || part == "_total" && is_counter) => {
                return Err("an exemplar where there must be none".into());
            }
            Some(exemplar) => Some(read_exemplar(exemplar)?),
        };
        let series = line.split("} ").next().unwrap_or_default();
        if !self.seen.insert(series.to_owned()) {
            return Err("a series twice".into());
        }
        self.page.samples.push(Sample {
            name: name.to_owned(),
            labels,
            value,
            exemplar,
        });
        Ok(())
    }
}

/// What a family's name is used with.
fn parts(kind: &str, open: bool) -> Result<&'static [&'static str], String> {
    Ok(match (kind, open) {
        ("histogram", true) => &["", "_bucket", "_sum", "_count", "_created"],
        ("histogram", false) => &["", "_bucket", "_sum", "_count"],
        ("counter", true) => &["", "_total", "_created"],
        ("counter", false) | ("gauge", _) | ("unknown", true) => &[""],
        _ => return Err(format!("type {kind}")),
    })
}

type Pairs = Vec<(String, String)>;

/// Up to the closing brace.
fn read_labels(mut text: &str) -> Result<(Pairs, &str), String> {
    let mut labels = Pairs::new();
    loop {
        let (name, rest) = text.split_once("=\"").ok_or("a label without a value")?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("label {name:?}"));
        }
        let mut end = 0;
        while rest.as_bytes().get(end) != Some(&b'"') {
            end += if rest.as_bytes().get(end) == Some(&b'\\') {
                2
            } else {
                1
            };
            if end >= rest.len() {
                return Err("a value that does not end".into());
            }
        }
        if labels.iter().any(|(other, _)| other == name) {
            return Err("a label twice".into());
        }
        labels.push((name.to_owned(), unescape(&rest[..end], true)?));
        text = &rest[end + 1..];
        match text.split_at_checked(1) {
            Some((",", rest)) => text = rest,
            Some(("}", rest)) => return Ok((labels, rest)),
            _ => return Err("no end of the labels".into()),
        }
    }
}

fn read_exemplar(text: &str) -> Result<(String, f64, f64), String> {
    let (labels, rest) = read_labels(text)?;
    let [(name, id)] = &labels[..] else {
        return Err("not one label".into());
    };
    if name != "trace_id" || name.len() + id.chars().count() > 128 {
        return Err("an exemplar's label".into());
    }
    let rest = rest.strip_prefix(' ').ok_or("no value")?;
    let (value, at) = rest.split_once(' ').ok_or("no time")?;
    Ok((id.clone(), read_value(value)?, read_value(at)?))
}

fn read_value(text: &str) -> Result<f64, String> {
    let digits = |b: u8| b.is_ascii_digit() || b"+-.e".contains(&b);
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ if text.bytes().all(digits) => text.parse().map_err(|e| format!("{text:?}: {e}")),
        _ => Err(format!("value {text:?}")),
    }
}

fn unescape(text: &str, quotes: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('\\') => out.push('\\'),
                Some('"') if quotes => out.push('"'),
                other => return Err(format!("escape {other:?}")),
            },
            '"' if quotes => return Err("a bare quote".into()),
            char => out.push(char),
        }
    }
    Ok(out)
}
