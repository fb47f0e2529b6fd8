//! What the store answers.

use crdt_core::wire::DenialCode;

use super::refusing::Refused;
use super::room::Room;
use super::{Compacted, Hub, Loading, Output, ReadBytes, Slot, Waiting};
use crate::id::{ConnectionId, DocumentKey};
use crate::store::{CommitError, Committed, LoadError, Loaded, Usage};

impl Hub {
    pub(super) fn loaded(&mut self, key: &DocumentKey, loaded: Result<(Loaded, Usage), LoadError>) {
        let Some(Slot::Loading(loading)) = self.rooms.get_mut(key) else { return };
        let Loading { waiting } = std::mem::take(&mut **loading);
        self.rooms.remove(key);
        for Waiting { connection, call } in &waiting {
            if let Some(connection) = self.connections.get_mut(*connection) {
                connection.parked_bytes -= call.bytes();
            }
        }
        let room = match loaded {
            Ok((loaded, usage)) => {
                // Other hubs' documents count as well, and what was erased or could not be stored does not: the store knows.
                self.tenant_bytes.insert(key.tenant.clone(), usage.bytes);
                match loaded {
                    Loaded::Unknown => Ok(Room::new(self.now)),
                    Loaded::Erased { .. } => {
                        Err((DenialCode::Forbidden, "the document was erased".to_owned()))
                    }
                    Loaded::Document(stored) => Room::load(stored, self.now).map_err(|error| {
                        (DenialCode::Storage, format!("the document can't be served: {error}"))
                    }),
                }
            }
            Err(error) => Err((DenialCode::Storage, format!("the document can't be served: {error}"))),
        };
        match room {
            Ok(room) => self.opened(key, room, waiting),
            Err((code, reason)) => {
                for Waiting { connection, .. } in waiting {
                    self.refuse_document(connection, key.document, Refused::Reading, code, &reason);
                    self.leave(connection, key);
                }
            }
        }
    }

    /// Lets in those who waited for the document.
    fn opened(&mut self, key: &DocumentKey, room: Room, waiting: Vec<Waiting>) {
        self.counters.documents_loaded += u64::from(room.is_begun());
        self.sizes.replace(super::Sizes::default(), room.sizes());
        let is_begun = room.is_begun();
        self.rooms.insert(key.clone(), Slot::Open(Box::new(room)));
        self.note_hot(key);
        for Waiting { connection, call } in waiting {
            // Where an earlier one is refused, a room that holds nothing is gone, and has to be loaded again.
            self.call(connection, key.document, call);
        }
        if is_begun {
            // It came without anybody noticing: the disk kept what it said it could not.
            self.arrive_all(key);
        }
        self.note_quiet(key);
    }

    pub(super) fn stored(&mut self, key: &DocumentKey, stored: Result<Committed, CommitError>) {
        match (self.rooms.get_mut(key), stored) {
            (Some(Slot::Open(_)), Ok(committed)) => self.settled(key, committed),
            (Some(Slot::Open(_)), Err(error)) => self.fail(key, &error),
            (Some(Slot::Failed { appends }), _) => {
                *appends -= 1;
                if *appends == 0 {
                    self.rooms.remove(key);
                }
            }
            _ => {}
        }
    }

    /// The oldest append has become durable: now it is shown.
    fn settled(&mut self, key: &DocumentKey, committed: Committed) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let before = room.graph.len();
        let authors = room.settle(committed.position);
        self.counters.changes_stored += (room.graph.len() - before) as u64;
        let followers: Vec<_> = room.followers().collect();
        if let Some(through) = room.begin_compaction(self.limits.compact_after) {
            self.outputs.push_back(Output::Compact { key: key.clone(), through });
        }
        self.outputs.push_back(Output::Advanced { tenant: key.tenant.clone(), sequence: committed.sequence });
        for author in authors {
            self.note_durable(author, key.document);
            self.finish_put(author, key);
        }
        for follower in followers {
            self.note_dirty(follower, key.document);
        }
        self.arrive_all(key);
        self.note_quiet(key);
    }

    /// A document is there: whoever asked for it before it was is told.
    fn arrive_all(&mut self, key: &DocumentKey) {
        for connection in self.wanted.remove(key).unwrap_or_default() {
            self.arrive(connection, key);
        }
    }

    /// A document that somebody asked for has been brought.
    fn arrive(&mut self, id: ConnectionId, key: &DocumentKey) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let Some(connection) = self.connections.get(id) else { return };
        match room.right_of(&connection.permit, key.document) {
            // Nobody may learn from a denial that a document has come to be.
            None => self.leave(id, key),
            Some(right) => {
                room.follow(id, right.manner());
                self.note_dirty(id, key.document);
            }
        }
    }

    /// An append failed: what is in memory is not what is on disk, so nothing of it is shown any more.
    fn fail(&mut self, key: &DocumentKey, error: &CommitError) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let appends = room.appends() - 1;
        self.counters.changes_lost += room.unsettled() as u64;
        self.abandon(key, appends, &format!("it could not be stored: {error}"));
    }

    /// Forgets a room that is not as the disk is, and tells its followers. So many appends are still to be answered.
    fn abandon(&mut self, key: &DocumentKey, appends: usize, reason: &str) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let sizes = room.sizes();
        let followers: Vec<_> = room.followers().collect();
        self.sizes.replace(sizes, super::Sizes::default());
        if appends == 0 {
            self.rooms.remove(key);
        } else {
            self.rooms.insert(key.clone(), Slot::Failed { appends });
        }
        for follower in followers {
            self.refuse_document(follower, key.document, Refused::Reading, DenialCode::Storage, reason);
            self.leave(follower, key);
        }
    }

    pub(super) fn refuse_failed(&mut self, id: ConnectionId, document: crdt_core::id::DocumentId) {
        let reason = "it could not be stored; try again later";
        self.refuse_document(id, document, Refused::Reading, DenialCode::Storage, reason);
    }

    pub(super) fn read(&mut self, key: &DocumentKey, read: Result<ReadBytes, LoadError>) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let before = room.sizes();
        let waiting = room.waiting_for_bytes();
        match read {
            Ok(read) => {
                room.end_reading(read.changes, read.snapshot);
                self.sizes.replace(before, room.sizes());
                // They are told before the bytes can be forgotten again, however little may be kept.
                for follower in waiting {
                    self.note_dirty(follower, key.document);
                    self.speak(follower);
                }
                self.note_hot(key);
            }
            // What was asked for has just been packed. Those who wait are told once that is known here.
            Err(LoadError::Missing { .. }) if room.is_compacting() => room.end_reading(Vec::new(), None),
            // It was packed since it was asked for, and that is known here: it is asked for anew, as it is now.
            Err(LoadError::Missing { .. }) if room.is_reading_what_was_packed() => {
                room.end_reading(Vec::new(), None);
                for follower in waiting {
                    self.note_dirty(follower, key.document);
                }
            }
            // The disk has packed what it said it had not. It is loaded anew for whoever asks again.
            Err(error @ LoadError::Missing { .. }) => {
                let appends = room.appends();
                return self.abandon(key, appends, &format!("the document can't be served: {error}"));
            }
            Err(error) => {
                room.end_reading(Vec::new(), None);
                let reason = format!("the document can't be served: {error}");
                for follower in waiting {
                    self.refuse_document(
                        follower,
                        key.document,
                        Refused::Reading,
                        DenialCode::Storage,
                        &reason,
                    );
                    self.leave(follower, key);
                }
            }
        }
        self.note_quiet(key);
    }

    pub(super) fn compacted(&mut self, key: &DocumentKey, compacted: Option<Compacted>) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let before = room.sizes();
        match compacted {
            Some(Compacted { left_out, bytes }) => {
                room.end_compaction(&left_out, bytes);
                self.counters.snapshots_made += 1;
            }
            None => room.fail_compaction(),
        }
        let (after, waiting) = (room.sizes(), room.waiting_for_bytes());
        self.sizes.replace(before, after);
        let tenant_bytes = self.tenant_bytes.entry(key.tenant.clone()).or_default();
        *tenant_bytes = (*tenant_bytes + after.stored).saturating_sub(before.stored);
        for follower in waiting {
            self.note_dirty(follower, key.document);
        }
        self.note_quiet(key);
    }
}
