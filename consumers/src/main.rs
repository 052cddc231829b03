//! `bt-consumers`: runs one consumer from its configuration file.

mod by_hand;

use std::path::PathBuf;
use std::process::ExitCode;

use bt_consumers::config::Config;
use bt_consumers::{
    LettersOptions, Ports, ReplayOptions, SendOptions, TailOptions, check, replay, run,
};
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
    /// Send dead letters to the elasticsearch sink again, after what they were refused for was put right. What is there already stays as
    /// it is, so that it can be run again, or stopped at any moment.
    ///
    /// Ends with 0 when all is done, 1 when something was refused again or skipped, 2 when it could not be done.
    Replay(ReplayOptions),
    /// Show what is in the dead-letter topic, as JSON (for `kubectl bt dead-letters`).
    Letters(LettersOptions),
    /// Show the events of a topic as they come, a line of JSON each (for `kubectl bt tail`). No group is joined, nothing is committed.
    Tail {
        /// The consumer's configuration file, for the connection; in its pods /etc/bt-consumers/config.yaml.
        #[arg(long)]
        config: PathBuf,
        /// End when standard input ends: so whoever started it in a pod ends it by going away.
        #[arg(long)]
        attached: bool,
        /// What to show.
        #[command(flatten)]
        options: TailOptions,
    },
    /// Send a test event and follow it into the sink, a line of JSON for each hop (for `kubectl bt send`).
    ///
    /// Ends with 0 when it has become visible, 1 when it has not in time, 2 when it could not be sent.
    Send(SendOptions),
}

fn main() -> ExitCode {
    abort_on_panic();
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
        Command::Replay(options) => return send_again(&options),
        Command::Letters(options) => return by_hand::letters(&options),
        Command::Tail {
            config,
            attached,
            options,
        } => return by_hand::tail(&config, attached, &options),
        Command::Send(options) => return by_hand::send(&options),
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

/// Whatever panics, a task that delivers included, would leave work behind that nobody finishes: the process ends, and is started
/// again where it had got to.
fn abort_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}

/// Tells people on standard error how far it is, and gives the summary out.
fn send_again(options: &ReplayOptions) -> ExitCode {
    by_hand::log_to_standard_error();
    let summary = Config::load(&options.config)
        .map_err(anyhow::Error::from)
        .and_then(|config| Ok(replay(&config, options, &mut std::io::stderr())?));
    match summary {
        Ok(summary) => {
            print!("{summary}");
            ExitCode::from(u8::from(!summary.is_complete()))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
