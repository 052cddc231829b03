//! Requests through the tower layer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{any, get};
use bt_events::{HttpLayer, Producer};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::kafka::Record;
use crate::mock::{Mock, builder};

fn request(method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::empty()).expect("a request")
}

/// How often each series was counted, as `method route rest`.
fn counted(records: &[Record], name: &str, rest: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records.iter().filter(|record| record.text("/name") == name) {
        let labels = |label: &str| record.value["labels"][label].as_str().unwrap_or_default();
        let series = format!("{} {} {}", labels("method"), labels("route"), labels(rest));
        *counts.entry(series).or_default() += 1;
    }
    counts
}

fn series<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected
        .map(|(series, count)| (series.to_owned(), count))
        .into()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let kafka = Mock::new();
    let producer = kafka.producer();
    let app = Router::new()
        .route(
            "/orders/{id}",
            get(async |Path(id): Path<u32>| id.to_string()),
        )
        .route("/broken", any(async || StatusCode::SERVICE_UNAVAILABLE))
        .route(
            "/slow",
            get(async || tokio::time::sleep(Duration::from_secs(60)).await),
        )
        .layer(HttpLayer::new(&producer));
    for (method, path) in [
        ("GET", "/orders/1"),
        ("GET", "/orders/2"),
        ("GET", "/orders/x"),
        ("GET", "/nowhere/1"),
        ("POST", "/broken"),
        ("BREW", "/broken"),
    ] {
        app.clone()
            .oneshot(request(method, path))
            .await
            .expect("a response");
    }
    let gone = app.clone().oneshot(request("GET", "/slow"));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), gone)
            .await
            .is_err()
    );

    assert!(producer.flush(Duration::from_secs(10)), "{producer:?}");
    let records = kafka.read("metrics.events", 16);
    let requests = series([
        ("GET /orders/{id} 200", 2),
        ("GET /orders/{id} 400", 1),
        ("GET (unmatched) 404", 1),
        ("POST /broken 503", 1),
        ("_OTHER /broken 503", 1),
        ("GET /slow 499", 1),
    ]);
    assert_eq!(
        counted(&records, "http_server_requests_total", "status"),
        requests
    );
    let errors = series([("POST /broken 503", 1), ("_OTHER /broken 503", 1)]);
    assert_eq!(
        counted(&records, "http_server_errors_total", "error_type"),
        errors
    );
    let durations: Vec<&Record> = records
        .iter()
        .filter(|record| record.text("/name") == "http_server_request_duration_seconds")
        .collect();
    assert_eq!(durations.len(), 7);
    for duration in durations {
        let value = &duration.value;
        assert_eq!(
            (&value["kind"], &value["unit"]),
            (&"histogram".into(), &"seconds".into())
        );
        assert_eq!(value["buckets"].as_array().expect("buckets").len(), 14);
        let seconds = value["value"].as_f64().expect("a number");
        match duration.text("/labels/route") {
            "/slow" => assert!((0.05..5.0).contains(&seconds), "{seconds}"),
            _ => assert!((0.0..5.0).contains(&seconds), "{seconds}"),
        }
    }
}

#[tokio::test]
async fn a_service_that_fails_or_panics_is_an_error() {
    let kafka = Mock::new();
    let producer = kafka.producer();
    let layer = HttpLayer::new(&producer).route(|uri, _| Some(format!("of {}", uri.path())));
    let service = layer.layer(service_fn(async |request: Request<Body>| {
        assert!(request.uri().path() != "/panic", "as asked");
        Err::<Response<Body>, _>("no answer")
    }));
    let mut failing = service.clone();
    assert_eq!(
        failing.call(request("GET", "/fail")).await.err(),
        Some("no answer")
    );
    let panicking = tokio::spawn(service.oneshot(request("GET", "/panic"))).await;
    assert!(panicking.expect_err("a panic").is_panic());
    assert!(producer.flush(Duration::from_secs(10)), "{producer:?}");
    let records = kafka.read("metrics.events", 6);
    let errors = series([("GET of /fail error", 1), ("GET of /panic panic", 1)]);
    assert_eq!(
        counted(&records, "http_server_errors_total", "error_type"),
        errors
    );
    let requests = series([("GET of /fail 500", 1), ("GET of /panic 500", 1)]);
    assert_eq!(
        counted(&records, "http_server_requests_total", "status"),
        requests
    );
}

#[tokio::test]
async fn a_request_does_not_notice_that_kafka_is_away() {
    let producer: Producer = builder().queue_events(3).build().expect("a producer");
    let app = Router::new()
        .route("/", get(async || "here"))
        .layer(HttpLayer::new(&producer));
    for _ in 0..10 {
        let response = app
            .clone()
            .oneshot(request("GET", "/"))
            .await
            .expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
    }
    let stats = producer.stats();
    assert_eq!((stats.sent, stats.dropped["queue_full"]), (3, 17));
}
