//! A node: one machine with its driver, as the world sees it.

pub mod device;
pub mod relay;

use std::time::Duration;

use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::time::Timestamp;

use crate::agenda::Entry;
use crate::disk::{Flush, Health};
use crate::network::{Delivery, NodeId};
use crate::oracle::Violation;
use crate::oracle::convergence::Copy;
use crate::plan::Order;
use crate::stage::{Event, Stage};

/// One machine with its driver. The world calls it only while it has power, but for [`Node::power_on`].
pub trait Node {
    /// What all nodes have.
    fn body(&self) -> &Body;

    fn body_mut(&mut self) -> &mut Body;

    /// Starts from what is on the disk.
    fn power_on(&mut self, stage: &mut Stage);

    /// Forgets everything that is not on the disk.
    fn lose_power(&mut self, stage: &mut Stage);

    /// Something arrived from the network.
    fn deliver(&mut self, stage: &mut Stage, delivery: Delivery);

    /// The disk has finished a flush.
    fn flushed(&mut self, stage: &mut Stage, flush: Flush);

    /// The moment came at which it wanted to be woken, by its own clock as that was then.
    fn wake(&mut self, stage: &mut Stage);

    /// A person, or whoever else uses the node, does something.
    fn act(&mut self, stage: &mut Stage, seed: u64);

    /// Somebody may do less than before: [`Stage::readers`] knows.
    fn permits_changed(&mut self, stage: &mut Stage);

    /// The operator wants something done, and asks for it until it is.
    fn obey(&mut self, _: &mut Stage, _: Order) {}

    /// The operator stops the node, which may say goodbye first.
    fn say_goodbye(&mut self, stage: &mut Stage);

    /// From now on the disk behaves like this.
    fn set_disk(&mut self, health: Health);

    /// The time of trouble is over: whatever the node does only to make trouble, it stops.
    fn calm_down(&mut self, stage: &mut Stage);

    /// Checks what must hold at every moment.
    fn audit(&self) -> Result<(), Violation>;

    /// Checks what must hold in the end.
    fn account(&mut self, _: &Stage) -> Result<(), Violation> {
        Ok(())
    }

    /// What it has, in the end, of every document that it ought to have.
    fn copies(&self) -> Vec<(DocumentId, Copy)>;

    /// Whether its copy of a document holds a change.
    fn contains(&self, document: DocumentId, change: &ChangeHash) -> bool;

    /// Whether a change is on its disk, with all its ancestors, whatever happens now.
    fn is_durable(&self, document: DocumentId, change: &ChangeHash) -> bool;
}

/// What all nodes have: a name, a clock, power, perhaps sleep.
#[derive(Debug)]
pub struct Body {
    id: NodeId,
    /// How far the clock is off, in milliseconds.
    clock_off: i64,
    on: bool,
    /// How often the power went.
    power: u32,
    /// The power goes, for so long, before one more output than this is carried out.
    outputs_left: Option<(u64, Duration)>,
    /// What waits for the node to awake.
    asleep: Option<Vec<Event>>,
}

impl Body {
    pub fn new(id: NodeId, clock_off: i64) -> Self {
        Self { id, clock_off, on: false, power: 0, outputs_left: None, asleep: None }
    }

    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The time by the node's own clock.
    pub fn now(&self, stage: &Stage) -> Timestamp {
        Timestamp::from_millis(stage.now().as_millis().saturating_add_signed(self.clock_off))
    }

    pub fn jump_clock(&mut self, by: i64) {
        self.clock_off += by;
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Which power this is: what was scheduled under an earlier one is void.
    pub fn power(&self) -> u32 {
        self.power
    }

    pub fn switch_on(&mut self) {
        self.on = true;
    }

    /// The power is gone, and with it whatever was waiting.
    pub fn switch_off(&mut self) {
        self.on = false;
        self.power += 1;
        self.outputs_left = None;
        self.asleep = None;
    }

    /// Lets the power go for a while, after so many more outputs.
    pub fn arm(&mut self, outputs: u64, lasting: Duration) {
        self.outputs_left = Some((outputs, lasting));
    }

    /// Lets nothing go any more.
    pub fn disarm(&mut self) {
        self.outputs_left = None;
    }

    /// Counts one output. `false`: the power goes before it is carried out.
    pub fn may_output(&mut self) -> bool {
        match &mut self.outputs_left {
            None => true,
            Some((0, _)) => false,
            Some((left, _)) => {
                *left -= 1;
                true
            }
        }
    }

    /// For how long the power goes now, if an armed loss is due.
    pub fn power_due(&self) -> Option<Duration> {
        self.outputs_left.filter(|(left, _)| *left == 0).map(|(_, lasting)| lasting)
    }

    pub fn is_asleep(&self) -> bool {
        self.asleep.is_some()
    }

    pub fn fall_asleep(&mut self) {
        self.asleep.get_or_insert_default();
    }

    /// Awakes; returns what happened meanwhile.
    pub fn awake(&mut self) -> Vec<Event> {
        self.asleep.take().unwrap_or_default()
    }

    /// Keeps an event for when the node awakes; gives it back if it is awake.
    pub fn park(&mut self, event: Event) -> Option<Event> {
        match &mut self.asleep {
            Some(waiting) => {
                waiting.push(event);
                None
            }
            None => Some(event),
        }
    }

    /// Schedules a wake-up for when the node's clock shows `at`. Timers run at the pace of time, whatever the clock does
    /// meanwhile.
    pub fn wake_at(&self, stage: &mut Stage, at: Timestamp) -> Entry {
        self.wake_in(stage, at.since(self.now(stage)))
    }

    /// Schedules a wake-up for when so much time has passed.
    pub fn wake_in(&self, stage: &mut Stage, wait: Duration) -> Entry {
        let at = stage.now() + wait;
        stage.agenda.schedule(at, Event::Wake { node: self.id, power: self.power })
    }
}
