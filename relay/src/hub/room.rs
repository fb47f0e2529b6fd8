//! A room: one active document, and who follows it.

use std::collections::{BTreeSet, VecDeque};

use crdt_core::graph::chunk::{InvalidChunk, ParsedChange};
use crdt_core::graph::{Graph, Item, OutOfOrder, Position as GraphPosition, Refusal};
use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::limits::HELD_BYTES_MAX;
use crdt_core::sync::{Manner, Outgoing, State};
use crdt_core::time::Timestamp;

use super::seen::Seen;
use super::snapshot::{Unpacked, decode_index, unpack};
use crate::access::{Access, Permit, Right};
use crate::id::{ConnectionId, Position};
use crate::store::StoredDocument;

/// How often a follower's exchange is begun anew when bytes are not where they were: packing moves them once.
const RESTARTS_MAX: u8 = 3;

/// One document in memory: its graph, and how far each follower has come.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) graph: Graph<Payload>,
    /// Where changes are stored.
    runs: Runs,
    /// Whose it is; nobody's until its first change comes.
    pub(super) access: Option<Access>,
    /// In the order of their connections.
    followers: Vec<Follower>,
    /// What it takes, on disk and in memory.
    sizes: Sizes,
    /// When it was last needed.
    pub(super) used: Timestamp,
    /// Length of the stored snapshot.
    snapshot_bytes: u64,
    /// How many changes have bytes of their own.
    unpacked: u32,
    compaction: Compaction,
    /// Whether the hub looks after its cached bytes.
    pub(super) is_hot: bool,
    /// What has been asked of the store, and brought. Mostly nothing.
    errands: Option<Box<Errands>>,
    gathered: Option<Box<Gathered>>,
}

/// A room's business with the store.
#[derive(Debug, Default)]
struct Errands {
    /// Where each append on its way to the disk ends, oldest first. They begin where the settled changes end.
    appends: VecDeque<GraphPosition>,
    /// Changes whose bytes have been asked for.
    reading: Option<Vec<GraphPosition>>,
    /// The snapshot's bytes, while somebody needs them.
    snapshot: Option<Box<[u8]>>,
}

/// What has been heard of those who are here.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) ephemeral: Seen,
    pub(super) presence: Seen,
}

/// What a document takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Bytes that the store has of it, or will have.
    pub(super) stored: u64,
    /// Bytes of changes in memory.
    pub(super) cached: usize,
    /// Bytes of changes held back, at most.
    pub(super) held: usize,
}

impl Sizes {
    /// Accounts for a room that took `before` and takes `after`.
    pub(super) fn replace(&mut self, before: Self, after: Self) {
        self.stored = self.stored + after.stored - before.stored;
        self.cached = self.cached + after.cached - before.cached;
        self.held = self.held + after.held - before.held;
    }
}

/// A change's bytes, while they are in memory. One word when they are not: most of the time most are only on disk.
#[derive(Debug)]
pub(super) struct Payload(Option<Box<Bytes>>);

#[derive(Debug)]
struct Bytes(Box<[u8]>);

impl Payload {
    fn of(bytes: Box<[u8]>) -> Self {
        Self(Some(Box::new(Bytes(bytes))))
    }

    fn bytes(&self) -> Option<&[u8]> {
        self.0.as_ref().map(|bytes| &*bytes.0)
    }
}

/// Where changes are stored: mostly in the order of the graph without gaps, which is one run.
#[derive(Debug)]
struct Runs {
    first: Run,
    more: Vec<Run>,
}

/// Changes that stand in the graph and in the store in the same order, without gaps.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u32,
    stored: Position,
}

/// Whether a snapshot of the document is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compaction {
    Idle,
    /// Of everything before this position.
    Running {
        end: u32,
    },
    /// It was tried and failed; not again while the document is in memory.
    Failed,
}

/// One connection's place in a room.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) connection: ConnectionId,
    pub(super) state: State,
    /// Its last changes end here: it is answered when they are durable.
    pub(super) awaits: Option<GraphPosition>,
    /// What it is told next, once the bytes in it have been read.
    pub(super) outgoing: Option<Box<Outgoing>>,
    /// How often its exchange has been begun anew, because what it was to be sent was not there any more.
    restarts: u8,
}

/// A message to be.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) outgoing: Box<Outgoing>,
    /// It had been put off; meanwhile changes in it may have been packed.
    pub(super) was_put_off: bool,
}

/// The changes of one message.
#[derive(Debug, Default)]
pub(super) struct TakenIn {
    /// Those to append, in causal order, with their bytes.
    pub(super) accepted: Vec<Vec<u8>>,
    /// The document's heads once these are durable.
    pub(super) heads: Vec<ChangeHash>,
    /// Their author is answered when everything before this is durable, whoever brought it first.
    pub(super) awaited: Option<GraphPosition>,
    /// The first reason for which one was refused.
    pub(super) refused: Option<Refusal>,
}

/// A message, or what it needs.
#[derive(Debug)]
pub(super) enum Made {
    /// They are here. A snapshot of `work` bytes of changes had to be taken apart.
    Ready { data: Vec<u8>, work: usize },
    /// These have to be read from the store first.
    Missing { snapshot: bool, changes: Vec<GraphPosition> },
    /// They are in the snapshot only, and can't be had singly, which it took this much work to find out.
    Packed { work: usize },
}

/// Why a stored document can't be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("its snapshot's index is damaged")]
    Index,
    #[error("its snapshot's index is wrong: {0}")]
    Order(#[from] OutOfOrder),
    #[error("its change {} is damaged: {why}", position.0)]
    Change { position: Position, why: InvalidChunk },
}

impl Room {
    /// A room for a document of which nothing is stored.
    pub(super) fn new(now: Timestamp) -> Self {
        Self::around(Graph::new(), None, now)
    }

    fn around(graph: Graph<Payload>, access: Option<Access>, now: Timestamp) -> Self {
        Self {
            graph,
            runs: Runs::NONE,
            access,
            followers: Vec::new(),
            sizes: Sizes::default(),
            used: now,
            snapshot_bytes: 0,
            unpacked: 0,
            compaction: Compaction::Idle,
            is_hot: false,
            errands: None,
            gathered: None,
        }
    }

    /// The room of a stored document.
    pub(super) fn load(stored: StoredDocument, now: Timestamp) -> Result<Self, Unusable> {
        let graph = match &stored.snapshot {
            None => Graph::new(),
            Some(snapshot) => Graph::from_snapshot(decode_index(&snapshot.index).ok_or(Unusable::Index)?)?,
        };
        let mut end = graph.len();
        let mut room = Self::around(graph, stored.access, now);
        room.snapshot_bytes = stored.snapshot.map_or(0, |snapshot| snapshot.bytes);
        room.sizes.stored = room.snapshot_bytes;
        for (position, change) in stored.changes {
            room.sizes.stored += change.len() as u64;
            let parsed = ParsedChange::parse(&change).map_err(|why| Unusable::Change { position, why })?;
            // What does not fit stays in the store, unseen.
            if parsed.deps.iter().any(|dep| room.graph.position(dep).is_none()) {
                continue;
            }
            let item = Item::from(&parsed);
            let accepted = room.graph.insert(item, Payload::of(parsed.bytes), now).accepted;
            if !accepted.is_empty() {
                room.runs.note(accepted.start, position);
                room.sizes.cached += change.len();
                room.unpacked += 1;
                end = accepted.end;
            }
        }
        room.graph.settle(end);
        Ok(room)
    }

    pub(super) fn follower(&mut self, connection: ConnectionId) -> Option<&mut Follower> {
        let index = self.followers.binary_search_by_key(&connection, |follower| follower.connection).ok()?;
        Some(&mut self.followers[index])
    }

    pub(super) fn followers(&self) -> impl Iterator<Item = ConnectionId> {
        self.followers.iter().map(|follower| follower.connection)
    }

    /// The connection's place among the followers, new if it has none.
    pub(super) fn follow(&mut self, connection: ConnectionId, manner: Manner) -> &mut Follower {
        let index = match self.followers.binary_search_by_key(&connection, |follower| follower.connection) {
            Ok(index) => index,
            Err(index) => {
                let state = State::new(manner);
                if self.followers.len() == self.followers.capacity() {
                    self.followers.reserve_exact(1 + self.followers.len() / 4);
                }
                self.followers
                    .insert(index, Follower { connection, state, awaits: None, outgoing: None, restarts: 0 });
                index
            }
        };
        &mut self.followers[index]
    }

    pub(super) fn leave(&mut self, connection: ConnectionId) {
        self.followers.retain(|follower| follower.connection != connection);
        if self.followers.is_empty() {
            self.followers = Vec::new();
        }
    }

    /// Whether nothing would be lost if the room were forgotten: everything is on disk, and nobody is there.
    pub(super) fn is_quiet(&self) -> bool {
        let is_busy = self.errands.as_ref().is_some_and(|errands| !errands.is_done());
        self.followers.is_empty() && !is_busy && !self.is_compacting()
    }

    /// Whether a snapshot is being made.
    pub(super) fn is_compacting(&self) -> bool {
        matches!(self.compaction, Compaction::Running { .. })
    }

    /// What the holder of a permit may do here. A document that nobody has begun may be begun, or waited for by those whose
    /// permits name it.
    pub(super) fn right_of(&self, permit: &Permit, document: DocumentId) -> Option<Right> {
        match &self.access {
            Some(access) => permit.right_to(document, access),
            None if self.is_begun() => None,
            None if permit.may_begin(document) => Some(Right::Write),
            None => permit.right_named(document),
        }
    }

    /// Whether anything of the document is durable, or on its way.
    pub(super) fn is_begun(&self) -> bool {
        !self.graph.is_empty() || self.appends() > 0
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// How many appends are on their way to the disk.
    pub(super) fn appends(&self) -> usize {
        self.errands.as_ref().map_or(0, |errands| errands.appends.len())
    }

    /// What has been heard of those who are here.
    pub(super) fn gathered(&mut self) -> &mut Gathered {
        self.gathered.get_or_insert_default()
    }

    /// Of these changes, those that are neither here nor held back as far as can be told.
    pub(super) fn bytes_of_new(&self, changes: &[ParsedChange]) -> u64 {
        let new = changes.iter().filter(|change| self.graph.position(&change.hash).is_none());
        new.map(|change| change.bytes.len() as u64).sum()
    }

    /// Takes in changes, of which those whose dependencies are here are to be appended at once. Others are held back if
    /// `may_hold`, and otherwise forgotten: sync asks for them again.
    pub(super) fn take_in(&mut self, changes: Vec<ParsedChange>, may_hold: bool, now: Timestamp) -> TakenIn {
        let mut taken = TakenIn::default();
        let start = self.end();
        let mut end = start;
        for change in changes {
            if !may_hold && change.deps.iter().any(|dep| self.graph.position(dep).is_none()) {
                continue;
            }
            let hash = change.hash;
            let (item, bytes, held) = (Item::from(&change), change.bytes.len(), self.graph.held_len());
            let inserted = self.graph.insert(item, Payload::of(change.bytes), now);
            if self.graph.held_len() > held {
                self.sizes.held = (self.sizes.held + bytes).min(HELD_BYTES_MAX);
            }
            end = end.max(inserted.accepted.end);
            let is_on_its_way = |position: &GraphPosition| *position >= self.graph.len();
            let position = self.graph.position(&hash).filter(is_on_its_way);
            taken.awaited = taken.awaited.max(position.map(|position| position + 1));
            taken.refused = taken.refused.or(inserted.refused.into_iter().next().map(|(_, refusal)| refusal));
        }
        if self.graph.held_len() == 0 {
            self.sizes.held = 0;
        }
        for position in start..end {
            let bytes = self.graph.payload(position).and_then(Payload::bytes);
            let bytes = bytes.expect("what was just taken in is in memory");
            self.sizes.cached += bytes.len();
            self.sizes.stored += bytes.len() as u64;
            taken.accepted.push(bytes.to_vec());
        }
        if end > start {
            self.unpacked += short(end - start);
            self.errands.get_or_insert_default().appends.push_back(end);
            taken.heads = self.heads_at(end);
            taken.awaited = Some(end);
        }
        taken
    }

    /// The position after the last change that has been taken in.
    pub(super) fn end(&self) -> GraphPosition {
        let last = self.errands.as_ref().and_then(|errands| errands.appends.back());
        last.copied().unwrap_or(self.graph.len())
    }

    /// The heads as they will be when everything before `end` is settled.
    pub(super) fn heads_at(&self, end: GraphPosition) -> Vec<ChangeHash> {
        let mut heads = self.graph.heads();
        for position in self.graph.len()..end {
            for dep in self.graph.deps(position) {
                let dep = self.graph.id(dep);
                heads.retain(|head| *head != dep);
            }
            heads.push(self.graph.id(position));
        }
        heads.sort_unstable();
        heads
    }

    /// Settles the oldest append, which the store has put at `first`, and says whose changes are all durable with it.
    ///
    /// # Panics
    /// If none is on its way.
    pub(super) fn settle(&mut self, first: Position) -> Vec<ConnectionId> {
        let errands = self.errands.as_mut().and_then(|errands| errands.appends.pop_front());
        let end = errands.expect("the store answers what it was asked");
        self.drop_errands();
        self.runs.note(self.graph.len(), first);
        self.graph.settle(end);
        let done = self
            .followers
            .iter_mut()
            .filter(|follower| follower.awaits.is_some_and(|awaited| awaited <= end));
        done.map(|follower| {
            follower.awaits = None;
            follower.connection
        })
        .collect()
    }

    /// How many changes are on their way to the disk.
    pub(super) fn unsettled(&self) -> usize {
        self.end() - self.graph.len()
    }

    /// The next message for a follower: the one put off, or a new one, if there is anything to say. Who waits for changes
    /// to become durable is told of them then.
    pub(super) fn next_message(&mut self, connection: ConnectionId) -> Option<Next> {
        let index = self.followers.binary_search_by_key(&connection, |follower| follower.connection).ok()?;
        let follower = &mut self.followers[index];
        if follower.awaits.is_some() {
            return None;
        }
        if let Some(outgoing) = follower.outgoing.take() {
            return Some(Next { outgoing, was_put_off: true });
        }
        let outgoing = follower.state.generate(&self.graph).map(Box::new)?;
        Some(Next { outgoing, was_put_off: false })
    }

    /// Begins a follower's exchange anew, from what both sides are known to hold; not for ever.
    pub(super) fn restart(&mut self, connection: ConnectionId) -> bool {
        let Some(follower) = self.follower(connection) else { return false };
        follower.outgoing = None;
        follower.restarts = follower.restarts.saturating_add(1);
        follower.state.restart();
        // Who reads snapshots is sent one in the end, however often packing is quicker than reading.
        follower.restarts <= RESTARTS_MAX || follower.state.peer_reads_documents()
    }

    /// Keeps a message until the bytes in it have been read.
    pub(super) fn put_off(&mut self, connection: ConnectionId, outgoing: Box<Outgoing>) {
        if let Some(follower) = self.follower(connection) {
            follower.outgoing = Some(outgoing);
        }
    }

    /// Those whose message has been put off.
    pub(super) fn waiting_for_bytes(&self) -> Vec<ConnectionId> {
        let waiting = self.followers.iter().filter(|follower| follower.outgoing.is_some());
        waiting.map(|follower| follower.connection).collect()
    }

    /// The message for a follower, or what has to be read before it can be made. For a peer that can't read a snapshot, one
    /// is taken apart if its changes are no longer than `unpacked_bytes_max`.
    pub(super) fn make(&self, id: ConnectionId, outgoing: &Outgoing, unpacked_bytes_max: usize) -> Made {
        let snapshot = self.errands.as_ref().and_then(|errands| errands.snapshot.as_deref());
        let packed = outgoing.changes.iter().filter(|id| self.is_packed(id));
        let packed: BTreeSet<_> = packed.copied().collect();
        let must_unpack = !packed.is_empty();
        if must_unpack && self.reads_snapshots(id) {
            return Made::Packed { work: 0 };
        }
        let own = |id: &ChangeHash| {
            let position = self.graph.position(id)?;
            self.graph.payload(position).is_some().then_some(position)
        };
        let changes: Vec<_> = outgoing.changes.iter().filter_map(own).collect();
        let is_unread =
            |position: &GraphPosition| self.graph.payload(*position).is_some_and(|it| it.bytes().is_none());
        let needs_snapshot = outgoing.snapshot || must_unpack;
        if (needs_snapshot && snapshot.is_none()) || changes.iter().any(is_unread) {
            // All of it: what is in memory now may be forgotten by the time that the rest has been read.
            return Made::Missing { snapshot: needs_snapshot, changes };
        }
        let unpacked = match snapshot.filter(|_| must_unpack) {
            None => Unpacked::default(),
            Some(snapshot) => match unpack(snapshot, &packed, unpacked_bytes_max) {
                Ok(unpacked) => unpacked,
                Err(_) => return Made::Packed { work: unpacked_bytes_max },
            },
        };
        let mut chunks = Vec::with_capacity(outgoing.changes.len() + 1);
        chunks.extend(snapshot.filter(|_| outgoing.snapshot));
        for id in &outgoing.changes {
            let own = self.graph.position(id).and_then(|position| self.graph.payload(position));
            let bytes =
                own.and_then(Payload::bytes).or_else(|| unpacked.changes.get(id).map(|bytes| &**bytes));
            let Some(bytes) = bytes else { return Made::Packed { work: unpacked.work } };
            chunks.push(bytes);
        }
        Made::Ready { data: outgoing.encode(chunks.into_iter()), work: unpacked.work }
    }

    /// Whether the change has no bytes of its own.
    fn is_packed(&self, id: &ChangeHash) -> bool {
        self.graph.position(id).is_none_or(|position| self.graph.payload(position).is_none())
    }

    fn reads_snapshots(&self, id: ConnectionId) -> bool {
        let index = self.followers.binary_search_by_key(&id, |follower| follower.connection);
        index.is_ok_and(|index| self.followers[index].state.peer_reads_documents())
    }

    /// Asks the store for the bytes of these changes: one question at a time.
    pub(super) fn begin_reading(&mut self, changes: Vec<GraphPosition>) -> Option<Vec<Position>> {
        let errands = self.errands.get_or_insert_default();
        if errands.reading.is_some() {
            return None;
        }
        let stored = changes.iter().map(|position| self.runs.stored_at(*position));
        let stored = stored.map(|stored| stored.expect("what is not in memory is stored")).collect();
        errands.reading = Some(changes);
        Some(stored)
    }

    /// Whether something that the store was asked for has no bytes of its own any more.
    pub(super) fn is_reading_what_was_packed(&self) -> bool {
        let asked = self.errands.as_ref().and_then(|errands| errands.reading.as_ref());
        asked.is_some_and(|asked| asked.iter().any(|position| self.graph.payload(*position).is_none()))
    }

    /// Takes in the bytes that the store was asked for, in the order asked for.
    pub(super) fn end_reading(&mut self, changes: Vec<Vec<u8>>, snapshot: Option<Vec<u8>>) {
        let errands = self.errands.get_or_insert_default();
        let asked = errands.reading.take().unwrap_or_default();
        if let Some(snapshot) = snapshot {
            self.sizes.cached += snapshot.len();
            let earlier = errands.snapshot.replace(snapshot.into());
            self.sizes.cached -= earlier.map_or(0, |earlier| earlier.len());
        }
        for (position, bytes) in asked.iter().zip(changes) {
            if let Some(payload @ Payload(None)) = self.graph.payload_mut(*position) {
                self.sizes.cached += bytes.len();
                *payload = Payload::of(bytes.into());
            }
        }
    }

    /// Forgets all bytes that are on disk.
    pub(super) fn shed(&mut self) {
        for position in 0..self.graph.len() {
            if let Some(payload) = self.graph.payload_mut(position) {
                *payload = Payload(None);
            }
        }
        let bytes = |position| self.graph.payload(position).and_then(Payload::bytes);
        self.sizes.cached = (self.graph.len()..self.end()).filter_map(bytes).map(<[u8]>::len).sum();
        if let Some(errands) = &mut self.errands {
            errands.snapshot = None;
        }
        self.drop_errands();
    }

    fn drop_errands(&mut self) {
        if self.errands.as_ref().is_some_and(|errands| errands.is_done() && errands.snapshot.is_none()) {
            self.errands = None;
        }
    }

    /// Begins a snapshot if there is reason to. Returns the place in the store before which everything is to be in it.
    pub(super) fn begin_compaction(&mut self, compact_after: usize) -> Option<Position> {
        let unpacked = self.unpacked as usize;
        let packed = self.graph.len().saturating_sub(unpacked);
        if self.compaction != Compaction::Idle || unpacked < compact_after.max(packed / 2) {
            return None;
        }
        let end = self.graph.len();
        let last = self.runs.stored_at(end.checked_sub(1)?)?;
        self.compaction = Compaction::Running { end: short(end) };
        Some(Position(last.0 + 1))
    }

    /// Notes that a snapshot of so many bytes is stored, without the changes `left_out`.
    pub(super) fn end_compaction(&mut self, left_out: &[ChangeHash], snapshot_bytes: u64) {
        if let Compaction::Running { end } = self.compaction {
            self.graph.pack(end as usize, left_out);
            let own_bytes = |position: &GraphPosition| self.graph.payload(*position).is_some();
            let unpacked: Vec<_> = (0..self.end()).filter(own_bytes).collect();
            let bytes: usize = unpacked.iter().map(|position| self.graph.bytes(*position)).sum();
            self.unpacked = short(unpacked.len());
            self.snapshot_bytes = snapshot_bytes;
            self.sizes.stored = snapshot_bytes + bytes as u64;
            self.compaction = Compaction::Idle;
            self.shed();
        }
    }

    /// Notes that no snapshot could be made.
    pub(super) fn fail_compaction(&mut self) {
        self.compaction = Compaction::Failed;
    }

    /// Bytes of memory that the room takes, roughly: what it owns, without what allocators add.
    pub(super) fn memory_bytes(&self) -> usize {
        let followers: usize = self.followers.iter().map(Follower::memory_bytes).sum();
        let gathered =
            self.gathered.as_ref().map_or(0, |it| it.ephemeral.memory_bytes() + it.presence.memory_bytes());
        let more = self.runs.more.capacity() * size_of::<Run>();
        size_of::<Self>() + self.graph.memory_bytes() + self.sizes.cached + followers + gathered + more
    }
}

impl Errands {
    /// Whether the store has nothing more to answer.
    fn is_done(&self) -> bool {
        self.appends.is_empty() && self.reading.is_none()
    }
}

impl Run {
    /// Nothing is in it: no position is as late.
    const NONE: Self = Self { start: u32::MAX, stored: Position(0) };
}

impl Runs {
    const NONE: Self = Self { first: Run::NONE, more: Vec::new() };

    /// Notes that the change at `position`, the latest so far, is stored there.
    fn note(&mut self, position: GraphPosition, stored: Position) {
        if self.stored_at(position) == Some(stored) {
            return;
        }
        let run = Run { start: short(position), stored };
        if self.first.start == Run::NONE.start {
            self.first = run;
        } else {
            self.more.push(run);
        }
    }

    /// Where the change at `position` is stored, if it is or will be.
    fn stored_at(&self, position: GraphPosition) -> Option<Position> {
        let position = short(position);
        let later = &self.more[..self.more.partition_point(|run| run.start <= position)];
        let run = later.last().unwrap_or(&self.first);
        Some(Position(run.stored.0 + u64::from(position.checked_sub(run.start)?)))
    }
}

impl Follower {
    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.state.memory_bytes()
    }
}

fn short(position: GraphPosition) -> u32 {
    u32::try_from(position).expect("graphs are bounded")
}
