//! The operator's program.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
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
    /// Import saved objects into Kibana or OpenSearch Dashboards (for the chart).
    ImportSavedObjects {
        /// Where it is: http://kibana:5601.
        #[arg(long)]
        url: String,
        /// The file with the objects, one JSON object a line.
        #[arg(long)]
        file: PathBuf,
        /// How long to wait for it to be there, in seconds.
        #[arg(long, default_value_t = 900)]
        patience: u64,
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
        Command::ImportSavedObjects {
            url,
            file,
            patience,
        } => {
            let objects = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let patience = Duration::from_secs(patience);
            let count = bt_operator::import_saved_objects(&url, &objects, patience).await?;
            tracing::info!("{count} saved objects are in {url}");
            Ok(())
        }
        Command::LetGo => bt_operator::let_go().await,
    }
}
