//! Whether the engine shows a document to those who search: for `bt-consumers send`.

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::engine::segment;
use super::{StartError, Target};
use crate::config::ElasticsearchSink;

/// Looks for documents where a sink puts them, with the sink's own connection.
pub(crate) struct Finder {
    client: Client,
    target: Target,
}

impl Finder {
    /// # Errors
    /// As for the sink itself.
    pub fn new(config: &ElasticsearchSink) -> Result<Self, StartError> {
        Ok(Self {
            client: Client::new(config)?,
            target: Target::parse(&config.data_stream).map_err(StartError::DataStream)?,
        })
    }

    /// The data stream or indices that are searched.
    pub fn pattern(&self) -> String {
        self.target.pattern()
    }

    /// The index in which a search finds the document with this id now.
    ///
    /// # Errors
    /// When the engine does not answer, or with an error; in its words.
    pub async fn find(&self, id: &str) -> Result<Option<String>, String> {
        let path = format!(
            "/{}/_search?ignore_unavailable=true",
            segment(&self.target.pattern())
        );
        let query = json!({"query": {"ids": {"values": [id]}}, "_source": false, "size": 1});
        let body = Bytes::from(query.to_string());
        let answer = self
            .client
            .send(Method::POST, &path, "application/json", Some(body))
            .await
            .map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("{}: {}", answer.status, answer.excerpt()));
        }
        let found: Value =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let index = found["hits"]["hits"][0]["_index"].as_str();
        Ok(index.map(str::to_owned))
    }
}
