//! A relay that is nothing but graphs, a disk and exchanges.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::graph::chunk::ParsedChange;
use crdt_core::graph::{Graph, Item};
use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::sync::{Manner, Message, State};
use crdt_core::wire::{Frame, PeerRef, Route};
use pannier_sim::disk::{Disk, Flush, Health, Outcome};
use pannier_sim::network::{Arrival, Delivery, LinkId, NodeId};
use pannier_sim::node::{Body, Node};
use pannier_sim::oracle::Violation;
use pannier_sim::oracle::convergence::Copy;
use pannier_sim::plan::{Plan, Right};
use pannier_sim::stage::{Event, Stage};

/// Changes to be stored after those already there.
struct Append {
    document: DocumentId,
    changes: Vec<Box<[u8]>>,
    /// The graph's length once they are.
    end: usize,
}

struct Link {
    peer: NodeId,
    states: BTreeMap<DocumentId, State>,
}

pub(crate) struct Relay {
    body: Body,
    plan: Plan,
    disk: Disk<Append>,
    on_disk: BTreeMap<DocumentId, Vec<Box<[u8]>>>,
    durable: BTreeSet<(DocumentId, ChangeHash)>,
    states_on_disk: BTreeMap<(NodeId, DocumentId), Vec<u8>>,
    graphs: BTreeMap<DocumentId, Graph<Box<[u8]>>>,
    links: BTreeMap<LinkId, Link>,
}

impl Relay {
    pub(crate) fn new(plan: &Plan, number: usize) -> Self {
        let id = NodeId::Relay(number);
        Self {
            body: Body::new(id, 0),
            plan: plan.clone(),
            disk: Disk::new(plan.seed, &id.to_string(), plan.relay_disk.clone()),
            on_disk: BTreeMap::new(),
            durable: BTreeSet::new(),
            states_on_disk: BTreeMap::new(),
            graphs: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    fn load(&mut self, document: DocumentId) {
        let mut graph = Graph::new();
        for bytes in self.on_disk.get(&document).into_iter().flatten() {
            let parsed = ParsedChange::parse(bytes).expect("we stored it");
            graph.insert(Item::from(&parsed), parsed.bytes, pannier_sim::plan::BEGINNING);
        }
        let stored = self.on_disk.get(&document).map_or(0, Vec::len);
        graph.settle(stored);
        self.graphs.insert(document, graph);
    }

    fn keep(&mut self, append: Append) {
        for bytes in append.changes {
            let parsed = ParsedChange::parse(&bytes).expect("checked when it came in");
            self.durable.insert((append.document, parsed.hash));
            self.on_disk.entry(append.document).or_default().push(bytes);
        }
    }

    fn right(&self, link: LinkId, document: DocumentId) -> Option<Right> {
        let NodeId::Device(device) = self.links.get(&link)?.peer else { return None };
        let person = self.plan.devices[device].person;
        self.plan.documents.iter().find(|plan| plan.id == document)?.right_of(person)
    }

    fn hear(&mut self, stage: &mut Stage, link: LinkId, bytes: &[u8]) {
        let Ok(Frame::Sync { document, data, .. }) = Frame::decode(bytes) else { return };
        let Some(right) = self.right(link, document) else { return };
        let from = self.links.get_mut(&link).expect("it has a right");
        let manner = if right == Right::Read { Manner::RELAY_READ_ONLY } else { Manner::RELAY };
        let stored = self.states_on_disk.get(&(from.peer, document));
        let exchange = from.states.entry(document).or_insert_with(|| {
            stored.map_or_else(
                || State::new(manner),
                |bytes| State::decode(bytes, manner).expect("we wrote it"),
            )
        });
        let received = Message::decode(data).and_then(|message| exchange.receive(&message));
        self.states_on_disk.insert((from.peer, document), exchange.encode());
        let received = match received {
            Ok(received) => received,
            Err(error) => return stage.note(format_args!("{} drops a message: {error}", self.body.id())),
        };
        let now = stage.now();
        let graph = self.graphs.get_mut(&document).expect("every document is loaded");
        for change in received.changes {
            let accepted = graph.insert(Item::from(&change), change.bytes, now).accepted;
            if !accepted.is_empty() {
                let changes = accepted.clone().map(|at| graph.payload(at).expect("not packed").clone());
                let append = Append { document, changes: changes.collect(), end: accepted.end };
                let id = self.body.id();
                self.disk.submit(&mut stage.agenda, append, |flush| Event::Flushed(id, flush));
            }
        }
        self.speak(stage);
    }

    /// Says what there is to say, to everyone.
    fn speak(&mut self, stage: &mut Stage) {
        let id = self.body.id();
        for (link, to) in &mut self.links {
            for (document, exchange) in &mut to.states {
                let graph = &self.graphs[document];
                let Some(outgoing) = exchange.generate(graph) else { continue };
                if !self.body.may_output() {
                    return;
                }
                let chunks = outgoing.changes.iter().map(|change| {
                    let position = graph.position(change).expect("it is to be sent");
                    graph.payload(position).expect("not packed").as_ref()
                });
                let data = outgoing.encode(chunks);
                let (sender, target) = (id.to_string(), to.peer.to_string());
                let route = Route {
                    sender: PeerRef::new(&sender).expect("short"),
                    target: PeerRef::new(&target).expect("short"),
                };
                if let NodeId::Device(device) = to.peer {
                    let person = self.plan.devices[device].person;
                    let verdict = stage.readers.require(id, *document, person);
                    stage.require(verdict);
                }
                stage.promises.advertised(id, *document, &graph.heads());
                stage.send(id, *link, Frame::Sync { route, document: *document, data: &data }.encode());
            }
        }
    }
}

impl Node for Relay {
    fn body(&self) -> &Body {
        &self.body
    }

    fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    fn power_on(&mut self, _: &mut Stage) {
        let documents: Vec<_> = self.plan.documents.iter().map(|plan| plan.id).collect();
        for document in documents {
            self.load(document);
        }
    }

    fn lose_power(&mut self, _: &mut Stage) {
        for append in self.disk.lose_power().whole {
            self.keep(append);
        }
        self.graphs.clear();
        self.links.clear();
    }

    fn deliver(&mut self, stage: &mut Stage, delivery: Delivery) {
        match delivery.arrival {
            Arrival::Accepted => {
                let link = Link { peer: delivery.from, states: BTreeMap::new() };
                self.links.insert(delivery.link, link);
            }
            Arrival::Frame(frame) => self.hear(stage, delivery.link, &frame),
            Arrival::Closed => drop(self.links.remove(&delivery.link)),
            Arrival::Opened => {}
        }
    }

    fn flushed(&mut self, stage: &mut Stage, flush: Flush) {
        let id = self.body.id();
        let batch = self.disk.flushed(&mut stage.agenda, flush, |flush| Event::Flushed(id, flush));
        let Some(batch) = batch else { return };
        match batch.outcome {
            Outcome::Done => {
                for append in batch.jobs {
                    let graph = self.graphs.get_mut(&append.document).expect("every document is loaded");
                    graph.settle(append.end);
                    self.keep(append);
                }
                self.speak(stage);
            }
            Outcome::Failed { reached } => {
                // What later jobs build on may be missing: read everything back, and let everyone begin anew.
                let jobs = batch.jobs.into_iter().take(reached);
                for append in jobs {
                    self.keep(append);
                }
                let _ = self.disk.lose_power();
                for link in std::mem::take(&mut self.links).into_keys() {
                    stage.network.close(&mut stage.agenda, id, link);
                }
                self.power_on(stage);
            }
        }
    }

    fn wake(&mut self, _: &mut Stage) {}

    fn act(&mut self, _: &mut Stage, _: u64) {}

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
        let copy = |graph: &Graph<_>| Copy { node: self.body.id(), heads: graph.heads(), content: None };
        self.graphs.iter().map(|(document, graph)| (*document, copy(graph))).collect()
    }

    fn contains(&self, document: DocumentId, change: &ChangeHash) -> bool {
        self.graphs[&document].contains(change)
    }

    fn is_durable(&self, document: DocumentId, change: &ChangeHash) -> bool {
        self.durable.contains(&(document, *change))
    }
}
