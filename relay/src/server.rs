//! The driver: sockets, a clock and a storage thread around the [`Hub`]. It decides nothing.
//!
//! One task runs each hub; it takes whatever has come, then does what the hub wants. One thread owns the store and commits
//! everything that waits with one flush. Each connection has a task that reads and one that writes.

mod clock;
mod door;
mod engine;
mod feed;
mod health;
mod http;
mod journal;
mod latency;
mod listener;
mod mailbox;
mod modified;
mod reload;
mod socket;
mod storage;
mod stream;
mod throttle;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crdt_core::wire::PeerId;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use self::door::{Door, read_secret};
pub use self::reload::Reloader;

use self::clock::now;
use self::engine::{Engine, Event, Outgoing};
use self::feed::Feeds;
use self::health::Health;
use self::journal::Journal;
use self::latency::Latency;
use self::listener::Listener;
use self::mailbox::Mailboxes;
use self::storage::{Request, Storage, Watch};
use self::stream::Streams;
use self::throttle::Share;
use self::tls::Tls;
use crate::config::Config;
use crate::hub::{Hub, Input, Shards};
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
    front: Listener,
    config: Config,
}

/// What every connection and request can reach.
struct Shared {
    mailboxes: Arc<Mailboxes>,
    inbox: Arc<Semaphore>,
    requests: std::sync::mpsc::Sender<Request>,
    next_connection: AtomicU64,
    connections: AtomicUsize,
    connections_max: AtomicUsize,
    health: Health,
    door: Door,
    watch: Watch,
    streams: Streams,
    /// Bodies that may be read and checked at once.
    uploads: Semaphore,
    /// KiB of bodies that may be held at once.
    body_bytes: Semaphore,
    tls: Option<Arc<Tls>>,
    share: Share,
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
        let pack_memory_max = config.pack_memory_max;
        let (storage, requests) =
            Storage::start(store, Arc::clone(&mailboxes), watch.clone(), pack_memory_max)?;
        let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        let shared = Arc::new(Shared {
            mailboxes,
            inbox: Arc::new(Semaphore::new(INBOX_BYTES_MAX / 1024)),
            requests,
            next_connection: AtomicU64::new(1),
            connections: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(config.connections_max),
            health: Health::new(shards),
            door,
            watch,
            streams: Streams::default(),
            uploads: Semaphore::new(UPLOADS_MAX),
            body_bytes: Semaphore::new(BODY_BYTES_MAX / 1024),
            tls: tls.clone(),
            share: Share::new(config.requests_per_subject, config.requests_per_tenant),
            started: Instant::now(),
        });
        let id = PeerId::new("relay")?;
        let engines = shards.iter().zip(inboxes).map(|(shard, inbox)| {
            let hub = Hub::shard(id.clone(), None, config.limits, shard);
            Engine::new(hub, shard, inbox, Arc::clone(&shared))
        });
        let engines = engines.collect();
        let front = Listener::new(config, http::router(Arc::clone(&shared)), tls);
        Ok(Self { storage, engines, shared, front, config: config.clone() })
    }

    /// Whatever tells the running relay of a new configuration.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(&self.shared, self.config.clone())
    }

    /// Serves until `stopped` completes, then says goodbye, and returns when everything is on disk.
    pub async fn run(
        self,
        listener: TcpListener,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let shared = self.shared;
        let doorman = tokio::spawn(watch_files(Arc::clone(&shared)));
        let mut engines: JoinSet<_> = self.engines.into_iter().map(Engine::run).collect();
        let (stop, stopping) = watch::channel(false);
        let mut front = tokio::spawn(self.front.run(listener, stopping));
        tokio::select! {
            () = stopped => tracing::info!("stopping"),
            ended = &mut front => {
                ended?;
                bail!("the listener has ended by itself");
            }
            Some(ended) = engines.join_next() => {
                ended??;
                bail!("a hub has ended by itself");
            }
        }
        doorman.abort();
        // Whoever comes from here on is refused by the system. Requests that are being answered have a moment.
        stop.send(true).ok();
        front.await?;
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
            (count < self.connections_max.load(Ordering::Relaxed)).then_some(count + 1)
        });
        admitted.ok().map(|_| ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed)))
    }

    /// Reads the files that can change while the relay runs.
    fn look_again(&self, must: bool) {
        for connection in self.door.look_again(must) {
            self.mailboxes.tell_front(Event::Hub(Input::Revoked { connection })).ok();
        }
        if let Some(tls) = &self.tls {
            tls.look_again(must);
        }
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
        shared.look_again(false);
    }
}
