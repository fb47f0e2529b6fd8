//! What the replica says about its documents, to whom, and when.

use super::connections::ANSWER_MAX;
use super::event::{ErrorClass, Event, Failure};
use super::holding::{Holding, Ready, Told};
use super::port::{ConnectionId, Output, Role};
use super::queue::Priority;
use super::session::{Exchange, Peer, Session, Stage};
use super::timer::Timer;
use super::{Replica, Writer};
use crate::id::DocumentId;
use crate::limits::FRAME_DOCUMENTS_MAX;
use crate::sync::{Manner, State};
use crate::wire::{Capability, DocumentHeads, Frame, Route};

impl Replica {
    /// Tells everyone who is to follow the document what there is to tell.
    pub(super) fn introduce(&mut self, document: DocumentId) {
        let Some(holding) = self.holdings.get(&document) else { return };
        for (connection, session) in &mut self.sessions {
            if session.peer().is_some() && concerns(session, &document, holding) {
                session.queue.push(document, holding.priority);
                self.busy.insert(*connection);
            }
        }
    }

    /// Tells somebody who has just connected about every document.
    pub(super) fn introduce_all(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        for (document, holding) in &mut self.holdings {
            if concerns(session, document, holding) {
                session.queue.push(*document, holding.priority);
            }
            // Somebody else may have what nobody had.
            if let Some(ready) = holding.ready_mut().filter(|ready| ready.told == Told::Unavailable) {
                ready.told = Told::Nothing;
            }
        }
        self.busy.insert(connection);
    }

    /// An edit was made: it goes out at once, or together with others when conditions ask for that.
    pub(super) fn announce_edit(&mut self, document: DocumentId, priority: Priority) {
        let gather = self.conditions.pace().gather;
        if gather.is_zero() || priority == Priority::Critical {
            return self.introduce(document);
        }
        if self.gathering.is_empty() {
            self.timers.set(self.clock.now() + gather, Timer::Gathered);
        }
        self.gathering.insert(document);
    }

    pub(super) fn release_gathered(&mut self) {
        for document in std::mem::take(&mut self.gathering) {
            self.introduce(document);
        }
    }

    /// Says on one connection what there is to say, as far as its window goes.
    pub(super) fn speak(&mut self, connection: ConnectionId) {
        let least = self.conditions.pace().least;
        let mut opened = Vec::new();
        while let Some(session) = self.sessions.get_mut(&connection)
            && session.peer().is_some()
            && session.may_speak()
            && let Some(document) = session.queue.pop(least)
        {
            opened.extend(self.speak_about(connection, document));
        }
        self.open_there(connection, &opened);
        let deadline = self.sessions.get(&connection).and_then(Session::next_deadline);
        if let Some(deadline) = deadline {
            self.timers.set(deadline, Timer::Exchanges(connection));
        }
    }

    /// Has a relay open documents, many by one frame.
    fn open_there(&mut self, connection: ConnectionId, opened: &[DocumentHeads]) {
        let Some(peer) = self.sessions.get(&connection).and_then(Session::peer) else { return };
        let route = Route { sender: self.config.peer.borrowed(), target: peer.id.borrowed() };
        for documents in opened.chunks(FRAME_DOCUMENTS_MAX) {
            let frame = Frame::Open { route, documents: documents.to_vec() }.encode();
            self.outputs.push_back(Output::Send { connection, frame });
        }
    }

    /// Says the next thing about one document. What is returned is to be said by opening it.
    fn speak_about(&mut self, connection: ConnectionId, document: DocumentId) -> Option<DocumentHeads> {
        let now = self.clock.now();
        let session = self.sessions.get_mut(&connection)?;
        let peer = session.peer()?.clone();
        let ready = self.holdings.get_mut(&document)?.ready_mut()?;
        if matches!(self.config.writer, Writer::Kept(_)) && !ready.is_stored() {
            // It is spoken about again as soon as it is.
            return None;
        }
        let exchange = session.exchanges.entry(document).or_insert_with(|| begin(ready, &peer));
        if exchange.halted.is_some() {
            return None;
        }
        match &exchange.stage {
            Stage::New if session.role == Role::Relay && peer.capabilities.has(Capability::OpenMany) => {
                let heads = ready.document.heads();
                ready.document.mark_shared();
                exchange.stage = Stage::Opened { heads: heads.clone() };
                session.await_first_word(document, now + ANSWER_MAX);
                self.event(Event::SyncStarted { document, peer: peer.id });
                return Some(DocumentHeads { document, heads });
            }
            Stage::Opened { heads } if *heads == ready.document.heads() => return None,
            _ => {}
        }
        let is_first_word = exchange.state.their_heads().is_none();
        let message = exchange.state.generate_for(&mut ready.document);
        let heads = ready.document.heads();
        let is_agreed = exchange.state.their_heads() == Some(&heads);
        let before = exchange.stage.clone();
        exchange.stage = match (&message, is_agreed) {
            (_, true) => Stage::Settled,
            (None, false) if exchange.state.is_stalled() => Stage::Stalled,
            _ => Stage::Active,
        };
        let stage = exchange.stage.clone();
        if stage == Stage::Settled
            && before != Stage::Settled
            && let Some(storage) = &peer.storage
        {
            ready.set_shared(storage, exchange.state.encode());
        }
        match stage {
            Stage::Settled | Stage::Stalled => session.answered(&document),
            _ if message.is_some() => session.await_answer(document, now + ANSWER_MAX),
            _ => {}
        }
        let is_empty = ready.document.is_empty();
        if let Some(data) = message {
            let route = Route { sender: self.config.peer.borrowed(), target: peer.id.borrowed() };
            let data = data.as_slice();
            let frame = if is_empty && is_first_word {
                Frame::Request { route, document, data }
            } else {
                Frame::Sync { route, document, data }
            };
            self.outputs.push_back(Output::Send { connection, frame: frame.encode() });
        }
        self.tell_progress(document, &before, &stage, peer);
        None
    }

    /// Tells the application how an exchange goes.
    pub(super) fn tell_progress(&mut self, document: DocumentId, before: &Stage, after: &Stage, peer: Peer) {
        let is_under_way = |stage: &Stage| matches!(stage, Stage::Active | Stage::Opened { .. });
        if !is_under_way(before) && before != after {
            self.event(Event::SyncStarted { document, peer: peer.id.clone() });
        }
        if before == after {
            return;
        }
        match after {
            Stage::Settled => self.event(Event::SyncCompleted { document, peer: peer.id }),
            Stage::Stalled => {
                let failure =
                    Failure::new(ErrorClass::Conflict, "the exchange made no progress and was ended");
                self.event(Event::SyncFailed { document: Some(document), peer: Some(peer.id), failure });
            }
            Stage::New | Stage::Opened { .. } | Stage::Active => {}
        }
    }

    /// Goes on where answers were awaited in vain, or where the other end had asked for a pause.
    pub(super) fn check_exchanges(&mut self, connection: ConnectionId) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        for document in session.take_overdue(now) {
            let priority = self.holdings.get(&document).map_or(Priority::Low, |holding| holding.priority);
            session.queue.push(document, priority);
        }
        self.busy.insert(connection);
    }
}

/// Whether a document is to be spoken about on a connection.
fn concerns(session: &Session, document: &DocumentId, holding: &Holding) -> bool {
    let is_unconfirmed = || holding.ready().is_some_and(|ready| ready.standing.pending() > 0);
    holding.wanted.is_some()
        || session.exchanges.contains_key(document)
        || (session.role == Role::Relay && is_unconfirmed())
}

/// The beginning of an exchange, from where an earlier one ended.
pub(super) fn begin(ready: &Ready, peer: &Peer) -> Exchange {
    let shared = peer.storage.as_ref().and_then(|storage| ready.shared(storage));
    let state = shared.and_then(|shared| State::decode(shared, Manner::OPEN).ok());
    Exchange::new(state.unwrap_or_else(|| State::new(Manner::OPEN)))
}
