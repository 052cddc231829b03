//! Prometheus' text format 0.0.4 and OpenMetrics 1.0.

use bt_events::Kind;

use super::families::{Families, Family};
use super::output::Output;
use super::{TRACE_ID, is_showable, labels, number};
use crate::sink::prometheus::snapshot::{
    Exemplar, FamilyInfo, HistogramSnapshot, PageSnapshot, Values,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Text,
    OpenMetrics,
}

/// Writes the page.
pub(super) fn write(families: &Families<'_>, dialect: Dialect, out: &mut Output) {
    for family in families.iter() {
        let head = Head::of(families, family, dialect);
        head.write(family, out.buffer());
        for part in &family.parts {
            let lines = Lines::new(&head, &part.family, dialect);
            for page in &part.pages {
                lines.write(page, out.buffer());
                out.pass_on();
            }
        }
    }
    if dialect == Dialect::OpenMetrics {
        out.buffer().extend_from_slice(b"# EOF\n");
    }
}

/// About how many bytes the page will have.
pub(super) fn size(families: &Families<'_>, dialect: Dialect) -> usize {
    /// For a value, braces, and what a histogram's lines have besides labels.
    const EXTRA: usize = 32;
    let mut size = 64;
    for family in families.iter() {
        let created = usize::from(dialect == Dialect::OpenMetrics);
        size += 200 + family.help.map_or(0, str::len);
        for part in &family.parts {
            let lines = match family.kind {
                Kind::Gauge => 1,
                Kind::Counter => 1 + created,
                // The bucket +Inf, sum and count.
                Kind::Histogram => part.family.buckets.len() + 3 + created,
            };
            let pages = part.pages.iter();
            let bytes: usize = pages
                .map(|page| {
                    page.labels.text.len() + page.shown_count() * (family.name.len() + EXTRA)
                })
                .sum();
            size += bytes * lines;
        }
    }
    size
}

/// What a family is called, and what its series are shown with.
struct Head<'n> {
    family: &'n str,
    kind: &'static str,
    dialect: Dialect,
    /// Counters and histograms of OpenMetrics say when a series began, and have exemplars.
    detailed: bool,
}

impl<'n> Head<'n> {
    /// In OpenMetrics a counter's family is named without the `_total` that its samples have; a counter without is of
    /// unknown type there.
    fn of(families: &Families<'_>, family: &Family<'n>, dialect: Dialect) -> Self {
        let open = dialect == Dialect::OpenMetrics;
        let (name, kind, detailed) = match family.kind {
            Kind::Gauge => (family.name, "gauge", false),
            Kind::Histogram => (family.name, "histogram", open),
            Kind::Counter if !open => (family.name, "counter", false),
            Kind::Counter => match families.counter_base(family.name) {
                Some(base) => (base, "counter", true),
                None => (family.name, "unknown", false),
            },
        };
        Self {
            family: name,
            kind,
            dialect,
            detailed,
        }
    }

    fn write(&self, family: &Family<'_>, out: &mut Vec<u8>) {
        if let Some(help) = family.help {
            append(out, &["# HELP ", self.family, " "]);
            match self.dialect {
                Dialect::OpenMetrics => labels::escape(help, out),
                Dialect::Text => {
                    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
                    append(out, &[&help]);
                }
            }
            out.push(b'\n');
        }
        append(out, &["# TYPE ", self.family, " ", self.kind, "\n"]);
        // An unknown's name may still have the `_total` after the unit.
        if let Some(unit) = family.unit.filter(|unit| self.family.ends_with(unit))
            && self.dialect == Dialect::OpenMetrics
        {
            append(out, &["# UNIT ", self.family, " ", unit, "\n"]);
        }
    }
}

/// Writes the samples of one partition's series of a family. What their lines have in common is made once.
struct Lines {
    /// Up to the labels.
    number: String,
    bucket: String,
    sum: String,
    count: String,
    /// `None` where it is not shown when a series began.
    created: Option<String>,
    /// The label `le` of each bucket, and what follows it.
    bounds: Vec<String>,
}

impl Lines {
    fn new(head: &Head<'_>, info: &FamilyInfo, dialect: Dialect) -> Self {
        let name = &info.name;
        let bounds = info.buckets.iter().copied().chain([f64::INFINITY]);
        let le = |bound| {
            let bound = number::bound(bound, dialect == Dialect::OpenMetrics);
            format!(",le=\"{bound}\"}} ")
        };
        Self {
            number: format!("{name}{{"),
            bucket: format!("{name}_bucket{{"),
            sum: format!("{name}_sum{{"),
            count: format!("{name}_count{{"),
            created: head.detailed.then(|| format!("{}_created{{", head.family)),
            bounds: bounds.map(le).collect(),
        }
    }

    fn write(&self, page: &PageSnapshot, out: &mut Vec<u8>) {
        for slot in page.shown_slots() {
            let labels = page.labels.of(slot);
            match &page.values {
                Values::Numbers(numbers) => {
                    append(out, &[&self.number, labels, "} "]);
                    number::value(out, numbers[slot]);
                    self.exemplar(page.exemplar(slot), out);
                    out.push(b'\n');
                }
                Values::Histograms(histograms) => self.histogram(labels, &histograms[slot], out),
            }
            if let (Some(created), Some(at)) = (&self.created, page.labels.created_of(slot)) {
                append(out, &[created, labels, "} "]);
                number::timestamp(out, at);
                out.push(b'\n');
            }
        }
    }

    fn histogram(&self, labels: &str, histogram: &HistogramSnapshot, out: &mut Vec<u8>) {
        let mut count = 0;
        for (bucket, bound) in self.bounds.iter().enumerate() {
            // Without other labels, there is nothing for the comma to separate.
            let bound = &bound[usize::from(labels.is_empty())..];
            count += histogram.counts.get(bucket).copied().unwrap_or_default();
            append(out, &[&self.bucket, labels, bound]);
            number::count(out, count);
            self.exemplar(histogram.exemplar(bucket), out);
            out.push(b'\n');
        }
        // OpenMetrics has no sum where bounds are negative. Prometheus takes it, its libraries show it, and without it
        // there would be no average.
        append(out, &[&self.sum, labels, "} "]);
        number::value(out, histogram.sum);
        append(out, &["\n", &self.count, labels, "} "]);
        number::count(out, count);
        out.push(b'\n');
    }

    fn exemplar(&self, exemplar: Option<&Exemplar>, out: &mut Vec<u8>) {
        if let Some(exemplar) = exemplar.filter(|e| self.created.is_some() && is_showable(e)) {
            append(out, &[" # {", TRACE_ID, "=\""]);
            labels::escape(&exemplar.trace_id, out);
            append(out, &["\"} "]);
            number::value(out, exemplar.value);
            out.push(b' ');
            number::timestamp(out, exemplar.at);
        }
    }
}

fn append(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}
