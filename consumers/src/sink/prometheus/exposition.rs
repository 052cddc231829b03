//! What a scrape gets: the series of all partitions as one page, in the format and encoding that the scraper asks for.
//!
//! Snapshots are merged into families ([`families`]), which are written as text ([`text`]) or protobuf ([`protobuf`])
//! into an [`output`]. Scrapes at the same time share one rendering ([`sharing`]).

mod families;
mod labels;
mod metrics_proto;
mod negotiation;
mod number;
mod output;
mod protobuf;
mod sharing;
mod text;

use bytes::Bytes;

use super::snapshot::{Exemplar, PartitionSnapshot};
use families::Families;
pub(crate) use negotiation::{Encoding, Format};
use output::Output;
pub(crate) use sharing::{Exposition, ScrapeError};
use text::Dialect;

/// What may be shown now.
pub(crate) trait Shown: Send + Sync + 'static {
    /// The series of all partitions that may be shown, in the order of the partitions.
    fn snapshots(&self) -> Vec<PartitionSnapshot>;

    /// Changes whenever a partition leaves or the lease lapses, and never goes back to a former value: a page is
    /// handed out only while the epoch is the one from before its snapshots were taken.
    fn epoch(&self) -> u64;
}

/// The answer to a scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub body: Bytes,
    pub format: Format,
    pub encoding: Encoding,
    /// Series that were left out, as the page could not have been read with them: another partition has more series
    /// of another type under the name, or under the name of a histogram's part.
    pub hidden: usize,
}

/// Writes the page of these partitions.
pub(super) fn render(partitions: &[PartitionSnapshot], format: Format, encoding: Encoding) -> Page {
    let families = Families::merge(partitions);
    let mut out = match (format, encoding) {
        (_, Encoding::Gzip) => Output::gzip(),
        (Format::Text, _) => Output::plain(text::size(&families, Dialect::Text)),
        (Format::OpenMetrics, _) => Output::plain(text::size(&families, Dialect::OpenMetrics)),
        (Format::Protobuf, _) => Output::plain(0),
    };
    match format {
        Format::Text => text::write(&families, Dialect::Text, &mut out),
        Format::OpenMetrics => text::write(&families, Dialect::OpenMetrics, &mut out),
        Format::Protobuf => protobuf::write(&families, &mut out),
    }
    Page {
        body: out.finish(),
        format,
        encoding,
        hidden: families.hidden,
    }
}

/// The one label of an exemplar.
const TRACE_ID: &str = "trace_id";
/// OpenMetrics' limit for the names and values of an exemplar's labels, in characters.
const EXEMPLAR_CHARS: usize = 128;

/// Whether an exemplar can be shown. Prometheus refuses the whole page where an exemplar's label has a NUL, though it
/// takes that in the labels of series; no trace id has control characters.
fn is_showable(exemplar: &Exemplar) -> bool {
    let id = &exemplar.trace_id;
    let room = EXEMPLAR_CHARS - TRACE_ID.len();
    let fits = id.len() <= room || id.chars().count() <= room;
    !id.is_empty() && fits && !id.contains(char::is_control)
}

#[cfg(test)]
mod tests;
