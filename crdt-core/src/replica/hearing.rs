//! What the replica hears, and what it makes of it.

use std::collections::BTreeSet;

use rand_core::Rng;

use super::Replica;
use super::config::Sharing;
use super::connections::ANSWER_MAX;
use super::conversation::begin;
use super::event::{ErrorClass, Event, Failure};
use super::holding::{Phase, Told, Waiting};
use super::port::{ConnectionId, Output, Role};
use super::queue::Priority;
use super::session::{Halt, Session, Stage};
use crate::document::{Applied, Document, Refusal, Touched};
use crate::id::{ChangeHash, DocumentId};
use crate::limits::{STRIKES_MAX, WAITING_BYTES_MAX};
use crate::sync::SyncError;
use crate::wire::{Capability, Denial, DenialCode, DocumentHeads, Frame, PeerId, PeerRef, Route};

impl Replica {
    pub(super) fn received(&mut self, connection: ConnectionId, bytes: &[u8], rng: &mut dyn Rng) {
        if !self.sessions.contains_key(&connection) {
            return;
        }
        self.note_heard(connection);
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => return self.break_off(connection, &error.to_string(), rng),
        };
        match frame {
            Frame::Join { sender, metadata, versions } => {
                self.joined(connection, sender, &metadata, &versions, rng);
            }
            Frame::Peer { route, metadata, version } => {
                self.answered(connection, route.sender, &metadata, version, rng);
            }
            Frame::Error { message, .. } => {
                self.outputs.push_back(Output::Close { connection });
                self.lost(connection, message, rng);
            }
            Frame::Leave { .. } => {
                self.outputs.push_back(Output::Close { connection });
                self.lost(connection, "the other end has left", rng);
            }
            Frame::Unknown { .. } | Frame::RemoteSubscription { .. } | Frame::RemoteHeads { .. } => {}
            frame => self.heard_from_peer(connection, frame, rng),
        }
    }

    /// Takes a frame that only somebody may send who has introduced itself.
    fn heard_from_peer(&mut self, connection: ConnectionId, frame: Frame<'_>, rng: &mut dyn Rng) {
        let Some(peer) = self.sessions.get(&connection).and_then(Session::peer).cloned() else {
            return self.break_off(connection, "the other end has not introduced itself", rng);
        };
        if spoken_by(&frame).is_some_and(|sender| sender != peer.id.borrowed()) {
            return self.break_off(connection, "a frame in somebody else's name", rng);
        }
        match frame {
            Frame::Request { document, data, .. } => self.hear(connection, document, data, true, rng),
            Frame::Sync { document, data, .. } => self.hear(connection, document, data, false, rng),
            Frame::Unavailable { document, .. } => self.hear_unavailable(connection, document),
            Frame::Durable { documents, .. } => {
                let is_relay =
                    self.sessions.get(&connection).is_some_and(|session| session.role == Role::Relay);
                for entry in documents.into_iter().filter(|_| is_relay) {
                    self.hear_durable(connection, &entry);
                }
            }
            Frame::Denied { denial, .. } => match denial.document {
                Some(document) => self.hear_denied(connection, document, &denial),
                None => self.refused(connection, &denial, rng),
            },
            Frame::GoingAway { going, .. } => self.sent_away(connection, &going, rng),
            Frame::Ping { count, .. } => {
                let route = Route { sender: self.config.peer.borrowed(), target: peer.id.borrowed() };
                let frame = Frame::Pong { route, count }.encode();
                self.outputs.push_back(Output::Send { connection, frame });
            }
            Frame::Permitted { expires_after, .. } => self.hear_permitted(connection, expires_after),
            Frame::Ephemeral(ephemeral) => self.hear_ephemeral(&ephemeral),
            Frame::Presence { route, presence } => self.hear_presence(route.sender, &presence),
            // Only relays are asked to open documents: nobody was told that we could.
            _ => {}
        }
    }

    /// Takes a sync message, or keeps it until its document is loaded.
    pub(super) fn hear(
        &mut self,
        connection: ConnectionId,
        document: DocumentId,
        data: &[u8],
        is_request: bool,
        rng: &mut dyn Rng,
    ) {
        let Some(session) = self.sessions.get(&connection) else { return };
        let is_followed = session.exchanges.contains_key(&document);
        let is_served = session.role == Role::Peer && self.config.sharing == Sharing::Stored;
        if !self.holdings.contains_key(&document) {
            if !is_followed && !is_served {
                return self.say_unavailable(connection, document);
            }
            self.load(document, None, Priority::Medium);
        }
        let holding = self.holdings.get_mut(&document).expect("being loaded at least");
        match &mut holding.phase {
            Phase::Loading { waiting } => {
                let message = Waiting { connection, data: data.to_vec(), is_request };
                let Some(session) = self.sessions.get_mut(&connection) else { return };
                session.waiting_bytes += message.cost();
                if session.waiting_bytes > WAITING_BYTES_MAX {
                    return self.break_off(connection, "too much at once about documents to be loaded", rng);
                }
                waiting.push_back(message);
            }
            Phase::Ready(ready) => {
                let is_here = !ready.document.is_empty();
                let is_welcome = is_followed || holding.wanted.is_some() || (is_here && is_served);
                if is_welcome {
                    self.take_in(connection, document, data, rng);
                } else {
                    self.unsettled.insert(document);
                    self.say_unavailable(connection, document);
                }
            }
        }
    }

    /// Takes a sync message into an open document, and prepares the answer.
    fn take_in(&mut self, connection: ConnectionId, document: DocumentId, data: &[u8], rng: &mut dyn Rng) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let Some(peer) = session.peer().cloned() else { return };
        let Some(holding) = self.holdings.get_mut(&document) else { return };
        let priority = holding.priority;
        let Some(ready) = holding.ready_mut() else { return };
        session.answered(&document);
        session.queue.push(document, priority);
        self.busy.insert(connection);
        let tells_durable = session.tells_durable();
        let is_relay = session.role == Role::Relay;
        let exchange = session.exchanges.entry(document).or_insert_with(|| begin(ready, &peer));
        exchange.is_unavailable = false;
        // Who asked for a pause has let the exchange go: a message that was late, or came twice, does not bring it back.
        exchange.halted = exchange.halted.filter(|halt| matches!(halt, Halt::Until(_)));
        let before = exchange.stage.clone();
        if matches!(before, Stage::New | Stage::Opened { .. }) {
            exchange.stage = Stage::Active;
        }
        let stage = exchange.stage.clone();
        let version = ready.document.version();
        let outcome = exchange.state.receive_into(&mut ready.document, data);
        let told =
            exchange.state.their_heads().map(<[ChangeHash]>::to_vec).filter(|_| is_relay && !tells_durable);
        let touched = ready.document.touched_since(version);
        self.tell_progress(document, &before, &stage, peer.clone());
        match outcome {
            Ok(applied) => {
                self.took_in(document, &applied, &touched, &peer.id);
                if let Some(heads) = told {
                    self.confirm(document, &heads);
                }
            }
            Err(SyncError::Apply(error)) => self.start_over(document, &error.to_string()),
            Err(error) => self.strike(connection, document, &error.to_string(), rng),
        }
    }

    /// Changes came in: tells the application and everybody else.
    fn took_in(&mut self, document: DocumentId, applied: &Applied, touched: &Touched, peer: &PeerId) {
        if let Some((change, refusal)) = applied.refused.first() {
            let class = match refusal {
                Refusal::SequenceTaken { .. } | Refusal::SequenceGap { .. } => ErrorClass::Conflict,
                _ => ErrorClass::Validation,
            };
            let count = applied.refused.len();
            let message = format!("{count} changes were refused, first {change}: {refusal}");
            let failure = Failure::new(class, message);
            self.event(Event::SyncFailed { document: Some(document), peer: Some(peer.clone()), failure });
        }
        if applied.changes.is_empty() {
            return;
        }
        self.tell_opened(document);
        let Some(ready) = self.holdings.get(&document).and_then(|holding| holding.ready()) else { return };
        let keys = match touched {
            Touched::Keys(keys) => {
                keys.iter().filter(|key| ready.document.values(key).len() > 1).cloned().collect()
            }
            Touched::Everything => conflicts(&ready.document),
        };
        let is_told = ready.told == Told::Opened;
        if is_told {
            self.event(Event::Changed { document, changes: applied.changes.len() });
        }
        if is_told && !keys.is_empty() {
            self.event(Event::ConflictSurfaced { document, keys });
        }
        self.unsettled.insert(document);
        self.introduce(document);
    }

    /// The document in memory can't go on: takes it from the local store again.
    fn start_over(&mut self, document: DocumentId, why: &str) {
        let failure = Failure::new(ErrorClass::Storage, why);
        self.event(Event::StorageFailed { document: Some(document), failure });
        let Some(holding) = self.holdings.remove(&document) else { return };
        for session in self.sessions.values_mut() {
            session.exchanges.remove(&document);
            session.answered(&document);
        }
        self.load(document, holding.wanted, holding.priority);
    }

    /// The other end sent something that no honest peer sends.
    fn strike(&mut self, connection: ConnectionId, document: DocumentId, why: &str, rng: &mut dyn Rng) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let Some(peer) = session.peer().cloned() else { return };
        session.strikes += 1;
        let is_last = session.strikes >= STRIKES_MAX;
        if let Some(exchange) = session.exchanges.get_mut(&document) {
            exchange.halted = Some(Halt::ForGood);
        }
        if session.has(Capability::Denial) {
            let route = Route { sender: self.config.peer.borrowed(), target: peer.id.borrowed() };
            let (document, retry_after) = (Some(document), None);
            let denial = Denial { document, code: DenialCode::Invalid, reason: why, retry_after };
            let frame = Frame::Denied { route, denial }.encode();
            self.outputs.push_back(Output::Send { connection, frame });
        }
        let failure = Failure::new(ErrorClass::Validation, why);
        self.event(Event::SyncFailed { document: Some(document), peer: Some(peer.id), failure });
        if is_last {
            self.break_off(connection, "too many messages that no honest peer sends", rng);
        }
    }

    fn say_unavailable(&mut self, connection: ConnectionId, document: DocumentId) {
        let Some(peer) = self.sessions.get(&connection).and_then(Session::peer) else { return };
        let route = Route { sender: self.config.peer.borrowed(), target: peer.id.borrowed() };
        let frame = Frame::Unavailable { route, document }.encode();
        self.outputs.push_back(Output::Send { connection, frame });
    }

    fn hear_unavailable(&mut self, connection: ConnectionId, document: DocumentId) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let Some(exchange) = session.exchanges.get_mut(&document) else { return };
        let holding = self.holdings.get(&document);
        let heads = holding.and_then(|holding| holding.ready()).map(|ready| ready.document.heads());
        // The answer may be to a question from before there was anything here. What was asked since waited for it.
        let is_outdated = heads.as_deref() != exchange.state.told_heads();
        exchange.start_over();
        exchange.is_unavailable = true;
        session.answered(&document);
        if let Some(holding) = holding.filter(|_| is_outdated) {
            session.queue.push(document, holding.priority);
        }
        self.busy.insert(connection);
        self.tell_unavailable(document);
    }

    /// Tells the application when a document it looks for is with nobody who is connected.
    fn tell_unavailable(&mut self, document: DocumentId) {
        let mut peers = self.sessions.values().filter(|session| session.peer().is_some());
        let has_nothing = |session: &Session| {
            session.exchanges.get(&document).is_some_and(|exchange| exchange.is_unavailable)
        };
        if !peers.all(has_nothing) {
            return;
        }
        let Some(holding) = self.holdings.get_mut(&document).filter(|holding| holding.wanted.is_some())
        else {
            return;
        };
        let Some(ready) = holding.ready_mut().filter(|ready| ready.told == Told::Nothing) else {
            return;
        };
        ready.told = Told::Unavailable;
        self.event(Event::Unavailable { document });
    }

    /// A relay tells what it has on its disk.
    fn hear_durable(&mut self, connection: ConnectionId, entry: &DocumentHeads) {
        let DocumentHeads { document, heads } = entry;
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let Some(peer) = session.peer().cloned() else { return };
        let Some(exchange) = session.exchanges.get_mut(document) else { return };
        let Some(ready) = self.holdings.get(document).and_then(|holding| holding.ready()) else { return };
        if let Stage::Opened { heads: opened } = &exchange.stage {
            let before = exchange.stage.clone();
            let is_current = ready.document.heads() == *heads;
            if opened == heads {
                exchange.state.agree(heads);
            }
            exchange.stage = if is_current { Stage::Settled } else { Stage::Active };
            exchange.is_unavailable = is_current && heads.is_empty();
            let (stage, is_unavailable) = (exchange.stage.clone(), exchange.is_unavailable);
            if is_current {
                session.answered(document);
                self.busy.insert(connection);
            } else if opened_is(&before, heads) {
                // We went on meanwhile: the next word is ours.
                session.answered(document);
                session.queue.push(*document, Priority::High);
                self.busy.insert(connection);
            }
            self.tell_progress(*document, &before, &stage, peer);
            if is_unavailable {
                self.tell_unavailable(*document);
            }
        }
        self.confirm(*document, heads);
    }

    /// A peer refuses something about a document.
    fn hear_denied(&mut self, connection: ConnectionId, document: DocumentId, denial: &Denial<'_>) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let Some(peer) = session.peer().cloned() else { return };
        let is_relay = session.role == Role::Relay;
        let Some(exchange) = session.exchanges.get_mut(&document) else { return };
        // A disk that fails works again some day, also where nobody says when.
        let is_passing = denial.code == DenialCode::Storage;
        let retry_after = denial.retry_after.or_else(|| is_passing.then_some(ANSWER_MAX));
        exchange.halted = Some(retry_after.map_or(Halt::ForGood, |after| Halt::Until(now + after)));
        exchange.is_unavailable = true;
        session.answered(&document);
        self.busy.insert(connection);
        let mut failure = Failure::new(denial.code.into(), denial.reason);
        failure.retry_after = retry_after;
        let is_final = retry_after.is_none();
        let ready = self.holdings.get_mut(&document).and_then(|holding| holding.ready_mut());
        let rejected = ready.filter(|_| is_final && is_relay).map(|ready| ready.standing.reject(&failure));
        for operation in rejected.into_iter().flatten() {
            let failure = failure.clone();
            self.event(Event::OperationRejected { document, operation, failure });
        }
        self.event(Event::SyncFailed { document: Some(document), peer: Some(peer.id), failure });
        self.unsettled.insert(document);
        self.tell_unavailable(document);
    }
}

/// Who speaks in a frame, where that must be the other end itself: messages to whoever is here are forwarded.
fn spoken_by<'a>(frame: &Frame<'a>) -> Option<PeerRef<'a>> {
    match frame {
        Frame::Request { route, .. }
        | Frame::Sync { route, .. }
        | Frame::Unavailable { route, .. }
        | Frame::Durable { route, .. }
        | Frame::Denied { route, .. }
        | Frame::Open { route, .. }
        | Frame::GoingAway { route, .. }
        | Frame::Ping { route, .. }
        | Frame::Pong { route, .. }
        | Frame::Permitted { route, .. } => Some(route.sender),
        _ => None,
    }
}

fn opened_is(stage: &Stage, heads: &[ChangeHash]) -> bool {
    matches!(stage, Stage::Opened { heads: opened } if opened == heads)
}

/// Every key with several values.
fn conflicts(document: &Document) -> BTreeSet<Box<str>> {
    document.scan("").filter(|(_, values)| values.len() > 1).map(|(key, _)| key.into()).collect()
}
