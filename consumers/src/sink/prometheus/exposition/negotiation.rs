//! In which format and encoding a scraper takes a page best: `Accept` and `Accept-Encoding` of RFC 9110, with the media
//! types of Prometheus' content negotiation.

/// In what format series are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Messages `io.prometheus.client.MetricFamily`, each with its length before it.
    Protobuf,
}

impl Format {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// What a scraper with this `Accept` header takes best, of equals the first. It is the text format where there is
    /// no header, or nothing in it that is here.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (0.0, Format::Text);
        for range in ranges(accept) {
            if let Some(format) = Self::of(&range)
                && range.quality > best.0
            {
                best = (range.quality, format);
            }
        }
        best.1
    }

    fn of(range: &Range<'_>) -> Option<Self> {
        let version = range.parameter("version").unwrap_or_default();
        match &*range.name.to_ascii_lowercase() {
            "text/plain" if matches!(version, "" | "0.0.4") => Some(Format::Text),
            "text/*" | "*/*" => Some(Format::Text),
            "application/openmetrics-text" if matches!(version, "" | "1.0.0") => {
                Some(Format::OpenMetrics)
            }
            "application/vnd.google.protobuf"
                if range.parameter("proto") == Some("io.prometheus.client.MetricFamily")
                    && range.parameter("encoding") == Some("delimited") =>
            {
                Some(Format::Protobuf)
            }
            _ => None,
        }
    }

    /// The `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// How a page is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// What a scraper with this `Accept-Encoding` header takes best: gzip where it is taken as gladly as no encoding.
    pub fn negotiate(accept_encoding: &str) -> Self {
        let quality = |names: &[&str]| {
            let mut found = ranges(accept_encoding).filter(|range| {
                names
                    .iter()
                    .any(|name| range.name.eq_ignore_ascii_case(name))
            });
            found.next().map(|range| range.quality)
        };
        let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"]));
        let gzip = gzip.unwrap_or(0.0);
        if gzip > 0.0 && gzip >= quality(&["identity"]).unwrap_or(0.0) {
            Encoding::Gzip
        } else {
            Encoding::Identity
        }
    }

    /// The `Content-Encoding`, where there is one.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Encoding::Identity => None,
            Encoding::Gzip => Some("gzip"),
        }
    }
}

/// One element of a header such as `a/b;version=1;q=0.5, c/d`.
struct Range<'h> {
    name: &'h str,
    parameters: &'h str,
    /// 0 to 1; 0 is "not acceptable".
    quality: f32,
}

fn ranges(header: &str) -> impl Iterator<Item = Range<'_>> {
    header.split(',').map(|element| {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        let mut range = Range {
            name: name.trim(),
            parameters,
            quality: 1.0,
        };
        if let Some(quality) = range.parameter("q") {
            range.quality = quality.parse().unwrap_or(0.0);
        }
        range
    })
}

impl<'h> Range<'h> {
    fn parameter(&self, name: &str) -> Option<&'h str> {
        self.parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            let found = key.trim().eq_ignore_ascii_case(name);
            found.then(|| value.trim().trim_matches('"'))
        })
    }
}
