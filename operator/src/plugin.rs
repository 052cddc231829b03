//! `kubectl bt`, a plugin of kubectl: how topics and consumers are, what is wrong, what to do; and events on their way.
//!
//! What is seen is gathered first; judging it and putting it into words are pure. Kafka is reached through the consumers' pods
//! (`pods/exec` of `bt-consumers`), Prometheus through the API server's proxy: a user needs nothing but a kubeconfig.

mod advice;
mod cluster;
mod dead_letters;
mod doctor;
mod exec;
mod prometheus;
mod send;
mod spark;
mod status;
mod tail;
mod text;
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use text::Style;

/// All that can be asked for.
#[derive(Parser)]
#[command(
    name = "kubectl-bt",
    bin_name = "kubectl bt",
    version,
    max_term_width = 100,
    about = "Topics and consumers of bt-monitoring: how they are, what is wrong, what to do; and events on their way",
    after_help = "Examples:
  kubectl bt status -A                                  one screen: topics, consumers, what is wrong
  kubectl bt doctor                                     checks everything, says what to fix
  kubectl bt tail logs.events --level error --since 5m  events as they come
  kubectl bt send                                       a test event, followed to the other end
  kubectl bt dead-letters list                          what could not be carried, and why

Exit codes: 0 done; 1 done, and something is not as it should be; 2 it could not be done."
)]
pub struct Cli {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: Command,
}

/// Where, and how it is shown.
#[derive(Debug, Clone, Args)]
struct At {
    /// The namespace. Default: that of the kubeconfig's context.
    #[arg(long, short = 'n', global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(long, short = 'A', global = true)]
    all_namespaces: bool,
    /// The kubeconfig's context. Default: the current one.
    #[arg(long, global = true, value_name = "CONTEXT")]
    context: Option<String>,
    /// The kubeconfig file. Default: KUBECONFIG, else ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Prometheus' URL. Default: the service `prometheus` of the namespace, or of the operator's, through the API server.
    #[arg(long, global = true, value_name = "URL")]
    prometheus: Option<String>,
    /// How results are written: for people, or as JSON for programs.
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Colours: on a terminal unless NO_COLOR is set, always, or never.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    /// One screen: topics, consumers with lag and its history, what is wrong and what to do.
    Status,
    /// Consumers by lag, live; q ends it.
    Top(top::Options),
    /// The events of a topic as they come, decoded.
    Tail(tail::Options),
    /// What consumers could not carry: list, show, replay.
    #[command(visible_alias = "dl")]
    DeadLetters(dead_letters::Options),
    /// Check cluster, resources, permissions, operator, Kafka, sinks and scraping, and say what to fix. Ends with 1 where something fails.
    Doctor,
    /// Send a test event and follow it to the other end, with the time of each hop. Ends with 1 where it does not arrive.
    Send(send::Options),
}

impl At {
    fn style(&self) -> Style {
        Style::new(match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => text::wants_color(),
        })
    }

    fn is_json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Runs a command; the exit code is documented in `--help`.
pub fn main(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = runtime.block_on(async {
        match &cli.command {
            Command::Status => status::run(&cli.at).await,
            Command::Top(options) => top::run(&cli.at, options).await,
            Command::Tail(options) => tail::run(&cli.at, options).await,
            Command::DeadLetters(options) => dead_letters::run(&cli.at, options).await,
            Command::Doctor => doctor::run(&cli.at).await,
            Command::Send(options) => send::run(&cli.at, options).await,
        }
    });
    // What still waits for standard input, or for Kafka, is nobody's business any more.
    runtime.shutdown_background();
    match outcome {
        Ok(well) => ExitCode::from(u8::from(!well)),
        Err(error) => {
            eprintln!("error: {}", text::words(&error));
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
