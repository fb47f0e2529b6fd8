//! One live connection: who is at the other end, and what is being said about which document.

use std::collections::BTreeMap;

use super::clock::Moment;
use super::port::{EndpointId, Role};
use super::queue::TurnQueue;
use super::renewal::Renewal;
use crate::id::{ChangeHash, DocumentId};
use crate::limits::EXCHANGES_UNANSWERED_MAX;
use crate::sync::{Manner, State};
use crate::wire::{Capabilities, Capability, PeerId, StorageId};

/// One live connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) role: Role,
    /// Where it was dialled; `None` if the other end dialled.
    pub(super) endpoint: Option<EndpointId>,
    pub(super) phase: Phase,
    pub(super) exchanges: BTreeMap<DocumentId, Exchange>,
    /// Documents about which there may be something to say.
    pub(super) queue: TurnQueue<DocumentId>,
    /// Documents about which an answer is awaited, and until when: only so many at once.
    unanswered: BTreeMap<DocumentId, Moment>,
    /// Documents that the other end was told are opened, and until when it may speak first.
    opening: BTreeMap<DocumentId, Moment>,
    pub(super) liveness: Liveness,
    /// When what it permits ends, if it says so.
    pub(super) renewal: Option<Renewal>,
    /// How often the other end broke a rule.
    pub(super) strikes: u8,
    /// Bytes of its messages that wait for their documents to be loaded.
    pub(super) waiting_bytes: usize,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// The transport is being opened.
    Dialling,
    /// Whoever dialled has to say `join`, the other `peer`.
    Greeting,
    Up(Peer),
}

/// The other end of a connection, as it introduced itself.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    /// The store behind it, if that outlives the connection.
    pub(super) storage: Option<StorageId>,
    pub(super) capabilities: Capabilities,
}

/// Signs of life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    pub(super) heard: Moment,
    pub(super) pinged: Option<Moment>,
    pub(super) pings: u64,
}

/// What is being said about one document.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) state: State,
    pub(super) stage: Stage,
    /// Nothing is said for a while, because the other end said so.
    pub(super) halted: Option<Halt>,
    /// The other end has nothing of it.
    pub(super) is_unavailable: bool,
}

/// For how long nothing is said about a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    Until(Moment),
    /// For as long as the connection lasts.
    ForGood,
}

/// How far an exchange has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was said yet.
    New,
    /// The other end was told that we open the document, and have these heads; it speaks next.
    Opened { heads: Vec<ChangeHash> },
    /// Messages go back and forth.
    Active,
    /// Both have the same.
    Settled,
    /// Messages went back and forth and nothing came of it.
    Stalled,
}

impl Session {
    pub(super) fn new(role: Role, endpoint: Option<EndpointId>, phase: Phase, now: Moment) -> Self {
        Self {
            role,
            endpoint,
            phase,
            exchanges: BTreeMap::new(),
            queue: TurnQueue::new(),
            unanswered: BTreeMap::new(),
            opening: BTreeMap::new(),
            liveness: Liveness { heard: now, pinged: None, pings: 0 },
            renewal: None,
            strikes: 0,
            waiting_bytes: 0,
        }
    }

    /// The other end, once it has introduced itself.
    pub(super) fn peer(&self) -> Option<&Peer> {
        match &self.phase {
            Phase::Up(peer) => Some(peer),
            Phase::Dialling | Phase::Greeting => None,
        }
    }

    /// Whether both ends have the extension.
    pub(super) fn has(&self, capability: Capability) -> bool {
        self.peer().is_some_and(|peer| peer.capabilities.has(capability))
    }

    /// Whether the other end tells apart what is on its disk.
    pub(super) fn tells_durable(&self) -> bool {
        self.has(Capability::DurableHeads) || self.has(Capability::OpenMany)
    }

    /// Whether another exchange may be begun or continued now.
    pub(super) fn may_speak(&self) -> bool {
        self.unanswered.len() < EXCHANGES_UNANSWERED_MAX
    }

    /// Awaits an answer.
    pub(super) fn await_answer(&mut self, document: DocumentId, until: Moment) {
        self.unanswered.insert(document, until);
    }

    /// Awaits the first word about a document that was opened. Such may be any number.
    pub(super) fn await_first_word(&mut self, document: DocumentId, until: Moment) {
        self.opening.insert(document, until);
    }

    /// Awaits nothing any more about the document.
    pub(super) fn answered(&mut self, document: &DocumentId) {
        self.unanswered.remove(document);
        self.opening.remove(document);
    }

    /// Takes the documents of which nothing is awaited any longer, and those that were to be left alone until now.
    pub(super) fn take_overdue(&mut self, now: Moment) -> Vec<DocumentId> {
        let unanswered = self.unanswered.extract_if(.., |_, until| *until <= now);
        let mut overdue: Vec<_> = unanswered.map(|(document, _)| document).collect();
        for (document, _) in self.opening.extract_if(.., |_, until| *until <= now) {
            if let Some(exchange) = self.exchanges.get_mut(&document) {
                exchange.stage = Stage::Active;
            }
            overdue.push(document);
        }
        for (document, exchange) in &mut self.exchanges {
            if exchange.halted_until().is_some_and(|until| until <= now) {
                exchange.start_over();
                overdue.push(*document);
            }
        }
        overdue
    }

    /// When to look for those again.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let halts = self.exchanges.values().filter_map(Exchange::halted_until);
        self.unanswered.values().chain(self.opening.values()).copied().chain(halts).min()
    }
}

impl Exchange {
    pub(super) fn new(state: State) -> Self {
        Self { state, stage: Stage::New, halted: None, is_unavailable: false }
    }

    fn halted_until(&self) -> Option<Moment> {
        match self.halted {
            Some(Halt::Until(until)) => Some(until),
            Some(Halt::ForGood) | None => None,
        }
    }

    /// The other end has answered by something else than a sync message: the next word is as if it were the first.
    pub(super) fn start_over(&mut self) {
        let shared = State::decode(&self.state.encode(), Manner::OPEN).expect("it was encoded here");
        (self.state, self.stage, self.halted) = (shared, Stage::New, None);
    }
}
