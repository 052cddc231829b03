//! `bt-consumers`: runs one consumer from its configuration file.

use std::path::PathBuf;
use std::process::ExitCode;

use bt_consumers::config::Config;
use bt_consumers::{Ports, check, run};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(
    version,
    about = "Carries Kafka topics of events into Prometheus or Elasticsearch"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGTERM.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Port of /healthz, /readyz and the consumer's own /metrics.
        #[arg(long, env = "BT_HTTP_PORT", default_value_t = Ports::default().http)]
        http_port: u16,
        /// Port of the prometheus sink's /metrics.
        #[arg(long, env = "BT_METRICS_PORT", default_value_t = Ports::default().metrics)]
        metrics_port: u16,
    },
    /// Check a configuration file, and the files of credentials that it names, and say everything that is wrong.
    Validate {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let (config, ports) = match Cli::parse().command {
        Command::Validate { config } => {
            let checked = Config::load(&config)
                .map_err(anyhow::Error::from)
                .and_then(|config| Ok(check(&config)?));
            return match checked {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            };
        }
        Command::Run {
            config,
            http_port,
            metrics_port,
        } => {
            let ports = Ports {
                http: http_port,
                metrics: metrics_port,
            };
            (config, ports)
        }
    };
    // rdkafka prints each error of an outage several times; the pipeline counts them and logs each kind now and then.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,librdkafka=off,rdkafka=off"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .init();
    let outcome = Config::load(&config)
        .map_err(anyhow::Error::from)
        .and_then(|config| Ok(run(config, ports)?));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
