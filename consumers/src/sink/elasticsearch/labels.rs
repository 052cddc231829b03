use std::ops::Range;

use bt_events::{Pairs, Text};
use smallvec::SmallVec;

/// Of one document. Each name is a field of the index, and those are limited (1,000 by default).
const MAX_LABELS: usize = 200;
/// Of a name, in bytes.
const MAX_NAME: usize = 256;
/// Of a value, in bytes: with its name it has to fit into a term of Lucene (32,766), or the document is refused.
pub(super) const MAX_VALUE: usize = 24 * 1024;
/// Of a number, in characters: readers of JSON refuse long ones (Jackson from 1,000).
pub(super) const MAX_NUMBER: usize = 400;

/// ECS' `labels`: one level of keywords, written as they come. As Elastic's own agents do, dots in names become underscores; values
/// that are not scalar are kept as their JSON text. So no event's labels can contradict the mapping that another's have made.
#[derive(Default)]
pub(super) struct Labels {
    /// Where the names are in the document, with their quotes.
    names: SmallVec<[Range<usize>; 16]>,
    /// Something was more, or larger, than an engine takes.
    pub left_out: bool,
}

impl Labels {
    /// Appends a label whose value is JSON. Between the first and [`Labels::end`] nothing else may be appended.
    pub fn add(&mut self, out: &mut Vec<u8>, name: &str, value: &str) {
        if value == "null" {
            return;
        }
        if self.names.len() == MAX_LABELS || value.len() > MAX_VALUE {
            self.left_out = true;
            return;
        }
        out.extend_from_slice(match self.names.is_empty() {
            true => b",\"labels\":{",
            false => b",",
        });
        let start = out.len();
        write_name(out, name);
        // A document with a name twice would be refused.
        while self.has(&out[start..], out) {
            out.pop();
            out.extend_from_slice(b"_\"");
        }
        self.names.push(start..out.len());
        out.push(b':');
        match is_plain_scalar(value) {
            true => out.extend_from_slice(value.as_bytes()),
            false => Text::from(value).write_json(out),
        }
    }

    /// Appends labels, at once where they can stay as they were sent.
    pub fn add_all(&mut self, out: &mut Vec<u8>, pairs: &Pairs<'_>) {
        if let Some(json) = pairs.raw()
            && self.copy(out, json).is_some()
        {
            return;
        }
        for (name, value) in pairs {
            self.add(out, &name, value);
        }
    }

    /// Appends the members of an object, which was checked, if they are scalars with plain names and nothing of them is escaped.
    fn copy(&mut self, out: &mut Vec<u8>, json: &str) -> Option<()> {
        if !self.names.is_empty() || json.len() > MAX_VALUE {
            return None;
        }
        let start = out.len();
        out.extend_from_slice(b",\"labels\":");
        let at = out.len();
        out.extend_from_slice(json.as_bytes());
        let Some(end) = self.adapt(out, at) else {
            out.truncate(start);
            self.names.clear();
            return None;
        };
        // The end is to be appended when all labels are.
        out.truncate(if self.names.is_empty() { start } else { end });
        Some(())
    }

    /// Makes labels of the members of the object at `at`: where its closing bracket is.
    fn adapt(&mut self, out: &mut [u8], mut at: usize) -> Option<usize> {
        loop {
            at = behind_space(out, at + 1);
            match out[at] {
                b'"' => {}
                b'}' => return Some(at),
                _ => return None,
            }
            let start = at;
            at += adapt_name(&mut out[at + 1..])? + 2;
            let length = at - start;
            let twin = self.has(&out[start..at], out);
            if length == 2 || length > MAX_NAME || twin || self.names.len() == MAX_LABELS {
                return None;
            }
            self.names.push(start..at);
            at = behind_space(out, at);
            // A line break, as the object was checked.
            if out[at] != b':' {
                return None;
            }
            at = behind_space(out, at + 1);
            let value = at;
            match out[at] {
                b'"' => {
                    let text = &out[at + 1..];
                    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
                    if text[end] == b'\\' {
                        return None;
                    }
                    at += end + 2;
                }
                b'-' | b'0'..=b'9' | b't' | b'f' => {
                    let more = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                    at += out[at..].iter().position(|byte| !more(byte))?;
                    if at - value > MAX_NUMBER {
                        return None;
                    }
                }
                _ => return None,
            }
            at = behind_space(out, at);
            match out[at] {
                b',' => {}
                b'}' => return Some(at),
                _ => return None,
            }
        }
    }

    fn has(&self, name: &[u8], out: &[u8]) -> bool {
        self.names.iter().any(|range| &out[range.clone()] == name)
    }

    /// Appends the end of the object, if there was a label.
    pub fn end(&self, out: &mut Vec<u8>) {
        if !self.names.is_empty() {
            out.push(b'}');
        }
    }
}

/// Makes a label's name of the name that begins here: how long it is. `None` where that takes a closer look.
fn adapt_name(json: &mut [u8]) -> Option<usize> {
    for (length, byte) in json.iter_mut().enumerate() {
        match IN_NAMES[usize::from(*byte)] {
            ODD if *byte == b'"' => return Some(length),
            ODD => return None,
            found => *byte = found,
        }
    }
    None
}

/// Behind spaces: a line break is none, as a document is one line.
#[inline(always)]
fn behind_space(json: &[u8], mut at: usize) -> usize {
    // All that may stand here is above, but white space.
    while json[at] <= b' ' && matches!(json[at], b' ' | b'\t') {
        at += 1;
    }
    at
}

/// Whether the JSON is a scalar that every engine takes.
fn is_plain_scalar(json: &str) -> bool {
    match json.as_bytes().first() {
        Some(b'"') => !json.contains('\\') || is_text(json),
        Some(b'{' | b'[') => false,
        _ => json.len() <= MAX_NUMBER,
    }
}

/// Whether a string of JSON decodes, as one with half of a surrogate pair does not.
#[cold]
pub(super) fn is_text(json: &str) -> bool {
    !json.contains("\\u") || serde_json::from_str::<String>(json).is_ok()
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    if name.is_empty() || name.len() > MAX_NAME {
        write_odd_name(out, name);
        return;
    }
    let start = out.len();
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    let mut odd = false;
    for byte in &mut out[start + 1..] {
        let found = IN_NAMES[usize::from(*byte)];
        odd |= found == ODD;
        *byte = found;
    }
    if odd {
        out.truncate(start);
        write_odd_name(out, name);
        return;
    }
    out.push(b'"');
}

const ODD: u8 = 0;
/// What an ASCII character of a name is as one of a label's; [`ODD`] where that takes a closer look.
const IN_NAMES: [u8; 256] = {
    let mut table = [ODD; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = match byte {
            b'"' | b'*' | b'\\' => ODD,
            b'.' => b'_',
            _ => byte,
        };
        byte += 1;
    }
    table
};

#[cold]
fn write_odd_name(out: &mut Vec<u8>, name: &str) {
    let odd = |c: char| c.is_control() || matches!(c, '.' | '*' | '"');
    let mut name = name.replace(odd, "_");
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    if name.trim().is_empty() {
        name = "_".to_owned();
    }
    Text::from(name).write_json(out);
}
