//! HTTP, and what goes wrong with it.

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answers::Answer;
use crate::api::{self, Call};
use crate::bulk;
use crate::engine::{Shared, lock};
use crate::filter::Filter;
use crate::script::{Fault, RetryAfter, Rules};

type Body = BoxBody<Bytes, io::Error>;

/// Between the first half of an answer and the end of its connection, so that the half is sent.
const HALFWAY: Duration = Duration::from_millis(50);

/// Of the time after which a request is done late, when its sender is told that nobody answers.
const EARLY: f64 = 0.1;

/// Takes connections, and counts them, until it is dropped, and all of them with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, taken: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                taken.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connection(stream, shared.clone()));
                while connections.try_join_next().is_some() {}
            }
            // No file descriptor is left; some will be.
            Err(_) => tokio::time::sleep(HALFWAY).await,
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
        return;
    };
    let socket = Arc::new(socket);
    let service = service_fn(|request| {
        let (shared, socket) = (shared.clone(), socket.clone());
        async move { respond(&shared, &socket, request).await }
    });
    let http = hyper::server::conn::http1::Builder::new();
    // Ends with an error where the other side goes away, or a fault wants it.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// Ends the connection by a reset, not by an orderly end: nothing lingers.
fn reset(socket: &OwnedFd) -> io::Error {
    let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
    io::ErrorKind::ConnectionReset.into()
}

async fn respond(
    shared: &Arc<Shared>,
    socket: &OwnedFd,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let path = crate::filter::decoded(head.uri.path().trim_start_matches('/'));
    let query = head.uri.query().unwrap_or_default().to_owned();
    let is_bulk = path == "_bulk" || path.ends_with("/_bulk");
    let filter = Filter::of_query(&query);
    let gzip = head
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding == "gzip");
    let (fault, rules) = {
        let mut playing = lock(&shared.playing);
        let fault = playing.next(!api::is_of_documents(&path));
        (fault, playing.script.rules.clone())
    };
    *lock(&shared.tally).faults.entry(fault.name()).or_default() += 1;
    let _present = is_bulk.then(|| Present::new(shared));
    if fault == Fault::ResetBefore {
        return Err(reset(socket));
    }
    // Engines limit what a body is without its compression.
    let body = plain(read(body, fault).await?, gzip)?;
    if !is_authorized(
        &rules,
        head.headers
            .get(AUTHORIZATION)
            .map(|value| value.as_bytes()),
    ) || fault == Fault::Unauthorized
    {
        let reason = "unable to authenticate user for REST request";
        return Ok(whole(
            shared,
            Answer::error(401, "security_exception", reason),
        ));
    }
    if rules.max_bytes > 0 && body.len() > rules.max_bytes {
        lock(&shared.tally).refused_requests += 1;
        let body = Bytes::new();
        return Ok(whole(
            shared,
            Answer {
                status: 413,
                body,
                retry_after: None,
            },
        ));
    }
    if let Fault::TooManyRequests { retry_after } = fault {
        let answer = Answer::error(429, "es_rejected_execution_exception", "too many requests")
            .retry_after(retry_after);
        if let (true, Some(until)) = (is_bulk, not_before(retry_after)) {
            let mut store = lock(&shared.store);
            let actions = bulk::parse(&body).unwrap_or_default();
            store
                .not_before
                .extend(actions.into_iter().map(|action| (action.id, until)));
        }
        return Ok(whole(shared, answer));
    }
    if let Fault::Unavailable { retry_after } = fault {
        let answer = Answer::error(
            503,
            "cluster_block_exception",
            "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];",
        );
        return Ok(whole(shared, answer.retry_after(retry_after)));
    }
    if let Fault::Hangs { seconds } = fault {
        hang(shared, seconds).await;
        return Err(reset(socket));
    }
    let (shared_, method) = (shared.clone(), head.method.to_string());
    let work = move || {
        let answer = match is_bulk {
            true => do_bulk(&shared_, &path, &body, fault, &rules),
            false => {
                let call = Call {
                    method: &method,
                    path: &path,
                    query: &query,
                    body: &body,
                };
                api::answer(&mut lock(&shared_.store), &mut lock(&shared_.tally), &call)
            }
        };
        api::filtered(answer, &filter)
    };
    if let Fault::DoneLate { seconds } = fault {
        // Also when the sender has gone, which ends what answers it.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            work();
        });
        hang(shared, seconds * EARLY).await;
        return Err(reset(socket));
    }
    let answer = work();
    match fault {
        Fault::ResetAfter | Fault::RolloverThenReset => Err(reset(socket)),
        Fault::DoneThenHangs { seconds } => {
            hang(shared, seconds).await;
            Err(reset(socket))
        }
        Fault::SlowAnswer { seconds } => {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            Ok(whole(shared, answer))
        }
        Fault::HalfAnswer => Ok(half(shared, answer)),
        _ => Ok(whole(shared, answer)),
    }
}

fn is_authorized(rules: &Rules, header: Option<&[u8]>) -> bool {
    rules.authorization.is_empty() || header == Some(rules.authorization.as_bytes())
}

/// Waits this long, or until another script is played.
async fn hang(shared: &Shared, seconds: f64) {
    let mut scripts = shared.scripts.subscribe();
    let _ = tokio::time::timeout(Duration::from_secs_f64(seconds), scripts.changed()).await;
}

async fn read(mut body: Incoming, fault: Fault) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
            if let Fault::SlowRead { bytes_per_second } = fault {
                let seconds = data.len() as f64 / f64::from(bytes_per_second.max(1));
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            }
        }
    }
    Ok(bytes.into())
}

fn plain(body: Bytes, gzip: bool) -> io::Result<Bytes> {
    if !gzip {
        return Ok(body);
    }
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    decoder.write_all(&body)?;
    Ok(decoder.finish()?.into())
}

/// Does a `_bulk` as far as its fault lets it.
fn do_bulk(shared: &Shared, path: &str, body: &Bytes, fault: Fault, rules: &Rules) -> Answer {
    let target = path.strip_suffix("/_bulk");
    let poisoned =
        !rules.poison.is_empty() && memchr::memmem::find(body, rules.poison.as_bytes()).is_some();
    let actions = match bulk::parse(body) {
        Ok(actions) if !poisoned => actions,
        parsed => {
            lock(&shared.tally).refused_requests += 1;
            let reason = parsed
                .err()
                .unwrap_or_else(|| "Malformed content, found extra data after parsing".into());
            return Answer::error(400, "illegal_argument_exception", &reason);
        }
    };
    let block = bulk::Block::of(fault, rules);
    let rolls_over = matches!(fault, Fault::Rollover | Fault::RolloverThenReset);
    let mut store = lock(&shared.store);
    let mut tally = lock(&shared.tally);
    tally.documents += actions.len() as u64;
    tally.bytes += body.len() as u64;
    let (mut items, mut header) = (Vec::with_capacity(actions.len()), None);
    for (number, action) in actions.iter().enumerate() {
        if rolls_over && number == actions.len() / 2 {
            store.roll_all_over();
        }
        if let Fault::TooManyItems {
            percent,
            retry_after,
        } = fault
            && lock(&shared.playing).happens(percent)
        {
            header = retry_after;
            if let Some(until) = not_before(retry_after) {
                store.not_before.insert(action.id.clone(), until);
            }
            items.push(bulk::busy(action, target));
            continue;
        }
        if let Fault::UnavailableShards { percent } = fault
            && lock(&shared.playing).happens(percent)
        {
            items.push(bulk::unavailable(action, target));
            continue;
        }
        items.push(bulk::apply(
            &mut store, action, target, rules, block, &mut tally,
        ));
    }
    let failed = |item: &serde_json::Value| {
        item.as_object()
            .is_some_and(|item| item.values().any(|item| item.get("error").is_some()))
    };
    let errors = items.iter().any(failed);
    Answer::ok(&serde_json::json!({"took": 1, "errors": errors, "items": items}))
        .retry_after(header)
}

/// When a client that heeds the header may come again; a date has whole seconds.
fn not_before(retry_after: Option<RetryAfter>) -> Option<Instant> {
    let (seconds, less) = match retry_after? {
        RetryAfter::Seconds(seconds) => (seconds, 100),
        RetryAfter::Date(seconds) => (seconds, 1100),
    };
    Some(Instant::now() + Duration::from_millis((seconds * 1000).saturating_sub(less)))
}

fn head(shared: &Shared, answer: &Answer) -> hyper::http::response::Builder {
    let mut response = Response::builder()
        .status(answer.status)
        .header(CONTENT_TYPE, "application/json");
    if shared.flavour.names_product() {
        response = response.header("x-elastic-product", "Elasticsearch");
    }
    match answer.retry_after {
        Some(RetryAfter::Seconds(seconds)) => response.header(RETRY_AFTER, seconds),
        Some(RetryAfter::Date(seconds)) => {
            let date = SystemTime::now() + Duration::from_secs(seconds);
            response.header(RETRY_AFTER, httpdate::fmt_http_date(date))
        }
        None => response,
    }
}

fn whole(shared: &Shared, answer: Answer) -> Response<Body> {
    let body = Full::new(answer.body.clone()).map_err(|never: Infallible| match never {});
    head(shared, &answer)
        .body(body.boxed())
        .expect("a status and headers that are valid")
}

/// The length of the whole answer, and half of it.
fn half(shared: &Shared, answer: Answer) -> Response<Body> {
    let first = answer.body.slice(..answer.body.len() / 2);
    let rest = stream::once(async {
        tokio::time::sleep(HALFWAY).await;
        Err(io::ErrorKind::ConnectionAborted.into())
    });
    let frames = stream::iter([Ok(Frame::data(first))]).chain(rest);
    let response = head(shared, &answer).header(CONTENT_LENGTH, answer.body.len());
    let body = StreamBody::new(Box::pin(frames));
    response
        .body(BodyExt::boxed(body))
        .expect("a status and headers that are valid")
}

/// A `_bulk` request that is here.
struct Present<'s>(&'s Shared);

impl<'s> Present<'s> {
    fn new(shared: &'s Shared) -> Self {
        let present = shared.present.fetch_add(1, Ordering::Relaxed) + 1;
        let mut tally = lock(&shared.tally);
        tally.bulk_requests += 1;
        tally.peak = tally.peak.max(present);
        Self(shared)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}
