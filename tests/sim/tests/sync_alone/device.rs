//! A device that is nothing but open documents and their exchanges.

use std::collections::BTreeMap;

use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::sync::{Manner, State};
use crdt_core::wire::{Frame, PeerRef, Route};
use pannier_sim::chance::Chance;
use pannier_sim::disk::{Disk, Flush, Health, Outcome};
use pannier_sim::network::{Arrival, Delivery, LinkId, NodeId};
use pannier_sim::node::{Body, Node};
use pannier_sim::oracle::Violation;
use pannier_sim::oracle::convergence::Copy;
use pannier_sim::plan::{DevicePlan, Plan, Right};
use pannier_sim::stage::{Event, Stage};

/// What the device writes to its disk. Each replaces what it wrote there before.
#[derive(Clone, Debug)]
enum Job {
    Document(DocumentId, Vec<u8>),
    State(NodeId, DocumentId, Vec<u8>),
}

#[derive(Default)]
struct OnDisk {
    documents: BTreeMap<DocumentId, Vec<u8>>,
    states: BTreeMap<(NodeId, DocumentId), Vec<u8>>,
}

impl OnDisk {
    fn take(&mut self, job: Job) {
        match job {
            Job::Document(document, bytes) => drop(self.documents.insert(document, bytes)),
            Job::State(peer, document, bytes) => drop(self.states.insert((peer, document), bytes)),
        }
    }
}

struct Link {
    peer: NodeId,
    open: bool,
    states: BTreeMap<DocumentId, State>,
}

pub(crate) struct Device {
    body: Body,
    seed: u64,
    plan: DevicePlan,
    rights: BTreeMap<DocumentId, Right>,
    disk: Disk<Job>,
    on_disk: OnDisk,
    documents: BTreeMap<DocumentId, Document>,
    links: BTreeMap<LinkId, Link>,
    chance: Chance,
}

impl Device {
    pub(crate) fn new(plan: &Plan, number: usize) -> Self {
        let id = NodeId::Device(number);
        let own = plan.devices[number].clone();
        let rights = plan
            .readable(own.person)
            .map(|document| (document.id, document.right_of(own.person).expect("readable")));
        Self {
            body: Body::new(id, own.clock_off),
            seed: plan.seed,
            rights: rights.collect(),
            disk: Disk::new(plan.seed, &id.to_string(), plan.device_disk.clone()),
            on_disk: OnDisk::default(),
            documents: BTreeMap::new(),
            links: BTreeMap::new(),
            chance: Chance::new(plan.seed, &id.to_string()),
            plan: own,
        }
    }

    fn write(&mut self, stage: &mut Stage, job: Job) {
        let id = self.body.id();
        self.disk.submit(&mut stage.agenda, job, |flush| Event::Flushed(id, flush));
    }

    fn peers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let relays = self.plan.relays.clone().into_iter().map(NodeId::Relay);
        relays.chain(self.plan.peers.clone().into_iter().map(NodeId::Device))
    }

    fn dial_missing(&mut self, stage: &mut Stage) {
        for peer in self.peers() {
            if !self.links.values().any(|link| link.peer == peer) {
                let link = stage.network.dial(&mut stage.agenda, self.body.id(), peer);
                self.links.insert(link, Link { peer, open: false, states: BTreeMap::new() });
            }
        }
    }

    fn state_with(&self, peer: NodeId, document: DocumentId) -> State {
        let stored = self.on_disk.states.get(&(peer, document));
        stored.map_or_else(
            || State::new(Manner::OPEN),
            |bytes| State::decode(bytes, Manner::OPEN).expect("we wrote it"),
        )
    }

    fn open(&mut self, stage: &mut Stage, link: LinkId) {
        let Some(opened) = self.links.get_mut(&link) else { return };
        opened.open = true;
        let peer = opened.peer;
        let documents: Vec<DocumentId> = self.rights.keys().copied().collect();
        for document in documents {
            let exchange = self.state_with(peer, document);
            self.links.get_mut(&link).expect("found above").states.insert(document, exchange);
        }
        self.speak(stage);
    }

    /// Says what there is to say, to everyone.
    fn speak(&mut self, stage: &mut Stage) {
        let id = self.body.id();
        for (link, to) in self.links.iter_mut().filter(|(_, to)| to.open) {
            for (document, exchange) in &mut to.states {
                let open = self.documents.get_mut(document).expect("every document is open");
                let Some(data) = exchange.generate_for(open) else { continue };
                if !self.body.may_output() {
                    return;
                }
                let (sender, target) = (id.to_string(), to.peer.to_string());
                let route = Route {
                    sender: PeerRef::new(&sender).expect("short"),
                    target: PeerRef::new(&target).expect("short"),
                };
                stage.send(id, *link, Frame::Sync { route, document: *document, data: &data }.encode());
            }
        }
    }

    fn hear(&mut self, stage: &mut Stage, link: LinkId, bytes: &[u8]) {
        let Ok(Frame::Sync { document, data, .. }) = Frame::decode(bytes) else { return };
        let Some(from) = self.links.get_mut(&link) else { return };
        let (Some(exchange), Some(open)) =
            (from.states.get_mut(&document), self.documents.get_mut(&document))
        else {
            return;
        };
        let peer = from.peer;
        let heads = open.heads();
        if let Err(error) = exchange.receive_into(open, data) {
            stage.note(format_args!("{} drops a message: {error}", self.body.id()));
        }
        let kept = exchange.encode();
        let moved = open.heads() != heads;
        let saved = moved.then(|| open.save());
        if let Some(saved) = saved {
            self.write(stage, Job::Document(document, saved));
        }
        self.write(stage, Job::State(peer, document, kept));
        self.speak(stage);
    }

    fn hang_up(&mut self, stage: &mut Stage, link: LinkId) {
        self.links.remove(&link);
        let wait = self.chance.millis(100..=5_000);
        let at = self.body.now(stage) + wait;
        self.body.wake_at(stage, at);
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
        let parts = [self.body.id().to_string(), self.seed.to_string(), self.body.power().to_string()];
        let actor = ActorId::derive(&parts.each_ref().map(String::as_str));
        for document in self.rights.keys() {
            let open = match self.on_disk.documents.get(document) {
                Some(bytes) => Document::load(bytes, actor.clone()).expect("we wrote it"),
                None => Document::new(actor.clone()),
            };
            self.documents.insert(*document, open);
        }
        self.dial_missing(stage);
    }

    fn lose_power(&mut self, _: &mut Stage) {
        for job in self.disk.lose_power().whole {
            self.on_disk.take(job);
        }
        self.documents.clear();
        self.links.clear();
    }

    fn deliver(&mut self, stage: &mut Stage, delivery: Delivery) {
        match delivery.arrival {
            Arrival::Opened => self.open(stage, delivery.link),
            Arrival::Accepted => {
                let link = Link { peer: delivery.from, open: false, states: BTreeMap::new() };
                self.links.insert(delivery.link, link);
                self.open(stage, delivery.link);
            }
            Arrival::Frame(frame) => self.hear(stage, delivery.link, &frame),
            Arrival::Closed => self.hang_up(stage, delivery.link),
        }
    }

    fn flushed(&mut self, stage: &mut Stage, flush: Flush) {
        let id = self.body.id();
        let batch = self.disk.flushed(&mut stage.agenda, flush, |flush| Event::Flushed(id, flush));
        let Some(batch) = batch else { return };
        let reached = match batch.outcome {
            Outcome::Done => batch.jobs.len(),
            Outcome::Failed { reached } => reached,
        };
        for (n, job) in batch.jobs.into_iter().enumerate() {
            if n < reached {
                self.on_disk.take(job);
            } else if let Job::Document(document, _) = job {
                // Tried again until it works: with what the document is by then.
                let bytes = self.documents[&document].save();
                self.write(stage, Job::Document(document, bytes));
            }
        }
    }

    fn wake(&mut self, stage: &mut Stage) {
        self.dial_missing(stage);
    }

    fn act(&mut self, stage: &mut Stage, seed: u64) {
        let mut chance = Chance::new(seed, "act");
        let writable: Vec<DocumentId> =
            self.rights.iter().filter(|(_, right)| **right == Right::Write).map(|(id, _)| *id).collect();
        let document = *chance.pick(&writable).expect("everyone may write something");
        let open = self.documents.get_mut(&document).expect("every document is open");
        let mut edit = open.edit();
        edit.put(&format!("k{}", chance.within(0..=3)), &chance.seed().to_string());
        let Some(committed) = edit.commit() else { return };
        stage.note(format_args!("{} writes {:?} to {document}", self.body.id(), committed.hash));
        let saved = open.save();
        self.write(stage, Job::Document(document, saved));
        self.speak(stage);
    }

    fn permits_changed(&mut self, _: &mut Stage) {}

    fn say_goodbye(&mut self, _: &mut Stage) {}

    fn set_disk(&mut self, health: Health) {
        self.disk.set_health(health);
    }

    fn calm_down(&mut self, _: &mut Stage) {}

    fn audit(&self) -> Result<(), Violation> {
        Ok(())
    }

    fn copies(&self) -> Vec<(DocumentId, Copy)> {
        let content = |open: &Document| {
            let keys = open.scan("").map(|(key, values)| {
                (key, values.iter().map(|value| value.as_text().unwrap_or_default().to_owned()).collect())
            });
            keys.collect()
        };
        let copy = |open: &Document| Copy {
            node: self.body.id(),
            heads: open.heads(),
            content: Some(content(open)),
        };
        self.documents.iter().map(|(document, open)| (*document, copy(open))).collect()
    }

    fn contains(&self, document: DocumentId, change: &ChangeHash) -> bool {
        self.documents[&document].contains(change)
    }

    fn is_durable(&self, _: DocumentId, _: &ChangeHash) -> bool {
        false
    }
}
