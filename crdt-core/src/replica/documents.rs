//! The replica's documents: opened, edited, stored, and let go.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::event::{ErrorClass, Event, Failure, OperationId, Quota};
use super::holding::{Holding, Phase, Ready, Told};
use super::port::{Intent, Output, RecordKey, StorageRequest, WriteId};
use super::queue::Priority;
use super::session::Halt;
use super::standing::Standing;
use super::timer::Timer;
use super::{Replica, Writer, Written};
use crate::document::Document;
use crate::id::{ActorId, ChangeHash, DocumentId};
use crate::limits::LOADS_MAX;
use crate::time::Timestamp;

/// What an edit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited<R> {
    /// What the edit returned.
    pub value: R,
    /// The operations it did, oldest first: none if it changed nothing.
    pub operations: Vec<OperationId>,
}

/// Why a document can't be edited now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    #[error("document {document} is not open")]
    NotOpen { document: DocumentId },
    #[error("{pending} operations of document {document} are not confirmed yet; no more than {max} may wait")]
    TooManyPending { document: DocumentId, pending: usize, max: usize },
}

impl Replica {
    /// Edits an open document. What the edit does is visible at once, pending, and on its way to the local store and to
    /// every peer.
    pub fn edit<R>(
        &mut self,
        now: Timestamp,
        rng: &mut dyn Rng,
        document: DocumentId,
        edit: impl FnOnce(&mut Document) -> R,
    ) -> Result<Edited<R>, EditError> {
        self.clock.advance(now);
        let max = self.config.quotas.pending_operations_max;
        let holding = self.holdings.get_mut(&document).filter(|holding| holding.wanted.is_some());
        let priority = holding.as_ref().map_or(Priority::Low, |holding| holding.priority);
        let ready = holding.and_then(Holding::ready_mut).filter(|ready| ready.told == Told::Opened);
        let ready = ready.ok_or(EditError::NotOpen { document })?;
        let pending = ready.standing.pending();
        if pending >= max {
            self.event(Event::QuotaExceeded { quota: Quota::PendingOperations, max });
            return Err(EditError::TooManyPending { document, pending, max });
        }
        let before = ready.document.heads();
        let value = edit(&mut ready.document);
        let mut operations = Vec::new();
        for change in ready.document.changes_since(&before) {
            let operation = OperationId(change.hash());
            ready.standing.queue(operation, change.actor());
            operations.push(operation);
        }
        for operation in &operations {
            self.event(Event::OperationQueued { document, operation: *operation });
        }
        if !operations.is_empty() {
            self.unsettled.insert(document);
            self.announce_edit(document, priority);
        }
        self.work(rng);
        Ok(Edited { value, operations })
    }

    pub(super) fn open(&mut self, document: DocumentId, intent: Intent, priority: Priority) {
        let max = self.config.quotas.open_documents_max;
        let is_wanted = |holding: &&Holding| holding.wanted.is_some();
        let is_new = !self.holdings.get(&document).as_ref().is_some_and(is_wanted);
        if is_new && self.holdings.values().filter(is_wanted).count() >= max {
            return self.event(Event::QuotaExceeded { quota: Quota::OpenDocuments, max });
        }
        match self.holdings.get_mut(&document) {
            None => self.load(document, Some(intent), priority),
            Some(holding) => {
                let intent = holding.wanted.map_or(intent, |wanted| wanted.min(intent));
                holding.priority = if is_new { priority } else { holding.priority.max(priority) };
                holding.wanted = Some(intent);
                if let Some(ready) = holding.ready_mut().filter(|_| is_new) {
                    ready.told = Told::Nothing;
                }
                self.ask_again(document);
                self.tell_opened(document);
                self.introduce(document);
            }
        }
    }

    /// Whoever refused the document for good may have changed their mind: asked for it by a person, it is tried once more.
    fn ask_again(&mut self, document: DocumentId) {
        let exchanges = self.sessions.values_mut().filter_map(|session| session.exchanges.get_mut(&document));
        for exchange in exchanges.filter(|exchange| exchange.halted == Some(Halt::ForGood)) {
            exchange.start_over();
        }
    }

    pub(super) fn close(&mut self, document: DocumentId) {
        if let Some(holding) = self.holdings.get_mut(&document) {
            holding.wanted = None;
            self.unsettled.insert(document);
        }
    }

    /// Asks the local store for a document.
    pub(super) fn load(&mut self, document: DocumentId, wanted: Option<Intent>, priority: Priority) {
        self.holdings.insert(document, Holding::loading(wanted, priority));
        self.outputs.push_back(Output::Storage(StorageRequest::LoadDocument { document }));
    }

    pub(super) fn index_loaded(&mut self, records: Vec<(RecordKey, Vec<u8>)>) {
        for (key, value) in records {
            match key {
                RecordKey::Standing(document) => {
                    self.unconfirmed.insert(document);
                }
                RecordKey::Command(_) => {
                    if let Err(error) = self.outbox.load(&value) {
                        let message = format!("a stored command can't be read: {error}");
                        let failure = Failure::new(ErrorClass::Storage, message);
                        self.event(Event::StorageFailed { document: None, failure });
                    }
                }
                RecordKey::Shared(..) => {}
            }
        }
        self.load_unconfirmed();
    }

    /// Loads documents in which an earlier run left something unconfirmed, a few at a time.
    fn load_unconfirmed(&mut self) {
        while self.unconfirmed_loading.len() < LOADS_MAX
            && let Some(document) = self.unconfirmed.pop_first()
        {
            if !self.holdings.contains_key(&document) {
                self.unconfirmed_loading.insert(document);
                self.load(document, None, Priority::Medium);
            }
        }
    }

    pub(super) fn document_loaded(
        &mut self,
        document: DocumentId,
        chunks: &[u8],
        records: Vec<(RecordKey, Vec<u8>)>,
        rng: &mut dyn Rng,
    ) {
        let Some(holding) = self.holdings.get_mut(&document) else { return };
        let Phase::Loading { waiting } = &mut holding.phase else { return };
        let waiting = std::mem::take(waiting);
        let ready = match read(chunks, records, &self.actor) {
            Ok(ready) => ready,
            Err(why) => {
                // What can't be read is left where it is, for somebody who can.
                self.holdings.remove(&document);
                let failure = Failure::new(ErrorClass::Storage, why);
                self.event(Event::StorageFailed { document: Some(document), failure });
                return self.loaded_one(document);
            }
        };
        holding.phase = Phase::Ready(Box::new(ready));
        self.tell_opened(document);
        for waiting in waiting {
            if let Some(session) = self.sessions.get_mut(&waiting.connection) {
                session.waiting_bytes -= waiting.cost();
                self.hear(waiting.connection, document, &waiting.data, waiting.is_request, rng);
            }
        }
        self.introduce(document);
        self.unsettled.insert(document);
        self.loaded_one(document);
    }

    fn loaded_one(&mut self, document: DocumentId) {
        if self.unconfirmed_loading.remove(&document) {
            self.load_unconfirmed();
        }
    }

    pub(super) fn load_failed(&mut self, document: Option<DocumentId>, why: String) {
        let after = self.config.storage_retry;
        let failure = Failure::new(ErrorClass::Storage, why).retried_after(after);
        self.timers.set(self.clock.now() + after, document.map_or(Timer::Index, Timer::Storage));
        self.event(Event::StorageFailed { document, failure });
    }

    /// Reads or writes again what failed to be.
    pub(super) fn try_storage_again(&mut self, document: DocumentId) {
        match self.holdings.get_mut(&document).map(|holding| &mut holding.phase) {
            Some(Phase::Loading { .. }) => {
                self.outputs.push_back(Output::Storage(StorageRequest::LoadDocument { document }));
            }
            Some(Phase::Ready(ready)) if ready.has_failed => {
                ready.write_again();
                self.unsettled.insert(document);
            }
            _ => {}
        }
    }

    pub(super) fn stored(&mut self, write: WriteId) {
        match self.writes.remove(&write) {
            Some(Written::Document(document)) => {
                let ready = self.holdings.get_mut(&document).and_then(Holding::ready_mut);
                if ready.is_some_and(|ready| ready.stored(write)) {
                    self.unsettled.insert(document);
                    if matches!(self.config.writer, Writer::Kept(_)) {
                        self.introduce(document);
                    }
                }
            }
            Some(Written::Command(command)) => self.command_stored(command),
            None => {}
        }
    }

    pub(super) fn store_failed(&mut self, write: WriteId, why: String) {
        let after = self.config.storage_retry;
        let failure = Failure::new(ErrorClass::Storage, why).retried_after(after);
        let document = match self.writes.remove(&write) {
            Some(Written::Document(document)) => {
                if let Some(ready) = self.holdings.get_mut(&document).and_then(Holding::ready_mut) {
                    ready.store_failed();
                }
                self.timers.set(self.clock.now() + after, Timer::Storage(document));
                Some(document)
            }
            Some(Written::Command(command)) => {
                self.unwritten.insert(command);
                self.timers.set(self.clock.now() + after, Timer::Outbox);
                None
            }
            None => return,
        };
        self.event(Event::StorageFailed { document, failure });
    }

    /// Writes what is to be written of a document, or lets it go.
    pub(super) fn settle(&mut self, document: DocumentId) {
        let Some(holding) = self.holdings.get_mut(&document) else { return };
        let write = WriteId(self.writes_begun);
        if let Some(parts) = holding.ready_mut().and_then(|ready| ready.take_write(document, write)) {
            return self.write(Written::Document(document), parts);
        }
        if holding.is_idle() {
            self.holdings.remove(&document);
            self.event(Event::Evicted { document });
        }
    }

    /// Tells the application that a document is open, once there is something to show or it may be created.
    pub(super) fn tell_opened(&mut self, document: DocumentId) {
        let Some(holding) = self.holdings.get_mut(&document) else { return };
        let wanted = holding.wanted;
        let Some(ready) = holding.ready_mut().filter(|ready| ready.told != Told::Opened) else { return };
        let is_new = ready.document.is_empty();
        let is_open = wanted == Some(Intent::OpenOrCreate) || (wanted == Some(Intent::Find) && !is_new);
        if is_open {
            ready.told = Told::Opened;
            self.event(Event::Opened { document, is_new });
        }
    }

    /// A durable relay has these heads.
    pub(super) fn confirm(&mut self, document: DocumentId, heads: &[ChangeHash]) {
        let Some(ready) = self.holdings.get_mut(&document).and_then(Holding::ready_mut) else { return };
        for operation in ready.standing.confirm(heads, &ready.document) {
            self.event(Event::OperationConfirmed { document, operation });
        }
        self.unsettled.insert(document);
    }
}

/// Opens what the local store holds of a document.
fn read(chunks: &[u8], records: Vec<(RecordKey, Vec<u8>)>, actor: &ActorId) -> Result<Ready, String> {
    let document = Document::load(chunks, actor.clone()).map_err(|error| error.to_string())?;
    let (mut standing, mut shared) = (Standing::default(), BTreeMap::new());
    for (key, value) in records {
        match key {
            RecordKey::Standing(_) => {
                standing = Standing::restore(&value, &document).map_err(|error| error.to_string())?;
            }
            RecordKey::Shared(_, storage) => {
                shared.insert(storage, value);
            }
            RecordKey::Command(_) => {}
        }
    }
    Ok(Ready::new(document, standing, shared))
}
