//! What is on a relay's disk: a real store over memory, and the hashes of every change that it was given to keep.

use std::collections::BTreeSet;

use crdt_core::graph::chunk::ParsedChange;
use crdt_core::id::{ChangeHash, DocumentId};
use relay::access::Right as Granted;
use relay::compaction::Source;
use relay::hub::{Compacted, Input, ReadBytes, decode_index};
use relay::id::{DocumentKey, Position, Sequence, Subject, Tenant};
use relay::store::{
    Append, CommitError, Committed, FeedEntry, LoadError, Loaded, Memory, Snapshot, Store, Write,
};

use crate::plan::{BEGINNING, Order, Person, Right, TENANT};
use crate::plant::Plant;

/// How many entries of the change feed are read at once: few, so that pages end everywhere.
const FEED_PAGE: usize = 2;

/// What the disk is to do for the hub.
#[derive(Debug)]
pub(super) enum Job {
    Load {
        key: DocumentKey,
    },
    Read {
        key: DocumentKey,
        positions: Vec<Position>,
        snapshot: bool,
    },
    Append(Append),
    /// An append that the hub believes stored already.
    Catch(Append),
    Pack {
        key: DocumentKey,
        through: Position,
    },
    Snapshot {
        key: DocumentKey,
        snapshot: Snapshot,
        compacted: Compacted,
    },
    Order(Order),
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Answer {
    /// The hub is told.
    Tell(Input),
    /// There is more to write.
    More(Job),
    /// An order is done; the hub is told, unless there was nothing to which it could be done.
    Obeyed(Order, Option<Input>),
}

/// The disk's content.
pub(super) struct Vault {
    disk: Memory,
    store: Box<dyn Store>,
    durable: BTreeSet<(DocumentId, ChangeHash)>,
    plant: Option<Plant>,
}

impl Vault {
    pub(super) fn new(plant: Option<Plant>) -> Self {
        let disk = Memory::default();
        let store = disk.open().expect("memory opens");
        Self { disk, store, durable: BTreeSet::new(), plant }
    }

    /// Opens the disk anew, as after a restart.
    pub(super) fn reopen(&mut self) {
        self.store = self.disk.open().expect("memory opens");
    }

    pub(super) fn is_durable(&self, document: DocumentId, change: &ChangeHash) -> bool {
        self.durable.contains(&(document, *change))
    }

    /// Does the jobs of one flush: what is read is read at once, and what is written is written together.
    pub(super) fn work(&mut self, jobs: Vec<Job>) -> Vec<Answer> {
        let (mut answers, mut writes, mut tidings) = (Vec::new(), Vec::new(), Vec::new());
        let mut orders = Vec::new();
        for job in jobs {
            match job {
                Job::Load { key } => {
                    let usage = self.store.usage(&key.tenant);
                    let loaded = self.store.load(&key).and_then(|loaded| Ok((loaded, usage?)));
                    answers.push(Answer::Tell(Input::Loaded { key, loaded }));
                }
                Job::Read { key, positions, snapshot } => {
                    let read = self.read(&key, &positions, snapshot);
                    answers.push(Answer::Tell(Input::Read { key, read }));
                }
                Job::Pack { key, through } => answers.push(self.pack(key, through)),
                Job::Catch(append) => self.note_durable(&append),
                Job::Order(order) => orders.push(order),
                Job::Append(append) => {
                    tidings.push((append.key.clone(), None));
                    writes.push(Write::Append(append));
                }
                Job::Snapshot { key, snapshot, compacted } => {
                    tidings.push((key.clone(), Some(compacted)));
                    writes.push(Write::Snapshot { key, snapshot });
                }
            }
        }
        let results = self.commit(writes);
        answers.extend(tidings.into_iter().zip(results).map(|((key, compacted), stored)| {
            Answer::Tell(match compacted {
                None => Input::Stored { key, stored },
                Some(compacted) => Input::Compacted { key, compacted: stored.is_ok().then_some(compacted) },
            })
        }));
        // Each builds on what is stored by then.
        answers.extend(orders.into_iter().map(|order| Answer::Obeyed(order, self.obey(order))));
        answers
    }

    /// Only the writes among these reached the disk, and nobody learns of it.
    pub(super) fn work_unheard(&mut self, jobs: Vec<Job>) {
        let written = jobs
            .into_iter()
            .filter(|job| matches!(job, Job::Append(_) | Job::Catch(_) | Job::Snapshot { .. }));
        self.work(written.collect());
    }

    /// What the hub is told of a job that failed.
    pub(super) fn failure_of(job: &Job) -> Option<Input> {
        let why = "the disk fails".to_owned();
        Some(match job {
            Job::Load { key } => {
                Input::Loaded { key: key.clone(), loaded: Err(LoadError::Unavailable { why }) }
            }
            Job::Read { key, .. } => {
                Input::Read { key: key.clone(), read: Err(LoadError::Unavailable { why }) }
            }
            Job::Append(Append { key, .. }) => {
                Input::Stored { key: key.clone(), stored: Err(CommitError::Unavailable { why }) }
            }
            Job::Pack { key, .. } | Job::Snapshot { key, .. } => {
                Input::Compacted { key: key.clone(), compacted: None }
            }
            // The operator asks again.
            Job::Order(_) | Job::Catch(_) => return None,
        })
    }

    /// Stores an append in the hub's eyes, and nowhere else.
    pub(super) fn pretend(&mut self, append: Append) -> Result<Committed, CommitError> {
        self.store.commit(vec![Write::Append(append)]).remove(0)
    }

    fn commit(&mut self, mut writes: Vec<Write>) -> Vec<Result<Committed, CommitError>> {
        for write in &mut writes {
            let Write::Append(append) = write else { continue };
            if self.plant == Some(Plant::LoseChanges) && append.changes.len() > 1 {
                append.changes.pop();
            }
            if self.plant == Some(Plant::MisstateNews) {
                append.heads.truncate(1);
            }
        }
        for write in &writes {
            if let Write::Append(append) = write {
                self.note_durable(append);
            }
        }
        if writes.is_empty() { Vec::new() } else { self.store.commit(writes) }
    }

    fn note_durable(&mut self, append: &Append) {
        for bytes in &append.changes {
            let change = ParsedChange::parse(bytes).expect("a hub appends what it has checked");
            self.durable.insert((append.key.document, change.hash));
        }
    }

    /// Does what an operator orders; what the hub is to be told, or nothing if there is no such document.
    fn obey(&mut self, order: Order) -> Option<Input> {
        let key = key_of(order.document());
        let Ok(Loaded::Document(stored)) = self.store.load(&key) else { return None };
        let mut access = stored.access?;
        match order {
            Order::Share { person, right, .. } => access.grant(subject_of(person), granted(right)),
            Order::Unshare { person, .. } => drop(access.revoke(&subject_of(person))),
            Order::Erase { .. } if self.plant == Some(Plant::KeepErased) => {
                return Some(Input::Erased { key, sequence: stored.sequence });
            }
            Order::Erase { .. } => {
                let erased =
                    self.store.commit(vec![Write::Erase { key: key.clone(), at: BEGINNING }]).remove(0);
                return Some(Input::Erased { key, sequence: erased.ok()?.sequence });
            }
        }
        let write = Write::Access { key: key.clone(), access: access.clone() };
        self.store.commit(vec![write]).remove(0).ok()?;
        Some(Input::AccessChanged { key, access })
    }

    /// What the change feed tells next.
    pub(super) fn feed(&self, after: Sequence) -> Vec<FeedEntry> {
        self.store.feed(&tenant(), after, FEED_PAGE).expect("memory can be read")
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

    fn pack(&self, key: DocumentKey, through: Position) -> Answer {
        let source = Source::read(&*self.store, &key, through).ok();
        match source.and_then(|source| source.pack(u64::MAX).ok()) {
            Some(packed) => {
                Answer::More(Job::Snapshot { key, snapshot: packed.snapshot, compacted: packed.compacted })
            }
            None => Answer::Tell(Input::Compacted { key, compacted: None }),
        }
    }

    /// The heads of what is stored of a document, as somebody reads who has only the disk.
    pub(super) fn heads(&self, key: &DocumentKey) -> Vec<ChangeHash> {
        let Ok(Loaded::Document(stored)) = self.store.load(key) else { return Vec::new() };
        let packed = stored.snapshot.map(|snapshot| decode_index(&snapshot.index).expect("a whole index"));
        let mut heads = BTreeSet::new();
        let mut covered = BTreeSet::new();
        for item in packed.into_iter().flatten() {
            heads.insert(item.id);
            covered.extend(item.deps);
        }
        for (_, bytes) in stored.changes {
            let change = ParsedChange::parse(&bytes).expect("a hub appends what it has checked");
            heads.insert(change.hash);
            covered.extend(change.deps);
        }
        heads.difference(&covered).copied().collect()
    }
}

pub(super) fn tenant() -> Tenant {
    Tenant::new(TENANT).expect("a short text")
}

pub(super) fn key_of(document: DocumentId) -> DocumentKey {
    DocumentKey { tenant: tenant(), document }
}

pub(super) fn subject_of(person: Person) -> Subject {
    Subject::new(person.to_string()).expect("a short text")
}

pub(super) fn granted(right: Right) -> Granted {
    match right {
        Right::Read => Granted::Read,
        Right::Write => Granted::Write,
    }
}
