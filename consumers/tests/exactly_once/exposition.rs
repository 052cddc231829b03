//! Prometheus' text format 0.0.4, as far as these tests need it.

use std::collections::{BTreeMap, HashMap};

/// A series' name and labels as one text that does not depend on the order of labels or on how numbers are written.
pub fn series<'a>(name: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let labels: BTreeMap<&str, &str> = labels.into_iter().collect();
    let text = labels.iter().map(|(name, value)| match *name {
        "le" => format!(
            "le={}",
            number(value).map_or_else(|| (*value).to_owned(), bound)
        ),
        name => format!("{name}={value:?}"),
    });
    format!("{name}{{{}}}", text.collect::<Vec<_>>().join(","))
}

/// A bucket's bound as [`series`] writes it.
pub fn bound(bound: f64) -> String {
    format!("{bound:?}")
}

/// What a sample is.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// As [`series`] writes it.
    pub name: String,
    /// The label `source`; empty where there is none.
    pub source: String,
    /// Its value never goes down: a counter, or a part of a histogram.
    pub monotone: bool,
}

/// The types of the families of a page, by name.
pub fn types(page: &str) -> HashMap<&str, &str> {
    let heads = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    heads.filter_map(|head| head.split_once(' ')).collect()
}

/// The samples of a page: the text of the series as it stands there, and the value; a line that is no sample as it is.
pub fn samples(page: &str) -> impl Iterator<Item = Result<(&str, f64), &str>> {
    let lines = page
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty());
    lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').ok_or(line)?;
        Ok((series, number(value).ok_or(line)?))
    })
}

/// Reads a sample's series. `None` for what says when a series began, which is no sum of events.
pub fn read(text: &str, types: &HashMap<&str, &str>) -> Option<Series> {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    let histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .any(|family| types.get(family) == Some(&"histogram"));
    if name.ends_with("_created") && !types.contains_key(name) {
        return None;
    }
    let labels = labels(rest.strip_suffix('}').expect("labels end in a brace"));
    let source = labels.get("source").cloned().unwrap_or_default();
    Some(Series {
        name: series(name, labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
        source,
        monotone: histogram || types.get(name) == Some(&"counter"),
    })
}

fn labels(mut rest: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while let Some((name, quoted)) = rest.trim_start_matches(',').split_once("=\"") {
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next().expect("a label's value ends in a quote") {
                (at, '"') => break at,
                (_, '\\') => {
                    value.extend(chars.next().map(|(_, c)| if c == 'n' { '\n' } else { c }))
                }
                (_, plain) => value.push(plain),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = &quoted[end + 1..];
    }
    labels
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_total Some \"words\".\n# TYPE a_total counter\n\
        a_total{z=\"q\\\"\\n, x=\\\\\",source=\"t/1\"} 2.5\n# TYPE h histogram\n\
        h_bucket{source=\"t/0\",le=\"1\"} 3\nh_bucket{source=\"t/0\",le=\"+Inf\"} 4\nh_sum{source=\"t/0\"} 7\n\
        h_created{source=\"t/0\"} 1e9\n# TYPE g gauge\ng{} -Inf\n";

    #[test]
    fn a_page_is_read_whatever_the_order_of_labels_and_the_form_of_bounds() {
        let types = types(PAGE);
        let read: Vec<_> = samples(PAGE)
            .map(|sample| sample.expect("a sample"))
            .map(|(text, value)| (read(text, &types), value))
            .collect();
        let expected = [
            (
                series("a_total", [("source", "t/1"), ("z", "q\"\n, x=\\")]),
                "t/1",
                true,
                2.5,
            ),
            (
                series("h_bucket", [("le", "1.0"), ("source", "t/0")]),
                "t/0",
                true,
                3.0,
            ),
            (
                series("h_bucket", [("le", "+Inf"), ("source", "t/0")]),
                "t/0",
                true,
                4.0,
            ),
            (series("h_sum", [("source", "t/0")]), "t/0", true, 7.0),
            (String::new(), "", false, 1e9),
            (series("g", []), "", false, f64::NEG_INFINITY),
        ];
        let expected = expected.map(|(name, source, monotone, value)| {
            let source = source.to_owned();
            let series = Series {
                name,
                source,
                monotone,
            };
            ((!series.name.is_empty()).then_some(series), value)
        });
        assert_eq!(read, expected);
        let cut = samples("a 1\nb{source=\"").collect::<Vec<_>>();
        assert_eq!(cut, [Ok(("a", 1.0)), Err("b{source=\"")]);
    }
}
