//! Scrapes at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bt_events::Kind;

use super::fixture::*;
use super::*;

/// Counts how often it is asked, and shows the count.
#[derive(Default)]
struct Counting {
    asked: AtomicUsize,
    epoch: AtomicU64,
    /// The first so many snapshots change the epoch.
    leaving: AtomicUsize,
    panics: bool,
}

impl Shown for Counting {
    fn snapshots(&self) -> Vec<PartitionSnapshot> {
        assert!(!self.panics, "asked of the test");
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        if asked <= self.leaving.load(Ordering::SeqCst) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(20));
        let series = [(r#"a="b""#, asked as f64)];
        vec![partition(vec![numbers("asked", Kind::Gauge, &series)])]
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }
}

struct Bench {
    shown: Arc<Counting>,
    exposition: Arc<Exposition>,
}

impl Bench {
    fn new(shown: Counting) -> Self {
        let shown = Arc::new(shown);
        let exposition = Arc::new(Exposition::new(shown.clone()));
        Self { shown, exposition }
    }

    fn asked(&self) -> usize {
        self.shown.asked.load(Ordering::SeqCst)
    }

    async fn scrape(&self) -> Result<String, ScrapeError> {
        let page = self.exposition.scrape("text/plain", "").await?;
        Ok(String::from_utf8(page.body.into()).expect("text"))
    }

    /// That many at once, of one format.
    async fn scrapes(&self, many: usize, accept: &'static str) -> Vec<Page> {
        let scrapes: Vec<_> = (0..many)
            .map(|_| {
                let exposition = self.exposition.clone();
                tokio::spawn(async move { exposition.scrape(accept, "gzip").await })
            })
            .collect();
        let mut pages = Vec::new();
        for scrape in scrapes {
            pages.push(scrape.await.expect("no panic").expect("a page"));
        }
        pages
    }

    fn kept(&self) -> usize {
        let shelf = self.exposition.shelf.iter().flatten();
        shelf
            .filter(|latest| latest.lock().expect("sound").is_some())
            .count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_scrapes_at_once_share_one_rendering() {
    let bench = Bench::new(Counting::default());
    let pages = bench.scrapes(50, "").await;
    assert_eq!(bench.asked(), 1);
    assert!(pages.iter().all(|page| page == &pages[0]));
    // The same memory.
    assert!(
        pages
            .iter()
            .all(|page| page.body.as_ptr() == pages[0].body.as_ptr())
    );
    // Another format is another page.
    let other = bench.scrapes(50, "application/openmetrics-text").await;
    assert_eq!(bench.asked(), 2);
    assert!(other.iter().all(|page| page.format == Format::OpenMetrics));
}

#[tokio::test]
async fn a_page_is_used_again_for_a_quarter_of_a_second_and_then_let_go() {
    let bench = Bench::new(Counting::default());
    let first = bench.scrape().await;
    assert_eq!(bench.scrape().await, first);
    assert_eq!((bench.asked(), bench.kept()), (1, 1));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(bench.kept(), 0);
    assert_ne!(bench.scrape().await, first);
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn a_page_is_not_used_again_once_a_partition_has_left() {
    let bench = Bench::new(Counting::default());
    let first = bench.scrape().await;
    bench.shown.epoch.fetch_add(1, Ordering::SeqCst);
    assert_ne!(bench.scrape().await, first);
    // The first page's end takes only itself away.
    tokio::time::sleep(Duration::from_millis(240)).await;
    assert_eq!(bench.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendering_during_which_a_partition_leaves_is_done_again() {
    let bench = Bench::new(Counting {
        leaving: 2.into(),
        ..Counting::default()
    });
    let pages = bench.scrapes(20, "").await;
    assert_eq!(bench.asked(), 3);
    assert!(pages.iter().all(|page| page == &pages[0]));
    let bench = Bench::new(Counting {
        leaving: usize::MAX.into(),
        ..Counting::default()
    });
    assert_eq!(bench.scrape().await, Err(ScrapeError::Unsettled));
}

#[tokio::test]
async fn a_scrape_that_is_given_up_leaves_its_page_to_the_others() {
    let bench = Bench::new(Counting::default());
    let given_up = tokio::time::timeout(Duration::from_millis(5), bench.scrape()).await;
    assert!(given_up.is_err());
    assert!(bench.scrape().await.is_ok());
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn a_rendering_that_fails_fails_its_scrapes_only() {
    let bench = Bench::new(Counting {
        panics: true,
        ..Counting::default()
    });
    assert_eq!(bench.scrape().await, Err(ScrapeError::Defect));
    // Nobody waits for what will never come.
    assert_eq!(bench.scrape().await, Err(ScrapeError::Defect));
}
