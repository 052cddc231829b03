//! An engine that has done everything at once: it counts documents, and answers as Elasticsearch does when it has created them all.
//! It costs so little that what is measured is whoever sends to it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderName, Method, Request, Response, StatusCode};
use flate2::write::GzDecoder;
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The backing index that all documents are in. It was created before any of them, so that none is looked for elsewhere.
const INDEX: &str = ".ds-bench-2026.01.01-000001";
/// Clients of Elasticsearch refuse an answer without.
const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");
const INFO: &str = r#"{"name":"null","cluster_name":"null","cluster_uuid":"null","version":{"number":"8.19.0","build_flavor":"default","build_type":"docker","build_hash":"0","build_date":"2026-01-01T00:00:00Z","build_snapshot":false,"lucene_version":"9.12.0","minimum_wire_compatibility_version":"7.17.0","minimum_index_compatibility_version":"7.0.0"},"tagline":"You Know, for Search"}"#;

/// A running engine; it ends with this value.
pub struct NullEngine {
    port: u16,
    shared: Arc<Shared>,
    stalled: watch::Sender<bool>,
    server: JoinHandle<()>,
}

struct Shared {
    asked: AtomicBool,
    documents: AtomicU64,
    bytes: AtomicU64,
    times: Mutex<Option<(Instant, Instant)>>,
    stalled: watch::Receiver<bool>,
}

/// What it was given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given {
    /// Documents that it has answered for.
    pub documents: u64,
    /// Bytes of the bodies, as they came.
    pub bytes: u64,
    /// From the first of these answers to the last one.
    pub took: Duration,
}

impl NullEngine {
    /// Listens at a port of this machine.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (stalled, receiver) = watch::channel(false);
        let shared = Arc::new(Shared {
            asked: AtomicBool::new(false),
            documents: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            times: Mutex::new(None),
            stalled: receiver,
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the null engine: {error}");
            }
        });
        Ok(Self {
            port,
            shared,
            stalled,
            server,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port of it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether anything was asked of it so far.
    pub fn is_asked(&self) -> bool {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// What it was given so far.
    pub fn given(&self) -> Given {
        let times = self.shared.times();
        Given {
            documents: self.shared.documents.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            took: times.map_or(Duration::ZERO, |(first, last)| last - first),
        }
    }

    /// Whether it keeps every request without an answer.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }
}

impl Drop for NullEngine {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn times(&self) -> Option<(Instant, Instant)> {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, documents: u64, bytes: u64) {
        let now = Instant::now();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let first = times.map_or(now, |(first, _)| first);
        *times = Some((first, now));
        self.documents.fetch_add(documents, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    shared.asked.store(true, Ordering::Relaxed);
    let mut stalled = shared.stalled.clone();
    let path = request.uri().path();
    if path.ends_with("/_bulk") {
        let filter = request.uri().query().and_then(filter_path);
        return match read(request).await {
            Ok(read) => {
                // Who gave up meanwhile has gone with its connection, and nothing of this is done.
                let _ = stalled.wait_for(|stalled| !stalled).await;
                let answer = created(filter.as_deref(), &read);
                shared.answered(read.documents, read.bytes);
                json(StatusCode::OK, answer)
            }
            Err(why) => json(StatusCode::BAD_REQUEST, format!(r#"{{"error":"{why}"}}"#)),
        };
    }
    let _ = stalled.wait_for(|stalled| !stalled).await;
    let body = match (request.method(), path) {
        (&Method::GET | &Method::HEAD, "/") => INFO.to_owned(),
        (&Method::GET, _) if path.starts_with("/_data_stream") => r#"{"data_streams":[]}"#.into(),
        (&Method::GET, _) if path.starts_with("/_cluster/health") => {
            r#"{"cluster_name":"null","status":"green","timed_out":false}"#.into()
        }
        (&Method::GET, _) if path.contains("/_settings") => {
            format!(r#"{{"{INDEX}":{{"settings":{{"index":{{"creation_date":"0"}}}}}}}}"#)
        }
        (&Method::GET, _) => return json(StatusCode::NOT_FOUND, r#"{"status":404}"#.into()),
        _ => r#"{"acknowledged":true}"#.into(),
    };
    json(StatusCode::OK, body)
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, const { value("application/json") });
    headers.insert(PRODUCT, const { value("Elasticsearch") });
    response
}

const fn value(text: &'static str) -> axum::http::HeaderValue {
    axum::http::HeaderValue::from_static(text)
}

/// A body that has been read and thrown away.
#[derive(Debug, Default)]
struct Read {
    documents: u64,
    /// As they came.
    bytes: u64,
    /// What is done with the first document, which is done with all.
    action: Option<&'static str>,
}

async fn read(request: Request<Body>) -> Result<Read, String> {
    let encoding = request.headers().get(CONTENT_ENCODING);
    let gzip = match encoding.map(|encoding| encoding.as_bytes()) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return Err("unknown Content-Encoding".into()),
    };
    let mut lines = Lines::default();
    let mut unpacked = gzip.then(|| GzDecoder::new(Lines::default()));
    let mut bytes = 0;
    let mut parts = request.into_body().into_data_stream();
    while let Some(part) = parts.next().await {
        let part: Bytes = part.map_err(|error| error.to_string())?;
        bytes += part.len() as u64;
        match &mut unpacked {
            Some(unpacked) => unpacked.write_all(&part),
            None => lines.write_all(&part),
        }
        .map_err(|error| error.to_string())?;
    }
    if let Some(unpacked) = unpacked {
        lines = unpacked.finish().map_err(|error| error.to_string())?;
    }
    if lines.count % 2 != 0 || !lines.ended {
        return Err(format!("{} lines, and the last must end", lines.count));
    }
    Ok(Read {
        documents: lines.count / 2,
        bytes,
        action: lines.action,
    })
}

/// Counts lines, and looks at the first.
#[derive(Default)]
struct Lines {
    count: u64,
    ended: bool,
    action: Option<&'static str>,
}

impl Write for Lines {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if self.action.is_none() {
            let create = part.starts_with(b"{\"create\"") || part.starts_with(b"{ \"create\"");
            self.action = Some(if create { "create" } else { "index" });
        }
        self.count += memchr::memchr_iter(b'\n', part).count() as u64;
        self.ended = part.last().map_or(self.ended, |last| *last == b'\n');
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is asked for, where not everything is.
fn filter_path(query: &str) -> Option<String> {
    let mut parameters = query.split('&');
    let filter = parameters.find_map(|parameter| parameter.strip_prefix("filter_path="))?;
    Some(
        filter
            .replace("%2C", ",")
            .replace("%2c", ",")
            .replace("%2A", "*"),
    )
}

/// The answer: all documents were created.
fn created(filter: Option<&str>, read: &Read) -> String {
    let (head, item) = match filter {
        None => (
            r#"{"errors":false,"took":1,"#,
            format!(
                r#"{{"_index":"{INDEX}","_id":"00000000-0000-4000-8000-000000000000","_version":1,"result":"created","_shards":{{"total":1,"successful":1,"failed":0}},"_seq_no":0,"_primary_term":1,"status":201}}"#
            ),
        ),
        Some(filter) => {
            let wants = |path: &str| filter.split(',').any(|wanted| wanted == path);
            let mut item = String::from("{");
            if wants("items.*._index") {
                item.push_str(&format!(r#""_index":"{INDEX}","#));
            }
            item.push_str(r#""status":201}"#);
            let errors = wants("errors");
            (if errors { r#"{"errors":false,"# } else { "{" }, item)
        }
    };
    let action = read.action.unwrap_or("index");
    let item = format!(r#"{{"{action}":{item}}},"#);
    let mut body = format!(r#"{head}"items":["#);
    body.push_str(&item.repeat(read.documents as usize));
    if read.documents > 0 {
        body.pop();
    }
    body.push_str("]}");
    body
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::{Value, json};

    use super::*;

    const BODY: &str = "{\"create\":{\"_id\":\"1\"}}\n{\"a\":1}\n{\"create\":{}}\n{}\n";

    async fn bulk(engine: &NullEngine, query: &str, body: Vec<u8>, gzip: bool) -> Value {
        let url = format!("{}/logs/_bulk{query}", engine.url());
        let mut request = reqwest::Client::new().post(url).body(body);
        if gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let answer = request.send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    #[tokio::test]
    async fn documents_are_counted_and_each_has_its_item() {
        let engine = NullEngine::start().await.expect("a port");
        assert!(!engine.is_asked());
        let filter = "?filter_path=items.*.status,items.*.error.type";
        let short = bulk(&engine, filter, BODY.into(), false).await;
        let item = json!({"create": {"status": 201}});
        assert_eq!(short, json!({"items": [item, item]}));
        assert!(engine.is_asked());
        let whole = bulk(&engine, "", BODY.into(), false).await;
        assert_eq!(whole["errors"], false);
        assert_eq!(whole["items"][1]["create"]["_index"], INDEX);
        let place = "?filter_path=items.*.status,items.*._index,errors";
        let place = bulk(&engine, place, BODY.into(), false).await;
        let item = json!({"create": {"_index": INDEX, "status": 201}});
        assert_eq!(place, json!({"errors": false, "items": [item, item]}));
        let given = engine.given();
        assert_eq!((given.documents, given.bytes), (6, 3 * BODY.len() as u64));
    }

    #[tokio::test]
    async fn bodies_may_be_compressed() {
        let engine = NullEngine::start().await.expect("a port");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(BODY.as_bytes()).expect("memory");
        let body = gzip.finish().expect("memory");
        let length = body.len() as u64;
        bulk(&engine, "", body, true).await;
        let given = engine.given();
        assert_eq!((given.documents, given.bytes), (2, length));
    }

    #[tokio::test]
    async fn half_a_document_is_refused() {
        let engine = NullEngine::start().await.expect("a port");
        let answer = bulk(&engine, "", b"{\"create\":{}}\n{".to_vec(), false).await;
        assert!(answer["error"].is_string(), "{answer}");
        assert_eq!(engine.given().documents, 0);
    }

    #[tokio::test]
    async fn an_engine_that_stalls_answers_when_that_is_over() {
        let engine = NullEngine::start().await.expect("a port");
        engine.stall(true);
        let answer = bulk(&engine, "", BODY.into(), false);
        tokio::pin!(answer);
        let early = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
        assert!(early.is_err() && engine.given().documents == 0);
        engine.stall(false);
        assert_eq!(answer.await["errors"], false);
        assert_eq!(engine.given().documents, 2);
    }
}
