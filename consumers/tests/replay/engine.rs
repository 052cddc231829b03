//! A stream of a test's own in the real engine.

use std::collections::BTreeMap;

use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Documents by id: their sources, with the numbers of the write that made them.
pub type Documents = BTreeMap<String, (Value, Value)>;

/// A stream whose mapping takes numbers only for `message`, until it is fixed.
pub struct Engine {
    http: Client,
    url: String,
    pub stream: String,
    pub data_streams: bool,
}

/// Where the engine is.
pub fn url() -> String {
    std::env::var("SEARCH_URL").expect("SEARCH_URL says where Elasticsearch or OpenSearch is")
}

impl Engine {
    pub async fn new(stream: &str) -> Self {
        let http = Client::builder().no_proxy().build().expect("a client");
        let mut engine = Self {
            http,
            url: url(),
            stream: stream.to_owned(),
            data_streams: false,
        };
        let (status, _) = engine.ask(Method::GET, "/_data_stream", None).await;
        engine.data_streams = status == 200;
        let mut template = json!({
            "index_patterns": [format!("{stream}*")],
            "priority": 900,
            "template": {
                "settings": {"index": {"number_of_replicas": 0, "number_of_shards": 1}},
                "mappings": {"dynamic": false, "properties": {
                    "@timestamp": {"type": "date"},
                    "message": {"type": "long"},
                }},
            },
        });
        if engine.data_streams {
            template["data_stream"] = json!({});
        }
        let path = format!("/_index_template/{stream}");
        engine.must(Method::PUT, &path, Some(template)).await;
        engine
    }

    /// Text is taken from now on.
    pub async fn fix(&self) {
        let mapping =
            json!({"properties": {"message": {"type": "long", "ignore_malformed": true}}});
        let path = match self.data_streams {
            true => format!("/{}/_mapping", self.stream),
            false => format!("/{}*/_mapping", self.stream),
        };
        self.must(Method::PUT, &path, Some(mapping)).await;
    }

    /// A data stream goes on with a new index.
    pub async fn roll_over(&self) {
        let path = format!("/{}/_rollover", self.stream);
        self.must(Method::POST, &path, None).await;
    }

    /// Everything that is in the stream; a document that is in two of its indices fails the test.
    pub async fn documents(&self) -> Documents {
        let refresh = format!("/{}*/_refresh?ignore_unavailable=true", self.stream);
        self.must(Method::POST, &refresh, None).await;
        let search = format!(
            "/{}*/_search?size=1000&seq_no_primary_term=true&allow_no_indices=true",
            self.stream
        );
        let found = self.must(Method::GET, &search, None).await;
        let hits = found["hits"]["hits"].as_array().expect("hits");
        let mut documents = Documents::new();
        for hit in hits {
            let id = hit["_id"].as_str().expect("an id").to_owned();
            let write = json!([hit["_index"], hit["_seq_no"], hit["_primary_term"]]);
            let twice = documents.insert(id.clone(), (hit["_source"].clone(), write));
            assert!(twice.is_none(), "{id} is there twice");
        }
        documents
    }

    pub async fn delete(&self) {
        let streams = format!("/_data_stream/{}*", self.stream);
        let indices = format!("/{}*", self.stream);
        match self.data_streams {
            true => self.must(Method::DELETE, &streams, None).await,
            false => self.must(Method::DELETE, &indices, None).await,
        };
        let template = format!("/_index_template/{}", self.stream);
        self.must(Method::DELETE, &template, None).await;
    }

    async fn must(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method.clone(), path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the engine answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }
}
