//! A search engine for tests and measurements, on a port.
//!
//! bt-dev-engine --port 9201 --flavour elasticsearch --script faults.json

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use bt_dev_engine::{Engine, Flavour, Script};
use clap::Parser;

/// A search engine that holds documents in memory, and fails by a script.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// The port, 0 for one that is free; it is printed.
    #[arg(long, default_value_t = 9201)]
    port: u16,
    /// Which engine is played.
    #[arg(long, default_value = "opensearch")]
    flavour: Flavour,
    /// What goes wrong, as JSON.
    #[arg(long)]
    script: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let script: Script = match &options.script {
        Some(path) => {
            let json = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&json)
                .with_context(|| format!("{} is no script", path.display()))?
        }
        None => Script::default(),
    };
    let address = SocketAddr::new(options.address, options.port);
    let engine = Engine::bind(address, options.flavour).await;
    let engine = engine.with_context(|| format!("cannot listen on {address}"))?;
    engine.play(script);
    println!("listening on {}", engine.url());
    engine.run().await;
    Ok(())
}
