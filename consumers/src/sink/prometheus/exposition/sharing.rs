//! One rendering for all scrapes at the same time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;

use super::{Encoding, Format, Page, Shown, render};

/// How old the snapshots of a finished page may be when it is given to one more scrape.
const REUSE: Duration = Duration::from_millis(250);
/// Renderings for one scrape, where partitions keep leaving meanwhile.
const ATTEMPTS: usize = 10;

/// Why a scrape gets no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ScrapeError {
    /// The rendering panicked, which is a defect of this program.
    #[error("the page could not be written, a defect of this program; its log says more")]
    Defect,
    /// Partitions left during each rendering.
    #[error("the partitions keep changing; scrape again")]
    Unsettled,
}

/// The pages for scrapes. There is at most one of each format and encoding, for as long as it may be used.
pub(crate) struct Exposition {
    shown: Arc<dyn Shown>,
    pub(super) shelf: Arc<Shelf>,
}

/// The latest rendering by format and encoding.
pub(super) type Shelf = [[Mutex<Option<Flight>>; Encoding::COUNT]; Format::COUNT];

/// A rendering, under way or done.
#[derive(Clone)]
pub(super) struct Flight {
    /// From before the snapshots were taken.
    epoch: u64,
    /// When the snapshots were taken, at the earliest.
    begun: Instant,
    /// The sender is gone without a page where the rendering failed.
    page: watch::Receiver<Option<Page>>,
}

impl Exposition {
    /// Pages of what is shown.
    pub fn new(shown: Arc<dyn Shown>) -> Self {
        Self {
            shown,
            shelf: Arc::default(),
        }
    }

    /// The page for a scrape with these headers. A scrape waits for the rendering that is under way, or takes one that
    /// is at most [`REUSE`] old. No page is given out of which a partition has left.
    pub async fn scrape(&self, accept: &str, accept_encoding: &str) -> Result<Page, ScrapeError> {
        let format = Format::negotiate(accept);
        let encoding = Encoding::negotiate(accept_encoding);
        for _ in 0..ATTEMPTS {
            let mut flight = self.join(format, encoding);
            let page = flight.page.wait_for(Option::is_some).await;
            let page = page.map_err(|_| ScrapeError::Defect)?.clone();
            if self.shown.epoch() == flight.epoch {
                return page.ok_or(ScrapeError::Defect);
            }
        }
        Err(ScrapeError::Unsettled)
    }

    /// The rendering that may be shared, or a new one.
    fn join(&self, format: Format, encoding: Encoding) -> Flight {
        let mut latest = lock(&self.shelf[format as usize][encoding as usize]);
        let epoch = self.shown.epoch();
        if let Some(flight) = &*latest
            && flight.epoch == epoch
            && flight.is_usable()
        {
            return flight.clone();
        }
        let (sender, page) = watch::channel(None);
        let flight = Flight {
            epoch,
            begun: Instant::now(),
            page,
        };
        *latest = Some(flight.clone());
        // A task of its own: it goes on for the others when the scrape that began it is given up.
        tokio::spawn(fly(
            self.shown.clone(),
            self.shelf.clone(),
            (format, encoding),
            sender,
        ));
        flight
    }
}

impl Flight {
    fn is_usable(&self) -> bool {
        match &*self.page.borrow() {
            Some(_) => self.begun.elapsed() <= REUSE,
            // An error means that the sender is gone.
            None => self.page.has_changed().is_ok(),
        }
    }
}

async fn fly(
    shown: Arc<dyn Shown>,
    shelf: Arc<Shelf>,
    (format, encoding): (Format, Encoding),
    sender: watch::Sender<Option<Page>>,
) {
    // Not on the threads that answer the probes.
    let rendering = tokio::task::spawn_blocking(move || {
        // The snapshots are let go here, with the page done.
        render(&shown.snapshots(), format, encoding)
    });
    let Ok(page) = rendering.await else {
        return;
    };
    sender.send_replace(Some(page));
    tokio::time::sleep(REUSE).await;
    // Pages of many megabytes are not kept for nothing.
    let mut latest = lock(&shelf[format as usize][encoding as usize]);
    if latest
        .as_ref()
        .is_some_and(|flight| flight.page.same_channel(&sender.subscribe()))
    {
        *latest = None;
    }
}

fn lock(latest: &Mutex<Option<Flight>>) -> std::sync::MutexGuard<'_, Option<Flight>> {
    latest.lock().unwrap_or_else(PoisonError::into_inner)
}
