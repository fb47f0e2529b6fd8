//! A device: a replica, its local store, and the driver around them.

mod person;
mod service;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::replica::{
    CommandId, CommandOutcome, ConnectionId, ConnectionStatus, EndpointId, Event as Told, Input,
    OutboxConfig, Output, RecordKey, Replica, ReplicaConfig, Role, StorageRequest, WriteId, WritePart,
    Writer,
};
use crdt_core::wire::{DeviceId, PeerId, SessionId, StorageId};

use self::shelf::{Job, Shelf};
use super::{Body, Node};
use crate::agenda::{Agenda, Entry};
use crate::chance::Chance;
use crate::deed;
use crate::disk::{Disk, Flush, Health, Outcome};
use crate::network::{Arrival, Delivery, LinkId, NodeId};
use crate::oracle::Violation;
use crate::oracle::convergence::Copy;
use crate::plan::{BEGINNING, DevicePlan, Person, Plan, Right};
use crate::plant::Plant;
use crate::stage::{Event, Stage};

/// Endpoints from here on are devices; those before are relays.
const FIRST_DEVICE: u32 = 100;

/// Most documents in memory: those of the world, and those that peers ask for while a disk is slow.
const DOCUMENTS_MAX: usize = 2_000;

/// How long an application waits before it connects with a new token.
const TOKEN_MILLIS: std::ops::RangeInclusive<u64> = 200..=5_000;

/// One device.
pub struct Device {
    body: Body,
    plan: Rc<Plan>,
    number: usize,
    plant: Option<Plant>,
    chance: Chance,
    /// There while there is power.
    replica: Option<Replica>,
    runs: u32,
    disk: Disk<Job>,
    shelf: Shelf,
    links: BTreeMap<ConnectionId, LinkId>,
    /// Operations that no write was asked for yet.
    unwritten: BTreeMap<DocumentId, Vec<ChangeHash>>,
    /// Places that the person does not want to be connected to.
    unwanted: BTreeSet<EndpointId>,
    /// Documents that the application has open.
    open: BTreeSet<DocumentId>,
    commands: u64,
    errands: Agenda<Errand>,
    /// When the replica is woken next.
    alarm: Option<Entry>,
    is_calm: bool,
}

/// What happens on the device later.
#[derive(Debug)]
enum Errand {
    /// A command reaches its service.
    Reach { command: CommandId, key: String, body: String },
    /// The service's answer arrives.
    Answer { command: CommandId, outcome: CommandOutcome },
    /// The application has a new token.
    Reconnect(EndpointId),
    /// The application has a new token before the old one ends.
    Renew(EndpointId),
    /// The disk has done what it will do soon.
    Claim(WriteId),
}

impl Device {
    pub fn new(plan: &Rc<Plan>, number: usize, plant: Option<Plant>) -> Self {
        let id = NodeId::Device(number);
        Self {
            body: Body::new(id, plan.devices[number].clock_off),
            number,
            plant,
            chance: Chance::new(plan.seed, &id.to_string()),
            replica: None,
            runs: 0,
            disk: Disk::new(plan.seed, &id.to_string(), plan.device_disk.clone()),
            shelf: Shelf::default(),
            links: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            open: BTreeSet::new(),
            commands: 0,
            errands: Agenda::new(BEGINNING),
            alarm: None,
            is_calm: false,
            plan: Rc::clone(plan),
        }
    }

    fn own(&self) -> &DevicePlan {
        &self.plan.devices[self.number]
    }

    fn person(&self) -> Person {
        self.own().person
    }

    fn config(&self) -> ReplicaConfig {
        let (name, habits) = (self.body.id().to_string(), self.own().habits);
        let session = format!("{name}-run-{}", self.runs);
        let peer = if habits.keeps_name { &name } else { &session };
        let device = DeviceId::new(&name).expect("a short text");
        let mut config = ReplicaConfig::new(
            PeerId::new(peer).expect("a short text"),
            device,
            SessionId::new(&session).expect("a short text"),
        );
        if habits.keeps_actor {
            config.writer = Writer::Kept(ActorId::derive(&["sim", &name, &self.plan.seed.to_string()]));
        }
        if habits.names_store {
            config.storage = Some(StorageId::new(&format!("store-of-{name}")).expect("a short text"));
        }
        // A world is short: what fails is tried again before it ends.
        config.outbox = OutboxConfig { attempt_max: Duration::from_secs(20), ..OutboxConfig::default() };
        config.outbox.backoff.longest = Duration::from_secs(30);
        config
    }

    /// Every place that the device connects to.
    fn endpoints(&self) -> Vec<(EndpointId, Role)> {
        let number = |n: usize| u32::try_from(n).expect("worlds are small");
        let relays = self.own().relays.iter().map(|n| (EndpointId(number(*n)), Role::Relay));
        let peers = self.own().peers.iter().map(|n| (EndpointId(FIRST_DEVICE + number(*n)), Role::Peer));
        relays.chain(peers).collect()
    }

    /// Lets something happen to the replica, and does what it wants done.
    fn tell(&mut self, stage: &mut Stage, input: Input) {
        let now = self.body.now(stage);
        let Some(replica) = &mut self.replica else { return };
        replica.handle(now, self.chance.rng(), input);
        self.drain(stage);
    }

    fn drain(&mut self, stage: &mut Stage) {
        while let Some(output) = self.replica.as_mut().and_then(Replica::poll_output) {
            if !self.body.may_output() {
                return;
            }
            self.carry_out(stage, output);
        }
        let Some(deadline) = self.replica.as_ref().and_then(Replica::next_deadline) else { return };
        let alarm = self.body.wake_at(stage, deadline);
        if let Some(earlier) = self.alarm.replace(alarm) {
            stage.agenda.cancel(earlier);
        }
    }

    fn carry_out(&mut self, stage: &mut Stage, output: Output) {
        let id = self.body.id();
        match output {
            Output::Dial { endpoint, connection } => {
                let to = match endpoint.0.checked_sub(FIRST_DEVICE) {
                    Some(device) => NodeId::Device(device as usize),
                    None => NodeId::Relay(endpoint.0 as usize),
                };
                let link = stage.network.dial(&mut stage.agenda, id, to);
                self.links.insert(connection, link);
            }
            Output::Close { connection } => {
                if let Some(link) = self.links.remove(&connection) {
                    stage.network.close(&mut stage.agenda, id, link);
                }
            }
            Output::Send { connection, frame } => {
                if let Some(link) = self.links.get(&connection) {
                    stage.send(id, *link, frame);
                }
            }
            Output::Storage(request) => self.store(stage, request),
            Output::Run { command, attempt } => self.request(stage, command, attempt),
            Output::Event(event) => self.hear(stage, event),
            other => unreachable!("no driver knows {other:?}"),
        }
    }

    fn store(&mut self, stage: &mut Stage, request: StorageRequest) {
        let id = self.body.id();
        let job = match request {
            StorageRequest::LoadIndex => Job::ReadIndex,
            StorageRequest::LoadDocument { document } => Job::ReadDocument(document),
            StorageRequest::Write { write, parts } => {
                let is_told = self.plant == Some(Plant::ForgetUnsynced);
                if is_told {
                    self.later(stage, Duration::ZERO, Errand::Claim(write));
                }
                self.write(write, parts, is_told)
            }
            other => unreachable!("no driver knows {other:?}"),
        };
        self.disk.submit(&mut stage.agenda, job, |flush| Event::Flushed(id, flush));
    }

    fn write(&mut self, write: WriteId, mut parts: Vec<WritePart>, is_told: bool) -> Job {
        let is_pending =
            |part: &WritePart| matches!(part, WritePart::Put { key: RecordKey::Standing(_), .. });
        if self.plant == Some(Plant::ForgetPending) {
            parts.retain(|part| !is_pending(part));
        }
        let mut operations = Vec::new();
        for part in &parts {
            if let WritePart::Append { document, .. } | WritePart::Replace { document, .. } = part {
                let written = self.unwritten.remove(document).unwrap_or_default();
                operations.extend(written.into_iter().map(|change| (*document, change)));
            }
        }
        Job::Write { write, parts, operations, is_told }
    }

    /// A write has reached the disk.
    fn keep(&mut self, stage: &mut Stage, parts: Vec<WritePart>, operations: Vec<(DocumentId, ChangeHash)>) {
        self.shelf.write(parts);
        for (document, change) in operations {
            stage.promises.kept(self.body.id(), document, change);
        }
    }

    /// The application is told something.
    fn hear(&mut self, stage: &mut Stage, event: Told) {
        let id = self.body.id();
        stage.note(format_args!("{id} tells {event:?}"));
        match event {
            Told::OperationQueued { document, operation } => {
                self.unwritten.entry(document).or_default().push(operation.0);
            }
            Told::OperationConfirmed { document, operation } => {
                stage.promises.confirmed(id, document, operation.0);
            }
            Told::OperationRejected { document, operation, failure }
                if stage.readers.right_of(document, self.person()) == Some(Right::Write)
                    && !stage.readers.is_doomed(document) =>
            {
                let (change, why) = (operation.0, failure.message);
                stage.require(Err(Violation::Unjust { device: id, document, change, why }));
            }
            Told::TokenDue { endpoint, .. } => {
                let wait = self.chance.millis(TOKEN_MILLIS);
                self.later(stage, wait, Errand::Renew(endpoint));
            }
            Told::CommandQueued { command } => stage.commands.taken(id, command.as_str()),
            Told::CommandDead { command, .. } => stage.commands.buried(command.as_str()),
            Told::NetworkChanged { endpoint, status: ConnectionStatus::Disconnected }
                if !self.unwanted.contains(&endpoint) =>
            {
                let wait = self.chance.millis(TOKEN_MILLIS);
                self.later(stage, wait, Errand::Reconnect(endpoint));
            }
            _ => {}
        }
    }

    fn later(&mut self, stage: &mut Stage, wait: Duration, errand: Errand) {
        self.errands.schedule(stage.now() + wait, errand);
        self.body.wake_in(stage, wait);
    }

    fn run_errand(&mut self, stage: &mut Stage, errand: Errand) {
        match errand {
            Errand::Reach { command, key, body } => self.reach(stage, command, &key, &body),
            Errand::Answer { command, outcome } => {
                self.tell(stage, Input::CommandDone { command, outcome });
            }
            Errand::Reconnect(endpoint) => {
                let wanted = self.endpoints().into_iter().find(|(known, _)| *known == endpoint);
                if let Some((endpoint, role)) = wanted.filter(|_| !self.unwanted.contains(&endpoint)) {
                    self.tell(stage, Input::Connect { endpoint, role });
                }
            }
            Errand::Renew(endpoint) => self.tell(stage, Input::Token { endpoint, token: "newer".to_owned() }),
            Errand::Claim(write) => self.tell(stage, Input::Stored { write }),
        }
    }

    fn connection_of(&self, link: LinkId) -> Option<ConnectionId> {
        self.links.iter().find(|(_, known)| **known == link).map(|(connection, _)| *connection)
    }

    fn copy(&self, replica: &Replica, id: DocumentId) -> Copy {
        let node = self.body.id();
        let Some(document) = replica.document(id) else {
            return Copy { node, heads: Vec::new(), content: None };
        };
        let kind = self.plan.documents.iter().find(|plan| plan.id == id).expect("opened as planned").kind;
        let texts = |values: Vec<crdt_core::document::Stored>| {
            values.iter().map(|value| value.as_text().unwrap_or_default().to_owned()).collect()
        };
        let mut content: Vec<_> = document.scan("").map(|(key, values)| (key, texts(values))).collect();
        let mut read = Document::load(&document.save(), ActorId::from_bytes([0; 16])).expect("just saved");
        content.push(("view".to_owned(), vec![deed::view(&mut read, kind, BEGINNING)]));
        Copy { node, heads: document.heads(), content: Some(content) }
    }
}

impl Node for Device {
    fn body(&self) -> &Body {
        &self.body
    }

    fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    fn power_on(&mut self, stage: &mut Stage) {
        self.runs += 1;
        let (config, now) = (self.config(), self.body.now(stage));
        self.replica = Some(Replica::new(config, now, self.chance.rng()));
        self.start_application(stage);
    }

    fn lose_power(&mut self, stage: &mut Stage) {
        for job in self.disk.lose_power().whole {
            if let Job::Write { parts, operations, .. } = job {
                self.keep(stage, parts, operations);
            }
        }
        self.replica = None;
        self.links.clear();
        self.unwritten.clear();
        self.open.clear();
        self.errands = Agenda::new(stage.now());
        self.alarm = None;
    }

    fn deliver(&mut self, stage: &mut Stage, delivery: Delivery) {
        let known = self.connection_of(delivery.link);
        match (delivery.arrival, known) {
            (Arrival::Accepted, _) => {
                let Some(replica) = &mut self.replica else { return };
                let connection = replica.accept();
                self.links.insert(connection, delivery.link);
                self.drain(stage);
            }
            (Arrival::Opened, Some(connection)) => self.tell(stage, Input::Connected { connection }),
            (Arrival::Frame(frame), Some(connection)) => {
                self.tell(stage, Input::Received { connection, frame });
            }
            (Arrival::Closed, Some(connection)) => {
                self.links.remove(&connection);
                let why = "the other end is gone".to_owned();
                self.tell(stage, Input::Closed { connection, why });
            }
            (_, None) => {}
        }
    }

    fn flushed(&mut self, stage: &mut Stage, flush: Flush) {
        let id = self.body.id();
        let batch = self.disk.flushed(&mut stage.agenda, flush, |flush| Event::Flushed(id, flush));
        let Some(batch) = batch else { return };
        let (is_done, reached) = match batch.outcome {
            Outcome::Done => (true, batch.jobs.len()),
            Outcome::Failed { reached } => (false, reached),
        };
        let why = || "the disk fails".to_owned();
        for (n, job) in batch.jobs.into_iter().enumerate() {
            let answer = match job {
                Job::ReadIndex if is_done => self.shelf.read_index(),
                Job::ReadIndex => Input::LoadFailed { document: None, why: why() },
                Job::ReadDocument(document) if is_done => self.shelf.read_document(document),
                Job::ReadDocument(document) => Input::LoadFailed { document: Some(document), why: why() },
                Job::Write { write, parts, operations, is_told } => {
                    if n < reached {
                        self.keep(stage, parts, operations);
                    } else {
                        for (document, change) in operations {
                            self.unwritten.entry(document).or_default().push(change);
                        }
                    }
                    if is_told {
                        continue;
                    }
                    if is_done { Input::Stored { write } } else { Input::StoreFailed { write, why: why() } }
                }
            };
            self.tell(stage, answer);
        }
    }

    fn wake(&mut self, stage: &mut Stage) {
        while let Some(errand) = self.errands.next_until(stage.now()) {
            self.run_errand(stage, errand);
        }
        self.tell(stage, Input::Wake);
    }

    fn act(&mut self, stage: &mut Stage, seed: u64) {
        self.act_as_person(stage, &mut Chance::new(seed, "act"));
    }

    fn permits_changed(&mut self, _: &mut Stage) {}

    fn say_goodbye(&mut self, _: &mut Stage) {}

    fn set_disk(&mut self, health: Health) {
        self.disk.set_health(health);
    }

    fn calm_down(&mut self, stage: &mut Stage) {
        self.is_calm = true;
        self.settle_down(stage);
    }

    fn audit(&self) -> Result<(), Violation> {
        let Some(replica) = &self.replica else { return Ok(()) };
        let node = self.body.id();
        let (amount, bound) = (replica.documents().count(), DOCUMENTS_MAX);
        if amount > bound {
            return Err(Violation::Unbounded { node, what: "documents", amount, bound });
        }
        Ok(())
    }

    fn copies(&self) -> Vec<(DocumentId, Copy)> {
        let Some(replica) = &self.replica else { return Vec::new() };
        self.open.iter().map(|document| (*document, self.copy(replica, *document))).collect()
    }

    fn contains(&self, document: DocumentId, change: &ChangeHash) -> bool {
        let open = self.replica.as_ref().and_then(|replica| replica.document(document));
        open.is_some_and(|open| open.contains(change))
    }

    fn is_durable(&self, _: DocumentId, _: &ChangeHash) -> bool {
        false
    }
}
