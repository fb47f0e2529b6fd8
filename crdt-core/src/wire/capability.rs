//! What a peer understands beyond automerge-repo's own frames, as it announces it in its metadata.

use std::fmt;

/// One of our extensions. A peer that has not announced it is never sent its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// [`Frame::Durable`](super::Frame::Durable): which heads are on disk.
    DurableHeads,
    /// [`Frame::Denied`](super::Frame::Denied): a refusal with its reason.
    Denial,
    /// [`Frame::Open`](super::Frame::Open): many documents opened by one frame. Comes with [`Self::DurableHeads`].
    OpenMany,
    /// [`Frame::Presence`](super::Frame::Presence): who is here.
    Presence,
    /// [`Frame::GoingAway`](super::Frame::GoingAway): an announced goodbye.
    GoingAway,
    /// [`Frame::Ping`](super::Frame::Ping) and [`Frame::Pong`](super::Frame::Pong).
    Heartbeat,
    /// [`Frame::Permitted`](super::Frame::Permitted) and [`Frame::Renew`](super::Frame::Renew): a new token on a live
    /// connection.
    Renewal,
}

impl Capability {
    /// Every capability, in the order in which they are announced.
    pub const ALL: [Self; 7] = [
        Self::DurableHeads,
        Self::Denial,
        Self::OpenMany,
        Self::Presence,
        Self::GoingAway,
        Self::Heartbeat,
        Self::Renewal,
    ];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DurableHeads => "durable-heads",
            Self::Denial => "denial",
            Self::OpenMany => "open-many",
            Self::Presence => "presence",
            Self::GoingAway => "going-away",
            Self::Heartbeat => "heartbeat",
            Self::Renewal => "renewal",
        }
    }

    fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == text)
    }
}

/// The set of extensions that a peer announced. Empty for every peer that is not ours.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// What an automerge-repo peer has.
    pub const NONE: Self = Self(0);

    /// What this version of the library has.
    pub fn all() -> Self {
        Capability::ALL.into_iter().collect()
    }

    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// What both understand.
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// In the order in which they are announced.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.has(*capability))
    }

    /// Adds what this announced name stands for; a name from a later version stands for nothing.
    pub(super) fn add_announced(&mut self, name: &str) {
        if let Some(capability) = Capability::from_wire(name) {
            self.0 |= 1 << capability as u8;
        }
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |bits, capability| bits | 1 << capability as u8))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
