use serde_json::{Value, json};

/// Which engine is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Flavour {
    /// Elasticsearch 7.10, the build without data streams and ILM.
    ElasticsearchOss,
    /// Elasticsearch 7.17: data streams, ILM.
    Elasticsearch7,
    /// Elasticsearch 8: data streams with a lifecycle of their own, ILM.
    Elasticsearch,
    /// OpenSearch 2: data streams, ISM.
    #[value(name = "opensearch")]
    OpenSearch,
}

impl Flavour {
    /// Whether it has data streams.
    pub fn data_streams(self) -> bool {
        self != Self::ElasticsearchOss
    }

    /// Whether data streams have `_lifecycle`.
    pub(crate) fn stream_lifecycle(self) -> bool {
        self == Self::Elasticsearch
    }

    /// Whether there is `_ilm`.
    pub(crate) fn ilm(self) -> bool {
        matches!(self, Self::Elasticsearch7 | Self::Elasticsearch)
    }

    /// Whether there is `_plugins/_ism`.
    pub(crate) fn ism(self) -> bool {
        self == Self::OpenSearch
    }

    /// Whether answers name the product in a header, without which some clients refuse them.
    pub(crate) fn names_product(self) -> bool {
        matches!(self, Self::Elasticsearch7 | Self::Elasticsearch)
    }

    /// What an error in a document is called.
    pub(crate) fn parsing_error(self) -> &'static str {
        match self {
            Self::Elasticsearch => "document_parsing_exception",
            _ => "mapper_parsing_exception",
        }
    }

    /// The name of a data stream's backing index of this number (from 1).
    pub(crate) fn backing_index(self, stream: &str, number: usize, day: &str) -> String {
        match self {
            Self::OpenSearch => format!(".ds-{stream}-{number:06}"),
            _ => format!(".ds-{stream}-{day}-{number:06}"),
        }
    }

    /// The answer to `GET /`.
    pub(crate) fn info(self) -> Value {
        let (version, tagline) = match self {
            Self::ElasticsearchOss => (
                json!({"number": "7.10.2", "build_flavor": "oss", "lucene_version": "8.7.0"}),
                "You Know, for Search",
            ),
            Self::Elasticsearch7 => (
                json!({"number": "7.17.28", "build_flavor": "default", "lucene_version": "8.11.3"}),
                "You Know, for Search",
            ),
            Self::Elasticsearch => (
                json!({"number": "8.19.3", "build_flavor": "default", "lucene_version": "9.12.2"}),
                "You Know, for Search",
            ),
            Self::OpenSearch => (
                json!({"distribution": "opensearch", "number": "2.19.1", "lucene_version": "9.12.1"}),
                "The OpenSearch Project: https://opensearch.org/",
            ),
        };
        json!({
            "name": "bt-dev-engine",
            "cluster_name": "test",
            "cluster_uuid": "bt-dev-engine",
            "version": version,
            "tagline": tagline,
        })
    }
}
