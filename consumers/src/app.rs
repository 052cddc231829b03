use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, ConfigError};
use crate::pipeline::{Acks, DeadLetters, Parts, Pipeline, PipelineError, Settings, ack_channel};
use crate::server;
use crate::sink::Sink;
use crate::sink::elasticsearch::ElasticsearchSink;
use crate::sink::prometheus::{PrometheusSink, Store};
use crate::sink_state::SinkState;
use crate::stats::{Health, Stats};

/// For dead letters, where the sink itself holds nothing.
const MIN_IN_FLIGHT: usize = 16 * 1024 * 1024;

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
    /// The sink's HTTP client.
    #[error("cannot make the HTTP client of the sink: {0}")]
    Http(#[from] reqwest::Error),
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
    let dead_letters = DeadLetters::new(
        &kafka,
        &format!("{client_id}-dead-letters"),
        &config.dead_letter_topic,
        &config.consumer,
        acks.clone(),
        stats.clone(),
        state.clone(),
    )
    .map_err(PipelineError::from)?;
    let (sink, max_in_flight) = sink(&config, ports, acks, &dead_letters, &stats, &state).await?;
    let settings = Settings {
        kafka,
        client_id,
        group_id: config.group_id,
        topics: config.topics,
        start_from: config.start_from,
        max_in_flight,
    };
    let parts = Parts {
        runtime: tokio::runtime::Handle::current(),
        sink,
        dead_letters,
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

/// The configured sink, and how many bytes it may have under way.
async fn sink(
    config: &Config,
    ports: Ports,
    acks: Acks,
    dead_letters: &DeadLetters,
    stats: &Arc<Stats>,
    state: &Arc<SinkState>,
) -> Result<(Box<dyn Sink>, usize), RunError> {
    if let Some(elasticsearch) = &config.sink.elasticsearch {
        let runtime = tokio::runtime::Handle::current();
        let sink = ElasticsearchSink::new(
            elasticsearch,
            &runtime,
            acks,
            dead_letters.clone(),
            stats.clone(),
            state.clone(),
        )?;
        let max_in_flight = ElasticsearchSink::max_in_flight(&elasticsearch.bulk);
        return Ok((Box::new(sink), max_in_flight.max(MIN_IN_FLIGHT)));
    }
    // Exactly one of the two is set, or the configuration would not have been read.
    let prometheus = config.sink.prometheus.clone().unwrap_or_default();
    let store = Arc::new(Store::new(prometheus.max_series));
    serve(ports.metrics, server::series(store.clone())).await?;
    let sink = PrometheusSink::new(&prometheus, store, stats.clone());
    Ok((Box::new(sink), MIN_IN_FLIGHT))
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
