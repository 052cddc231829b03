use std::collections::BTreeMap;
use std::io::Write;

use bt_events::Kind;

use super::series::{Family, PartitionSeries, Value};

/// In what form series are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a scraper with this `Accept` header takes best.
    pub fn negotiate(accept: &str) -> Self {
        let open_metrics = accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next() == Some("application/openmetrics-text");
            media_type
                && parts.all(|p| p.trim_end_matches(['0', '.']) != "q=")
                && !range.contains("version=0.")
        });
        if open_metrics {
            Format::OpenMetrics
        } else {
            Format::Text
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page in the making: the families of all partitions, each with its lines so far.
pub(super) struct Page {
    format: Format,
    families: BTreeMap<Box<str>, Lines>,
}

/// A family's lines. Where partitions differ in kind, help or unit, the first one counts.
struct Lines {
    kind: Kind,
    help: Option<Box<str>>,
    unit: Option<Box<str>>,
    text: Vec<u8>,
}

impl Page {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            families: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, partition: &PartitionSeries) {
        for (name, family) in &partition.families {
            if !self.families.contains_key(name) {
                let lines = Lines {
                    kind: family.kind,
                    help: None,
                    unit: None,
                    text: Vec::new(),
                };
                self.families.insert(name.clone(), lines);
            }
            let lines = self.families.get_mut(name).expect("it was just put there");
            for (ours, theirs) in [
                (&mut lines.help, &family.help),
                (&mut lines.unit, &family.unit),
            ] {
                if ours.is_none() {
                    ours.clone_from(theirs);
                }
            }
            write_family(&mut lines.text, name, family, self.format);
        }
    }

    pub fn finish(self) -> Vec<u8> {
        let size: usize = self
            .families
            .values()
            .map(|lines| lines.text.len() + 200)
            .sum();
        let mut out = Vec::with_capacity(size);
        for (name, lines) in &self.families {
            let (family, kind) = self.head(name, lines.kind);
            if let Some(help) = &lines.help {
                let help = help.replace('\\', "\\\\").replace('\n', "\\n");
                let help = match self.format {
                    Format::Text => help,
                    Format::OpenMetrics => help.replace('"', "\\\""),
                };
                line(&mut out, &["# HELP ", family, " ", &help]);
            }
            line(&mut out, &["# TYPE ", family, " ", kind]);
            if let (Format::OpenMetrics, Some(unit)) = (self.format, &lines.unit)
                // OpenMetrics has a unit only where the name ends in it.
                && family.strip_suffix(&**unit).is_some_and(|base| base.ends_with('_'))
            {
                line(&mut out, &["# UNIT ", family, " ", unit]);
            }
            out.extend_from_slice(&lines.text);
        }
        if self.format == Format::OpenMetrics {
            out.extend_from_slice(b"# EOF\n");
        }
        out
    }

    /// The family's name and type. In OpenMetrics a counter's family is named without the `_total` that its samples
    /// have; a counter without, or whose family would be another's, is of unknown type there.
    fn head<'n>(&self, name: &'n str, kind: Kind) -> (&'n str, &'static str) {
        match (kind, self.format) {
            (Kind::Gauge, _) => (name, "gauge"),
            (Kind::Histogram, _) => (name, "histogram"),
            (Kind::Counter, Format::Text) => (name, "counter"),
            (Kind::Counter, Format::OpenMetrics) => match name.strip_suffix("_total") {
                Some(family) if !self.families.contains_key(family) && !family.is_empty() => {
                    (family, "counter")
                }
                _ => (name, "unknown"),
            },
        }
    }
}

fn line(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'\n');
}

fn write_family(out: &mut Vec<u8>, name: &str, family: &Family, format: Format) {
    for (labels, series) in &family.series {
        match &series.value {
            Value::Number(number) => sample(out, &[name, "{", labels, "} "], *number),
            Value::Histogram(histogram) => {
                let mut count = 0;
                let bounds = family.buckets.iter().copied().chain([f64::INFINITY]);
                for (bound, in_bucket) in bounds.zip(&histogram.counts) {
                    count += in_bucket;
                    let bound = bound_text(bound, format);
                    sample(
                        out,
                        &[name, "_bucket{", labels, ",le=\"", &bound, "\"} "],
                        count as f64,
                    );
                }
                sample(out, &[name, "_sum{", labels, "} "], histogram.sum);
                sample(out, &[name, "_count{", labels, "} "], count as f64);
            }
        }
    }
}

fn sample(out: &mut Vec<u8>, parts: &[&str], value: f64) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    let written = match value {
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        value => write!(out, "{value}"),
    };
    written.expect("writing to memory does not fail");
    out.push(b'\n');
}

/// A bucket's bound, as Prometheus' own libraries write it: OpenMetrics wants floats, the text format has them short.
fn bound_text(bound: f64, format: Format) -> String {
    match format {
        _ if bound.is_infinite() => "+Inf".to_owned(),
        Format::OpenMetrics if bound.fract() == 0.0 => format!("{bound:.1}"),
        _ => bound.to_string(),
    }
}
