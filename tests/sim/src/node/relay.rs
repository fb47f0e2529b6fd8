//! A relay: a hub, its store, and the driver around them.

mod feed;
mod hubs;
mod vault;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::limits::FRAME_BYTES_MAX;
use crdt_core::sync::Message;
use crdt_core::wire::{Frame, PeerId, StorageId};
use relay::access::{Permit, Right as Granted};
use relay::hub::{Input, Limits, Output, Rate};
use relay::id::{ConnectionId, DocumentKey};

use self::feed::Follower;
use self::hubs::Hubs;
use self::vault::{Answer, Job, Vault, granted, key_of, subject_of, tenant};
use super::{Body, Node};
use crate::agenda::Agenda;
use crate::chance::Chance;
use crate::disk::{Disk, Flush, Health, Outcome};
use crate::network::{Arrival, Delivery, LinkId, NodeId};
use crate::oracle::Violation;
use crate::oracle::convergence::Copy;
use crate::plan::{BEGINNING, Order, Person, Plan};
use crate::plant::Plant;
use crate::stage::{Event, Stage};

/// Bytes that a room may take beside what its document's cached and held changes take.
const ROOM_BYTES_MAX: usize = 256 << 10;

/// Bytes of short answers that may wait beside what is made only when there is room.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// One relay.
pub struct Relay {
    body: Body,
    plan: Rc<Plan>,
    plant: Option<Plant>,
    chance: Chance,
    limits: Limits,
    /// There while there is power.
    hubs: Option<Hubs>,
    disk: Disk<Job>,
    vault: Vault,
    sockets: BTreeMap<LinkId, Socket>,
    links: BTreeMap<ConnectionId, LinkId>,
    connections: u64,
    /// Documents that the disk was asked for.
    loading: BTreeSet<DocumentKey>,
    errands: Agenda<Errand>,
    /// What the operator wants done, and is not done.
    orders: Vec<Order>,
    /// Follows the change feed, from somewhere where power never fails.
    follower: Follower,
    is_calm: bool,
}

/// One connection, as the driver has it.
#[derive(Debug)]
struct Socket {
    connection: ConnectionId,
    peer: NodeId,
    /// How it introduced itself.
    join: Option<Vec<u8>>,
    /// What has come since it was told to rest.
    parked: Option<VecDeque<Vec<u8>>>,
    /// Bytes that its socket has not taken.
    queued: usize,
    last_sent: Vec<u8>,
    /// The next frame is kept from it.
    is_hushed: bool,
}

/// What happens on the relay later.
#[derive(Debug)]
enum Errand {
    Tick,
    /// A socket has taken a frame.
    Written {
        link: LinkId,
        from: usize,
        bytes: usize,
    },
    /// A connection has rested.
    Resume(LinkId),
    /// The disk has done what it will do soon.
    Claim(Input),
    /// The operator asks again for what is not done.
    Insist,
}

impl Relay {
    pub fn new(plan: &Rc<Plan>, number: usize, plant: Option<Plant>) -> Self {
        let id = NodeId::Relay(number);
        Self {
            body: Body::new(id, 0),
            plant,
            chance: Chance::new(plan.seed, &id.to_string()),
            limits: limits(plan),
            hubs: None,
            disk: Disk::new(plan.seed, &id.to_string(), plan.relay_disk.clone()),
            vault: Vault::new(plant),
            sockets: BTreeMap::new(),
            links: BTreeMap::new(),
            connections: 0,
            loading: BTreeSet::new(),
            errands: Agenda::new(BEGINNING),
            orders: Vec::new(),
            follower: Follower::default(),
            is_calm: false,
            plan: Rc::clone(plan),
        }
    }

    fn person_of(&self, peer: NodeId) -> Person {
        match peer {
            NodeId::Device(n) => self.plan.devices[n].person,
            NodeId::Stranger(n) => self.plan.strangers[n].person,
            NodeId::Relay(_) => unreachable!("relays don't connect to each other"),
        }
    }

    /// What somebody at the other end of a connection may do now.
    fn permit(&self, stage: &Stage, peer: NodeId) -> Permit {
        let (person, ways) = (self.person_of(peer), &self.plan.relay_ways);
        let mut permit = Permit::user(tenant(), subject_of(person));
        let is_named = |document: &DocumentId| {
            ways.permits_name_documents
                || !self.plan.documents.iter().any(|plan| plan.id == *document && plan.owner == person)
        };
        permit.documents = stage
            .readers
            .permits_of(person)
            .filter(|(document, _)| is_named(document))
            .map(|(document, right)| (document, granted(right)))
            .collect();
        permit.may_create = !ways.permits_name_documents && matches!(peer, NodeId::Device(_));
        if person == self.plan.service() {
            permit.everywhere = Some(Granted::Write);
            permit.may_follow = true;
        } else if self.plant == Some(Plant::ServeAnyone) {
            permit.everywhere = Some(Granted::Read);
        }
        if let Some(millis) = ways.permit_millis.filter(|_| !self.is_calm) {
            permit.expires = self.body.now(stage) + Duration::from_millis(millis);
        }
        permit
    }

    /// Lets something happen to the hub, and does what it wants done.
    fn tell(&mut self, stage: &mut Stage, input: Input) {
        let now = self.body.now(stage);
        let Some(hubs) = &mut self.hubs else { return };
        hubs.handle(now, input);
        self.drain(stage);
    }

    fn drain(&mut self, stage: &mut Stage) {
        let now = self.body.now(stage);
        while let Some((from, output)) = self.hubs.as_mut().and_then(|hubs| hubs.poll_output(now)) {
            if !self.body.may_output() {
                return;
            }
            self.carry_out(stage, from, output);
        }
    }

    fn carry_out(&mut self, stage: &mut Stage, from: usize, output: Output) {
        let id = self.body.id();
        match output {
            Output::Send { connection, frame } => self.send(stage, from, connection, frame),
            Output::Close { connection, reason } => {
                stage.note(format_args!("{id} closes {connection:?}: {reason}"));
                if let Some(link) = self.links.remove(&connection) {
                    self.sockets.remove(&link);
                    stage.network.close(&mut stage.agenda, id, link);
                }
                let now = self.body.now(stage);
                if let Some(hubs) = &mut self.hubs {
                    // Another hub than the front may have had enough of it.
                    hubs.handle(now, Input::Closed { connection });
                }
            }
            Output::Pause { connection, until } => {
                let Some(link) = self.links.get(&connection).copied() else { return };
                let socket = self.sockets.get_mut(&link).expect("both are kept together");
                socket.parked.get_or_insert_default();
                let wait = until.since(self.body.now(stage));
                self.later(stage, wait, Errand::Resume(link));
            }
            Output::Renew { connection, .. } => {
                // Tokens of this world say nothing: everybody is who their connection says.
                let Some(link) = self.links.get(&connection) else { return };
                let peer = self.sockets[link].peer;
                let permit = self.permit(stage, peer);
                self.tell(stage, Input::Permitted { connection, permit });
            }
            Output::Load { key } => {
                self.loading.insert(key.clone());
                self.submit(stage, Job::Load { key });
            }
            Output::Read { key, positions, snapshot } => {
                self.submit(stage, Job::Read { key, positions, snapshot });
            }
            Output::Append(append) if self.plant == Some(Plant::AdvertiseBeforeStored) => {
                let key = append.key.clone();
                let stored = self.vault.pretend(append.clone());
                self.later(stage, Duration::ZERO, Errand::Claim(Input::Stored { key, stored }));
                self.submit(stage, Job::Catch(append));
            }
            Output::Append(append) => self.submit(stage, Job::Append(append)),
            Output::Compact { key, through } => self.submit(stage, Job::Pack { key, through }),
            Output::Advanced { sequence, .. } => {
                self.read_feed();
                let end = self.follower.cursor();
                if end < sequence {
                    stage.require(Err(Violation::Behind { relay: id, end, advanced: sequence }));
                }
            }
            // For people who watch.
            Output::Noted { .. } => {}
            other => unreachable!("no driver knows {other:?}"),
        }
    }

    fn submit(&mut self, stage: &mut Stage, job: Job) {
        let id = self.body.id();
        self.disk.submit(&mut stage.agenda, job, |flush| Event::Flushed(id, flush));
    }

    fn read_feed(&mut self) {
        while self.follower.take(self.vault.feed(self.follower.cursor())) {}
    }

    fn send(&mut self, stage: &mut Stage, from: usize, connection: ConnectionId, frame: Vec<u8>) {
        let Some(link) = self.links.get(&connection).copied() else { return };
        let socket = self.sockets.get_mut(&link).expect("both are kept together");
        if std::mem::take(&mut socket.is_hushed) {
            return;
        }
        socket.queued += frame.len();
        socket.last_sent.clone_from(&frame);
        let peer = socket.peer;
        self.judge(stage, peer, &frame);
        let bytes = frame.len();
        let wait = self.chance.millis(0..=self.plan.relay_ways.socket_millis);
        self.later(stage, wait, Errand::Written { link, from, bytes });
        stage.send(self.body.id(), link, frame);
    }

    /// Notes what a frame promises, and whether its receiver may know what it tells.
    fn judge(&self, stage: &mut Stage, peer: NodeId, frame: &[u8]) {
        let (id, person) = (self.body.id(), self.person_of(peer));
        let mut tells = |document: DocumentId, heads: &[ChangeHash], has_content: bool| {
            stage.promises.advertised(id, document, heads);
            if has_content || !heads.is_empty() {
                let verdict = stage.readers.require(id, document, person);
                stage.require(verdict);
            }
        };
        match Frame::decode(frame).expect("a hub sends whole frames") {
            Frame::Sync { document, data, .. } => {
                let message = Message::decode(data).expect("a hub sends whole messages");
                tells(document, &message.heads, !message.chunks.is_empty());
            }
            Frame::Durable { documents, .. } => {
                for entry in documents {
                    tells(entry.document, &entry.heads, false);
                }
            }
            Frame::Ephemeral(ephemeral) => tells(ephemeral.document, &[], true),
            Frame::Presence { presence, .. } => {
                if let Some(document) = presence.document {
                    tells(document, &[], true);
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, stage: &mut Stage, link: LinkId, frame: Vec<u8>) {
        let Some(socket) = self.sockets.get_mut(&link) else { return };
        if let Some(parked) = &mut socket.parked {
            return parked.push_back(frame);
        }
        if socket.join.is_none() && matches!(Frame::decode(&frame), Ok(Frame::Join { .. })) {
            socket.join = Some(frame.clone());
        }
        let connection = socket.connection;
        if self.plant == Some(Plant::LoseHeldBack) && self.is_loading(&frame) {
            return stage.note(format_args!("{} loses a frame", self.body.id()));
        }
        if self.plant == Some(Plant::ForgetExchanges) && self.chance.percent(2) {
            return self.forget(stage, link, frame);
        }
        self.tell(stage, Input::Received { connection, frame });
    }

    fn is_loading(&self, frame: &[u8]) -> bool {
        let Ok(Frame::Sync { document, .. } | Frame::Request { document, .. }) = Frame::decode(frame) else {
            return false;
        };
        self.loading.iter().any(|key| key.document == document)
    }

    /// Forgets everything about a connection but that it is there; its other end learns nothing.
    fn forget(&mut self, stage: &mut Stage, link: LinkId, frame: Vec<u8>) {
        let socket = &self.sockets[&link];
        let (before, peer, join) = (socket.connection, socket.peer, socket.join.clone());
        self.links.remove(&before);
        self.tell(stage, Input::Closed { connection: before });
        stage.note(format_args!("{} forgets {link}", self.body.id()));
        let connection = self.connect(stage, link, peer);
        if let Some(join) = join {
            let socket = self.sockets.get_mut(&link).expect("just connected");
            (socket.join, socket.is_hushed) = (Some(join.clone()), true);
            self.tell(stage, Input::Received { connection, frame: join });
        }
        self.tell(stage, Input::Received { connection, frame });
    }

    fn connect(&mut self, stage: &mut Stage, link: LinkId, peer: NodeId) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let socket = Socket {
            connection,
            peer,
            join: None,
            parked: None,
            queued: 0,
            last_sent: Vec::new(),
            is_hushed: false,
        };
        self.sockets.insert(link, socket);
        self.links.insert(connection, link);
        let permit = self.permit(stage, peer);
        self.tell(stage, Input::Connected { connection, permit });
        connection
    }

    fn later(&mut self, stage: &mut Stage, wait: Duration, errand: Errand) {
        self.errands.schedule(stage.now() + wait, errand);
        self.body.wake_in(stage, wait);
    }

    fn run_errand(&mut self, stage: &mut Stage, errand: Errand) {
        match errand {
            Errand::Tick => {
                self.tell(stage, Input::Tick);
                if self.plant == Some(Plant::NeverEnd) {
                    self.repeat_itself(stage);
                }
                self.later(stage, Duration::from_secs(1), Errand::Tick);
            }
            Errand::Written { link, from, bytes } => {
                let Some(socket) = self.sockets.get_mut(&link) else { return };
                socket.queued -= bytes.min(socket.queued);
                let connection = socket.connection;
                let now = self.body.now(stage);
                if let Some(hubs) = &mut self.hubs {
                    hubs.written(now, from, Input::Written { connection, bytes });
                }
                self.drain(stage);
            }
            Errand::Insist => self.insist(stage),
            Errand::Resume(link) => {
                let parked = self.sockets.get_mut(&link).and_then(|socket| socket.parked.take());
                for frame in parked.into_iter().flatten() {
                    self.receive(stage, link, frame);
                }
            }
            Errand::Claim(input) => self.tell(stage, input),
        }
    }

    /// Says to everyone again what was said last.
    fn repeat_itself(&self, stage: &mut Stage) {
        for (link, socket) in &self.sockets {
            if matches!(Frame::decode(&socket.last_sent), Ok(Frame::Sync { .. })) {
                stage.send(self.body.id(), *link, socket.last_sent.clone());
            }
        }
    }

    fn answer(&mut self, stage: &mut Stage, answer: Answer) {
        match answer {
            Answer::Tell(input) => {
                if let Input::Loaded { key, .. } = &input {
                    self.loading.remove(key);
                }
                self.tell(stage, input);
            }
            Answer::More(job) => self.submit(stage, job),
            Answer::Obeyed(order, input) => {
                self.orders.retain(|other| *other != order);
                match input {
                    Some(input) => {
                        stage.readers.done(order);
                        self.tell(stage, input);
                    }
                    None => stage.readers.dropped(order),
                }
            }
        }
    }

    /// The operator asks for everything that is not done.
    fn insist(&mut self, stage: &mut Stage) {
        for order in self.orders.clone() {
            self.submit(stage, Job::Order(order));
        }
    }

    fn within(&self, what: &'static str, amount: usize, bound: usize) -> Result<(), Violation> {
        let node = self.body.id();
        if amount > bound { Err(Violation::Unbounded { node, what, amount, bound }) } else { Ok(()) }
    }
}

impl Node for Relay {
    fn body(&self) -> &Body {
        &self.body
    }

    fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    fn power_on(&mut self, stage: &mut Stage) {
        let name = self.body.id().to_string();
        let store = StorageId::new(&format!("store-of-{name}")).expect("a short text");
        let is_bounded = self.plant != Some(Plant::BoundNothing);
        let limits = if is_bounded { self.limits } else { boundless() };
        let id = PeerId::new(&name).expect("a short text");
        self.hubs = Some(Hubs::new(&id, &store, limits, self.plan.relay_ways.hubs));
        self.vault.reopen();
        self.insist(stage);
        self.later(stage, Duration::from_secs(1), Errand::Tick);
    }

    fn lose_power(&mut self, stage: &mut Stage) {
        let jobs = self.disk.lose_power().whole;
        self.vault.work_unheard(jobs);
        self.hubs = None;
        self.sockets.clear();
        self.links.clear();
        self.loading.clear();
        self.errands = Agenda::new(stage.now());
    }

    fn deliver(&mut self, stage: &mut Stage, delivery: Delivery) {
        let link = delivery.link;
        match delivery.arrival {
            Arrival::Accepted => {
                self.connect(stage, link, delivery.from);
            }
            Arrival::Frame(frame) => self.receive(stage, link, frame),
            Arrival::Closed => {
                if let Some(socket) = self.sockets.remove(&link) {
                    self.links.remove(&socket.connection);
                    self.tell(stage, Input::Closed { connection: socket.connection });
                }
            }
            Arrival::Opened => {}
        }
    }

    fn flushed(&mut self, stage: &mut Stage, flush: Flush) {
        let id = self.body.id();
        let batch = self.disk.flushed(&mut stage.agenda, flush, |flush| Event::Flushed(id, flush));
        let Some(mut batch) = batch else { return };
        match batch.outcome {
            Outcome::Done => {
                for answer in self.vault.work(batch.jobs) {
                    self.answer(stage, answer);
                }
            }
            Outcome::Failed { reached } => {
                let failed = batch.jobs.iter().map(Vault::failure_of).collect::<Vec<_>>();
                batch.jobs.truncate(reached);
                self.vault.work_unheard(batch.jobs);
                self.vault.reopen();
                for input in failed.into_iter().flatten() {
                    self.answer(stage, Answer::Tell(input));
                }
                if !self.orders.is_empty() {
                    self.later(stage, Duration::from_secs(1), Errand::Insist);
                }
            }
        }
    }

    fn wake(&mut self, stage: &mut Stage) {
        while let Some(errand) = self.errands.next_until(stage.now()) {
            self.run_errand(stage, errand);
        }
    }

    fn act(&mut self, _: &mut Stage, _: u64) {}

    fn permits_changed(&mut self, stage: &mut Stage) {
        let sockets: Vec<_> = self.sockets.values().map(|socket| (socket.connection, socket.peer)).collect();
        for (connection, peer) in sockets {
            let permit = self.permit(stage, peer);
            self.tell(stage, Input::Permitted { connection, permit });
        }
    }

    fn obey(&mut self, stage: &mut Stage, order: Order) {
        self.orders.push(order);
        if self.body.is_on() {
            self.submit(stage, Job::Order(order));
        }
    }

    fn say_goodbye(&mut self, stage: &mut Stage) {
        let (reconnect_after_min, reconnect_after_max) = (Duration::from_millis(500), Duration::from_secs(5));
        self.tell(stage, Input::GoingAway { reconnect_after_min, reconnect_after_max });
    }

    fn set_disk(&mut self, health: Health) {
        self.disk.set_health(health);
    }

    fn calm_down(&mut self, stage: &mut Stage) {
        self.is_calm = true;
        self.permits_changed(stage);
    }

    fn audit(&self) -> Result<(), Violation> {
        let Some(hubs) = &self.hubs else { return Ok(()) };
        let hub_count = usize::from(self.plan.relay_ways.hubs.get());
        let limits = &self.limits;
        for socket in self.sockets.values() {
            let bound = hub_count * (limits.queue_bytes_high + FRAME_BYTES_MAX.min(ANSWER_BYTES_MAX));
            self.within("bytes for one connection", socket.queued, bound)?;
        }
        let rooms = hubs.rooms();
        let followed = hub_count * self.sockets.len() * limits.documents_per_connection_max;
        self.within("rooms", rooms, self.plan.documents.len() + self.loading.len() + followed)?;
        let bytes = limits.cache_bytes_max + limits.held_bytes_max + rooms * ROOM_BYTES_MAX;
        self.within("bytes of memory", hubs.memory_bytes(), bytes)
    }

    fn account(&mut self, stage: &Stage) -> Result<(), Violation> {
        self.read_feed();
        let relay = self.body.id();
        for plan in &self.plan.documents {
            let (document, heads) = (plan.id, self.vault.heads(&key_of(plan.id)));
            if stage.readers.is_doomed(document) && !heads.is_empty() {
                return Err(Violation::Risen { relay, document });
            }
            if self.follower.heads_of(document) != heads {
                return Err(Violation::Untold { relay, document });
            }
        }
        Ok(())
    }

    fn copies(&self) -> Vec<(DocumentId, Copy)> {
        let copy = |document: DocumentId| Copy {
            node: self.body.id(),
            heads: self.vault.heads(&key_of(document)),
            content: None,
        };
        self.plan.documents.iter().map(|plan| (plan.id, copy(plan.id))).collect()
    }

    fn contains(&self, document: DocumentId, change: &ChangeHash) -> bool {
        self.vault.is_durable(document, change)
    }

    fn is_durable(&self, document: DocumentId, change: &ChangeHash) -> bool {
        self.vault.is_durable(document, change)
    }
}

/// The bounds of this world's relays. Snapshots are made early everywhere: worlds are short.
fn limits(plan: &Plan) -> Limits {
    let usual = Limits { compact_after: 48, ..Limits::default() };
    if !plan.relay_ways.is_tight {
        return usual;
    }
    Limits {
        frames: Rate { per_second: 100, burst: 300 },
        documents_per_connection_max: 100,
        queue_bytes_high: 16 << 10,
        queue_bytes_low: 4 << 10,
        held_bytes_max: 16 << 10,
        cache_bytes_max: 16 << 10,
        cache_time_max: Duration::from_millis(500),
        linger_time_max: Duration::from_secs(1),
        compact_after: 6,
        ephemeral_sessions_max: 4,
        ..usual
    }
}

/// Bounds that nobody reaches.
fn boundless() -> Limits {
    Limits {
        documents_per_connection_max: usize::MAX,
        queue_bytes_high: usize::MAX,
        held_bytes_max: usize::MAX,
        cache_bytes_max: usize::MAX,
        ..Limits::default()
    }
}
