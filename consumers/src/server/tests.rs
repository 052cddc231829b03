use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use tower::ServiceExt;

use super::*;
use crate::sink::prometheus::exposition::Shown;
use crate::sink::prometheus::snapshot::PartitionSnapshot;

struct Nothing;

impl Shown for Nothing {
    fn snapshots(&self) -> Vec<PartitionSnapshot> {
        Vec::new()
    }

    fn epoch(&self) -> u64 {
        0
    }
}

async fn answer(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Response {
    let router = exposition(
        Arc::new(Exposition::new(Arc::new(Nothing))),
        Arc::new(Stats::new()),
    );
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    router.oneshot(request).await.expect("it never fails")
}

fn header(response: &Response, name: HeaderName) -> &str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().expect("text"))
}

async fn body(response: Response) -> Vec<u8> {
    let bytes = to_bytes(response.into_body(), usize::MAX).await;
    bytes.expect("a body").into()
}

#[tokio::test]
async fn a_page_says_what_it_is_and_what_it_depends_on() {
    let plain = answer(Method::GET, "/metrics", &[]).await;
    assert_eq!(plain.status(), StatusCode::OK);
    assert_eq!(
        header(&plain, CONTENT_TYPE),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(header(&plain, CONTENT_ENCODING), "");
    assert_eq!(header(&plain, VARY), "Accept, Accept-Encoding");
    // As if they were one header.
    let accept = [
        (ACCEPT, "text/plain;q=0.5"),
        (ACCEPT, "application/openmetrics-text;version=1.0.0"),
        (ACCEPT_ENCODING, "gzip"),
    ];
    let packed = answer(Method::GET, "/metrics", &accept).await;
    assert_eq!(
        header(&packed, CONTENT_TYPE),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(header(&packed, CONTENT_ENCODING), "gzip");
    let bytes = body(packed).await;
    let mut text = String::new();
    let mut gzip = flate2::read::GzDecoder::new(&*bytes);
    std::io::Read::read_to_string(&mut gzip, &mut text).expect("gzip");
    assert_eq!(text, "# EOF\n");
}

#[tokio::test]
async fn only_a_get_of_metrics_is_answered() {
    let accept = [(ACCEPT, "application/openmetrics-text")];
    let head = answer(Method::HEAD, "/metrics", &accept).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(header(&head, CONTENT_TYPE).starts_with("application/openmetrics-text"));
    assert!(body(head).await.is_empty());
    let post = answer(Method::POST, "/metrics", &[]).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/", "/metrics/", "/metrics/x", "/healthz"] {
        let other = answer(Method::GET, path, &[]).await;
        assert_eq!(other.status(), StatusCode::NOT_FOUND, "{path}");
    }
}
