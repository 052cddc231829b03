//! A [tower](https://docs.rs/tower) layer that measures HTTP requests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Extensions, Method, Request, Response, Uri};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Metric, Producer};

/// Upper bounds in seconds, as OpenTelemetry advises for `http.server.request.duration`.
const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The route of a request that no route matches, so that foreign paths make no series.
const UNMATCHED: &str = "(unmatched)";

/// The status of a request that the client gave up before there was a response, as in nginx's log.
const CLIENT_CLOSED_REQUEST: u16 = 499;

type Route = dyn Fn(&Uri, &Extensions) -> Option<String> + Send + Sync;

/// Measures the requests of any HTTP service:
///
/// - counter `http_server_requests_total{method, route, status}`
/// - histogram `http_server_request_duration_seconds{method, route}`, until the response's head; a body that is streamed
///   takes longer
/// - counter `http_server_errors_total{method, route, error_type}`: a status of 500 and above (`error_type` is the
///   status), an error of the service (`error`, counted with status 500), a panic (`panic`, likewise)
///
/// A request that is dropped before there is a response, because the client went away, has the status 499.
///
/// The route is the template (`/orders/{id}`), never the path. With the feature `axum` it is axum's, when the layer is added
/// by `Router::layer` after the routes (those added after it, for instance for probes, are not measured); other routers name it by [`HttpLayer::route`]. Without a route it is `(unmatched)`.
///
/// ```no_run
/// # #[cfg(feature = "axum")] {
/// # use axum::{Router, routing::get};
/// let app: Router = Router::new()
///     .route("/orders/{id}", get(async || "here"))
///     .layer(bt_events::HttpLayer::new(bt_events::default_producer()));
/// # }
/// ```
#[derive(Clone)]
pub struct HttpLayer {
    producer: Producer,
    route: Arc<Route>,
}

impl HttpLayer {
    /// Sends the measurements by `producer`.
    pub fn new(producer: &Producer) -> Self {
        HttpLayer {
            producer: producer.clone(),
            route: Arc::new(matched_path),
        }
    }

    /// Says which route a request takes, where that is not axum's affair. There must be few: each is a time series.
    pub fn route(
        mut self,
        route: impl Fn(&Uri, &Extensions) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.route = Arc::new(route);
        self
    }
}

#[cfg(feature = "axum")]
fn matched_path(_: &Uri, extensions: &Extensions) -> Option<String> {
    let path = extensions.get::<axum::extract::MatchedPath>()?;
    Some(path.as_str().to_owned())
}

#[cfg(not(feature = "axum"))]
fn matched_path(_: &Uri, _: &Extensions) -> Option<String> {
    None
}

impl<S> Layer<S> for HttpLayer {
    type Service = HttpService<S>;

    fn layer(&self, inner: S) -> HttpService<S> {
        let layer = self.clone();
        HttpService { layer, inner }
    }
}

/// A service whose requests are measured, see [`HttpLayer`].
#[derive(Debug, Clone)]
pub struct HttpService<S> {
    layer: HttpLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for HttpService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let HttpLayer { producer, route } = &self.layer;
        let measured = Measured {
            producer: producer.clone(),
            method: method(request.method()),
            route: route(request.uri(), request.extensions()),
            began: Instant::now(),
            finished: false,
        };
        ResponseFuture {
            measured,
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The response of a [`HttpService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        measured: Measured,
        #[pin]
        inner: F,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(context));
        match &result {
            Ok(response) => this.measured.finish(response.status().as_u16(), None),
            Err(_) => this.measured.finish(500, Some("error")),
        }
        Poll::Ready(result)
    }
}

/// One request.
#[derive(Debug)]
struct Measured {
    producer: Producer,
    method: &'static str,
    route: Option<String>,
    began: Instant,
    finished: bool,
}

impl Measured {
    fn finish(&mut self, status: u16, error: Option<&'static str>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let named = |metric: Metric<'static>| {
            let route = self.route.as_deref().unwrap_or(UNMATCHED);
            metric.label("method", self.method).label("route", route)
        };
        if self.producer.takes_any() {
            let count = Metric::counter("http_server_requests_total", 1.0);
            self.producer
                .send_metric(named(count).label("status", status));
        }
        if self.producer.takes_any() {
            let duration = Metric::histogram("http_server_request_duration_seconds", seconds);
            let duration = duration.unit("seconds").buckets(BUCKETS);
            self.producer.send_metric(named(duration));
        }
        if (error.is_some() || status >= 500) && self.producer.takes_any() {
            let count = named(Metric::counter("http_server_errors_total", 1.0));
            let count = match error {
                Some(error) => count.label("error_type", error),
                None => count.label("error_type", status),
            };
            self.producer.send_metric(count);
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        match std::thread::panicking() {
            true => self.finish(500, Some("panic")),
            false => self.finish(CLIENT_CLOSED_REQUEST, None),
        }
    }
}

/// A method's name, if it is one of RFC 9110 or RFC 5789: a client can make up others.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}

impl fmt::Debug for HttpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLayer")
            .field("producer", &self.producer)
            .finish_non_exhaustive()
    }
}
