//! The thread that owns the store, and the one that packs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Result;
use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::time::Timestamp;
use tokio::sync::oneshot;

use super::feed::Feeds;
use super::journal::{Happening, Journal};
use super::latency::Latency;
use super::mailbox::Mailboxes;
use crate::access::{Access, Permit, Right};
use crate::compaction::Source;
use crate::hub::{Compacted, Input, ReadBytes};
use crate::id::{DocumentKey, Position, Sequence, Subject, Tenant};
use crate::store::{
    Append, CommitError, FeedEntry, Listed, LoadError, Loaded, News, Snapshot, Store, StoredDocument, Usage,
    Write,
};

/// Most requests taken together: appends among them share one flush.
const BATCH_MAX: usize = 4096;

/// What is asked of the store.
pub(super) enum Request {
    Append {
        append: Append,
        /// When it was asked for.
        at: Instant,
    },
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
    /// Everything that is stored of a document.
    Fetch {
        key: DocumentKey,
        permit: Permit,
        answer: oneshot::Sender<Result<Fetched, Refusal>>,
    },
    /// Something that only who administers a document may do.
    Administer {
        key: DocumentKey,
        permit: Permit,
        action: Action,
        at: Timestamp,
        answer: oneshot::Sender<Result<Option<Access>, Refusal>>,
    },
    /// Nothing further will be asked.
    Stop,
    Feed {
        tenant: Tenant,
        after: Sequence,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<FeedEntry>, Refusal>>,
    },
    /// The documents of a tenant.
    List {
        tenant: Tenant,
        after: Option<DocumentId>,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<Listed>, LoadError>>,
    },
    /// What a tenant's documents hold together.
    Usage {
        tenant: Tenant,
        answer: oneshot::Sender<Result<Usage, LoadError>>,
    },
}

/// A stored document, whole.
pub(super) struct Fetched {
    pub(super) document: StoredDocument,
    /// Its snapshot's bytes; empty without one.
    pub(super) snapshot: Vec<u8>,
    /// As its last commit left them.
    pub(super) heads: Vec<ChangeHash>,
}

/// What an administrator does to a document.
pub(super) enum Action {
    /// Only look who may use it.
    Look,
    Grant {
        subject: Subject,
        right: Right,
    },
    Revoke {
        subject: Subject,
    },
    Erase,
}

/// Why somebody does not get what they asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It is not there, or not for them: which of the two is nobody's business.
    #[error("there is no such document, or it is not yours")]
    NotFound,
    #[error("the document was erased")]
    Gone,
    #[error("you may use this document, but not administer it")]
    Forbidden,
    /// The store has forgotten, or it is another one.
    #[error("this relay's feed has come to {} and never to {}: begin anew", latest.0, after.0)]
    NoSuchPlace { after: Sequence, latest: Sequence },
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What is to be done when a write is durable, or has failed.
enum After {
    Settle { asked: Instant },
    Compacted(Compacted),
    Tell { access: Option<Access>, answer: oneshot::Sender<Result<Option<Access>, Refusal>> },
}

/// The running threads.
pub(super) struct Storage {
    thread: JoinHandle<()>,
}

impl Storage {
    pub(super) fn start(
        store: Box<dyn Store>,
        mailboxes: Arc<Mailboxes>,
        watch: Watch,
        pack_memory_max: u64,
    ) -> Result<(Self, Sender<Request>)> {
        let (requests, inbox) = mpsc::channel();
        let (to_pack, packing) = mpsc::channel();
        let answers = requests.clone();
        std::thread::Builder::new()
            .name("packing".to_owned())
            .spawn(move || pack_all(&packing, &answers, pack_memory_max))?;
        let packing = Packing { to_pack, waiting: VecDeque::new(), is_busy: false };
        let worker = Worker { store, mailboxes, watch, packing };
        let thread =
            std::thread::Builder::new().name("storage".to_owned()).spawn(move || worker.run(&inbox))?;
        Ok((Self { thread }, requests))
    }

    /// Waits until everything asked for is done.
    pub(super) fn join(self) {
        drop(self.thread.join());
    }
}

/// Those who want to know what becomes durable.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) feeds: Arc<Feeds>,
    pub(super) journal: Arc<Journal>,
    pub(super) latency: Arc<Latency>,
}

struct Worker {
    store: Box<dyn Store>,
    mailboxes: Arc<Mailboxes>,
    watch: Watch,
    packing: Packing,
}

/// Documents to be packed: one at a time is in memory, the others wait as names.
struct Packing {
    to_pack: Sender<(DocumentKey, Source)>,
    waiting: VecDeque<(DocumentKey, Position)>,
    is_busy: bool,
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
    fn answer(&mut self, request: Request, writes: &mut Vec<(Write, After)>) -> bool {
        match request {
            Request::Append { append, at } => {
                writes.push((Write::Append(append), After::Settle { asked: at }));
            }
            Request::Load { key } => {
                let loaded =
                    self.store.load(&key).and_then(|loaded| Ok((loaded, self.store.usage(&key.tenant)?)));
                return self.tell(&key.clone(), Input::Loaded { key, loaded });
            }
            Request::Read { key, positions, snapshot } => {
                let read = self.read(&key, &positions, snapshot);
                return self.tell(&key.clone(), Input::Read { key, read });
            }
            Request::Compact { key, through } => {
                self.packing.waiting.push_back((key, through));
                return self.pack_next();
            }
            Request::Packed { key, packed } => {
                self.packing.is_busy = false;
                match packed {
                    Some((snapshot, compacted)) => {
                        writes.push((Write::Snapshot { key, snapshot }, After::Compacted(compacted)));
                    }
                    None => {
                        self.tell(&key.clone(), Input::Compacted { key, compacted: None });
                    }
                }
                return self.pack_next();
            }
            Request::Fetch { key, permit, answer } => {
                drop(answer.send(self.fetch(&key, &permit)));
            }
            Request::Administer { key, permit, action, at, answer } => {
                // It builds on what has been asked for before.
                self.commit(std::mem::take(writes));
                match self.administer(&key, &permit, action, at) {
                    Ok((None, access)) => drop(answer.send(Ok(access))),
                    Ok((Some(write), access)) => writes.push((write, After::Tell { access, answer })),
                    Err(refusal) => drop(answer.send(Err(refusal))),
                }
            }
            Request::Stop => return false,
            Request::Feed { tenant, after, limit, answer } => {
                let latest = self.store.latest();
                let entries = if after > latest {
                    Err(Refusal::NoSuchPlace { after, latest })
                } else {
                    self.store.feed(&tenant, after, limit).map_err(Refusal::from)
                };
                drop(answer.send(entries));
            }
            Request::List { tenant, after, limit, answer } => {
                drop(answer.send(self.store.list(&tenant, after, limit)));
            }
            Request::Usage { tenant, answer } => {
                drop(answer.send(self.store.usage(&tenant)));
            }
        }
        true
    }

    /// Hands the next document over to be packed, if none is being packed.
    fn pack_next(&mut self) -> bool {
        while !self.packing.is_busy
            && let Some((key, through)) = self.packing.waiting.pop_front()
        {
            let source = Source::read(&*self.store, &key, through);
            let is_told = match source {
                Ok(source) => {
                    self.packing.is_busy = true;
                    self.packing.to_pack.send((key, source)).is_ok()
                }
                Err(error) => {
                    tracing::warn!(%key, %error, "can't be packed");
                    self.tell(&key.clone(), Input::Compacted { key, compacted: None })
                }
            };
            if !is_told {
                return false;
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

    /// The document as its holder of a permit may see it.
    fn document(&self, key: &DocumentKey, permit: &Permit) -> Result<(StoredDocument, Right), Refusal> {
        match self.store.load(key)? {
            // Whoever may see everything may know what was erased.
            Loaded::Erased { .. } if permit.everywhere.is_some() => Err(Refusal::Gone),
            Loaded::Document(document) => {
                let access = document.access.as_ref().ok_or(Refusal::NotFound)?;
                let right = permit.right_to(key.document, access).ok_or(Refusal::NotFound)?;
                Ok((document, right))
            }
            Loaded::Unknown | Loaded::Erased { .. } => Err(Refusal::NotFound),
        }
    }

    fn fetch(&self, key: &DocumentKey, permit: &Permit) -> Result<Fetched, Refusal> {
        let (document, _) = self.document(key, permit)?;
        let snapshot = match document.snapshot {
            Some(_) => self.store.read_snapshot(key)?,
            None => Vec::new(),
        };
        let before = Sequence(document.sequence.0.saturating_sub(1));
        let last = self.store.feed(&key.tenant, before, 1)?.pop();
        let heads = match last {
            Some(FeedEntry { news: News::Changed { heads }, .. }) => heads,
            _ => Vec::new(),
        };
        Ok(Fetched { document, snapshot, heads })
    }

    /// What has to be written for an action, and who may use the document afterwards.
    fn administer(
        &self,
        key: &DocumentKey,
        permit: &Permit,
        action: Action,
        at: Timestamp,
    ) -> Result<(Option<Write>, Option<Access>), Refusal> {
        let (document, right) = self.document(key, permit)?;
        if right < Right::Admin {
            return Err(Refusal::Forbidden);
        }
        let mut access = document.access.ok_or(Refusal::NotFound)?;
        match action {
            Action::Look => return Ok((None, Some(access))),
            Action::Grant { subject, right } => access.grant(subject, right),
            Action::Revoke { subject } => drop(access.revoke(&subject)),
            Action::Erase => return Ok((Some(Write::Erase { key: key.clone(), at }), None)),
        }
        Ok((Some(Write::Access { key: key.clone(), access: access.clone() }), Some(access)))
    }

    /// One flush for everything that waited.
    fn commit(&mut self, writes: Vec<(Write, After)>) {
        if writes.is_empty() {
            return;
        }
        let keys: Vec<_> = writes.iter().map(|(write, _)| write.key().clone()).collect();
        let (writes, afters): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        let results = self.store.commit(writes);
        let now = Instant::now();
        let settled = afters.iter().filter_map(|after| match after {
            After::Settle { asked } => Some(now.saturating_duration_since(*asked)),
            _ => None,
        });
        self.watch.latency.note(now, settled);
        for ((key, stored), after) in keys.into_iter().zip(results).zip(afters) {
            match &stored {
                Ok(committed) => self.watch.feeds.advance(&key.tenant, committed.sequence),
                // Who wrote it did not know yet, and is told.
                Err(error @ CommitError::Erased) => tracing::debug!(%key, %error, "could not be stored"),
                Err(error) => {
                    tracing::error!(%key, %error, "could not be stored");
                    let failure = Happening::StorageFailed { key: key.clone(), why: error.to_string() };
                    self.watch.journal.note(key.tenant.clone(), failure);
                }
            }
            let holder = key.clone();
            let input = match after {
                After::Settle { .. } => Input::Stored { key, stored },
                After::Compacted(compacted) => {
                    if stored.is_ok() {
                        let (key, bytes) = (key.clone(), compacted.bytes);
                        self.watch.journal.note(key.tenant.clone(), Happening::Compacted { key, bytes });
                    }
                    Input::Compacted { key, compacted: stored.ok().map(|_| compacted) }
                }
                After::Tell { access, answer } => {
                    drop(answer.send(stored.clone().map(|_| access.clone()).map_err(Refusal::from)));
                    match (stored, access) {
                        (Err(_), _) => continue,
                        (Ok(_), Some(access)) => Input::AccessChanged { key, access },
                        (Ok(committed), None) => {
                            let erased = Happening::Erased { key: key.clone() };
                            self.watch.journal.note(key.tenant.clone(), erased);
                            Input::Erased { key, sequence: committed.sequence }
                        }
                    }
                }
            };
            self.tell(&holder, input);
        }
    }

    fn tell(&self, key: &DocumentKey, input: Input) -> bool {
        self.mailboxes.tell_holder(key, input).is_ok()
    }
}

/// Packs documents, one at a time, where nobody waits.
fn pack_all(packing: &Receiver<(DocumentKey, Source)>, answers: &Sender<Request>, memory_max: u64) {
    while let Ok((key, source)) = packing.recv() {
        let packed = match source.pack(memory_max) {
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
