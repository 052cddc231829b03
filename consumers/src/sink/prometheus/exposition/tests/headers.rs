//! What scrapers ask for.

use super::*;

#[test]
fn each_prometheus_gets_the_format_that_it_likes_best() {
    let cases = [
        ("", Format::Text),
        ("text/plain", Format::Text),
        ("*/*", Format::Text),
        ("application/json", Format::Text),
        // Prometheus 2.20 to 2.48: an OpenMetrics that is not 1.0.
        (
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::Text,
        ),
        // Prometheus 2.53.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::OpenMetrics,
        ),
        // Prometheus 2.53 with native histograms.
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            Format::Protobuf,
        ),
        // Prometheus 3.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::OpenMetrics,
        ),
        // Prometheus 3 with native histograms.
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            Format::Protobuf,
        ),
        // Prometheus 3 with fallback to the text format alone.
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4",
            Format::Text,
        ),
        // The order in the header is not the scraper's preference.
        (
            "text/plain;q=0.2, Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.9",
            Format::OpenMetrics,
        ),
        (
            "*/*;q=0.1,application/openmetrics-text;q=0.2",
            Format::OpenMetrics,
        ),
        ("application/openmetrics-text;q=0,text/plain", Format::Text),
        ("application/openmetrics-text;q=0.000", Format::Text),
        ("application/openmetrics-text;q=x,*/*;q=0.1", Format::Text),
        // Protobuf, but not as it is here.
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            Format::Text,
        ),
        ("application/vnd.google.protobuf", Format::Text),
    ];
    for (accept, want) in cases {
        assert_eq!(Format::negotiate(accept), want, "{accept}");
    }
}

#[test]
fn a_page_is_packed_for_those_who_take_it_as_gladly() {
    let cases = [
        ("", Encoding::Identity),
        ("identity", Encoding::Identity),
        ("gzip", Encoding::Gzip),
        ("x-gzip", Encoding::Gzip),
        ("GZIP;q=0.5", Encoding::Gzip),
        ("deflate, gzip;q=1.0, *;q=0.5", Encoding::Gzip),
        ("*", Encoding::Gzip),
        ("*;q=0", Encoding::Identity),
        ("gzip;q=0, *", Encoding::Identity),
        ("gzip;q=0.5, identity", Encoding::Identity),
        ("br, zstd", Encoding::Identity),
    ];
    for (accept_encoding, want) in cases {
        assert_eq!(
            Encoding::negotiate(accept_encoding),
            want,
            "{accept_encoding}"
        );
    }
}
