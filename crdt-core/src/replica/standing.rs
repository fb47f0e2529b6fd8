//! Where the operations of one document stand: pending, refused, or confirmed and forgotten.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::event::{Failure, OperationId};
use crate::document::Document;
use crate::id::{ActorId, ChangeHash};

/// How an operation stands that is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// On its way to a relay's disk.
    Pending,
    /// A relay refused it.
    Rejected(Failure),
}

/// The operations of this device that no relay is known to have on its disk.
///
/// What is stored of it is small and seldom written: who wrote them, and up to where all is confirmed. From that and the
/// document they are found again.
#[derive(Debug, Default)]
pub(super) struct Standing {
    operations: BTreeMap<OperationId, OperationStatus>,
    /// Own actors, of this run and earlier ones, that wrote something not confirmed.
    actors: BTreeSet<ActorId>,
    /// Heads that were on a relay's disk.
    durable: Vec<ChangeHash>,
    /// Whether what is stored is out of date.
    is_dirty: bool,
    /// Whether anything is stored.
    is_stored: bool,
}

/// What is to be stored of a standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Record(Vec<u8>),
    /// Nothing any more: all is confirmed.
    Nothing,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    actors: BTreeSet<ActorId>,
    durable: Vec<ChangeHash>,
}

impl Standing {
    /// Finds again what was not confirmed when this was stored.
    pub(super) fn restore(value: &[u8], document: &Document) -> Result<Self, serde_json::Error> {
        let Record { actors, durable } = serde_json::from_slice(value)?;
        let unconfirmed = document.changes_since(&durable).into_iter();
        let own = unconfirmed.filter(|change| actors.contains(change.actor()));
        let operations: BTreeMap<_, _> =
            own.map(|change| (OperationId(change.hash()), OperationStatus::Pending)).collect();
        // A crash may have come between a confirmation and its being stored.
        let is_dirty = operations.is_empty();
        Ok(Self { operations, actors, durable, is_dirty, is_stored: true })
    }

    /// An operation was done.
    pub(super) fn queue(&mut self, operation: OperationId, actor: &ActorId) {
        if self.operations.is_empty() || !self.actors.contains(actor) {
            self.is_dirty = true;
        }
        self.actors.insert(actor.clone());
        self.operations.insert(operation, OperationStatus::Pending);
    }

    /// These heads are on a relay's disk. Returns the operations that are confirmed by that.
    pub(super) fn confirm(&mut self, heads: &[ChangeHash], document: &Document) -> Vec<OperationId> {
        if self.operations.is_empty() {
            return Vec::new();
        }
        let known: Vec<_> = heads.iter().filter(|head| document.contains(head)).copied().collect();
        if known.is_empty() {
            return Vec::new();
        }
        let uncovered: BTreeSet<_> =
            document.changes_since(&known).into_iter().map(|change| OperationId(change.hash())).collect();
        let pending = self.operations.keys().copied();
        let confirmed: Vec<_> = pending.filter(|operation| !uncovered.contains(operation)).collect();
        for operation in &confirmed {
            self.operations.remove(operation);
        }
        if !confirmed.is_empty() {
            self.durable = known;
            self.is_dirty = true;
        }
        if self.operations.is_empty() {
            self.actors.clear();
        }
        confirmed
    }

    /// A relay refuses what it has been sent. Returns the operations that are refused by that and were not before.
    pub(super) fn reject(&mut self, failure: &Failure) -> Vec<OperationId> {
        let pending = self.operations.iter_mut().filter(|(_, status)| **status == OperationStatus::Pending);
        let rejected = pending.map(|(operation, status)| {
            *status = OperationStatus::Rejected(failure.clone());
            *operation
        });
        rejected.collect()
    }

    /// Those not confirmed, refused ones included.
    pub(super) fn operations(&self) -> &BTreeMap<OperationId, OperationStatus> {
        &self.operations
    }

    /// How many are on their way.
    pub(super) fn pending(&self) -> usize {
        self.operations.values().filter(|status| **status == OperationStatus::Pending).count()
    }

    /// What is to be stored, if that changed.
    pub(super) fn take_record(&mut self) -> Option<Stored> {
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        if self.operations.is_empty() {
            return std::mem::take(&mut self.is_stored).then_some(Stored::Nothing);
        }
        self.is_stored = true;
        let record = Record { actors: self.actors.clone(), durable: self.durable.clone() };
        Some(Stored::Record(serde_json::to_vec(&record).expect("ids serialise")))
    }

    /// What was taken to be stored was not.
    pub(super) fn store_again(&mut self) {
        self.is_dirty = true;
        self.is_stored = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::event::ErrorClass;

    fn phone() -> ActorId {
        ActorId::from_bytes([1; 16])
    }

    fn put(document: &mut Document, key: &str) -> OperationId {
        let mut edit = document.edit();
        edit.put(key, "v");
        OperationId(edit.commit().expect("something was written").hash)
    }

    #[test]
    fn only_what_the_heads_cover_is_confirmed() {
        let mut document = Document::new(phone());
        let mut standing = Standing::default();
        let first = put(&mut document, "a");
        standing.queue(first, &phone());
        let covered = document.heads();
        let second = put(&mut document, "b");
        standing.queue(second, &phone());
        let unknown = ChangeHash::from_bytes([9; 32]);
        assert_eq!(standing.confirm(&[unknown], &document), []);
        assert_eq!(standing.confirm(&covered, &document), [first]);
        assert_eq!(standing.pending(), 1);
        assert_eq!(standing.confirm(&document.heads(), &document), [second]);
        assert_eq!(standing.pending(), 0);
    }

    #[test]
    fn what_was_pending_is_pending_after_a_restart_and_nothing_else() {
        let mut document = Document::new(phone());
        let mut laptop = Document::new(ActorId::from_bytes([2; 16]));
        let mut standing = Standing::default();
        let first = put(&mut document, "a");
        standing.queue(first, &phone());
        standing.confirm(&document.heads(), &document);
        assert_eq!(standing.take_record(), None, "it was confirmed before anything was stored");
        let second = put(&mut document, "b");
        standing.queue(second, &phone());
        let Some(Stored::Record(record)) = standing.take_record() else { panic!("something is pending") };
        let third = put(&mut document, "c");
        standing.queue(third, &phone());
        assert_eq!(standing.take_record(), None, "the record tells of it already");
        put(&mut laptop, "d");
        document.merge(&mut laptop).unwrap();

        let mut restarted = Document::load(&document.save(), ActorId::from_bytes([3; 16])).unwrap();
        let mut standing = Standing::restore(&record, &restarted).unwrap();
        let expected: BTreeSet<_> = [second, third].into();
        assert_eq!(standing.operations().keys().copied().collect::<BTreeSet<_>>(), expected);
        let fourth = put(&mut restarted, "e");
        standing.queue(fourth, restarted.actor());
        assert!(matches!(standing.take_record(), Some(Stored::Record(_))), "there is another actor");
        assert_eq!(standing.confirm(&restarted.heads(), &restarted).len(), 3);
        assert_eq!(standing.take_record(), Some(Stored::Nothing));
        assert_eq!(standing.take_record(), None);
    }

    #[test]
    fn what_is_rejected_is_told_once_and_may_still_be_confirmed() {
        let mut document = Document::new(phone());
        let mut standing = Standing::default();
        let operation = put(&mut document, "a");
        standing.queue(operation, &phone());
        let failure = Failure::new(ErrorClass::Authentication, "you may only read this");
        assert_eq!(standing.reject(&failure), [operation]);
        assert_eq!(standing.reject(&failure), []);
        assert_eq!(standing.pending(), 0);
        assert_eq!(standing.operations()[&operation], OperationStatus::Rejected(failure));
        assert_eq!(standing.confirm(&document.heads(), &document), [operation]);
    }
}
