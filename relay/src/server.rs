//! The driver: sockets, a clock and a storage thread around the [`Hub`]. It decides nothing.
//!
//! One task runs each hub; it takes whatever has come, then does what the hub wants. One thread owns the store and commits
//! everything that waits with one flush. Each connection has a task that reads and one that writes.

mod door;
mod engine;
mod feed;
mod health;
mod http;
mod journal;
mod latency;
mod mailbox;
mod socket;
mod storage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use crdt_core::time::Timestamp;
use crdt_core::wire::PeerId;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use self::door::{Door, read_secret};

use self::engine::{Engine, Event, Outgoing};
use self::feed::Feeds;
use self::health::Health;
use self::journal::Journal;
use self::latency::Latency;
use self::mailbox::Mailboxes;
use self::storage::{Request, Storage, Watch};
use crate::config::Config;
use crate::hub::{Hub, Input, Limits, Shards};
use crate::id::ConnectionId;
use crate::store::{Memory, Sled, Store};

/// Bytes of frames that wait for the hubs, over all connections. Readers of sockets wait when there are more.
const INBOX_BYTES_MAX: usize = 256 << 20;

/// Documents that are brought over HTTP at once: each may take much memory until it has been checked.
const UPLOADS_MAX: usize = 4;

/// Bytes of bodies that are being brought, over all requests.
const BODY_BYTES_MAX: usize = 256 << 20;

/// How often the files of keys and of what is revoked are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long sockets may take for the last words of a stopping relay.
const GOODBYE_TIME: Duration = Duration::from_millis(200);

/// A relay that is ready to serve.
pub struct Server {
    storage: Storage,
    shared: Arc<Shared>,
    engines: Vec<Engine>,
}

/// What every connection and request can reach.
struct Shared {
    mailboxes: Arc<Mailboxes>,
    inbox: Arc<Semaphore>,
    requests: std::sync::mpsc::Sender<Request>,
    next_connection: AtomicU64,
    connections: AtomicUsize,
    connections_max: usize,
    health: Health,
    door: Door,
    watch: Watch,
    /// Bodies that may be read and checked at once.
    uploads: Semaphore,
    /// KiB of bodies that may be held at once.
    body_bytes: Semaphore,
    started: Instant,
}

impl Server {
    /// Opens the store and makes everything ready.
    pub fn open(config: &Config) -> Result<Self> {
        let door = Door::open(config)?;
        let store: Box<dyn Store> = match &config.data {
            None => Memory::default().open()?,
            Some(path) => Sled { path: path.clone(), cache_bytes: config.cache_bytes }
                .open()
                .with_context(|| format!("can't open the data in {}", path.display()))?,
        };
        let shards = Shards::new(config.shards);
        let (mailboxes, inboxes) = Mailboxes::new(shards);
        let mailboxes = Arc::new(mailboxes);
        let watch = Watch {
            feeds: Arc::new(Feeds::default()),
            journal: Arc::new(Journal::new()),
            latency: Arc::new(Latency::new()),
        };
        let (storage, requests) = Storage::start(store, Arc::clone(&mailboxes), watch.clone())?;
        let shared = Arc::new(Shared {
            mailboxes,
            inbox: Arc::new(Semaphore::new(INBOX_BYTES_MAX / 1024)),
            requests,
            next_connection: AtomicU64::new(1),
            connections: AtomicUsize::new(0),
            connections_max: config.connections_max,
            health: Health::new(shards),
            door,
            watch,
            uploads: Semaphore::new(UPLOADS_MAX),
            body_bytes: Semaphore::new(BODY_BYTES_MAX / 1024),
            started: Instant::now(),
        });
        let id = PeerId::new("relay")?;
        let engines = shards.iter().zip(inboxes).map(|(shard, inbox)| {
            let hub = Hub::shard(id.clone(), None, Limits::default(), shard);
            Engine::new(hub, shard, inbox, Arc::clone(&shared))
        });
        Ok(Self { storage, engines: engines.collect(), shared })
    }

    /// Serves until `stopped` completes, then says goodbye, and returns when everything is on disk.
    pub async fn run(
        self,
        listener: TcpListener,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let shared = self.shared;
        let service = http::router(Arc::clone(&shared)).into_make_service();
        let doorman = tokio::spawn(watch_files(Arc::clone(&shared)));
        let mut engines: JoinSet<_> = self.engines.into_iter().map(Engine::run).collect();
        // Whoever comes while the relay stops is refused by the system, not accepted and dropped.
        tokio::select! {
            () = stopped => tracing::info!("stopping"),
            result = async { axum::serve(listener, service).await } => result?,
            Some(ended) = engines.join_next() => {
                ended??;
                bail!("a hub has ended by itself");
            }
        }
        doorman.abort();
        shared.mailboxes.stop()?;
        let (mut ended, mut links) = (Ok(()), Vec::new());
        while let Some(engine) = engines.join_next().await {
            match engine? {
                Ok(open) => links.extend(open.into_values()),
                Err(error) => ended = Err(error),
            }
        }
        for link in links {
            link.outbox.send(Outgoing::Close { reason: "the relay is stopping".to_owned() }).ok();
        }
        shared.requests.send(Request::Stop).ok();
        tokio::task::spawn_blocking(move || self.storage.join()).await?;
        // What was said last is still on its way out.
        tokio::time::sleep(GOODBYE_TIME).await;
        ended
    }
}

impl Shared {
    /// A new connection, unless there are too many.
    fn admit(&self) -> Option<ConnectionId> {
        let admitted = self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < self.connections_max).then_some(count + 1)
        });
        admitted.ok().map(|_| ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed)))
    }

    fn dismiss(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection for as long as a request lasts, unless there are too many.
    fn visit(self: &Arc<Self>) -> Option<Visit> {
        let connection = self.admit()?;
        Some(Visit { shared: Arc::clone(self), connection })
    }
}

/// A request that lasts: it counts as a connection.
struct Visit {
    shared: Arc<Shared>,
    connection: ConnectionId,
}

impl Visit {
    fn connection(&self) -> ConnectionId {
        self.connection
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.dismiss();
    }
}

/// Reads the files that say who may come in whenever they change, and asks those out who may no longer be in.
async fn watch_files(shared: Arc<Shared>) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        for connection in shared.door.look_again() {
            shared.mailboxes.tell_front(Event::Hub(Input::Revoked { connection })).ok();
        }
    }
}

/// The hub's idea of now.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
