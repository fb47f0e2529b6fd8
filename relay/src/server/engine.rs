//! The task that runs one hub.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::journal::Happening;
use super::mailbox::Inbox;
use super::storage::Request;
use super::{Shared, now};
use crate::access::Permit;
use crate::hub::{Hub, Input, Output, Peer, Put, PutDone, PutError, Session, Shard};
use crate::id::{ConnectionId, Tenant};
use crate::store::{CommitError, LoadError};

/// Most events handled before the hub's wishes are done.
const BATCH_MAX: usize = 512;

/// How long a stopping relay waits for its disk.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// Something that has happened.
pub(super) enum Event {
    Hub(Input),
    Frame(Arrived),
    Connected {
        connection: ConnectionId,
        permit: Permit,
        link: Link,
    },
    /// The front has let a connection in, or has a new permit of it.
    Joined {
        connection: ConnectionId,
        permit: Permit,
        peer: Peer,
        link: Link,
    },
    /// Somebody who does not stay brings changes.
    Put {
        connection: ConnectionId,
        put: Box<Put>,
        answer: oneshot::Sender<Result<PutDone, PutError>>,
    },
    /// Somebody wants to know who is connected.
    Sessions {
        tenant: Tenant,
        after: ConnectionId,
        limit: usize,
        answer: oneshot::Sender<Vec<(Session, Transport)>>,
    },
    Stop,
}

/// A frame that has come.
#[derive(Clone)]
pub(super) struct Arrived {
    pub(super) connection: ConnectionId,
    pub(super) bytes: Vec<u8>,
    /// Its share of the bytes that may wait.
    pub(super) _share: Arc<OwnedSemaphorePermit>,
}

/// What the engine holds of a connection.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) outbox: mpsc::UnboundedSender<Outgoing>,
    /// Milliseconds since 1970 until which nothing is read.
    pub(super) paused_until: Arc<AtomicU64>,
    pub(super) transport: Transport,
}

/// What carries a connection's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    WebSocket,
    /// A stream of events and posted frames.
    Sse,
}

/// What a connection's writer is to do.
pub(super) enum Outgoing {
    Frame {
        frame: Vec<u8>,
        /// The number of the hub that is to know when it is written.
        from: usize,
    },
    Close {
        reason: String,
    },
}

pub(super) struct Engine {
    hub: Hub,
    shard: Shard,
    inbox: Inbox,
    storage: std::sync::mpsc::Sender<Request>,
    shared: Arc<Shared>,
    links: BTreeMap<ConnectionId, Link>,
    /// Who waits for what they brought to be durable.
    puts: BTreeMap<ConnectionId, oneshot::Sender<Result<PutDone, PutError>>>,
    /// Appends that storage has not answered.
    appends: usize,
}

impl Engine {
    pub(super) fn new(hub: Hub, share: Shard, inbox: Inbox, shared: Arc<Shared>) -> Self {
        let storage = shared.requests.clone();
        let (links, puts) = Default::default();
        Self { hub, shard: share, inbox, storage, shared, links, puts, appends: 0 }
    }

    /// Runs until it is told to stop, and everything that was taken in is on disk. The connections are still open then.
    pub(super) async fn run(mut self) -> Result<BTreeMap<ConnectionId, Link>> {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                biased;
                Some(event) = self.inbox.notices.recv() => event,
                Some(event) = self.inbox.events.recv() => event,
                _ = ticks.tick() => Event::Hub(Input::Tick),
            };
            let mut is_stopping = self.handle(event);
            for _ in 0..BATCH_MAX {
                let next = self.inbox.notices.try_recv().or_else(|_| self.inbox.events.try_recv());
                let Ok(event) = next else { break };
                is_stopping |= self.handle(event);
            }
            self.act()?;
            if is_stopping {
                return self.stop().await;
            }
        }
    }

    /// Hands one event to the hub; whether it is the last.
    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Stop => return true,
            Event::Frame(Arrived { connection, bytes: frame, _share }) => {
                self.hub.handle(now(), Input::Received { connection, frame });
            }
            Event::Connected { connection, permit, link } => {
                self.links.insert(connection, link);
                self.hub.handle(now(), Input::Connected { connection, permit });
            }
            Event::Joined { connection, permit, peer, link } => {
                self.links.insert(connection, link);
                self.hub.handle(now(), Input::Joined { connection, permit, peer });
            }
            Event::Put { connection, put, answer } => {
                self.puts.insert(connection, answer);
                self.hub.handle(now(), Input::Put { connection, put });
            }
            Event::Sessions { tenant, after, limit, answer } => {
                let sessions = self.hub.sessions(&tenant, after, limit).into_iter();
                let linked =
                    |session: Session| Some((self.links.get(&session.connection)?.transport, session));
                let sessions = sessions.filter_map(linked).map(|(transport, session)| (session, transport));
                // Who asked may have gone.
                answer.send(sessions.collect()).ok();
            }
            Event::Hub(input) => {
                if let Input::Stored { stored, .. } = &input {
                    self.appends -= 1;
                    if let Err(CommitError::Unavailable { why }) = stored {
                        self.shared.health.fail(why);
                    }
                }
                if let Input::Loaded { key, loaded: Err(LoadError::Damaged { .. }) } = &input {
                    self.shared.health.note_damaged(key);
                }
                if let Input::Closed { connection } = &input {
                    self.links.remove(connection);
                }
                if matches!(input, Input::Tick) {
                    self.shared.health.report(self.shard.index(), self.hub.counters());
                }
                self.hub.handle(now(), input);
            }
        }
        false
    }

    /// Does what the hub wants.
    fn act(&mut self) -> Result<()> {
        while let Some(output) = self.hub.poll_output() {
            let request = match output {
                Output::Send { connection, frame } => {
                    self.send(connection, Outgoing::Frame { frame, from: self.shard.index() });
                    continue;
                }
                Output::Joined { connection, permit, peer } => {
                    if let Some(link) = self.links.get(&connection) {
                        self.shared.mailboxes.tell_others(|| Event::Joined {
                            connection,
                            permit: permit.clone(),
                            peer: peer.clone(),
                            link: link.clone(),
                        });
                    }
                    continue;
                }
                Output::Left { connection } => {
                    self.shared.mailboxes.tell_others(|| Event::Hub(Input::Closed { connection }));
                    continue;
                }
                Output::Close { connection, reason } => {
                    tracing::debug!(connection = connection.0, reason, "closing");
                    self.send(connection, Outgoing::Close { reason });
                    self.links.remove(&connection);
                    continue;
                }
                Output::Pause { connection, until } => {
                    if let Some(link) = self.links.get(&connection) {
                        link.paused_until.store(until.as_millis(), Ordering::Relaxed);
                    }
                    continue;
                }
                Output::Renew { connection, token } => {
                    let input = match self.shared.door.renew(connection, &token, now()) {
                        Ok(permit) => Input::Permitted { connection, permit },
                        Err(error) => Input::NotRenewed { connection, why: error.to_string() },
                    };
                    self.hub.handle(now(), input);
                    continue;
                }
                Output::Append(append) => {
                    self.appends += 1;
                    Request::Append { append, at: Instant::now() }
                }
                Output::Load { key } => Request::Load { key },
                Output::Read { key, positions, snapshot } => Request::Read { key, positions, snapshot },
                Output::Compact { key, through } => Request::Compact { key, through },
                Output::Put { connection, result } => {
                    if let Some(answer) = self.puts.remove(&connection) {
                        // Who asked may have gone; what they brought stays.
                        answer.send(result).ok();
                    }
                    continue;
                }
                Output::Noted { tenant, note } => {
                    self.shared.watch.journal.note(tenant, Happening::Noted(note));
                    continue;
                }
                // The store says so to those who wait for it.
                Output::Advanced { .. } => continue,
            };
            if self.storage.send(request).is_err() {
                bail!("the storage thread has ended");
            }
        }
        Ok(())
    }

    fn send(&self, connection: ConnectionId, outgoing: Outgoing) {
        if let Some(link) = self.links.get(&connection) {
            // A writer that is gone is about to say so.
            link.outbox.send(outgoing).ok();
        }
    }

    /// Says goodbye, and waits for the disk.
    async fn stop(mut self) -> Result<BTreeMap<ConnectionId, Link>> {
        if self.shard.is_front() {
            let (min, max) = (Duration::from_millis(500), Duration::from_secs(10));
            self.hub.handle(now(), Input::GoingAway { reconnect_after_min: min, reconnect_after_max: max });
            self.act()?;
        }
        let flushed = timeout(STOP_TIME_MAX, async {
            while self.appends > 0 {
                let Some(event) = self.inbox.notices.recv().await else { return Ok(()) };
                self.handle(event);
                self.act()?;
            }
            Ok::<_, anyhow::Error>(())
        });
        flushed.await.unwrap_or_else(|_| bail!("the disk has not answered for {STOP_TIME_MAX:?}"))?;
        Ok(self.links)
    }
}
