//! The thread that owns the store, and the one that packs.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use anyhow::Result;
use tokio::sync::oneshot;

use super::mailbox::Mailboxes;
use crate::compaction::Source;
use crate::hub::{Compacted, Input, ReadBytes};
use crate::id::{DocumentKey, Position, Sequence, Tenant};
use crate::store::{Append, FeedEntry, LoadError, Snapshot, Store, Write};

/// Most requests taken together: appends among them share one flush.
const BATCH_MAX: usize = 4096;

/// What is asked of the store.
pub(super) enum Request {
    Append(Append),
    Load {
        key: DocumentKey,
    },
    Read {
        key: DocumentKey,
        positions: Vec<Position>,
        snapshot: bool,
    },
    Compact {
        key: DocumentKey,
        through: Position,
    },
    /// A snapshot has been made, or could not be.
    Packed {
        key: DocumentKey,
        packed: Option<(Snapshot, Compacted)>,
    },
    /// Nothing further will be asked.
    Stop,
    Feed {
        tenant: Tenant,
        after: Sequence,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<FeedEntry>, LoadError>>,
    },
}

/// The running threads.
pub(super) struct Storage {
    thread: JoinHandle<()>,
}

impl Storage {
    pub(super) fn start(store: Box<dyn Store>, mailboxes: Arc<Mailboxes>) -> Result<(Self, Sender<Request>)> {
        let (requests, inbox) = mpsc::channel();
        let (to_pack, packing) = mpsc::channel();
        let answers = requests.clone();
        std::thread::Builder::new().name("packing".to_owned()).spawn(move || pack_all(&packing, &answers))?;
        let worker = Worker { store, mailboxes, to_pack };
        let thread =
            std::thread::Builder::new().name("storage".to_owned()).spawn(move || worker.run(&inbox))?;
        Ok((Self { thread }, requests))
    }

    /// Waits until everything asked for is done.
    pub(super) fn join(self) {
        drop(self.thread.join());
    }
}

struct Worker {
    store: Box<dyn Store>,
    mailboxes: Arc<Mailboxes>,
    to_pack: Sender<(DocumentKey, Source)>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            let mut writes = Vec::new();
            let rest = std::iter::from_fn(|| inbox.try_recv().ok());
            let mut is_over = false;
            for request in std::iter::once(first).chain(rest.take(BATCH_MAX)) {
                is_over |= !self.answer(request, &mut writes);
            }
            self.commit(writes);
            if is_over {
                return;
            }
        }
    }

    /// Answers what can be answered without a flush, and adds the rest to `writes`.
    fn answer(&mut self, request: Request, writes: &mut Vec<(Write, Option<Compacted>)>) -> bool {
        match request {
            Request::Append(append) => writes.push((Write::Append(append), None)),
            Request::Load { key } => {
                let loaded =
                    self.store.load(&key).and_then(|loaded| Ok((loaded, self.store.usage(&key.tenant)?)));
                return self.tell(&key.clone(), Input::Loaded { key, loaded });
            }
            Request::Read { key, positions, snapshot } => {
                let read = self.read(&key, &positions, snapshot);
                return self.tell(&key.clone(), Input::Read { key, read });
            }
            Request::Compact { key, through } => match Source::read(&*self.store, &key, through) {
                Ok(source) => return self.to_pack.send((key, source)).is_ok(),
                Err(error) => {
                    tracing::warn!(%key, %error, "can't be packed");
                    return self.tell(&key.clone(), Input::Compacted { key, compacted: None });
                }
            },
            Request::Packed { key, packed: None } => {
                return self.tell(&key.clone(), Input::Compacted { key, compacted: None });
            }
            Request::Packed { key, packed: Some((snapshot, compacted)) } => {
                writes.push((Write::Snapshot { key, snapshot }, Some(compacted)));
            }
            Request::Stop => return false,
            Request::Feed { tenant, after, limit, answer } => {
                drop(answer.send(self.store.feed(&tenant, after, limit)));
            }
        }
        true
    }

    fn read(
        &self,
        key: &DocumentKey,
        positions: &[Position],
        snapshot: bool,
    ) -> Result<ReadBytes, LoadError> {
        let changes = self.store.read(key, positions)?;
        let snapshot = if snapshot { Some(self.store.read_snapshot(key)?) } else { None };
        Ok(ReadBytes { changes, snapshot })
    }

    /// One flush for everything that waited.
    fn commit(&mut self, writes: Vec<(Write, Option<Compacted>)>) {
        if writes.is_empty() {
            return;
        }
        let (writes, extras): (Vec<_>, Vec<_>) =
            writes.into_iter().map(|(write, compacted)| ((write.key().clone(), write), compacted)).unzip();
        let (keys, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        let results = self.store.commit(writes);
        for ((key, stored), compacted) in keys.into_iter().zip(results).zip(extras) {
            if let Err(error) = &stored {
                tracing::error!(%key, %error, "could not be stored");
            }
            let holder = key.clone();
            let input = match compacted {
                None => Input::Stored { key, stored },
                Some(compacted) => Input::Compacted { key, compacted: stored.ok().map(|_| compacted) },
            };
            self.tell(&holder, input);
        }
    }

    fn tell(&self, key: &DocumentKey, input: Input) -> bool {
        self.mailboxes.tell_holder(key, input).is_ok()
    }
}

/// Packs documents, one at a time, where nobody waits.
fn pack_all(packing: &Receiver<(DocumentKey, Source)>, answers: &Sender<Request>) {
    while let Ok((key, source)) = packing.recv() {
        let packed = match source.pack() {
            Ok(packed) => Some((packed.snapshot, packed.compacted)),
            Err(error) => {
                tracing::warn!(%key, %error, "can't be packed");
                None
            }
        };
        if answers.send(Request::Packed { key, packed }).is_err() {
            return;
        }
    }
}
