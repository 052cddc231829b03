//! Flushing when a signal ends the process.

use std::io;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::Producer;

impl Producer {
    /// Delivers what waits when the process gets SIGTERM or SIGINT, for [`Builder::exit_timeout`](crate::Builder::exit_timeout)
    /// at most, and then lets the signal end the process as it would have.
    ///
    /// For programs that do nothing about signals themselves. One that ends its `main` on SIGTERM, as with axum's
    /// `with_graceful_shutdown`, needs a [`Producer::guard`] there instead: it would be ended here before its time.
    ///
    /// # Errors
    /// When the system gives no thread, or no handler for the signals.
    pub fn flush_on_signals(&self) -> io::Result<()> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let close = self.weak_close();
        let wait = move || {
            for signal in signals.forever() {
                close();
                if let Err(error) = emulate_default_handler(signal) {
                    tracing::error!(target: "bt_events", "signal {signal} does not end the process: {error}");
                }
            }
        };
        let thread = thread::Builder::new().name("bt-events-signals".to_owned());
        thread.spawn(wait).map(drop)
    }
}
