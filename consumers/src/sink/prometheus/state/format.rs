//! The records of the state topic, version 1.
//!
//! A key is the record's kind, the source topic's name with its length in front, and for the records of a page the page's
//! id, big-endian; the source partition has the number of the state's partition. A value begins with the version.
//! Whoever changes what a record means or how it is written raises [`VERSION`].

use bt_events::Kind;

use super::codec::{Malformed, Reader, put_optional, put_signed, put_text, put_varint};
use crate::config::check_buckets;
use crate::sink::prometheus::cells::Cells;
use crate::sink::prometheus::family::is_metric_name;
use crate::sink::prometheus::native::{COARSEST, FINEST, MAX_BUCKETS};
use crate::sink::prometheus::page::{Page, bits};
use crate::sink::prometheus::snapshot::{FamilyInfo, HistogramSnapshot, Native, PageLabels};

/// The format that is written; records of a later one are not understood.
pub(super) const VERSION: u8 = 1;

/// The offset that the state stands for.
pub(super) const META: u8 = b'm';
/// What series a page holds.
pub(super) const LABELS: u8 = b'l';
/// A page's values.
pub(super) const VALUES: u8 = b'v';

/// A key's parts.
pub(super) struct Key<'k> {
    pub kind: u8,
    pub topic: &'k [u8],
    /// What follows the topic: for a page its id.
    pub rest: &'k [u8],
}

impl<'k> Key<'k> {
    pub fn read(key: &'k [u8]) -> Option<Self> {
        let [kind, length, rest @ ..] = key else {
            return None;
        };
        let (topic, rest) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            kind: *kind,
            topic,
            rest,
        })
    }
}

pub(super) fn key(kind: u8, topic: &str, page: Option<u32>) -> Vec<u8> {
    let mut key = Vec::with_capacity(topic.len() + 6);
    key.push(kind);
    // Kafka's names have at most 249 bytes.
    key.push(topic.len() as u8);
    key.extend_from_slice(topic.as_bytes());
    if let Some(id) = page {
        key.extend_from_slice(&id.to_be_bytes());
    }
    key
}

/// The offset, how many pages there are with it, and the source topic's id.
pub(super) fn write_meta(offset: i64, pages: usize, topic_id: &str) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&(pages as u64).to_le_bytes());
    put_text(&mut out, topic_id);
    out
}

pub(super) fn read_meta(value: &[u8]) -> Result<(i64, u64, String), Malformed> {
    let mut reader = body(value)?;
    let offset = reader.i64()?;
    let pages = reader.i64()? as u64;
    let topic_id = reader.text()?.to_owned();
    reader.end()?;
    Ok((offset, pages, topic_id))
}

/// Behind the version, which has been looked at.
fn body(value: &[u8]) -> Result<Reader<'_>, Malformed> {
    let mut reader = Reader::new(value);
    reader.u8()?;
    Ok(reader)
}

/// A page's labels: the family, then by slot when the series began and its labels, without `,source="…"`, which has
/// `source_bytes`.
pub(super) fn write_labels(page: &Page, info: &FamilyInfo, source_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + info.name.len() + page.labels.text.len());
    out.push(VERSION);
    out.push(match info.kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Histogram => 2,
    });
    put_text(&mut out, &info.name);
    put_optional(&mut out, info.help.as_deref());
    put_optional(&mut out, info.unit.as_deref());
    put_varint(&mut out, info.buckets.len() as u64);
    for bound in &info.buckets {
        out.extend_from_slice(&bound.to_le_bytes());
    }
    out.extend_from_slice(&page.occupied.to_le_bytes());
    let mut before = 0;
    for slot in bits(page.occupied) {
        let created = page.labels.created[slot];
        put_signed(&mut out, created.wrapping_sub(before));
        before = created;
        let labels = page.labels.of(slot);
        put_text(&mut out, &labels[..labels.len() - source_bytes]);
    }
    out
}

/// A page's labels, read.
#[derive(Debug)]
pub(super) struct Labels {
    pub info: FamilyInfo,
    pub occupied: u32,
    pub labels: PageLabels,
}

pub(super) fn read_labels(value: &[u8], source: &str) -> Result<Labels, Malformed> {
    let mut reader = body(value)?;
    let kind = match reader.u8()? {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Histogram,
        _ => return Err("the kind of metric is unknown"),
    };
    let name = reader.text()?;
    if !is_metric_name(name) {
        return Err("the metric name is invalid");
    }
    let help = reader.optional()?.map(Into::into);
    let unit = reader.optional()?.map(Into::into);
    let count = reader.count(100)?;
    let buckets: Box<[f64]> = (0..count).map(|_| reader.f64()).collect::<Result<_, _>>()?;
    let good = match kind {
        Kind::Histogram => check_buckets(&buckets).is_ok(),
        _ => buckets.is_empty(),
    };
    if !good {
        return Err("the buckets are invalid");
    }
    let occupied = reader.u32()?;
    let mut labels = PageLabels::default();
    labels
        .text
        .reserve_exact(value.len() + source.len() * occupied.count_ones() as usize);
    let slots = slots(occupied)?;
    labels.ends.reserve_exact(slots);
    labels.created.reserve_exact(slots);
    let mut created = 0i64;
    for slot in 0..slots {
        if occupied & 1 << slot == 0 {
            labels.created.push(0);
        } else {
            created = created.wrapping_add(reader.signed()?);
            labels.created.push(created);
            let text = reader.text()?;
            if text.is_empty() || text.contains('\n') {
                return Err("a series' labels are invalid");
            }
            labels.text.push_str(text);
            labels.text.push_str(source);
        }
        labels.ends.push(labels.text.len() as u32);
    }
    labels.text.shrink_to_fit();
    reader.end()?;
    let info = FamilyInfo {
        name: name.into(),
        kind,
        help,
        unit,
        buckets,
    };
    Ok(Labels {
        info,
        occupied,
        labels,
    })
}

/// How many slots there are up to the last series.
fn slots(occupied: u32) -> Result<usize, Malformed> {
    match occupied {
        0 => Err("it has no series"),
        _ => Ok((u32::BITS - occupied.leading_zeros()) as usize),
    }
}

/// A page's values: by slot when it was touched and its number or histogram.
pub(super) fn write_values(page: &Page, cells: &Cells, kind: Kind) -> Vec<u8> {
    let of_slots = page.occupied.count_ones() as usize;
    let mut out = match kind {
        Kind::Histogram => Vec::with_capacity(16 + of_slots * 128),
        _ => Vec::with_capacity(16 + of_slots * 10),
    };
    out.push(VERSION);
    out.push(u8::from(kind == Kind::Histogram));
    out.extend_from_slice(&page.occupied.to_le_bytes());
    let touched = bits(page.occupied).map(|slot| cells[page.series[slot]].touched);
    let oldest = touched.min().unwrap_or(0);
    out.extend_from_slice(&oldest.to_le_bytes());
    for slot in bits(page.occupied) {
        let cell = &cells[page.series[slot]];
        put_varint(&mut out, u64::from(cell.touched - oldest));
        match kind {
            Kind::Histogram => write_histogram(&mut out, &page.histograms[slot]),
            _ => out.extend_from_slice(&cell.value.to_le_bytes()),
        }
    }
    out
}

fn write_histogram(out: &mut Vec<u8>, histogram: &HistogramSnapshot) {
    out.extend_from_slice(&histogram.sum.to_le_bytes());
    put_varint(out, histogram.counts.len() as u64);
    for count in &histogram.counts {
        put_varint(out, *count);
    }
    let native = &histogram.native;
    out.push(native.schema as u8);
    put_varint(out, native.zero_count);
    for buckets in [&native.positive, &native.negative] {
        put_varint(out, buckets.len() as u64);
        let mut before = 0;
        for (index, count) in buckets {
            put_signed(out, i64::from(*index) - before);
            put_varint(out, *count);
            before = i64::from(*index);
        }
    }
}

/// A page's values, read.
#[derive(Debug)]
pub(super) struct PageValues {
    pub occupied: u32,
    /// When each was touched, by slot.
    pub touched: Vec<u32>,
    /// Zeros where there are histograms.
    pub numbers: Vec<f64>,
    /// As long as the others, or empty.
    pub histograms: Vec<HistogramSnapshot>,
    pub has_histograms: bool,
}

pub(super) fn read_values(value: &[u8]) -> Result<PageValues, Malformed> {
    let mut reader = body(value)?;
    let has_histograms = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err("the kind of values is unknown"),
    };
    let occupied = reader.u32()?;
    let oldest = reader.u32()?;
    let count = slots(occupied)?;
    let mut touched = vec![0; count];
    let mut numbers = vec![0.0; count];
    let mut histograms = vec![HistogramSnapshot::default(); if has_histograms { count } else { 0 }];
    for slot in bits(occupied) {
        let since = u32::try_from(reader.varint()?).ok();
        touched[slot] = since
            .and_then(|since| oldest.checked_add(since))
            .ok_or("a time is too large")?;
        match histograms.get_mut(slot) {
            Some(histogram) => *histogram = read_histogram(&mut reader)?,
            None => numbers[slot] = reader.f64()?,
        }
    }
    reader.end()?;
    Ok(PageValues {
        occupied,
        touched,
        numbers,
        histograms,
        has_histograms,
    })
}

fn read_histogram(reader: &mut Reader<'_>) -> Result<HistogramSnapshot, Malformed> {
    let sum = reader.f64()?;
    let count = reader.count(101)?;
    let counts = (0..count)
        .map(|_| observations(reader))
        .collect::<Result<_, _>>()?;
    let schema = reader.u8()? as i8;
    if !(COARSEST..=FINEST).contains(&schema) {
        return Err("the native histogram's schema is unknown");
    }
    let zero_count = observations(reader)?;
    let mut native = Native {
        schema,
        zero_count,
        ..Native::default()
    };
    for buckets in [&mut native.positive, &mut native.negative] {
        let count = reader.count(MAX_BUCKETS)?;
        buckets.reserve_exact(count);
        let mut before: Option<i32> = None;
        for _ in 0..count {
            let index = i64::from(before.unwrap_or(0)).checked_add(reader.signed()?);
            let index = index
                .and_then(|index| i32::try_from(index).ok())
                // Far beyond all numbers, so that nothing overflows.
                .filter(|index| index.abs() < 1 << 16 && before.is_none_or(|b| b < *index))
                .ok_or("the native histogram's buckets do not ascend")?;
            buckets.push((index, observations(reader)?));
            before = Some(index);
        }
    }
    if native.positive.len() + native.negative.len() > MAX_BUCKETS {
        return Err("the native histogram has too many buckets");
    }
    Ok(HistogramSnapshot {
        counts,
        sum,
        native,
        exemplars: Vec::new(),
    })
}

/// A number of observations, small enough for sums of them.
fn observations(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    match reader.varint()? {
        count if count < 1 << 53 => Ok(count),
        _ => Err("a count is too large"),
    }
}
