use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Documents of one page.
const PAGE: usize = 5000;

/// A document, and where it is.
#[derive(Debug, Clone, Deserialize)]
pub struct Hit {
    /// The index that holds it, behind whatever name was asked for.
    #[serde(rename = "_index")]
    pub index: String,
    /// Its id there.
    #[serde(rename = "_id")]
    pub id: String,
    /// As it was sent.
    #[serde(rename = "_source")]
    pub source: Value,
}

/// The search engine's HTTP API, as far as Elasticsearch and OpenSearch share it.
pub struct Search {
    url: String,
    http: reqwest::Client,
}

impl Search {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            http: reqwest::Client::new(),
        }
    }

    /// How many documents of a run (the events' `instance`) are in a data stream; none where there is no such stream yet.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn count(&self, stream: &str, run: &str) -> Result<u64> {
        if !self.refresh(stream).await? {
            return Ok(0);
        }
        let path = format!("/{stream}/_count");
        let answer = self
            .call(Method::POST, &path, &json!({"query": of_run(run)}))
            .await?;
        answer["count"]
            .as_u64()
            .with_context(|| format!("no count: {answer}"))
    }

    /// The documents of a run, as they were sent (`_source`).
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn documents(&self, stream: &str, run: &str) -> Result<Vec<Value>> {
        let hits = self.hits(stream, run).await?;
        Ok(hits.into_iter().map(|hit| hit.source).collect())
    }

    /// The documents of a run in all indices behind a name.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn hits(&self, stream: &str, run: &str) -> Result<Vec<Hit>> {
        if !self.refresh(stream).await? {
            return Ok(Vec::new());
        }
        let mut documents = Vec::new();
        let path = format!("/{stream}/_search?scroll=1m");
        let query = json!({"size": PAGE, "sort": ["_doc"], "query": of_run(run)});
        let mut page = self.call(Method::POST, &path, &query).await?;
        loop {
            let hits = page["hits"]["hits"]
                .as_array()
                .context("no hits in the answer")?;
            if hits.is_empty() {
                break;
            }
            for hit in hits {
                documents.push(Hit::deserialize(hit)?);
            }
            let next = json!({"scroll": "1m", "scroll_id": page["_scroll_id"]});
            page = self.call(Method::POST, "/_search/scroll", &next).await?;
        }
        let scroll = json!({"scroll_id": page["_scroll_id"]});
        self.call(Method::DELETE, "/_search/scroll", &scroll)
            .await?;
        Ok(documents)
    }

    /// Makes what was indexed visible; false where there is nothing of that name.
    async fn refresh(&self, stream: &str) -> Result<bool> {
        let url = format!("{}/{stream}/_refresh", self.url);
        let response = self.http.post(url).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        response.error_for_status()?;
        Ok(true)
    }

    /// A request with a JSON body, or with none where that is `null`; the answer.
    ///
    /// # Errors
    /// When the engine does not answer with success.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = match body {
            Value::Null => request,
            body => request.json(body),
        };
        let response = request.send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        ensure!(status.is_success(), "{path}: {status}: {answer}");
        Ok(answer)
    }
}

fn of_run(run: &str) -> Value {
    json!({"term": {"service.node.name": run}})
}

/// Checks that the log lines numbered 0 to `expected` are there, each once.
///
/// # Errors
/// Says which are missing or there more than once.
pub fn exactly_once(documents: &[Value], expected: u64) -> Result<()> {
    let mut times: BTreeMap<u64, u64> = (0..expected).map(|number| (number, 0)).collect();
    for document in documents {
        let number = &document["labels"]["number"];
        let number = number.as_u64().or_else(|| number.as_str()?.parse().ok());
        let number =
            number.with_context(|| format!("a document without labels.number: {document}"))?;
        *times.entry(number).or_default() += 1;
    }
    let strange = |wanted: fn(u64) -> bool| -> Vec<u64> {
        times
            .iter()
            .filter(|(_, times)| wanted(**times))
            .map(|(number, _)| *number)
            .collect()
    };
    let (missing, repeated) = (strange(|times| times == 0), strange(|times| times > 1));
    ensure!(
        missing.is_empty() && repeated.is_empty() && times.len() as u64 == expected,
        "{} of {expected} documents; missing {}: {:?}…; more than once {}: {:?}…",
        documents.len(),
        missing.len(),
        &missing[..missing.len().min(10)],
        repeated.len(),
        &repeated[..repeated.len().min(10)]
    );
    Ok(())
}
