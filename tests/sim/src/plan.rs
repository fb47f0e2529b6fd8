//! The plan: who is in the world, what they may do, and everything that will go wrong, drawn from one seed.
//!
//! A plan is data. It is drawn before anything runs, so it can be printed, and a world can be run again with some of its
//! happenings left out. Each seed switches whole kinds of trouble on or off: a world in which everything fails at once
//! hides what only shows when most things work.

mod draw;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;

use crdt_core::id::DocumentId;
use crdt_core::kind::Kind;
use crdt_core::time::Timestamp;

use crate::disk::Health;
use crate::network::{NodeId, Weather};

/// The moment at which every world begins.
pub const BEGINNING: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The tenant that everyone in the world belongs to.
pub const TENANT: &str = "shop";

/// A person: the devices of one person may do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person(pub usize);

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "student-{}", self.0)
    }
}

/// What somebody may do with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    Read,
    Write,
}

/// One device.
#[derive(Clone, Debug)]
pub struct DevicePlan {
    pub person: Person,
    /// The relays it connects to.
    pub relays: Vec<usize>,
    /// The devices it connects to directly.
    pub peers: Vec<usize>,
    /// How far its clock is off, in milliseconds.
    pub clock_off: i64,
    pub habits: Habits,
}

/// How a device's replica is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// It writes as the same actor in every run.
    pub keeps_actor: bool,
    /// It goes by the same name in every run.
    pub keeps_name: bool,
    /// It has a store that others know by name.
    pub names_store: bool,
}

/// One document.
#[derive(Clone, Debug)]
pub struct DocumentPlan {
    pub id: DocumentId,
    pub kind: Kind,
    pub owner: Person,
    /// What others were given by their permits.
    pub rights: BTreeMap<Person, Right>,
}

impl DocumentPlan {
    /// What `person` may do with it from the beginning.
    pub fn right_of(&self, person: Person) -> Option<Right> {
        if person == self.owner { Some(Right::Write) } else { self.rights.get(&person).copied() }
    }
}

/// How the relays of a world are run.
#[derive(Clone, Debug)]
pub struct RelayWays {
    /// Permits name an owner's documents; otherwise a document belongs to whoever first brings it.
    pub permits_name_documents: bool,
    /// Everything that a relay bounds is bounded so tightly that bounds are met.
    pub is_tight: bool,
    /// How long a permit lasts, in milliseconds; for ever if this says nothing.
    pub permit_millis: Option<u64>,
    /// How long a socket takes a frame, in milliseconds.
    pub socket_millis: u64,
    /// How many hubs share a relay's documents.
    pub hubs: NonZeroU16,
}

/// Somebody who follows no protocol.
#[derive(Clone, Copy, Debug)]
pub struct StrangerPlan {
    /// Whom they attack.
    pub target: NodeId,
    /// Whose credentials they have.
    pub person: Person,
}

/// Something that happens from outside.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Somebody does something on a device; a stranger attacks.
    Act { node: NodeId, seed: u64 },
    /// A connection breaks.
    Cut { seed: u64 },
    /// Some nodes can't reach the others for a while.
    Part { side: Vec<NodeId>, lasting: Duration },
    /// A node loses its power for a while.
    PowerLoss { node: NodeId, lasting: Duration },
    /// A node loses its power between two of its outputs, this many outputs from now.
    PowerLossAmidOutputs { node: NodeId, outputs: u64, lasting: Duration },
    /// A device does nothing for a while, though everything is delivered to it.
    Sleep { node: NodeId, lasting: Duration },
    /// A node's clock jumps by so many milliseconds.
    ClockJump { node: NodeId, by: i64 },
    /// Some flushes of a node fail for a while.
    DiskFails { node: NodeId, percent: u64, lasting: Duration },
    /// Nothing fits on a node's disk for a while.
    DiskFull { node: NodeId, lasting: Duration },
    /// A relay is stopped by its operator, who lets it say goodbye.
    Restart { relay: usize, lasting: Duration },
    /// Somebody loses the right to a document that was given to them.
    Revoke { document: DocumentId, person: Person },
    /// An operator has something done at every relay.
    Order(Order),
}

/// What an operator has a relay do to a stored document. It is asked for until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The document itself lets somebody in from now on, whatever their permits say.
    Share { document: DocumentId, person: Person, right: Right },
    /// The document does not let somebody in any more.
    Unshare { document: DocumentId, person: Person },
    /// Nothing is to be left of the document.
    Erase { document: DocumentId },
}

impl Order {
    pub fn document(&self) -> DocumentId {
        match self {
            Self::Share { document, .. } | Self::Unshare { document, .. } | Self::Erase { document } => {
                *document
            }
        }
    }
}

/// A whole world, before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub relays: usize,
    pub devices: Vec<DevicePlan>,
    pub strangers: Vec<StrangerPlan>,
    pub documents: Vec<DocumentPlan>,
    pub weather: Weather,
    pub device_disk: Health,
    pub relay_disk: Health,
    pub relay_ways: RelayWays,
    /// How long things go wrong.
    pub torment: Duration,
    /// What happens meanwhile, in order.
    pub happenings: Vec<(Timestamp, Happening)>,
}

impl Plan {
    /// The plan of this seed.
    pub fn draw(seed: u64) -> Self {
        draw::plan(seed)
    }

    /// The person that every relay lets read and write everything, on the one device that connects to all relays.
    pub fn service(&self) -> Person {
        self.devices[0].person
    }

    /// The documents that `person` may read from the beginning.
    pub fn readable(&self, person: Person) -> impl Iterator<Item = &DocumentPlan> {
        self.documents.iter().filter(move |document| document.right_of(person).is_some())
    }
}
