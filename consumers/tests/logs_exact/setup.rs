//! What differs between groups.

use bt_dev_engine::{Flavour, Rules};

use crate::traffic::REFUSE;

/// A group's configuration, and its engine's.
#[derive(Debug, Clone)]
pub struct Setup {
    pub flavour: Flavour,
    /// Of the engine, all the time.
    pub rules: Rules,
    /// The sink's `bulk`, as YAML.
    pub bulk: &'static str,
    /// The sink's `dataStream`.
    pub data_stream: &'static str,
    /// Whether what is no event is indexed (`malformed: Index`).
    pub index_malformed: bool,
    /// Whether the engine has a second address, and members know both.
    pub two_urls: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            flavour: Flavour::OpenSearch,
            rules: Rules {
                refuse: REFUSE.into(),
                ..Rules::default()
            },
            bulk: "{maxBytes: 32768, maxDocs: 100, flushInterval: 100ms, concurrency: 4}",
            data_stream: "logs",
            index_malformed: false,
            two_urls: false,
        }
    }
}

impl Setup {
    /// The default, with these rules of the engine besides.
    pub fn of_rules(rules: Rules) -> Self {
        Self {
            rules: Rules {
                refuse: REFUSE.into(),
                ..rules
            },
            ..Self::default()
        }
    }
}
