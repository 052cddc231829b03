//! What the events are made of, and what happens to them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The inside of a JSON string, with what a scanner that takes many bytes at once may get wrong.
fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => "[a-z ./{}:,-]{0,20}",
        1 => select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\u00e9", "\\ud83d\\ude00", "\\udcff", "ü", "😀", "\u{7f}", "\u{80}"])
            .prop_map(str::to_owned),
    ];
    vec(part, 0..4).prop_map(|parts| parts.concat())
}

/// A number as JSON has them, of any size.
pub fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u8>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no NaN", |n| n.is_finite())
            .prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
    ]
}

/// Any JSON value.
pub fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        string().prop_map(|s| format!("\"{s}\"")),
        number(),
        select(vec!["null", "true", "false", "{}", "[ ]"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(" , "))),
            vec((string(), inner), 0..4).prop_map(|v| object(&v)),
        ]
    })
}

fn object(members: &[(String, String)]) -> String {
    let members = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A time, or what looks like one.
pub fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"2026-05-01T10:00:00.123Z\"".to_owned()),
        "\"(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|z|[+-][0-2][0-9]:00|)\"",
        (0_u64..4_000_000_000_000).prop_map(|n| n.to_string()),
        number(),
    ]
}

/// An object with most of the fields of an event, and some that it should not have.
pub fn event() -> impl Strategy<Value = String> {
    let text = || string().prop_map(|s| format!("\"{s}\""));
    let pairs = || vec((string(), json()), 0..4).prop_map(|pairs| object(&pairs));
    let fields = |fields: Vec<(&'static str, BoxedStrategy<String>)>| {
        let field = |(name, value): (&'static str, BoxedStrategy<String>)| {
            proptest::option::weighted(0.9, value)
                .prop_map(move |value| value.map(|value| (name.to_owned(), value)))
        };
        let fields: Vec<_> = fields.into_iter().map(field).collect();
        fields.prop_map(|fields| fields.into_iter().flatten().collect::<Vec<_>>())
    };
    let words =
        |words: Vec<&'static str>| select(words).prop_map(|word| format!("\"{word}\"")).boxed();
    let common = fields(vec![
        ("ts", time().boxed()),
        ("service", text().boxed()),
        ("instance", text().boxed()),
        ("id", text().boxed()),
    ]);
    let error = fields(vec![
        ("type", text().boxed()),
        ("message", text().boxed()),
        ("code", json().boxed()),
        ("stack_trace", text().boxed()),
    ])
    .prop_map(|members| object(&members));
    let body = prop_oneof![
        fields(vec![
            ("name", text().boxed()),
            (
                "kind",
                words(vec![
                    "counter",
                    "gauge",
                    "histogram",
                    "counte\\u0072",
                    "timer"
                ])
            ),
            ("value", number().boxed()),
            ("op", words(vec!["set", "add"])),
            ("labels", pairs().boxed()),
            (
                "buckets",
                vec(number(), 0..4)
                    .prop_map(|v| format!("[{}]", v.join(",")))
                    .boxed()
            ),
            ("trace_id", text().boxed()),
        ]),
        fields(vec![
            ("level", text().boxed()),
            ("message", text().boxed()),
            ("logger", text().boxed()),
            ("trace_id", text().boxed()),
            ("span_id", text().boxed()),
            ("error", prop_oneof![text(), pairs(), error].boxed()),
            ("fields", pairs().boxed()),
        ]),
        fields(vec![
            ("status", words(vec!["up", "degraded", "down"])),
            (
                "checks",
                Just("{\"db\":\"up\",\"\\u0064b\":\"down\"}".to_owned()).boxed()
            ),
            ("latency_ms", number().boxed()),
        ]),
        fields(vec![("type", text().boxed()), ("payload", json().boxed())]),
    ];
    let other = vec(
        (
            select(vec!["x", "kind", "type", "t\\u0073", "level", ""]),
            json(),
        ),
        0..2,
    );
    (common, body, other).prop_map(|(mut members, body, other)| {
        members.extend(body);
        members.extend(
            other
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        object(&members)
    })
}

/// A change to the bytes of a record, at places given as parts of its length.
#[derive(Debug, Clone)]
pub enum Mutation {
    Flip(f64, u8),
    Cut(f64),
    Remove(f64, f64),
    Repeat(f64, f64),
    Insert(f64, &'static [u8]),
}

/// Any change; half of them put in what a scanner may stumble over.
pub fn mutation() -> impl Strategy<Value = Mutation> {
    let place = || 0.0..1.0_f64;
    let pieces: Vec<&'static [u8]> = vec![
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" \n\t\r",
        b"\x0b",
        b"null",
        b"nul",
        b"1e999",
        b"-",
        b"01",
        b"1.",
        b"99999999999999999999",
        b"\\ud800",
        b"\\udc00",
        b"\\u12",
        b"\\u00zz",
        b"\\x",
        b"\x00",
        b"\x1f",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"/**/",
        b"NaN",
        b"\"ts\":1,",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ];
    prop_oneof![
        1 => (place(), 1_u8..).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => place().prop_map(Mutation::Cut),
        1 => (place(), place()).prop_map(|(from, length)| Mutation::Remove(from, length)),
        1 => (place(), place()).prop_map(|(from, length)| Mutation::Repeat(from, length)),
        3 => (place(), select(pieces)).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
    ]
}

impl Mutation {
    /// Makes the change.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |place: f64| (place * bytes.len() as f64) as usize;
        let range = |from: f64, length: f64| at(from)..at(from) + at((1.0 - from) * length.powi(3));
        match *self {
            Mutation::Flip(place, bits) => {
                let at = at(place);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Mutation::Cut(place) => bytes.truncate(at(place)),
            Mutation::Remove(from, length) => drop(bytes.drain(range(from, length))),
            Mutation::Repeat(from, length) => {
                let range = range(from, length);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Mutation::Insert(place, piece) => {
                let at = at(place);
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}
