use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Receiver;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response as Reply};
use serde_json::{Value, json};

use super::super::ElasticsearchSink as Sink;
use super::super::mounted::tests::TestFile;
use crate::config::{AuthFiles, BulkSettings, ElasticsearchSink, TemplateSettings};
use crate::pipeline::{Ack, Assignment, Ended, Origin, ack_channel};
use crate::sink::{Sink as _, Taken};
use crate::sink_state::SinkState;
use crate::stats::Stats;

use super::*;

/// What the engine does with a `_bulk`.
#[derive(Clone)]
enum Play {
    /// Takes all.
    Good,
    /// Answers so, having done nothing.
    Status(u16, &'static str, Vec<(&'static str, String)>),
    /// Does everything, and breaks off in the middle of its answer.
    CutShort,
    /// As `CutShort`, and the data stream rolls over after it.
    CutShortAndRollover,
    /// 429 for each second document.
    Half,
    /// Refuses the documents with this text in them.
    Mapping(&'static str),
    /// Has no room for the labels of the documents with this text, until new labels end.
    NoRoom(&'static str),
    /// The index of the documents with this text in them is blocked.
    Blocked(&'static str),
    /// Does not answer.
    Hang,
}

/// An engine with one data stream.
#[derive(Default)]
struct Fake {
    plays: VecDeque<Play>,
    /// Held by each request, once `plays` has been played.
    always: Option<Play>,
    /// The backing indices: their creation, and the documents by id.
    indices: Vec<(i64, BTreeMap<String, Value>)>,
    /// Sizes of the `_bulk` requests, when they came, and their headers.
    requests: Vec<(usize, Instant, HeaderMap)>,
    max_documents: usize,
    authorization: Option<String>,
    /// Changes of the mapping so far, and whether they are of use.
    mappings: usize,
    /// So many of the backing indices are not in lists of them.
    hidden: usize,
    in_vain: bool,
}

type Shared = Arc<Mutex<Fake>>;

fn lock(fake: &Shared) -> std::sync::MutexGuard<'_, Fake> {
    fake.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a time").as_millis() as i64
}

fn lines(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).expect("text");
    let line = |line| serde_json::from_str(line).expect(line);
    text.lines().map(line).collect()
}

impl Fake {
    fn create(&mut self, id: &str, document: &Value) -> Value {
        let number = self.indices.len();
        let index = format!(".ds-logs-00000{number}");
        let (_, documents) = self.indices.last_mut().expect("an index");
        match documents.contains_key(id) {
            true => json!({"create": {"_index": index, "status": 409,
                "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}}),
            false => {
                documents.insert(id.to_owned(), document.clone());
                json!({"create": {"_index": index, "status": 201}})
            }
        }
    }

    fn bulk(&mut self, body: &[u8], play: &Play) -> Value {
        let lines = lines(body);
        let items = lines.chunks(2).enumerate().map(|(i, pair)| {
            let id = pair[0]["create"]["_id"].as_str().expect("an id");
            let text = pair[1].to_string();
            match play {
                Play::Half if i % 2 == 0 => json!({"create": {"status": 429,
                    "error": {"type": "es_rejected_execution_exception", "reason": "full"}}}),
                Play::Mapping(bad) if text.contains(bad) => json!({"create": {"status": 400,
                    "error": {"type": "mapper_parsing_exception", "reason": "failed to parse"}}}),
                Play::Blocked(bad) if text.contains(bad) => json!({"create": {"status": 429,
                    "error": {"type": "cluster_block_exception", "reason": "flood-stage watermark"}}}),
                Play::NoRoom(bad) if text.contains(bad) && (self.mappings == 0 || self.in_vain) => {
                    json!({"create": {"status": 400, "error": {"type": "illegal_argument_exception",
                        "reason": "Limit of total fields [1000] has been exceeded"}}})
                }
                _ => self.create(id, &pair[1]),
            }
        });
        let items: Vec<Value> = items.collect();
        json!({"items": items})
    }

    fn index(&mut self, name: &str) -> &mut BTreeMap<String, Value> {
        let number: usize = name[name.len() - 6..].parse().expect(name);
        &mut self.indices[number - 1].1
    }

    fn other(&mut self, path: &str, body: &[u8]) -> Option<Value> {
        if path == "/" {
            return Some(json!({"version": {"number": "2.19.1", "distribution": "opensearch"}}));
        }
        if path.starts_with("/_data_stream/") {
            return Some(json!({"data_streams": []}));
        }
        if path.starts_with("/_index_template/") {
            return Some(json!({"index_templates": [{"index_template": {"_meta": {}}}]}));
        }
        if path == "/logs/_mapping" {
            self.mappings += 1;
            return Some(json!({"acknowledged": true}));
        }
        if path.starts_with("/logs/_settings") {
            let seen = self.indices.iter().enumerate().skip(self.hidden);
            let indices = seen.map(|(i, (created, _))| {
                let settings = json!({"settings": {"index.creation_date": created.to_string()}});
                (format!(".ds-logs-00000{}", i + 1), settings)
            });
            return Some(Value::Object(indices.collect()));
        }
        if path == "/_mget" {
            let docs: Value = serde_json::from_slice(body).expect("JSON");
            let docs = docs["docs"].as_array().expect("docs").iter().map(|doc| {
                let text = |name: &str| doc[name].as_str().expect(name);
                let found = self.index(text("_index")).contains_key(text("_id"));
                json!({"found": found, "_seq_no": 1, "_primary_term": 1})
            });
            return Some(json!({"docs": docs.collect::<Vec<_>>()}));
        }
        if path == "/_bulk" {
            let items = lines(body).into_iter().map(|action| {
                let text = |name: &str| action["delete"][name].as_str().expect(name);
                self.index(text("_index")).remove(text("_id"));
                json!({"delete": {"status": 200}})
            });
            return Some(json!({"items": items.collect::<Vec<_>>()}));
        }
        None
    }
}

async fn answer(State(fake): State<Shared>, request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body");
    match reply(&fake, parts, &body) {
        Some(reply) => reply,
        None => std::future::pending().await,
    }
}

/// The answer to a request, if there is one.
fn reply(fake: &Shared, parts: axum::http::request::Parts, body: &[u8]) -> Option<Reply> {
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|v| v.to_str().expect("text").to_owned());
    let mut engine = lock(fake);
    if engine.authorization.is_some() && engine.authorization != authorization {
        return Some(StatusCode::UNAUTHORIZED.into_response());
    }
    let path = parts.uri.path();
    if path != "/logs/_bulk" {
        return Some(match engine.other(path, body) {
            Some(answer) => answer.to_string().into_response(),
            None => (StatusCode::NOT_FOUND, "{}").into_response(),
        });
    }
    let received = (body.len(), Instant::now(), parts.headers);
    engine.requests.push(received);
    let always = engine.always.clone().unwrap_or(Play::Good);
    let play = engine.plays.pop_front().unwrap_or(always);
    if engine.max_documents > 0 && lines(body).len() / 2 > engine.max_documents {
        return Some(StatusCode::PAYLOAD_TOO_LARGE.into_response());
    }
    Some(match &play {
        Play::Hang => return None,
        Play::Status(status, body, headers) => {
            let status = StatusCode::from_u16(*status).expect("a status");
            let mut reply = (status, *body).into_response();
            for (name, value) in headers {
                reply
                    .headers_mut()
                    .insert(*name, value.parse().expect("a value"));
            }
            reply
        }
        Play::CutShort | Play::CutShortAndRollover => {
            let answer = engine.bulk(body, &play).to_string();
            if matches!(play, Play::CutShortAndRollover) {
                engine.indices.push((now_ms(), BTreeMap::new()));
            }
            let half = Bytes::from(answer[..answer.len() / 2].to_owned());
            let parts = [Ok(half), Err(std::io::Error::other("cut short"))];
            let body = Body::from_stream(futures::stream::iter(parts));
            ([(header::CONTENT_LENGTH, answer.len())], body).into_response()
        }
        _ => engine.bulk(body, &play).to_string().into_response(),
    })
}

/// A sink, an engine, and what the sink acknowledges.
struct Bench {
    sink: Sink,
    fake: Shared,
    acks: Receiver<Ack>,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
    assignment: Arc<Assignment>,
    given: i64,
}

async fn serve(fake: &Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let router = axum::Router::new()
        .fallback(answer)
        .with_state(fake.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://127.0.0.1:{port}")
}

impl Bench {
    async fn new(change: impl FnOnce(&mut ElasticsearchSink)) -> Self {
        let fake = Shared::default();
        lock(&fake).indices.push((now_ms(), BTreeMap::new()));
        let mut config = ElasticsearchSink {
            urls: vec![serve(&fake).await],
            data_stream: "logs".into(),
            template: TemplateSettings {
                manage: false,
                ..TemplateSettings::default()
            },
            bulk: BulkSettings {
                concurrency: 2,
                ..BulkSettings::default()
            },
            ..ElasticsearchSink::default()
        };
        change(&mut config);
        let (acks, receiver) = ack_channel();
        let stats = Arc::new(Stats::new());
        let state = Arc::new(SinkState::new("dead", false));
        let runtime = tokio::runtime::Handle::current();
        let sink = Sink::new(
            &config,
            "test/c",
            &runtime,
            acks,
            stats.clone(),
            state.clone(),
        );
        Self {
            sink: sink.expect("a sink"),
            fake,
            acks: receiver,
            stats,
            state,
            assignment: Arc::new(Assignment::new("logs.events".into(), "t".into(), 0, 1)),
            given: 0,
        }
    }

    fn plays(&self, plays: &[Play]) {
        lock(&self.fake).plays.extend(plays.iter().cloned());
    }

    /// Gives the sink so many logs, and has them delivered; the bytes that they occupy.
    fn give(&mut self, messages: impl IntoIterator<Item = String>) -> usize {
        let mut bytes = 0;
        for message in messages {
            let json = json!({"ts": now_ms(), "service": "s", "level": "info", "message": message});
            let json = json.to_string();
            let origin = Origin {
                assignment: &self.assignment,
                offset: self.given,
                timestamp: Some(now_ms()),
                key: Some(b"s"),
                place: None,
                bytes: Some(json.as_bytes()),
            };
            self.given += 1;
            for element in bt_events::parse(json.as_bytes()).expect("JSON") {
                let event = element.event().expect("an event");
                match self.sink.event(&event, &origin) {
                    Taken::Later { bytes: more } => bytes += more,
                    other => panic!("{other:?}"),
                }
            }
        }
        self.sink.flush();
        bytes
    }

    fn give_some(&mut self, documents: usize) -> usize {
        self.give((0..documents).map(|i| format!("message {i}")))
    }

    /// Waits until so many documents are acknowledged, and makes sure that there are not more. The bytes, and the letters.
    async fn acknowledged(&mut self, documents: usize) -> (usize, Vec<Refused>) {
        let (mut bytes, mut offsets, mut letters) = (0, Vec::new(), Vec::new());
        let began = Instant::now();
        while offsets.len() < documents {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{} of {documents}; {:?}",
                offsets.len(),
                self.state.report(Instant::now())
            );
            match self.acks.try_recv() {
                Ok(ack) => {
                    bytes += ack.bytes;
                    match ack.ended {
                        Ended::Done(done) => offsets.extend(done),
                        Ended::Refused(refused) => {
                            offsets.push(refused.original.offset);
                            letters.push(*refused);
                        }
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(self.acks.try_recv().is_err(), "more than {documents}");
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets.len(), documents, "each once");
        (bytes, letters)
    }

    /// How many documents there are in each backing index.
    fn indexed(&self) -> Vec<usize> {
        lock(&self.fake)
            .indices
            .iter()
            .map(|(_, d)| d.len())
            .collect()
    }

    fn requests(&self) -> Vec<usize> {
        lock(&self.fake).requests.iter().map(|r| r.0).collect()
    }

    /// Between the requests of these places, in milliseconds.
    fn between(&self, first: usize, second: usize) -> u128 {
        let requests = &lock(&self.fake).requests;
        requests[second]
            .1
            .duration_since(requests[first].1)
            .as_millis()
    }

    fn counted(&self, outcome: &str, reason: &str) -> u64 {
        let counter = &self.stats.bulk_items;
        counter.with_label_values(&[outcome, reason]).get()
    }
}

const FULL: &str = "es_rejected_execution_exception";

fn in_runtime<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test);
}

#[test]
fn documents_are_delivered_once_and_their_bytes_come_back() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        let bytes = bench.give_some(100);
        let (back, letters) = bench.acknowledged(100).await;
        assert_eq!((back, letters.len()), (bytes, 0));
        assert_eq!((bench.indexed(), bench.requests().len()), (vec![100], 1));
        assert_eq!(bench.counted("created", ""), 100);
        assert_eq!(bench.stats.freshness.get_sample_count(), 100);
        assert_eq!(bench.stats.bulk_bytes.get() as usize, bench.requests()[0]);
    });
}

#[test]
fn only_what_is_left_of_a_batch_is_sent_again() {
    in_runtime(async {
        let mut bench = Bench::new(|config| config.bulk.concurrency = 4).await;
        bench.plays(&[Play::Half, Play::Half]);
        let bytes = bench.give_some(100);
        let (back, _) = bench.acknowledged(100).await;
        assert_eq!((bench.indexed(), back), (vec![100], bytes));
        let requests = bench.requests();
        assert_eq!(requests.len(), 3);
        assert!(requests[1] < requests[0] * 6 / 10 && requests[2] < requests[1] * 6 / 10);
        assert_eq!(bench.counted("retried", FULL), 75);
        // Halved twice, and there was one success since.
        assert_eq!(bench.stats.bulk_concurrency.get(), 2);
    });
}

#[test]
fn an_index_that_takes_nothing_does_not_hold_up_the_others() {
    in_runtime(async {
        let mut bench = Bench::new(|config| config.bulk.concurrency = 2).await;
        lock(&bench.fake).always = Some(Play::Blocked("blocked"));
        for _ in 0..4 {
            bench.give((0..5).map(|i| format!("blocked {i}")));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..5 {
            let began = Instant::now();
            bench.give_some(10);
            bench.acknowledged(10).await;
            assert!(began.elapsed() < Duration::from_millis(500));
        }
        assert_eq!(bench.stats.bulk_concurrency.get(), 2);
        lock(&bench.fake).always = None;
        bench.acknowledged(20).await;
        assert_eq!(bench.indexed(), [70]);
    });
}

#[test]
fn an_engine_that_answers_or_takes_other_documents_is_not_ready_until_it_takes_what_it_refused() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        let probe = bench.sink.deliverer.clone();
        tokio::spawn(probe.probe(Duration::from_millis(20)));
        lock(&bench.fake).always = Some(Play::Blocked("blocked"));
        bench.give((0..5).map(|i| format!("blocked {i}")));
        let state = |bench: &Bench| bench.state.report(Instant::now()).state;
        let began = Instant::now();
        while state(&bench) != SinkCondition::Unavailable {
            let shown = state(&bench);
            assert!(began.elapsed() < Duration::from_secs(10), "{shown:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Some attempts, and pauses between them.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let shown = Instant::now();
        while shown.elapsed() < Duration::from_secs(6) {
            assert_eq!(state(&bench), SinkCondition::Unavailable);
            bench.give_some(10);
            bench.acknowledged(10).await;
        }
        lock(&bench.fake).always = None;
        bench.acknowledged(5).await;
        assert_eq!(state(&bench), SinkCondition::Ready);
    });
}

#[test]
fn copies_that_cannot_be_looked_for_are_told_of() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        let again = Assignment::new("logs.events".into(), "t".into(), 0, 2);
        again.reread_until(25);
        bench.assignment = Arc::new(again);
        // The list of backing indices lacks the one that takes documents.
        lock(&bench.fake).hidden = 1;
        bench.give_some(10);
        bench.acknowledged(10).await;
        let unchecked = bench.stats.bulk_doubts.with_label_values(&["unchecked"]);
        assert_eq!(unchecked.get(), 10);
    });
}

#[test]
fn the_engine_is_left_alone_for_as_long_as_it_asks_for() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        let later = std::time::SystemTime::now() + Duration::from_secs(4);
        let date = httpdate::fmt_http_date(later);
        bench.plays(&[
            Play::Status(429, "", vec![("retry-after", "1".into())]),
            Play::Status(503, "", vec![("retry-after", date)]),
        ]);
        bench.give_some(10);
        // Another batch does not go past it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        bench.give_some(10);
        bench.acknowledged(20).await;
        assert_eq!(bench.indexed(), [20]);
        assert!(bench.between(0, 1) >= 990, "{}", bench.between(0, 1));
        let after = std::time::SystemTime::now();
        assert!(after >= later - Duration::from_secs(1));
    });
}

#[test]
fn an_answer_that_is_lost_makes_no_duplicate() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        bench.plays(&[Play::CutShort, Play::CutShort]);
        bench.give_some(50);
        bench.acknowledged(50).await;
        assert_eq!(bench.indexed(), [50]);
        assert_eq!(bench.counted("duplicate", ""), 50);
    });
}

#[test]
fn nor_does_it_where_the_data_stream_has_rolled_over_meanwhile() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        bench.plays(&[Play::CutShortAndRollover, Play::CutShortAndRollover]);
        bench.give_some(50);
        bench.acknowledged(50).await;
        assert_eq!(bench.indexed(), [50, 0, 0]);
        assert_eq!(bench.counted("duplicate", "rollover"), 50);
        let doubts = bench.stats.bulk_doubts.clone();
        assert_eq!(doubts.with_label_values(&["removed"]).get(), 50);
        // Others are not looked for.
        bench.give_some(10);
        bench.acknowledged(10).await;
        assert_eq!(bench.indexed(), [50, 0, 10]);
        assert_eq!(doubts.with_label_values(&["unique"]).get(), 0);
    });
}

#[test]
fn records_that_are_read_again_are_looked_for_in_older_indices() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        bench.give_some(20);
        bench.acknowledged(20).await;
        lock(&bench.fake).indices.push((now_ms(), BTreeMap::new()));
        // The next owner of the partition begins at 10 of 20, and there are 10 more.
        let again = Assignment::new("logs.events".into(), "t".into(), 0, 2);
        again.reread_until(25);
        bench.assignment = Arc::new(again);
        bench.given = 10;
        bench.give_some(20);
        bench.acknowledged(20).await;
        assert_eq!(bench.indexed(), [20, 10]);
        let doubts = &bench.stats.bulk_doubts;
        let count = |result| doubts.with_label_values(&[result]).get();
        assert_eq!((count("removed"), count("unique")), (10, 5));
    });
}

#[test]
fn requests_that_are_too_large_are_split_and_not_tried_so_large_again() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        lock(&bench.fake).max_documents = 30;
        bench.give_some(100);
        let (_, letters) = bench.acknowledged(100).await;
        assert_eq!((bench.indexed(), letters.len()), (vec![100], 0));
        let before = bench.requests().len();
        bench.give_some(100);
        bench.acknowledged(100).await;
        let after = &bench.requests()[before..];
        assert_eq!((bench.indexed(), after.len()), (vec![200], 4), "{after:?}");
    });
}

#[test]
fn the_document_for_which_a_request_is_refused_becomes_a_letter() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        lock(&bench.fake).always = Some(Play::Status(413, "too large", Vec::new()));
        let bytes = bench.give_some(3);
        let (back, letters) = bench.acknowledged(3).await;
        assert_eq!((back, letters.len()), (bytes, 3));
        for letter in letters {
            assert_eq!(letter.reason, "too_large_for_sink");
            assert!((2..=3).contains(&letter.attempts), "{}", letter.attempts);
            let original = letter.original;
            assert_eq!(original.key.as_deref(), Some(&b"s"[..]));
            let bytes = original.bytes.expect("bytes");
            let message = format!("message {}", original.offset);
            assert!(String::from_utf8_lossy(&bytes).contains(&message));
        }
        assert_eq!(bench.counted("rejected", "too_large_for_sink"), 3);
    });
}

#[test]
fn a_mapping_error_is_the_letter_of_one_document_only() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        bench.plays(&[Play::Half, Play::Mapping("message 4")]);
        bench.give_some(10);
        let (_, letters) = bench.acknowledged(10).await;
        assert_eq!(bench.indexed(), [9]);
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        assert_eq!((letter.original.offset, letter.attempts), (4, 2));
        assert_eq!(letter.reason, "rejected_by_sink");
        assert_eq!(
            letter.error,
            "400 mapper_parsing_exception: failed to parse"
        );
        assert_eq!(bench.counted("rejected", "mapper_parsing_exception"), 1);
    });
}

#[test]
fn a_document_is_not_lost_for_the_number_of_its_labels() {
    in_runtime(async {
        // In vain where other fields are too many; and where the template is not ours to manage nothing is changed.
        for (manage, in_vain, letters) in [(true, false, 0), (true, true, 1), (false, true, 1)] {
            let mut bench = Bench::new(|config| config.template.manage = manage).await;
            lock(&bench.fake).always = Some(Play::NoRoom("message 4"));
            lock(&bench.fake).in_vain = in_vain;
            bench.give_some(10);
            let (_, refused) = bench.acknowledged(10).await;
            assert_eq!(refused.len(), letters, "{manage} {in_vain}");
            assert_eq!(bench.indexed(), [10 - letters]);
            let mappings = lock(&bench.fake).mappings;
            assert_eq!(mappings > 0, manage);
            let report = bench.state.report(Instant::now());
            assert_eq!(
                report.message.contains("was not made by bt-monitoring"),
                manage
            );
        }
    });
}

#[test]
fn a_refusal_that_is_not_the_engines_makes_no_letters() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        bench.plays(&[Play::Status(
            400,
            "<html>HTTP to an HTTPS port</html>",
            Vec::new(),
        )]);
        bench.give_some(5);
        let (_, letters) = bench.acknowledged(5).await;
        assert_eq!((bench.indexed(), letters.len()), (vec![5], 0));
    });
}

#[test]
fn another_node_does_at_once_what_one_cannot() {
    in_runtime(async {
        // Nobody listens at the port that was free a moment ago.
        let port = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let dead = format!("http://{}", port.local_addr().expect("an address"));
        drop(port);
        let mut bench = Bench::new(|config| {
            config.urls.insert(0, dead.clone());
            config.urls.push(dead);
        })
        .await;
        for _ in 0..5 {
            bench.give_some(10);
            bench.acknowledged(10).await;
        }
        assert_eq!(bench.indexed(), [50]);
        let errors = bench.stats.bulk_requests.with_label_values(&["error"]);
        assert!(errors.get() <= 2, "{}", errors.get());
    });
}

#[test]
fn new_credentials_are_taken_up_and_secrets_told_to_nobody() {
    in_runtime(async {
        let file = TestFile::new("deliver-key");
        file.write("old:hush");
        let mut bench = Bench::new(|config| {
            config.auth = Some(AuthFiles {
                api_key_file: Some(file.0.clone()),
                ..AuthFiles::default()
            });
        })
        .await;
        lock(&bench.fake).authorization = Some("ApiKey bmV3Omh1c2g=".into());
        bench.give_some(5);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let report = bench.state.report(Instant::now());
        assert_eq!(report.state, SinkCondition::Unauthorized, "{report:?}");
        file.write("");
        tokio::time::sleep(Duration::from_secs(4)).await;
        let report = bench.state.report(Instant::now());
        let path = file.0.display().to_string();
        assert!(report.message.contains(&path), "{report:?}");
        assert!(!report.message.contains("hush") && !report.message.contains("b2xkOmh1c2g"));
        file.write("new:hush\n");
        bench.acknowledged(5).await;
        assert_eq!(bench.indexed(), [5]);
    });
}

#[test]
fn bodies_are_compressed_where_that_is_configured() {
    in_runtime(async {
        let mut bench = Bench::new(|config| config.bulk.compression = Compression::Gzip).await;
        // The engine here cannot read it.
        lock(&bench.fake).always = Some(Play::Status(429, "", Vec::new()));
        bench.give_some(1000);
        while bench.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (size, _, headers) = lock(&bench.fake).requests[0].clone();
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert!(size < 1000 * 40, "{size}");
    });
}

#[test]
fn what_belongs_to_others_now_is_let_go() {
    in_runtime(async {
        let mut bench = Bench::new(|_| {}).await;
        bench.plays(&[Play::Status(503, "", vec![("retry-after", "1".into())])]);
        let bytes = bench.give_some(10);
        bench.assignment.revoke();
        let (back, _) = bench.acknowledged(10).await;
        assert_eq!((back, bench.indexed()), (bytes, vec![0]));
    });
}

#[test]
fn small_batches_wait_for_more_while_the_engine_takes_none() {
    in_runtime(async {
        let mut bench = Bench::new(|config| config.bulk.concurrency = 1).await;
        bench.plays(&[Play::Hang]);
        bench.give_some(1);
        while bench.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let later = Instant::now() + Duration::from_secs(3600);
        assert!(!bench.sink.deliverer.has_room());
        bench.sink.tick(later);
        let origin = Origin {
            assignment: &bench.assignment,
            offset: 1,
            timestamp: None,
            key: None,
            place: None,
            bytes: None,
        };
        let json = br#"{"ts":1,"service":"s","level":"info","message":"m"}"#;
        for element in bt_events::parse(json).expect("JSON") {
            bench
                .sink
                .event(&element.event().expect("an event"), &origin);
        }
        bench.sink.tick(later);
        assert!(!bench.sink.gathering.is_empty());
    });
}
