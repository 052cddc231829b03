use std::io::Write;
use std::time::{Duration, Instant};

use super::Summary;
use super::resend::Resender;

const INTERVAL: Duration = Duration::from_secs(3);

/// Tells every few seconds how far a replay is.
pub(super) struct Progress<'t> {
    told: &'t mut dyn Write,
    total: u64,
    next: Instant,
}

impl<'t> Progress<'t> {
    /// Of so many records to read, at most.
    pub fn new(total: u64, told: &'t mut dyn Write) -> Self {
        Self {
            told,
            total,
            next: Instant::now() + INTERVAL,
        }
    }

    pub fn tell(&mut self, summary: &Summary, resender: Option<&Resender>) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        let Summary { read, matched, .. } = summary;
        let mut line = format!(
            "read {read} of at most {} letters, {matched} matched",
            self.total
        );
        if let Some(resender) = resender {
            line += &format!(
                "; events: {} done, {} refused again, {} under way",
                resender.done(),
                resender.refused(),
                resender.under_way()
            );
            if let Some(obstacle) = resender.obstacle() {
                line += &format!("; the sink is waited for: {obstacle}");
            }
        }
        // Who does not listen does not want to know.
        let _ = writeln!(self.told, "{line}");
    }
}
