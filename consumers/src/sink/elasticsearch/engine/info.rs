use reqwest::Method;
use serde::Deserialize;

use super::super::client::Client;
use super::super::failure::Failure;
use super::call;
use crate::sink_state::SinkCondition;

/// What answers, by `GET /`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    flavour: Flavour,
    number: String,
    /// The numbers at its beginning.
    numbers: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Elasticsearch,
    /// Elasticsearch without the half under Elastic's licence: no data streams, no ILM, no flattened fields.
    ElasticsearchOss,
    /// Elastic's service: always the newest, whatever the number says; shards and replicas are its own affair.
    Serverless,
    OpenSearch,
}

/// What the engine is and can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub flavour: Flavour,
    pub number: String,
    numbers: Vec<u32>,
    pub data_streams: bool,
}

#[derive(Deserialize)]
struct Answer {
    version: Said,
}

#[derive(Deserialize)]
struct Said {
    number: String,
    distribution: Option<String>,
    build_flavor: Option<String>,
}

/// Asks what answers there.
pub(super) async fn version(client: &Client) -> Result<Version, Failure> {
    let answer = call::send(client, Method::GET, "/", None).await?;
    serde_json::from_slice::<Answer>(&answer.body)
        .map(|answer| Version::of(answer.version))
        .map_err(|_| {
            let what = "not an answer of Elasticsearch or OpenSearch";
            let failure = Failure::answer(what, &answer);
            match failure.kind {
                // Somebody else answers there.
                SinkCondition::Rejecting => Failure::nonsense(what, &answer),
                _ => failure,
            }
        })
}

impl Version {
    fn of(said: Said) -> Self {
        let flavour = match (said.distribution.as_deref(), said.build_flavor.as_deref()) {
            (Some("opensearch"), _) => Flavour::OpenSearch,
            (_, Some("serverless")) => Flavour::Serverless,
            (_, Some("oss" | "unknown")) => Flavour::ElasticsearchOss,
            _ => Flavour::Elasticsearch,
        };
        let numbers = said.number.split(['.', '-']);
        Self {
            flavour,
            numbers: numbers.map_while(|n| n.parse().ok()).collect(),
            number: said.number,
        }
    }

    /// Whether it should have data streams, where it may not be asked.
    pub fn has_data_streams(&self) -> bool {
        self.flavour != Flavour::ElasticsearchOss
    }

    #[cfg(test)]
    pub fn parse(json: &str) -> Self {
        Self::of(serde_json::from_str(json).expect(json))
    }
}

impl Info {
    pub fn new(version: Version, data_streams: bool) -> Self {
        Self {
            flavour: version.flavour,
            number: version.number,
            numbers: version.numbers,
            data_streams,
        }
    }

    pub fn name(&self) -> &'static str {
        match self.flavour {
            Flavour::OpenSearch => "OpenSearch",
            _ => "Elasticsearch",
        }
    }

    /// An Elasticsearch of this version or later.
    pub fn is_elasticsearch(&self, from: [u32; 2]) -> bool {
        match self.flavour {
            Flavour::Serverless => true,
            Flavour::Elasticsearch => *self.numbers >= from[..],
            Flavour::ElasticsearchOss | Flavour::OpenSearch => false,
        }
    }

    /// The field type that takes any object as one field.
    pub fn flattened(&self) -> Option<&'static str> {
        match self.flavour {
            Flavour::OpenSearch => (*self.numbers >= [2, 7][..]).then_some("flat_object"),
            // Like data streams a part of the default distribution.
            _ => self.data_streams.then_some("flattened"),
        }
    }

    /// Whether it leaves new fields beyond the limit out of the mapping instead of refusing their documents.
    pub fn ignores_beyond_limit(&self) -> bool {
        self.is_elasticsearch([8, 14])
    }

    /// Whether replicas are ours to say.
    pub fn has_replicas(&self) -> bool {
        self.flavour != Flavour::Serverless
    }
}
