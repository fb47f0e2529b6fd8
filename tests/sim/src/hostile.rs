//! Strangers: peers that follow no protocol.
//!
//! A stranger holds somebody's credentials, connects, usually joins, and then does what [`Attack`]s say. It remembers what it
//! hears, to send it back, whole or changed.

mod attack;

use crdt_core::id::{ActorId, ChangeHash, DocumentId};

pub use self::attack::{Attack, Knowledge};

use crate::chance::Chance;
use crate::disk::{Flush, Health};
use crate::network::{Arrival, Delivery, LinkId, NodeId};
use crate::node::{Body, Node};
use crate::oracle::Violation;
use crate::oracle::convergence::Copy;
use crate::plan::{Plan, Right, StrangerPlan};
use crate::stage::Stage;

/// Most frames that a stranger remembers.
const HEARD_MAX: usize = 50;

/// One stranger.
pub struct Stranger {
    body: Body,
    plan: StrangerPlan,
    knowledge: Knowledge,
    link: Option<LinkId>,
    /// Whether the connection stands.
    open: bool,
    /// What to send once it does.
    pending: Vec<Vec<u8>>,
}

impl Stranger {
    pub fn new(plan: &Plan, number: usize) -> Self {
        let id = NodeId::Stranger(number);
        let names = (0..plan.devices.len()).map(|n| NodeId::Device(n).to_string());
        let knowledge = Knowledge {
            name: id.to_string(),
            names: names.collect(),
            documents: plan.documents.iter().map(|document| document.id).collect(),
            // Relays know who may write. A device believes whoever it lets connect, and then writes in its own name.
            writable: plan
                .documents
                .iter()
                .filter(|document| match plan.strangers[number].target {
                    NodeId::Device(device) => {
                        document.right_of(plan.devices[device].person) == Some(Right::Write)
                    }
                    _ => true,
                })
                .map(|document| document.id)
                .collect(),
            actor: ActorId::derive(&["stranger", &id.to_string(), &plan.seed.to_string()]),
            heard: Vec::new(),
        };
        Self {
            body: Body::new(id, 0),
            plan: plan.strangers[number],
            knowledge,
            link: None,
            open: false,
            pending: Vec::new(),
        }
    }

    fn dial(&mut self, stage: &mut Stage) {
        self.open = false;
        self.link = Some(stage.network.dial(&mut stage.agenda, self.body.id(), self.plan.target));
    }

    fn leave(&mut self, stage: &mut Stage) {
        self.pending.clear();
        if let Some(link) = self.link.take() {
            stage.network.close(&mut stage.agenda, self.body.id(), link);
        }
    }

    fn send_pending(&mut self, stage: &mut Stage) {
        let Some(link) = self.link.filter(|_| self.open) else { return };
        for frame in self.pending.drain(..) {
            stage.send(self.body.id(), link, frame);
        }
    }

    fn hear(&mut self, frame: Vec<u8>) {
        if self.knowledge.heard.len() == HEARD_MAX {
            self.knowledge.heard.remove(0);
        }
        self.knowledge.heard.push(frame);
    }
}

impl Node for Stranger {
    fn body(&self) -> &Body {
        &self.body
    }

    fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    fn power_on(&mut self, _: &mut Stage) {}

    fn lose_power(&mut self, _: &mut Stage) {
        self.link = None;
    }

    fn deliver(&mut self, stage: &mut Stage, delivery: Delivery) {
        if Some(delivery.link) != self.link {
            return;
        }
        match delivery.arrival {
            Arrival::Opened => {
                self.open = true;
                self.send_pending(stage);
            }
            Arrival::Closed => {
                self.link = None;
                self.pending.clear();
            }
            Arrival::Frame(frame) => self.hear(frame),
            Arrival::Accepted => {}
        }
    }

    fn flushed(&mut self, _: &mut Stage, _: Flush) {}

    fn wake(&mut self, _: &mut Stage) {}

    /// Attacks; now and then hangs up instead, or speaks without having joined.
    fn act(&mut self, stage: &mut Stage, seed: u64) {
        let mut chance = Chance::new(seed, "attack");
        if chance.percent(10) {
            return self.leave(stage);
        }
        let attack = *chance.pick(&Attack::ALL).expect("there are attacks");
        stage.note(format_args!("{} attacks: {attack:?}", self.body.id()));
        if self.link.is_none() {
            self.dial(stage);
            if !chance.percent(5) {
                self.pending.push(self.knowledge.join());
            }
        }
        self.pending.extend(self.knowledge.frames(attack, &mut chance));
        self.send_pending(stage);
    }

    fn permits_changed(&mut self, _: &mut Stage) {}

    fn say_goodbye(&mut self, _: &mut Stage) {}

    fn set_disk(&mut self, _: Health) {}

    fn calm_down(&mut self, stage: &mut Stage) {
        self.leave(stage);
    }

    fn audit(&self) -> Result<(), Violation> {
        Ok(())
    }

    fn copies(&self) -> Vec<(DocumentId, Copy)> {
        Vec::new()
    }

    fn contains(&self, _: DocumentId, _: &ChangeHash) -> bool {
        false
    }

    fn is_durable(&self, _: DocumentId, _: &ChangeHash) -> bool {
        false
    }
}
