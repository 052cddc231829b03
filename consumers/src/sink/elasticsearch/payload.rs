use std::borrow::Cow;

use super::labels::{MAX_NUMBER, MAX_VALUE, is_text};

/// Objects and arrays in each other. `flattened` takes 20; OpenSearch's `flat_object` takes some hundreds, and then a thread's stack
/// overflows and there is no answer.
const MAX_DEPTH: usize = 19;
/// Of a name, in bytes.
const MAX_NAME: usize = 256;

/// Whether every engine takes this JSON, which was checked, as the value of an object field: it has no name twice (which JSON allows),
/// none that is empty, and nothing that is too deep or too large.
pub(super) fn is_indexable(json: &str) -> bool {
    walk(json).is_some()
}

fn walk(json: &str) -> Option<()> {
    let bytes = json.as_bytes();
    let mut names: Vec<Cow<'_, str>> = Vec::new();
    // Where the names of each open object begin; an array has none.
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'{' | b'[' => {
                open.push(names.len());
                if open.len() > MAX_DEPTH {
                    return None;
                }
            }
            b'}' | b']' => {
                let own = names.split_off(open.pop()?);
                if has_twins(own) {
                    return None;
                }
            }
            b'"' => {
                at += string(&bytes[at..])?;
                let text = &json[start..at];
                // Only a name has a colon behind it.
                let is_name = json[at..].trim_start().starts_with(':');
                match is_name {
                    true => names.push(name(text)?),
                    false if text.len() > MAX_VALUE || !is_text(text) => return None,
                    false => {}
                }
            }
            b'-' | b'0'..=b'9' => {
                let more = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                at += bytes[at..].iter().take_while(|byte| more(byte)).count();
                if at - start > MAX_NUMBER {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// The length of a string's rest, its closing quote included.
fn string(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match rest.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A name that engines take, decoded.
fn name(json: &str) -> Option<Cow<'_, str>> {
    let name = match json.contains('\\') {
        true => serde_json::from_str::<String>(json).ok()?.into(),
        false => Cow::Borrowed(&json[1..json.len() - 1]),
    };
    let good = !name.trim().is_empty() && name.len() <= MAX_NAME && !name.contains('\0');
    good.then_some(name)
}

fn has_twins(mut names: Vec<Cow<'_, str>>) -> bool {
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_engine_refuses_is_told() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let good = [
            r#"{}"#,
            r#"{"a":1,"b":{"a":"x\"y","c":[{"a":1},{"a":2}]},"c":"a","é":null}"#,
            r#"{"a" : [ 1.5e-7 , -0 , true , "\ud83d\ude00" ] }"#,
            r#"{".":1,"a.b":2,"_id":3," a":4}"#,
            "[1,[2]]",
            &nested(19),
        ];
        for json in good {
            assert!(is_indexable(json), "{json}");
        }
        let long = |text: &str, length: usize| text.replace('#', &"1".repeat(length));
        let bad = [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":[{"c":{"a":1,"b":2,"a":3}}]}"#,
            r#"{"":1}"#,
            "{\" \u{2028}\":1}",
            r#"{"a\u0000":1}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"\udc00":1}"#,
            &nested(20),
            &long("{\"a\":#}", 401),
            &long("{\"a\":\"#\"}", 25_000),
            &long("{\"#\":1}", 257),
        ];
        for json in bad {
            assert!(!is_indexable(json), "{json}");
        }
    }
}
