//! The operator's program.

use std::path::PathBuf;

use bt_operator::Settings;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reconcile KafkaTopic and TelemetryConsumer resources until told to stop.
    Run(Settings),
    /// Write the custom resource definitions.
    Crds {
        /// The directory to write them into.
        #[arg(long, default_value = "crds")]
        out: PathBuf,
    },
    /// Write the reference pages.
    #[command(hide = true)]
    Reference {
        /// The directory to write them into.
        #[arg(long, default_value = "docs/reference")]
        out: PathBuf,
        /// The chart, for its values.
        #[arg(long, default_value = "charts")]
        chart: PathBuf,
    },
    /// Delete a release's resources and wait for the operator to finish them (for helm uninstall).
    Release {
        /// Their namespace.
        #[arg(long)]
        namespace: String,
        /// A label selector.
        #[arg(long)]
        selector: String,
    },
    /// Take the operator's finalizers off all resources (for helm uninstall).
    LetGo,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .init();
    match Cli::parse().command {
        Command::Run(settings) => bt_operator::run(settings).await,
        Command::Crds { out } => bt_operator::write_crds(&out),
        Command::Reference { out, chart } => bt_operator::write_reference(&out, &chart),
        Command::Release {
            namespace,
            selector,
        } => bt_operator::release(&namespace, &selector).await,
        Command::LetGo => bt_operator::let_go().await,
    }
}
