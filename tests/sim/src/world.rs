//! The world: nodes upon a stage, first tormented, then left in peace, then held to account.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crdt_core::id::DocumentId;
use crdt_core::time::Timestamp;

use crate::chance::Chance;
use crate::disk::Health;
use crate::network::{Arrival, Delivery, NodeId, Weather};
use crate::node::Node;
use crate::oracle::convergence::{self, Copy};
use crate::oracle::{Promise, Violation};
use crate::plan::{BEGINNING, Happening, Plan, Right};
use crate::stage::{Event, Relief, Stage};
use crate::trace::TraceHash;

/// How long after the torment everyone may take to agree and fall silent. Longer than the longest backoff, sleep and
/// give-up time together.
const PEACE_MAX: Duration = Duration::from_mins(15);

/// How long nothing but signs of life must be exchanged for the world to count as silent. Longer than giving up a swallowed
/// connection and then waiting to dial again.
const SILENCE: Duration = Duration::from_mins(3);

/// How much may happen in one moment. Floods come in thousands.
const MOMENT_EVENTS_MAX: u64 = 50_000;

/// One world.
pub struct World {
    plan: Plan,
    stage: Stage,
    nodes: BTreeMap<NodeId, Box<dyn Node>>,
    /// What time it is, and how much has happened in this moment.
    moment: (Timestamp, u64),
}

/// A world that held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    pub trace: TraceHash,
    /// How many things happened.
    pub events: u64,
    /// How many changes somebody was told are safe.
    pub promises: usize,
    /// How many commands reached the service.
    pub commands: usize,
    /// How long the world lasted, in its own time.
    pub lasted: Duration,
    /// How long it took to agree and fall silent after the torment.
    pub peace: Duration,
}

/// A world that did not hold.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub violation: Violation,
    /// The last things that happened.
    pub tail: Vec<String>,
}

impl World {
    /// A world of this plan with these nodes, none of which has power yet.
    pub fn new(plan: Plan, nodes: Vec<Box<dyn Node>>, aloud: bool) -> Self {
        let stage = Stage::new(&plan, aloud);
        let nodes = nodes.into_iter().map(|node| (node.body().id(), node)).collect();
        Self { plan, stage, nodes, moment: (BEGINNING, 0) }
    }

    /// Torments, heals and judges.
    pub fn run(mut self) -> Result<Report, Box<Failure>> {
        for (at, happening) in std::mem::take(&mut self.plan.happenings) {
            self.stage.agenda.schedule(at, Event::Happening(happening));
        }
        for id in self.ids() {
            self.power_on(id);
        }
        let torment_end = BEGINNING + self.plan.torment;
        while let Some(event) = self.next_until(torment_end) {
            self.happen(event);
        }
        self.heal();
        self.find_peace();
        let peace = self.stage.last_business().0.since(torment_end);
        self.judge();
        self.verdict(peace)
    }

    fn next_until(&mut self, until: Timestamp) -> Option<Event> {
        if self.stage.violation().is_some() { None } else { self.stage.agenda.next_until(until) }
    }

    fn happen(&mut self, event: Event) {
        let Some(node) = self.node_of(&event) else { return self.happen_outside(event) };
        let Some(body) = self.nodes.get_mut(&node).map(|node| node.body_mut()) else { return };
        let Some(event) = body.park(event) else { return };
        self.note_restlessness(node);
        self.happen_to(node, event);
        self.settle(node);
    }

    /// A machine that wants to be woken at once, again and again, would keep a processor busy for ever.
    fn note_restlessness(&mut self, last: NodeId) {
        let now = self.stage.now();
        let events = if self.moment.0 == now { self.moment.1 + 1 } else { 1 };
        self.moment = (now, events);
        if events > MOMENT_EVENTS_MAX {
            self.stage.require(Err(Violation::Restless { events, last }));
        }
    }

    /// Whom an event is addressed to, if to a single node.
    fn node_of(&self, event: &Event) -> Option<NodeId> {
        match event {
            Event::Packet(packet) => self.stage.network.destination(packet),
            Event::Flushed(node, _)
            | Event::Wake { node, .. }
            | Event::Happening(Happening::Act { node, .. }) => Some(*node),
            Event::Happening(_) | Event::Relief(_) => None,
        }
    }

    fn happen_to(&mut self, id: NodeId, event: Event) {
        let Self { stage, nodes, .. } = self;
        let node = nodes.get_mut(&id).expect("looked up before");
        let on = node.body().is_on();
        match event {
            Event::Packet(packet) => {
                let Some(delivery) = stage.network.arrive(packet) else { return };
                note_delivery(stage, &delivery);
                if on {
                    node.deliver(stage, delivery);
                } else if delivery.arrival == Arrival::Accepted {
                    stage.network.refuse(&mut stage.agenda, delivery.link);
                }
            }
            Event::Flushed(_, flush) if on => node.flushed(stage, flush),
            Event::Wake { power, .. } if on && power == node.body().power() => node.wake(stage),
            Event::Happening(Happening::Act { seed, .. }) if on => node.act(stage, seed),
            _ => {}
        }
    }

    /// Checks a node after something happened to it, and takes its power if that is due.
    fn settle(&mut self, id: NodeId) {
        let node = &self.nodes[&id];
        if !node.body().is_on() {
            return;
        }
        self.stage.require(node.audit());
        let relays: Vec<_> = (0..self.plan.relays).map(NodeId::Relay).collect();
        let is_durable = |relay, document, change: &_| self.nodes[&relay].is_durable(document, change);
        let kept = self.stage.promises.require_fresh(&relays, is_durable);
        self.stage.require(kept);
        if let Some(lasting) = node.body().power_due() {
            self.lose_power(id, lasting);
        }
    }

    fn happen_outside(&mut self, event: Event) {
        match event {
            Event::Happening(happening) => self.trouble(happening),
            Event::Relief(relief) => self.relieve(relief),
            _ => {}
        }
    }

    fn trouble(&mut self, happening: Happening) {
        self.stage.note(format_args!("{happening:?}"));
        let now = self.stage.now();
        match happening {
            Happening::Act { .. } => unreachable!("addressed to a node"),
            Happening::Cut { seed } => {
                let links = self.stage.network.links();
                if let Some(link) = Chance::new(seed, "cut").pick(&links) {
                    self.stage.network.cut(&mut self.stage.agenda, *link);
                }
            }
            Happening::Part { side, lasting } => {
                let rest: Vec<_> = self.ids().into_iter().filter(|id| !side.contains(id)).collect();
                self.stage.network.part(&mut self.stage.agenda, &side, &rest);
                self.stage.agenda.schedule(now + lasting, Event::Relief(Relief::Joined));
            }
            Happening::PowerLoss { node, lasting } => self.lose_power(node, lasting),
            Happening::PowerLossAmidOutputs { node, outputs, lasting } => {
                self.body_mut(node).arm(outputs, lasting);
            }
            Happening::Sleep { node, lasting } => {
                if self.body_mut(node).is_on() {
                    self.body_mut(node).fall_asleep();
                    self.stage.agenda.schedule(now + lasting, Event::Relief(Relief::Awake(node)));
                }
            }
            Happening::ClockJump { node, by } => self.body_mut(node).jump_clock(by),
            Happening::DiskFails { node, percent, lasting } => {
                let health = Health { failing_percent: percent, ..self.healthy_disk(node) };
                self.hurt_disk(node, health, lasting);
            }
            Happening::DiskFull { node, lasting } => {
                let health = Health { full: true, ..self.healthy_disk(node) };
                self.hurt_disk(node, health, lasting);
            }
            Happening::Restart { relay, lasting } => {
                let id = NodeId::Relay(relay);
                let Self { stage, nodes, .. } = self;
                let node = nodes.get_mut(&id).expect("every node of the plan is there");
                if node.body().is_on() {
                    node.say_goodbye(stage);
                    self.lose_power(id, lasting);
                }
            }
            Happening::Revoke { document, person } => {
                self.stage.readers.revoke(document, person);
                for id in self.ids() {
                    let Self { stage, nodes, .. } = self;
                    let node = nodes.get_mut(&id).expect("every node of the plan is there");
                    if node.body().is_on() {
                        node.permits_changed(stage);
                        self.settle(id);
                    }
                }
            }
            Happening::Order(order) => {
                self.stage.readers.ordered(order);
                for id in (0..self.plan.relays).map(NodeId::Relay) {
                    let Self { stage, nodes, .. } = self;
                    nodes.get_mut(&id).expect("every node of the plan is there").obey(stage, order);
                    self.settle(id);
                }
            }
        }
    }

    fn relieve(&mut self, relief: Relief) {
        match relief {
            Relief::Power(node) => self.power_on(node),
            Relief::Awake(node) => self.awake(node),
            Relief::Joined => self.stage.network.join(),
            Relief::Disk(node) => {
                let health = self.healthy_disk(node);
                self.node_mut(node).set_disk(health);
            }
        }
    }

    fn power_on(&mut self, id: NodeId) {
        let Self { stage, nodes, .. } = self;
        let node = nodes.get_mut(&id).expect("every node of the plan is there");
        if !node.body().is_on() {
            stage.note(format_args!("{id} has power"));
            node.body_mut().switch_on();
            node.power_on(stage);
            self.settle(id);
        }
    }

    fn lose_power(&mut self, id: NodeId, lasting: Duration) {
        let Self { stage, nodes, .. } = self;
        let node = nodes.get_mut(&id).expect("every node of the plan is there");
        if node.body().is_on() {
            stage.note(format_args!("{id} loses power"));
            node.lose_power(stage);
            node.body_mut().switch_off();
            stage.network.vanish(&mut stage.agenda, id);
            stage.agenda.schedule(stage.agenda.now() + lasting, Event::Relief(Relief::Power(id)));
        }
    }

    fn awake(&mut self, id: NodeId) {
        for event in self.body_mut(id).awake() {
            self.happen(event);
        }
    }

    fn hurt_disk(&mut self, node: NodeId, health: Health, lasting: Duration) {
        self.node_mut(node).set_disk(health);
        let at = self.stage.now() + lasting;
        self.stage.agenda.schedule(at, Event::Relief(Relief::Disk(node)));
    }

    fn healthy_disk(&self, node: NodeId) -> Health {
        match node {
            NodeId::Relay(_) => self.plan.relay_disk.clone(),
            NodeId::Device(_) | NodeId::Stranger(_) => self.plan.device_disk.clone(),
        }
    }

    /// Ends every trouble.
    fn heal(&mut self) {
        self.stage.note(format_args!("the torment is over"));
        self.stage.network.set_weather(Weather::calm());
        self.stage.network.join();
        for id in self.ids() {
            self.body_mut(id).disarm();
            self.node_mut(id).set_disk(Health::good());
            self.awake(id);
            self.power_on(id);
            let Self { stage, nodes, .. } = self;
            nodes.get_mut(&id).expect("every node of the plan is there").calm_down(stage);
            self.settle(id);
        }
    }

    /// Lets time pass until nobody has anything to say any more.
    fn find_peace(&mut self) {
        let end = self.stage.now() + PEACE_MAX;
        loop {
            let (last, last_node) = self.stage.last_business();
            let silent_at = last + SILENCE;
            if silent_at > end {
                let seconds = PEACE_MAX.as_secs();
                return self.stage.require(Err(Violation::Endless { seconds, last: last_node }));
            }
            match self.next_until(silent_at) {
                Some(event) => self.happen(event),
                None => return,
            }
        }
    }

    /// Holds every node to account.
    fn judge(&mut self) {
        if self.stage.violation().is_some() {
            return;
        }
        for node in self.nodes.values_mut() {
            let accounted = node.account(&self.stage);
            self.stage.require(accounted);
        }
        let mut documents: BTreeMap<DocumentId, Vec<Copy>> = BTreeMap::new();
        for node in self.nodes.values() {
            for (document, copy) in node.copies() {
                if !self.may_read(copy.node, document) || self.stage.readers.is_doomed(document) {
                    continue;
                }
                let contains = |change: &_| node.contains(document, change);
                // What somebody wrote who may not write any more may have been refused, whenever it was written.
                let binds = |promise: &Promise| match promise {
                    Promise::Kept { on } => self.may_write(*on, document),
                    Promise::Advertised { .. } | Promise::Confirmed { .. } => true,
                };
                let kept = self.stage.promises.require(copy.node, document, contains, binds);
                self.stage.require(kept);
                documents.entry(document).or_default().push(copy);
            }
        }
        for (document, copies) in &documents {
            self.stage.require(convergence::require(*document, copies));
        }
        let commands = self.stage.commands.require();
        self.stage.require(commands);
    }

    fn may_read(&self, node: NodeId, document: DocumentId) -> bool {
        let NodeId::Device(device) = node else { return true };
        self.stage.readers.right_of(document, self.plan.devices[device].person).is_some()
    }

    fn may_write(&self, node: NodeId, document: DocumentId) -> bool {
        let NodeId::Device(device) = node else { return true };
        let person = self.plan.devices[device].person;
        self.stage.readers.right_of(document, person) == Some(Right::Write)
    }

    fn verdict(self, peace: Duration) -> Result<Report, Box<Failure>> {
        let stage = self.stage;
        match stage.violation() {
            None => Ok(Report {
                seed: self.plan.seed,
                trace: stage.trace.hash(),
                events: stage.trace.count(),
                promises: stage.promises.count(),
                commands: stage.commands.delivered_count(),
                lasted: stage.now().since(BEGINNING),
                peace,
            }),
            Some(violation) => Err(Box::new(Failure {
                seed: self.plan.seed,
                violation: violation.clone(),
                tail: stage.trace.tail().map(str::to_owned).collect(),
            })),
        }
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    fn node_mut(&mut self, id: NodeId) -> &mut dyn Node {
        self.nodes.get_mut(&id).expect("every node of the plan is there").as_mut()
    }

    fn body_mut(&mut self, id: NodeId) -> &mut crate::node::Body {
        self.node_mut(id).body_mut()
    }
}

fn note_delivery(stage: &mut Stage, delivery: &Delivery) {
    let Delivery { to, from, link, arrival } = delivery;
    let what = match arrival {
        Arrival::Opened => "an open connection",
        Arrival::Accepted => "a new connection",
        Arrival::Frame(_) => "a frame",
        Arrival::Closed => "a closed connection",
    };
    stage.note(format_args!("{to} gets {what} from {from} on {link}"));
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.tail {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.violation)
    }
}
