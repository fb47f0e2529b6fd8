//! One atomic edit of a document: what one operation of one person writes.

use std::collections::BTreeSet;

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, ROOT, ReadDoc};

use super::fit::Last;
use super::{Stored, change, stored};
use crate::id::{ActorId, ChangeHash, Dot};
use crate::time::Timestamp;

/// An edit in progress. Dropped without [`Edit::commit`], it leaves no trace.
pub struct Edit<'a> {
    transaction: Option<Transaction<'a>>,
    actor: &'a ActorId,
    book: Book<'a>,
    touched: BTreeSet<Box<str>>,
    time: Timestamp,
}

/// What the document notes of a committed edit.
pub(super) struct Book<'a> {
    pub(super) op_counter: &'a mut u64,
    pub(super) shared_counter: u64,
    pub(super) last: Option<&'a mut Last>,
    pub(super) journal: &'a mut super::journal::Journal,
}

/// A committed edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub hash: ChangeHash,
    /// The keys written or deleted.
    pub touched: BTreeSet<Box<str>>,
}

impl<'a> Edit<'a> {
    pub(super) fn begin(automerge: &'a mut Automerge, actor: &'a ActorId, book: Book<'a>) -> Self {
        Self {
            transaction: Some(automerge.transaction()),
            actor,
            book,
            touched: BTreeSet::new(),
            time: Timestamp::ZERO,
        }
    }

    /// Notes when this happened, for people to read in the history. Nothing is ever decided by it.
    pub fn set_time(&mut self, now: Timestamp) {
        self.time = now;
    }

    pub fn actor(&self) -> &ActorId {
        self.actor
    }

    /// A dot that nobody has used, newer than everything in the document and in this edit. Each use of it is one
    /// [`Edit::put`]; asking twice without writing in between gives the same dot.
    pub fn next_dot(&self) -> Dot {
        let written = u64::try_from(self.transaction().pending_ops()).expect("operations fit memory");
        Dot { counter: *self.book.op_counter + written + 1, actor: self.actor.clone() }
    }

    /// As [`super::Document::is_unshared`], for facts that were there before this edit.
    pub fn is_unshared(&self, dot: &Dot) -> bool {
        dot.actor == *self.actor && dot.counter > self.book.shared_counter
    }

    /// Whether nothing has been written yet.
    pub fn is_empty(&self) -> bool {
        self.transaction().pending_ops() == 0
    }

    /// Writes `text` under `key`, replacing every value of it that this replica has seen. Writing what is there already
    /// writes nothing.
    pub fn put(&mut self, key: &str, text: &str) {
        if let [Stored::Text(present)] = self.values(key).as_slice()
            && present == text
        {
            return;
        }
        self.transaction_mut().put(ROOT, key, text).expect("the root takes any key");
        self.touched.insert(key.into());
    }

    /// Removes every value of `key` that this replica has seen. A value written concurrently stays.
    pub fn delete(&mut self, key: &str) {
        if self.values(key).is_empty() {
            return;
        }
        self.transaction_mut().delete(ROOT, key).expect("the key is there");
        self.touched.insert(key.into());
    }

    /// The values under `key` as this edit leaves them.
    pub fn values(&self, key: &str) -> Vec<Stored> {
        let found = self.transaction().get_all(ROOT, key).expect("the root is a map");
        found.into_iter().map(|(value, _)| stored(&value)).collect()
    }

    /// Makes the edit part of the document: one change. `None` when nothing was written.
    pub fn commit(mut self) -> Option<Committed> {
        let transaction = self.transaction.take().expect("present until committed");
        let written = u64::try_from(transaction.pending_ops()).expect("operations fit memory");
        if written == 0 {
            transaction.rollback();
            return None;
        }
        let time = i64::try_from(self.time.as_millis() / 1000).unwrap_or(i64::MAX);
        let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time));
        let hash = change::hash_of(&hash.expect("operations were written"));
        *self.book.op_counter += written;
        if let Some(last) = self.book.last {
            *last = Last { seq: last.seq + 1, max_op: *self.book.op_counter };
        }
        self.book.journal.record(&hash, self.touched.clone());
        Some(Committed { hash, touched: self.touched })
    }

    fn transaction(&self) -> &Transaction<'a> {
        self.transaction.as_ref().expect("present until committed")
    }

    fn transaction_mut(&mut self) -> &mut Transaction<'a> {
        self.transaction.as_mut().expect("present until committed")
    }
}
