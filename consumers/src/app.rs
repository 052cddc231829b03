use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Config, ConfigError};
use crate::memory;
use crate::pipeline::{
    Acks, Commits, Committing, Exactly, Lease, Letters, Limits, Parts, Pipeline, PipelineError,
    Settings, ack_channel,
};
use crate::server;
use crate::sink::Sink;
use crate::sink::elasticsearch::{ElasticsearchSink, StartError};
use crate::sink::prometheus::exposition::Exposition;
use crate::sink::prometheus::{PrometheusSink, SeriesSettings, Store};
use crate::sink_state::SinkState;
use crate::stats::{Health, Stats};

/// For dead letters, where the sink itself holds nothing.
const MIN_IN_FLIGHT: usize = 16 * 1024 * 1024;
/// As many bytes of dead letters a partition may always have under way: one of the largest records.
const LARGE_LETTER: usize = 1024 * 1024;

/// The ports to listen on.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// `/healthz`, `/readyz` and the process' own `/metrics`.
    pub http: u16,
    /// `/metrics` of the prometheus sink.
    pub metrics: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            http: 8080,
            metrics: 9090,
        }
    }
}

/// Why the program cannot run, or not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The system gives no threads or no signals.
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
    /// A port cannot be listened on.
    #[error("cannot listen on port {port}: {source}")]
    Listen {
        /// The port.
        port: u16,
        /// The system's error.
        source: std::io::Error,
    },
    /// Kafka, or the clients for it.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The elasticsearch sink.
    #[error(transparent)]
    Sink(#[from] StartError),
    /// The credentials of Kafka.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The poll thread ended by a defect of this program.
    #[error("the poll thread panicked; the reason is above")]
    Panicked,
}

/// Checks what [`Config::load`] does not look at: the files of Kafka's credentials, and that certificates and keys in them
/// are such. Nothing is connected to.
///
/// # Errors
/// The first that is wrong, with the file or the setting.
pub fn check(config: &Config) -> Result<(), RunError> {
    let kafka = config.kafka.connection()?;
    bt_kafka::Admin::new(&kafka, "bt-consumers-validate").map_err(PipelineError::from)?;
    Ok(())
}

/// Runs a consumer until SIGTERM or SIGINT, then finishes what is under way, commits, and leaves the group.
///
/// # Errors
/// When it cannot start, or Kafka's answer is final. The process should end then, and be started again.
pub fn run(config: Config, ports: Ports) -> Result<(), RunError> {
    if config.sink.elasticsearch.is_some() {
        memory::keep();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    let result = runtime.block_on(supervise(config, ports));
    // What is still being delivered belongs to the next owner of its partition.
    runtime.shutdown_background();
    result
}

async fn supervise(config: Config, ports: Ports) -> Result<(), RunError> {
    // First of all: a container's first process never sees a signal that it has no handler for.
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Start)?;

    let stats = Arc::new(Stats::new());
    let health = Arc::new(Health::new());
    // The elasticsearch sink has somebody else to be set up by.
    let state = SinkState::new(
        &config.dead_letter_topic,
        config.sink.elasticsearch.is_none(),
    );
    let state = Arc::new(state);
    let router = server::own(stats.clone(), health.clone(), state.clone());
    serve(ports.http, router).await?;

    let kafka = config.kafka.connection()?;
    let client_id = config.consumer.replace('/', ".");
    let (acks, receiver) = ack_channel();
    let letters = Letters {
        topic: config.dead_letter_topic.as_str().into(),
        consumer: config.consumer.as_str().into(),
    };
    let built = Built {
        runtime: tokio::runtime::Handle::current(),
        config: &config,
        committing: Committing {
            kafka: kafka.clone(),
            client_id: client_id.clone(),
            group_id: config.group_id.clone(),
            member: member(),
            letters,
        },
        acks,
        stats: stats.clone(),
        state: state.clone(),
    };
    let Ends {
        sink,
        commits,
        limits,
    } = match &config.sink.elasticsearch {
        Some(elasticsearch) => built.elasticsearch(elasticsearch)?,
        // Exactly one of the two is set, or the configuration would not have been read.
        None => built.prometheus(ports).await?,
    };
    let settings = Settings {
        kafka,
        client_id,
        session_timeout: config.session_timeout.0,
        group_id: config.group_id,
        topics: config.topics,
        start_from: config.start_from,
        limits,
    };
    let parts = Parts {
        runtime: tokio::runtime::Handle::current(),
        sink,
        commits,
        acks: receiver,
        stats,
        health,
        sink_state: state,
    };
    let pipeline = Pipeline::new(settings, parts)?;

    let stop = Arc::new(AtomicBool::new(false));
    let (ended, end) = tokio::sync::oneshot::channel();
    let poll_stop = stop.clone();
    std::thread::Builder::new()
        .name("poll".into())
        .spawn(move || {
            // Nobody listens only when the process is ending anyway.
            let _ = ended.send(pipeline.run(&poll_stop));
        })
        .map_err(RunError::Start)?;
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            result = &mut end => return match result {
                Ok(result) => Ok(result?),
                Err(_) => Err(RunError::Panicked),
            },
            _ = terminate.recv() => stop.store(true, Ordering::Relaxed),
            _ = interrupt.recv() => stop.store(true, Ordering::Relaxed),
        }
    }
}

/// What the ends of a pipeline are built from.
struct Built<'c> {
    runtime: tokio::runtime::Handle,
    config: &'c Config,
    committing: Committing,
    acks: Acks,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
}

/// Where events go to, and how it is noted down that they are there.
struct Ends {
    sink: Box<dyn Sink>,
    commits: Commits,
    limits: Limits,
}

impl Built<'_> {
    fn elasticsearch(self, config: &config::ElasticsearchSink) -> Result<Ends, RunError> {
        let commits = self.committing.offsets(self.runtime.clone())?;
        let consumer = &self.config.consumer;
        let sink = ElasticsearchSink::new(
            config,
            consumer,
            &self.runtime,
            self.acks,
            self.stats,
            self.state,
        )?;
        let max_in_flight = ElasticsearchSink::max_in_flight(&config.bulk);
        let limits = Limits {
            all: max_in_flight.max(MIN_IN_FLIGHT),
            // The documents, and the originals of as many bytes.
            bulk: 2 * config.bulk.max_bytes as usize,
        };
        Ok(Ends {
            sink: Box::new(sink),
            commits,
            limits,
        })
    }

    async fn prometheus(self, ports: Ports) -> Result<Ends, RunError> {
        let prometheus = self.config.sink.prometheus.clone().unwrap_or_default();
        let series = Arc::new(SeriesSettings {
            histogram_buckets: prometheus.histogram_buckets.clone().into(),
            exactly_once: prometheus.exactly_once,
        });
        let lease = Arc::new(match prometheus.exactly_once {
            true => Lease::new(),
            false => Lease::unlimited(),
        });
        let commits = match &self.config.state_topic {
            Some(state_topic) if prometheus.exactly_once => {
                let exactly = Exactly {
                    state_topic: state_topic.clone(),
                    start_from: self.config.start_from,
                    session_timeout: self.config.session_timeout.0,
                    series: series.clone(),
                    lease: lease.clone(),
                };
                let (stats, state) = (self.stats.clone(), self.state.clone());
                self.committing
                    .exactly(exactly, self.runtime, stats, state)?
            }
            _ => self.committing.offsets(self.runtime)?,
        };
        let store = Arc::new(Store::new(lease));
        let exposition = Arc::new(Exposition::new(store.clone()));
        serve(
            ports.metrics,
            server::exposition(exposition, self.stats.clone()),
        )
        .await?;
        let sink = PrometheusSink::new(&prometheus, series, store, self.stats);
        Ok(Ends {
            sink: Box::new(sink),
            commits,
            limits: Limits {
                all: MIN_IN_FLIGHT,
                bulk: LARGE_LETTER,
            },
        })
    }
}

/// Names this process among those of its group: by its pod, so that a container that is started again takes the place of the
/// one before.
fn member() -> String {
    std::env::var("POD_NAME").unwrap_or_else(|_| {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".into());
        format!("{host}-{}", std::process::id())
    })
}

async fn serve(port: u16, router: axum::Router) -> Result<(), RunError> {
    let listener = server::listen(port)
        .await
        .map_err(|source| RunError::Listen { port, source })?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, port, "the HTTP server ended");
        }
    });
    Ok(())
}
