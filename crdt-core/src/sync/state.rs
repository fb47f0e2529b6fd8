//! What is known of one peer of one document, and what to tell it next.

use super::bloom::Bloom;
use super::history::History;
use super::message::{Envelope, Flags, Have, InvalidMessage, Message};
use super::plan::{Plan, View};
use crate::graph::chunk::{ChunkKind, ParsedChange, split};
use crate::id::ChangeHash;
use crate::leb128::{Malformed, Reader, write_hashes};
use crate::limits::{HEADS_MAX, SYNC_IDLE_ROUNDS_MAX, SYNC_INFLATED_BYTES_MAX, SYNC_OPENING_BLOOM_MAX};

/// First byte of a stored state.
const STORED: u8 = 0x43;

/// How this side of an exchange behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Tells the peer that whole-document chunks can be read here. A relay, which opens no documents, does not tell.
    pub reads_documents: bool,
    /// Takes in no changes from this peer, and tells it so.
    pub read_only: bool,
}

impl Manner {
    /// A replica that opens its documents.
    pub const OPEN: Self = Self { reads_documents: true, read_only: false };
    /// A relay, which opens none.
    pub const RELAY: Self = Self { reads_documents: false, read_only: false };
    /// A relay towards a peer that may read but not write.
    pub const RELAY_READ_ONLY: Self = Self { reads_documents: false, read_only: true };
}

/// One document's exchange with one peer.
///
/// Lives as long as the connection. What outlives it is [`State::encode`]d and handed to the next one.
#[derive(Clone, Debug)]
pub struct State {
    manner: Manner,
    /// Changes that both sides are known to hold, with all their ancestors.
    shared: Box<[ChangeHash]>,
    /// Changes that the peer holds once it has read what it was sent in this session, with all their ancestors.
    sent: Box<[ChangeHash]>,
    /// Our heads as last told.
    told_heads: Option<Box<[ChangeHash]>>,
    /// What the peer last told.
    theirs: Option<Theirs>,
    peer: Peer,
    waits: Waits,
    /// The peer sent changes and has not been answered.
    owes_answer: bool,
    /// The peer is to forget what it has sent.
    asks_reset: bool,
    /// Messages heard in a row after which neither side's heads had moved.
    idle_rounds: u8,
}

/// Whether the peer has been heard since it was last sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    /// Not heard. News may be sent all the same.
    ForAnswer,
    /// Not heard, and there is more to send: nothing is, until it shows that it keeps up.
    ForBatch,
}

#[derive(Clone, Debug)]
struct Theirs {
    heads: Box<[ChangeHash]>,
    need: Box<[ChangeHash]>,
    have: Box<[Have]>,
}

/// What the peer has shown it can do.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    reads_documents: bool,
    understands_reset: bool,
    read_only: bool,
}

/// What a message brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub changes: Vec<ParsedChange>,
    /// Whole-document chunks. Their bytes are unverified; see [`crate::document::Document::apply_packed`].
    pub documents: Vec<Box<[u8]>>,
}

/// A message to be sent, but for the bytes of the changes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    heads: Vec<ChangeHash>,
    need: Vec<ChangeHash>,
    have: Vec<Have>,
    flags: Option<Flags>,
    /// Whether the snapshot goes first.
    pub snapshot: bool,
    /// The changes that go with it, in this order. A peer that can't read snapshots is sent all changes one by one, even
    /// those of which nothing but the snapshot is stored: whoever stores must unpack them.
    pub changes: Vec<ChangeHash>,
}

impl Outgoing {
    /// The message, with the chunks it is to hold: the snapshot if [`Outgoing::snapshot`], then the changes.
    pub fn encode<'a>(&self, chunks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let envelope = Envelope {
            heads: &self.heads,
            need: &self.need,
            have: &self.have,
            flags: self.flags,
            is_version_2: self.snapshot,
        };
        let chunks: Vec<_> = chunks.collect();
        envelope.encode(&chunks)
    }

    /// Whether the message says nothing but which heads are here.
    pub fn is_bare(&self) -> bool {
        !self.snapshot && self.changes.is_empty() && self.need.is_empty()
    }
}

impl State {
    /// The beginning of an exchange with a peer never met.
    pub fn new(manner: Manner) -> Self {
        Self {
            manner,
            shared: Box::default(),
            sent: Box::default(),
            told_heads: None,
            theirs: None,
            peer: Peer::default(),
            waits: Waits::No,
            owes_answer: false,
            asks_reset: false,
            idle_rounds: 0,
        }
    }

    /// What is worth keeping when the connection ends: what both sides hold.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![STORED];
        write_hashes(&mut bytes, &self.shared);
        bytes
    }

    /// The beginning of the next exchange with the peer of an earlier one.
    pub fn decode(bytes: &[u8], manner: Manner) -> Result<Self, InvalidState> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != STORED {
            return Err(InvalidState::NotAState);
        }
        let shared = reader.hashes(HEADS_MAX)?;
        if !reader.is_empty() {
            return Err(InvalidState::NotAState);
        }
        Ok(Self::resume(manner, shared))
    }

    /// The beginning of an exchange with a peer that is known to hold these changes, with all their ancestors.
    pub fn resume(manner: Manner, shared: Vec<ChangeHash>) -> Self {
        Self { shared: shared.into(), ..Self::new(manner) }
    }

    /// Begins the exchange anew, from what both sides are known to hold, as if over a new connection.
    pub fn restart(&mut self) {
        let peer = self.peer;
        *self = Self { peer, ..Self::resume(self.manner, std::mem::take(&mut self.shared).into()) };
    }

    /// The peer told, outside of the exchange, that it has exactly our heads, which are these: as if an exchange had
    /// ended in them, nothing is left to be said.
    pub fn agree(&mut self, heads: &[ChangeHash]) {
        self.shared = heads.into();
        self.sent = heads.into();
        self.told_heads = Some(heads.into());
        self.theirs = Some(Theirs { heads: heads.into(), need: Box::default(), have: Box::default() });
        self.waits = Waits::No;
        self.owes_answer = false;
        self.idle_rounds = 0;
    }

    /// The peer told, outside of the exchange, that it has exactly these heads, and that it reads whole-document chunks. If
    /// all of them are here, what it lacks can be sent at once, without asking. If some are not, they are asked for by name,
    /// which the peer answers whatever it believes to have been said before.
    pub fn hear_heads(&mut self, heads: &[ChangeHash]) {
        self.theirs = Some(Theirs { heads: heads.into(), need: Box::default(), have: Box::default() });
        self.peer = Peer { reads_documents: true, understands_reset: true, ..self.peer };
        self.waits = Waits::No;
        self.idle_rounds = 0;
    }

    /// Whether the peer has told that it reads whole-document chunks.
    pub fn peer_reads_documents(&self) -> bool {
        self.peer.reads_documents
    }

    /// The heads that the peer last told, if it has been heard.
    pub fn their_heads(&self) -> Option<&[ChangeHash]> {
        self.theirs.as_ref().map(|theirs| &*theirs.heads)
    }

    /// Our heads as last told to the peer, if they were.
    pub fn told_heads(&self) -> Option<&[ChangeHash]> {
        self.told_heads.as_deref()
    }

    /// Bytes of memory that the state takes beyond its own size, without what allocators add.
    pub fn memory_bytes(&self) -> usize {
        let theirs = self.theirs.as_ref().map_or(0, |theirs| {
            let have = theirs
                .have
                .iter()
                .map(|have| size_of_val(have) + 32 * have.last_sync.len() + have.bloom.memory_bytes());
            32 * (theirs.heads.len() + theirs.need.len()) + have.sum::<usize>()
        });
        let told = self.told_heads.as_ref().map_or(0, |heads| heads.len());
        32 * (self.shared.len() + self.sent.len() + told) + theirs
    }

    /// Whether the exchange was broken off because neither side's heads moved any more. It goes on when either does.
    pub fn is_stalled(&self) -> bool {
        self.idle_rounds >= SYNC_IDLE_ROUNDS_MAX
    }

    /// Begins or ends taking in the peer's changes.
    pub fn set_read_only(&mut self, read_only: bool) {
        if self.manner.read_only && !read_only {
            // The peer believes that what it sent meanwhile was taken in.
            self.asks_reset = true;
        }
        if self.manner.read_only != read_only {
            self.manner.read_only = read_only;
            self.told_heads = None;
        }
    }

    /// Takes in the peer's message, and hands out what it brought. On an error the state is as before.
    pub fn receive(&mut self, message: &Message<'_>) -> Result<Received, InvalidMessage> {
        let received = if self.manner.read_only { Received::default() } else { self.read_chunks(message)? };
        if let Some(flags) = message.flags {
            self.peer.reads_documents = true;
            self.peer.understands_reset = flags.understands_reset;
            self.peer.read_only = flags.read_only;
        }
        let asks_reset = message.flags.is_some_and(|flags| flags.reset);
        // A peer that lacks what we took for common says so by claiming to hold nothing for certain.
        let denies_common = message.have.first().is_some_and(|have| *have == Have::default());
        if message.heads.is_empty() || denies_common {
            self.shared = Box::default();
        }
        if message.heads.is_empty() || denies_common || asks_reset {
            self.sent = Box::default();
        }
        let moved = self.theirs.as_ref().is_none_or(|theirs| *theirs.heads != *message.heads);
        self.idle_rounds = if moved { 0 } else { self.idle_rounds.saturating_add(1) };
        self.owes_answer |= !message.chunks.is_empty() || asks_reset;
        self.waits = Waits::No;
        self.theirs = Some(Theirs {
            heads: message.heads.as_slice().into(),
            need: message.need.as_slice().into(),
            have: message.have.as_slice().into(),
        });
        Ok(received)
    }

    fn read_chunks(&self, message: &Message<'_>) -> Result<Received, InvalidMessage> {
        let mut received = Received::default();
        let mut inflated = 0;
        for chunk in message.chunks.iter().flat_map(|chunks| split(chunks)) {
            let chunk = chunk?;
            if chunk.kind() == ChunkKind::Document {
                if !self.manner.reads_documents {
                    return Err(InvalidMessage::UnexpectedDocument);
                }
                received.documents.push(chunk.bytes().into());
            } else {
                let change = chunk.change()?;
                inflated += change.inflated_bytes as usize;
                received.changes.push(change);
            }
            if inflated > SYNC_INFLATED_BYTES_MAX {
                return Err(InvalidMessage::InflatesTooFar);
            }
        }
        Ok(received)
    }

    /// The next message for the peer, if there is anything to say.
    pub fn generate(&mut self, history: &impl History) -> Option<Outgoing> {
        let heads = history.heads();
        let heads_moved = self.told_heads.as_deref() != Some(heads.as_slice());
        if heads_moved {
            self.idle_rounds = 0;
        }
        let unheard = self.theirs.is_none() && self.waits != Waits::No;
        let has_said_all = !heads_moved && self.waits != Waits::No;
        if self.is_stalled() || unheard || has_said_all || self.waits == Waits::ForBatch {
            return None;
        }
        let (outgoing, waits) = match &self.theirs {
            None => (self.open(history, heads.clone()), Waits::ForAnswer),
            Some(theirs) => {
                let view = View {
                    heads: &theirs.heads,
                    need: &theirs.need,
                    have: &theirs.have,
                    shared: &self.shared,
                    sent: &self.sent,
                    takes_changes: !self.peer.read_only,
                    reads_documents: self.peer.reads_documents,
                    asks: !self.manner.read_only,
                };
                let plan = Plan::new(&view, history, &heads);
                let speaks = plan.sends() || !plan.need.is_empty() || self.owes_answer;
                if !heads_moved && !speaks {
                    return None;
                }
                let waits = if plan.is_complete { Waits::ForAnswer } else { Waits::ForBatch };
                (self.follow(plan, heads.clone()), waits)
            }
        };
        let heads_hidden = outgoing.heads != heads;
        self.told_heads = (!heads_hidden).then(|| heads.into());
        self.waits = waits;
        self.owes_answer = false;
        self.asks_reset = false;
        Some(outgoing)
    }

    /// The first message to a peer that has not been heard: what is here, for it to say what it lacks.
    fn open(&self, history: &impl History, heads: Vec<ChangeHash>) -> Outgoing {
        let last_sync: Vec<_> = self.shared.iter().filter(|hash| history.contains(hash)).copied().collect();
        let newer = history.since(&last_sync);
        // Once the peer has told its heads, a large filter is mostly found to be needless.
        let have =
            (newer.len() <= SYNC_OPENING_BLOOM_MAX).then(|| Have { last_sync, bloom: Bloom::of(&newer) });
        let have = have.into_iter().collect();
        Outgoing { heads, need: Vec::new(), have, flags: self.flags(), snapshot: false, changes: Vec::new() }
    }

    fn follow(&mut self, plan: Plan, heads: Vec<ChangeHash>) -> Outgoing {
        self.shared = plan.shared.into();
        self.sent = plan.sent.into();
        if let Some(theirs) = &mut self.theirs {
            if plan.is_complete {
                theirs.need = Box::default();
            }
            if plan.is_exact {
                theirs.have = Box::default();
            } else if plan.is_complete && !theirs.have.is_empty() {
                // All of it is answered. What comes later is news to the peer, of which its filters know nothing.
                theirs.have = Box::new([Have::default()]);
            }
        }
        // Who doesn't understand a reset understands a peer that lost everything.
        let flags = self.flags();
        let hides_heads = self.asks_reset && !(self.peer.understands_reset && flags.is_some());
        let heads = if hides_heads { Vec::new() } else { heads };
        Outgoing {
            heads,
            need: plan.need,
            have: plan.have,
            flags,
            snapshot: plan.snapshot,
            changes: plan.changes,
        }
    }

    fn flags(&self) -> Option<Flags> {
        self.manner.reads_documents.then_some(Flags {
            reset: self.asks_reset,
            read_only: self.manner.read_only,
            understands_reset: true,
        })
    }
}

/// Why bytes are not a stored state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidState {
    #[error("the bytes are no stored sync state")]
    NotAState,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}
