//! A device: its documents, its peers, and what is on its way between them. The client's whole behaviour, without I/O.
//!
//! A [`Replica`] is fed with [`Input`]s and drained of [`Output`]s. It knows no socket, no disk and no clock: a driver
//! carries outputs out, and tells as inputs what came of them.
//!
//! ```
//! use crdt_core::id::DocumentId;
//! use crdt_core::replica::{Input, Intent, Output, Priority, Replica, ReplicaConfig, StorageRequest};
//! use crdt_core::time::Timestamp;
//! use crdt_core::wire::{DeviceId, PeerId, SessionId};
//! # use rand_core::SeedableRng;
//! # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//!
//! let config = ReplicaConfig::new(PeerId::new("phone")?, DeviceId::new("pixel")?, SessionId::new("run-1")?);
//! let (cart, now) = (DocumentId::from_bytes([7; 16]), Timestamp::from_millis(1_700_000_000_000));
//! let mut phone = Replica::new(config, now, &mut rng);
//! let (intent, priority) = (Intent::OpenOrCreate, Priority::High);
//! phone.handle(now, &mut rng, Input::Open { document: cart, intent, priority });
//!
//! // A driver with an empty store.
//! while let Some(output) = phone.poll_output() {
//!     match output {
//!         Output::Storage(StorageRequest::LoadIndex) => {
//!             phone.handle(now, &mut rng, Input::IndexLoaded { records: vec![] });
//!         }
//!         Output::Storage(StorageRequest::LoadDocument { document }) => {
//!             let (chunks, records) = (vec![], vec![]);
//!             phone.handle(now, &mut rng, Input::DocumentLoaded { document, chunks, records });
//!         }
//!         other => println!("{other:?}"),
//!     }
//! }
//! let edited = phone.edit(now, &mut rng, cart, |document| {
//!     let mut edit = document.edit();
//!     edit.put("n/cart", "ring twice");
//!     edit.commit();
//! })?;
//! assert_eq!(edited.operations.len(), 1);
//! assert_eq!(phone.pending_operations(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | noun | is |
//! |---|---|
//! | [`Input`], [`Output`], [`StorageRequest`] | the driver's side |
//! | [`Event`], [`Failure`] | what the application is told |
//! | [`ConnectionStatus`] | how a connection that is to be kept stands |
//! | [`OperationStatus`] | how an operation stands: it is pending until a relay has it on its disk |
//! | [`Priority`], [`Conditions`] | who goes first, and how eagerly |
//! | [`Command`] | what is to be done elsewhere, kept in an outbox until it is |
//! | [`Present`] | who else is here |

mod backoff;
mod clock;
mod command;
mod commands;
mod company;
mod config;
mod connections;
mod conversation;
mod counts;
mod documents;
mod endpoint;
mod event;
mod hearing;
mod holding;
mod outbox;
mod pace;
mod port;
mod presence;
mod queue;
mod renewal;
mod session;
mod standing;

mod timer;

pub use self::backoff::Backoff;
pub use self::command::{Command, CommandId, CommandOutcome, CommandStatus};
pub use self::config::{LivenessConfig, Quotas, ReplicaConfig, Sharing, Writer};
pub use self::documents::{EditError, Edited};
pub use self::endpoint::{ConnectionStatus, DialConfig};
pub use self::event::{ErrorClass, Event, Failure, OperationId, Quota};
pub use self::outbox::OutboxConfig;
pub use self::pace::Conditions;
pub use self::port::{
    ConnectionId, EndpointId, Input, Intent, Output, RecordKey, Role, StorageRequest, WriteId, WritePart,
};
pub use self::presence::{PresenceConfig, Present};
pub use self::queue::Priority;
pub use self::standing::OperationStatus;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::Rng;

use self::clock::Clock;
use self::counts::Counts;
use self::endpoint::Endpoint;
use self::holding::{Holding, Ready};
use self::outbox::Outbox;
use self::presence::{Others, Own};
use self::session::Session;
use self::timer::{Timer, Timers};
use crate::document::Document;
use crate::id::{ActorId, DocumentId};
use crate::time::Timestamp;

/// A device. See the [module](self).
#[derive(Debug)]
pub struct Replica {
    config: ReplicaConfig,
    /// As whom this run writes.
    actor: ActorId,
    clock: Clock,
    timers: Timers,
    conditions: Conditions,
    /// What the system last said about there being a network.
    is_online: bool,

    holdings: BTreeMap<DocumentId, Holding>,
    /// Documents that may have something to be written, or may leave memory.
    unsettled: BTreeSet<DocumentId>,
    /// Documents with edits that wait for others to go with them.
    gathering: BTreeSet<DocumentId>,
    /// Documents with something unconfirmed from earlier runs, not loaded yet; and those being loaded.
    unconfirmed: BTreeSet<DocumentId>,
    unconfirmed_loading: BTreeSet<DocumentId>,

    endpoints: BTreeMap<EndpointId, Endpoint>,
    sessions: BTreeMap<ConnectionId, Session>,
    /// Connections on which there may be something to say.
    busy: BTreeSet<ConnectionId>,

    outbox: Outbox,
    others: Others,
    own: Own,
    /// Counts of ephemeral messages: those of others, and our own.
    heard: Counts,
    told: u64,

    writes: BTreeMap<WriteId, Written>,
    writes_begun: u64,
    /// Commands whose records could not be written.
    unwritten: BTreeSet<CommandId>,
    connections: u64,
    outputs: VecDeque<Output>,
}

/// What a write was for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    Document(DocumentId),
    Command(CommandId),
}

impl Replica {
    /// A replica that has just been started. Its first outputs ask the local store for what an earlier run left.
    pub fn new(config: ReplicaConfig, now: Timestamp, rng: &mut dyn Rng) -> Self {
        let actor = match &config.writer {
            Writer::Kept(actor) => actor.clone(),
            Writer::Fresh => {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                ActorId::from_bytes(bytes)
            }
        };
        Self {
            outbox: Outbox::new(config.outbox),
            config,
            actor,
            clock: Clock::new(now),
            timers: Timers::default(),
            conditions: Conditions::default(),
            is_online: true,
            holdings: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            gathering: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            unconfirmed_loading: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            sessions: BTreeMap::new(),
            busy: BTreeSet::new(),
            others: Others::default(),
            own: Own::default(),
            heard: Counts::default(),
            told: 0,
            writes: BTreeMap::new(),
            writes_begun: 0,
            unwritten: BTreeSet::new(),
            connections: 0,
            outputs: VecDeque::from([Output::Storage(StorageRequest::LoadIndex)]),
        }
    }

    /// Takes in something that happened.
    pub fn handle(&mut self, now: Timestamp, rng: &mut dyn Rng, input: Input) {
        self.clock.advance(now);
        match input {
            Input::Wake => {}
            Input::Open { document, intent, priority } => self.open(document, intent, priority),
            Input::Close { document } => self.close(document),
            Input::Connect { endpoint, role } => self.connect(endpoint, role),
            Input::Disconnect { endpoint } => self.disconnect(endpoint),
            Input::Connected { connection } => self.connected(connection),
            Input::Received { connection, frame } => self.received(connection, &frame, rng),
            Input::Heard { connection } => self.note_heard(connection),
            Input::Closed { connection, why } => self.lost(connection, &why, rng),
            Input::Token { endpoint, token } => self.renew(endpoint, &token),
            Input::NetworkUp => self.network_up(),
            Input::NetworkDown => self.is_online = false,
            Input::Conditions(conditions) => self.set_conditions(conditions),
            Input::IndexLoaded { records } => self.index_loaded(records),
            Input::DocumentLoaded { document, chunks, records } => {
                self.document_loaded(document, &chunks, records, rng);
            }
            Input::LoadFailed { document, why } => self.load_failed(document, why),
            Input::Stored { write } => self.stored(write),
            Input::StoreFailed { write, why } => self.store_failed(write, why),
            Input::Submit(command) => self.submit(command),
            Input::CommandDone { command, outcome } => self.command_done(&command, outcome, rng),
            Input::Revive { command } => self.revive(&command),
            Input::Discard { command } => self.discard(&command),
            Input::Appear { document, data } => self.appear(document, data),
            Input::Disappear { document } => self.disappear(document),
            Input::Active => self.own.active(self.clock.now()),
            Input::Broadcast { document, data } => self.broadcast(document, &data),
        }
        self.work(rng);
    }

    /// What is to be done next, in order. `None`: nothing, until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Wake`] if nothing happens before. Changes with every input.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|moment| self.clock.wall_at(moment))
    }

    /// Does what is due, and whatever the last input has made necessary.
    fn work(&mut self, rng: &mut dyn Rng) {
        while let Some(timer) = self.timers.pop(self.clock.now()) {
            self.woken(timer, rng);
        }
        self.run_commands();
        while let Some(connection) = self.busy.pop_first() {
            self.speak(connection);
        }
        while let Some(document) = self.unsettled.pop_first() {
            self.settle(document);
        }
    }

    fn woken(&mut self, timer: Timer, rng: &mut dyn Rng) {
        match timer {
            Timer::Dial(endpoint) => self.dial(endpoint),
            Timer::Liveness(connection) => self.check_liveness(connection, rng),
            Timer::Exchanges(connection) => self.check_exchanges(connection),
            Timer::Gathered => self.release_gathered(),
            Timer::Storage(document) => self.try_storage_again(document),
            Timer::Index => self.outputs.push_back(Output::Storage(StorageRequest::LoadIndex)),
            Timer::Renewal(connection) => self.check_renewal(connection),
            Timer::Outbox => self.check_outbox(rng),
            Timer::Presence => self.check_presence(),
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Writes parts under the next number, and notes what for.
    fn write(&mut self, what: Written, parts: Vec<WritePart>) {
        let write = WriteId(self.writes_begun);
        self.writes_begun += 1;
        self.writes.insert(write, what);
        self.outputs.push_back(Output::Storage(StorageRequest::Write { write, parts }));
    }
}

impl Replica {
    /// The document, if it is open. It is edited by [`Replica::edit`].
    pub fn document(&self, document: DocumentId) -> Option<&Document> {
        self.holdings.get(&document)?.ready().map(|ready| &ready.document)
    }

    /// Every document in memory.
    pub fn documents(&self) -> impl Iterator<Item = DocumentId> + '_ {
        self.holdings.keys().copied()
    }

    /// Where the operations of a document stand that are not confirmed.
    pub fn operations(&self, document: DocumentId) -> impl Iterator<Item = (OperationId, &OperationStatus)> {
        let ready = self.holdings.get(&document).and_then(Holding::ready);
        ready
            .into_iter()
            .flat_map(|ready| ready.standing.operations())
            .map(|(operation, status)| (*operation, status))
    }

    /// How many operations are on their way to a relay, over all documents.
    pub fn pending_operations(&self) -> usize {
        let ready = self.holdings.values().filter_map(Holding::ready);
        ready.map(|ready| ready.standing.pending()).sum()
    }

    /// Whether every change of the document is in the local store.
    pub fn is_stored(&self, document: DocumentId) -> bool {
        self.holdings.get(&document).is_none_or(|holding| holding.ready().is_some_and(Ready::is_stored))
    }

    /// How the connection to a place stands. A place that was never to be connected to is disconnected.
    pub fn status(&self, endpoint: EndpointId) -> ConnectionStatus {
        self.endpoints.get(&endpoint).map_or(ConnectionStatus::Disconnected, Endpoint::status)
    }

    /// The commands of the outbox, and where they stand.
    pub fn commands(&self) -> impl Iterator<Item = (&Command, CommandStatus)> {
        self.outbox.commands()
    }

    /// Who else is here.
    pub fn present(&self) -> impl Iterator<Item = Present> + '_ {
        self.others.iter(self.clock.now())
    }

    /// As whom this run writes.
    pub fn actor(&self) -> &ActorId {
        &self.actor
    }
}

#[cfg(any(test, fuzzing))]
pub mod tests;
