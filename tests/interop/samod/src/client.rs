//! A device that runs samod.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use automerge::transaction::Transactable as _;
use automerge::{Automerge, AutomergeError, ROOT, ReadDoc as _};
use samod::{BackoffConfig, DialerHandle, DocHandle, DocumentId, PeerId, Repo};

use crate::socket::Socket;

/// How long something may take that takes milliseconds, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// One samod repository and its connection to the relay.
pub struct Client {
    repo: Repo,
    socket: Socket,
    dialer: Option<DialerHandle<<Socket as samod::Dialer>::Error>>,
}

impl Client {
    /// A device that has not connected yet to the relay at `address`.
    pub async fn offline(name: &str, address: SocketAddr) -> Self {
        Self::saying(name, address, "").await
    }

    async fn saying(name: &str, address: SocketAddr, query: &str) -> Self {
        let repo = Repo::build_tokio().with_peer_id(PeerId::from(name)).load().await;
        Self { repo, socket: Socket::new(address, query), dialer: None }
    }

    /// As [`Client::join`], with a token.
    pub async fn bearing(name: &str, address: SocketAddr, token: &str) -> Self {
        let mut client = Self::saying(name, address, &format!("?token={token}")).await;
        client.connect().await;
        client
    }

    /// A device that has joined the relay at `address`.
    pub async fn join(name: &str, address: SocketAddr) -> Self {
        let mut client = Self::offline(name, address).await;
        client.connect().await;
        client
    }

    /// Connects, and stays connected from now on.
    pub async fn connect(&mut self) {
        let backoff = BackoffConfig {
            initial_delay: Duration::from_millis(20),
            max_delay: Duration::from_millis(200),
            max_retries: None,
        };
        let dialer = self.repo.dial(backoff, Arc::new(self.socket.clone())).expect("the repository runs");
        dialer.established().await.expect("the relay is there");
        self.dialer = Some(dialer);
    }

    /// The relay serves there now.
    pub fn lead_to(&self, address: SocketAddr) {
        self.socket.lead_to(address);
    }

    pub fn is_connected(&self) -> bool {
        self.dialer.as_ref().is_some_and(DialerHandle::is_connected)
    }

    /// A new document with one fact in it.
    pub async fn create(&self, key: &str) -> DocHandle {
        let mut document = Automerge::new();
        put(&mut document, key);
        self.repo.create(document).await.expect("the repository runs")
    }

    /// The document, if anybody who is connected has it.
    pub async fn find(&self, document: &DocumentId) -> Option<DocHandle> {
        self.repo.find(document.clone()).await.expect("the repository runs")
    }

    /// Looks for the document until it is found.
    pub async fn await_document(&self, document: &DocumentId) -> DocHandle {
        let began = Instant::now();
        loop {
            if let Some(handle) = self.find(document).await {
                return handle;
            }
            assert!(began.elapsed() < PATIENCE, "{document} is not found");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn stop(self) {
        self.repo.stop().await;
    }
}

/// Writes one fact.
pub(crate) fn put(document: &mut Automerge, key: &str) {
    let written = document.transact::<_, _, AutomergeError>(|change| change.put(ROOT, key, true));
    written.expect("facts can be written");
}

/// What can be done with a document.
pub trait Facts {
    /// Writes one fact.
    fn write(&self, key: &str);
    /// The names of all facts, in order.
    fn facts(&self) -> Vec<String>;
}

impl Facts for DocHandle {
    fn write(&self, key: &str) {
        self.with_document(|document| put(document, key));
    }

    fn facts(&self) -> Vec<String> {
        self.with_document(|document| document.keys(ROOT).collect())
    }
}

/// Waits until it is so.
///
/// # Panics
/// If that takes too long.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
