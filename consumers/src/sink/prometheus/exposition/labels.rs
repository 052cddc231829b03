//! Labels as they stand in the text format, taken apart again.

/// The names and values of labels in the text format, such as `a="b",c="d"`. Values are still escaped.
pub(super) struct Pairs<'t> {
    rest: &'t str,
}

/// Takes labels apart. Ends where the text is no labels.
pub(super) fn pairs(text: &str) -> Pairs<'_> {
    Pairs { rest: text }
}

impl<'t> Iterator for Pairs<'t> {
    type Item = (&'t str, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        // Names and values are short: a plain loop is faster than a search that has to be set up.
        let equals = self.rest.bytes().position(|byte| byte == b'=')?;
        let name = &self.rest[..equals];
        let rest = self.rest[equals + 1..].strip_prefix('"')?;
        let end = closing_quote(rest)?;
        let (value, rest) = (&rest[..end], &rest[end + 1..]);
        self.rest = rest.strip_prefix(',').unwrap_or(rest);
        Some((name, value))
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closing = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closing
    })
}

/// Appends a value without its escapes.
pub(super) fn unescape(value: &str, out: &mut String) {
    if !value.as_bytes().contains(&b'\\') {
        return out.push_str(value);
    }
    let mut rest = value;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escaped.chars();
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// Appends a value with `\`, `"` and line ends escaped.
pub(super) fn escape(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}
