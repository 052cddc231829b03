use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::flavour::Flavour;
use crate::script::{Playing, Script};
use crate::server;
use crate::store::{Held, Store};
use crate::tally::Tally;

/// A running engine; it ends when this is dropped.
pub struct Engine {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// Another address of an engine, which can be away while the engine is not; closed when dropped.
pub struct Front {
    shared: Arc<Shared>,
    address: SocketAddr,
    taken: Arc<AtomicU64>,
    server: Option<JoinHandle<()>>,
}

impl Front {
    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that it has taken so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes connections, where it does not yet.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open(&mut self) -> std::io::Result<()> {
        if self.server.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            let server = server::serve(listener, self.shared.clone(), self.taken.clone());
            self.server = Some(tokio::spawn(server));
        }
        Ok(())
    }

    /// Takes no connections any more, and ends those that there are, whatever becomes of their requests.
    pub async fn close(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Its listener is closed only when it has ended.
            let _ = server.await;
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub flavour: Flavour,
    pub store: Mutex<Store>,
    pub tally: Mutex<Tally>,
    pub playing: Mutex<Playing>,
    /// Grows with each script that is played.
    pub scripts: watch::Sender<u64>,
    /// `_bulk` requests that are here.
    pub present: AtomicU64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// An engine on a free port of this machine that holds documents.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(flavour: Flavour) -> std::io::Result<Self> {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), flavour).await
    }

    /// An engine at this address that holds documents.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn bind(address: SocketAddr, flavour: Flavour) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            flavour,
            store: Mutex::new(Store::new(flavour)),
            tally: Mutex::default(),
            playing: Mutex::new(Playing::new(Script::default())),
            scripts: watch::Sender::new(0),
            present: AtomicU64::new(0),
        });
        let server = server::serve(listener, shared.clone(), Arc::default());
        let server = tokio::spawn(server);
        Ok(Self {
            shared,
            address,
            server,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Another address of the engine.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn front(&self, address: SocketAddr) -> std::io::Result<Front> {
        let mut front = Front {
            shared: self.shared.clone(),
            address,
            taken: Arc::default(),
            server: None,
        };
        front.open().await?;
        Ok(front)
    }

    /// From now on what goes wrong goes wrong by this; requests that hang are let go.
    pub fn play(&self, script: Script) {
        *lock(&self.shared.playing) = Playing::new(script);
        self.shared.scripts.send_modify(|number| *number += 1);
    }

    /// Data streams get new write indices.
    pub fn roll_over(&self) {
        lock(&self.shared.store).roll_all_over();
    }

    /// All documents that are there now, those with the same id in several indices several times.
    pub fn documents(&self) -> Vec<Held> {
        lock(&self.shared.store).held()
    }

    /// How many documents are there now, without those in failure stores.
    pub fn count(&self) -> usize {
        let store = lock(&self.shared.store);
        let indices = store.targets.values().flat_map(|target| &target.indices);
        indices
            .map(|index| index.documents.values().filter(|d| !d.deleted).count())
            .sum()
    }

    /// The indices and backing indices, in the order of their making within each stream.
    pub fn indices(&self) -> Vec<String> {
        let store = lock(&self.shared.store);
        let indices = store.targets.values().flat_map(|target| &target.indices);
        indices.map(|index| index.name.clone()).collect()
    }

    /// What it has seen and done so far.
    pub fn tally(&self) -> Tally {
        let mut tally = lock(&self.shared.tally).clone();
        tally.faults.remove("none");
        tally
    }

    /// `_bulk` requests that are being read, done or answered now.
    pub fn present(&self) -> u64 {
        self.shared.present.load(Ordering::Relaxed)
    }

    /// Serves until it fails.
    pub async fn run(mut self) {
        let _ = (&mut self.server).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.server.abort();
    }
}
