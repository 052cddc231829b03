//! The commands that people run in a pod: what they ask for on standard output, everything else on standard error.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bt_consumers::config::Config;
use bt_consumers::{LettersOptions, SendOptions, TailOptions};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// Without rdkafka's own words, which say each error of an outage several times.
pub fn log_to_standard_error() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("error,librdkafka=off,rdkafka=off"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}

/// What is in the dead-letter topic.
pub fn letters(options: &LettersOptions) -> ExitCode {
    log_to_standard_error();
    ended(
        Config::load(&options.config)
            .map_err(anyhow::Error::from)
            .and_then(|config| {
                line(&bt_consumers::letters(&config, options)?)?;
                Ok(true)
            }),
    )
}

/// The events of a topic, until nobody listens.
pub fn tail(config: &Path, attached: bool, options: &TailOptions) -> ExitCode {
    log_to_standard_error();
    let stop = Arc::new(AtomicBool::new(false));
    if attached {
        let stop = stop.clone();
        std::thread::spawn(move || {
            // What comes in is nothing to us; that it ends, by an error or not, is.
            let _ = std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink());
            stop.store(true, Ordering::Relaxed);
        });
    }
    let shown = Config::load(config)
        .map_err(anyhow::Error::from)
        .and_then(|config| {
            let kafka = config.kafka.connection()?;
            bt_consumers::tail(&kafka, &config.group_id, options, &stop, &mut |event| {
                line(event)
            })?;
            Ok(true)
        });
    ended(shown)
}

/// A test event on its way.
pub fn send(options: &SendOptions) -> ExitCode {
    log_to_standard_error();
    ended(
        Config::load(&options.config)
            .map_err(anyhow::Error::from)
            .and_then(|config| Ok(bt_consumers::send(&config, options, &mut |hop| line(hop))?)),
    )
}

/// One line of JSON, at once.
fn line(value: &impl Serialize) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn ended(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(done) => ExitCode::from(u8::from(!done)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
