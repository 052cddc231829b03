//! HTTP: probes and metrics.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::sink::prometheus::{Format, Store};
use crate::sink_state::{SinkCondition, SinkState};
use crate::stats::{Health, Stats};

/// Listens on all addresses.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Ok(listener) => Ok(listener),
        // A host without IPv6.
        Err(_) => TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await,
    }
}

/// `/healthz`, `/readyz`, `/sink` and the process' own `/metrics`.
pub(crate) fn own(stats: Arc<Stats>, health: Arc<Health>, sink: Arc<SinkState>) -> Router {
    let live = health.clone();
    let state = sink.clone();
    let answer = |result: Result<(), String>| match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    let ready = move || {
        health.ready().map_err(|why| {
            let report = state.report(Instant::now());
            match report.state {
                SinkCondition::Ready | SinkCondition::Starting => why,
                state => format!("{why}; sink: {}: {}", state.as_str(), report.message),
            }
        })
    };
    Router::new()
        .route("/healthz", get(async move || answer(live.alive())))
        .route("/readyz", get(async move || answer(ready())))
        .route("/sink", get(async move || report(&sink)))
        .route(
            "/metrics",
            get(async move || {
                (
                    [(CONTENT_TYPE, Format::Text.content_type())],
                    stats.render(),
                )
            }),
        )
}

fn report(sink: &SinkState) -> Response {
    match serde_json::to_vec(&sink.report(Instant::now())) {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `/metrics` of the prometheus sink.
pub(crate) fn series(store: Arc<Store>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(store)
}

async fn scrape(State(store): State<Arc<Store>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept.unwrap_or_default());
    // Up to a hundred thousand series: not on the threads that answer the probes.
    match tokio::task::spawn_blocking(move || store.render(format)).await {
        Ok(page) => ([(CONTENT_TYPE, format.content_type())], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
