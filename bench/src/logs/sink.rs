//! The sink: a process of bt-consumers on this machine.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use crate::child::{Child, Own, Scratch, consumer, free_port};
use crate::samples::Samples;

/// What a sink consumes, and where to.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// Kafka.
    pub kafka: String,
    /// The topic of logs.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Where dead letters would go.
    pub dead_letters: String,
    /// The engine.
    pub url: String,
    /// The data stream.
    pub stream: String,
    /// Whether bodies are compressed.
    pub gzip: bool,
}

/// A running sink; it is killed with this value.
pub struct Sink {
    /// The process.
    pub child: Child,
    own: Own,
    _config: Scratch,
}

impl Sink {
    /// Starts the program.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(setup: &Setup) -> Result<Self> {
        let (own, page) = (free_port()?, free_port()?);
        // JSON is YAML.
        let config = Scratch::file(
            &format!("{}.yaml", setup.group),
            &setup.config().to_string(),
        )?;
        let command = consumer(&setup.binary, &config, own, page);
        Ok(Self {
            child: Child::start("bt-consumers", command)?,
            own: Own::at(own),
            _config: config,
        })
    }

    /// Its own metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn samples(&self) -> Result<Samples> {
        self.own.samples().await
    }
}

impl Setup {
    fn config(&self) -> Value {
        let compression = if self.gzip { "Gzip" } else { "None" };
        json!({
            "consumer": "bench/logs",
            "kafka": {"bootstrapServers": self.kafka},
            "groupId": self.group,
            "topics": [self.topic],
            "startFrom": "Earliest",
            "deadLetterTopic": self.dead_letters,
            "sink": {"elasticsearch": {
                "urls": [self.url],
                "dataStream": self.stream,
                "bulk": {"compression": compression},
            }},
        })
    }
}
