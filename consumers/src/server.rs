//! HTTP: probes and metrics.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::sink::prometheus::exposition::{Exposition, ScrapeError};
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
                    [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
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
pub(crate) fn exposition(exposition: Arc<Exposition>, stats: Arc<Stats>) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .with_state((exposition, stats))
}

async fn page(
    State((exposition, stats)): State<(Arc<Exposition>, Arc<Stats>)>,
    headers: HeaderMap,
) -> Response {
    let accept = all(&headers, ACCEPT);
    let page = match exposition
        .scrape(&accept, &all(&headers, ACCEPT_ENCODING))
        .await
    {
        Ok(page) => page,
        Err(error) => {
            let status = match error {
                ScrapeError::Defect => StatusCode::INTERNAL_SERVER_ERROR,
                ScrapeError::Unsettled => StatusCode::SERVICE_UNAVAILABLE,
            };
            return (status, format!("{error}\n")).into_response();
        }
    };
    stats.series_hidden.set(page.hidden as i64);
    let mut response = page.body.into_response();
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, page.format.content_type());
    set(VARY, "Accept, Accept-Encoding");
    if let Some(encoding) = page.encoding.header() {
        set(CONTENT_ENCODING, encoding);
    }
    response
}

/// A header that may be there several times, as one list.
fn all(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests;
