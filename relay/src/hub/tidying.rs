//! What time brings: documents leave memory, permits end, rights change.

use std::collections::VecDeque;

use crdt_core::wire::DenialCode;

use super::refusing::Refused;
use super::{Hub, Output, Sizes, Slot};
use crate::access::{Access, Right};
use crate::id::{ConnectionId, DocumentKey, Sequence};

impl Hub {
    pub(super) fn tick(&mut self) {
        self.end_overdue();
        self.cool();
        self.evict();
    }

    /// Notes that the room has bytes in memory, and makes room for them if they are too many.
    pub(super) fn note_hot(&mut self, key: &DocumentKey) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        room.used = self.now;
        if !room.is_hot && room.sizes().cached > 0 {
            room.is_hot = true;
            self.hot.push_back(key.clone());
        }
        while self.sizes.cached > self.limits.cache_bytes_max {
            let Some(key) = self.hot.pop_front() else { break };
            self.shed(&key);
        }
    }

    /// Forgets bytes that nobody has needed lately.
    fn cool(&mut self) {
        for _ in 0..self.hot.len() {
            let Some(key) = self.hot.pop_front() else { break };
            let Some(Slot::Open(room)) = self.rooms.get(&key) else { continue };
            if self.now.since(room.used) >= self.limits.cache_time_max {
                self.shed(&key);
            } else {
                self.hot.push_back(key);
            }
        }
        if self.hot.is_empty() {
            self.hot = VecDeque::new();
        }
    }

    /// Forgets the room's bytes that are on disk. The graph stays.
    fn shed(&mut self, key: &DocumentKey) {
        if let Some(Slot::Open(room)) = self.rooms.get_mut(key) {
            let before = room.sizes();
            room.is_hot = false;
            room.shed();
            room.graph.drop_expired(self.now);
            self.sizes.replace(before, room.sizes());
        }
    }

    /// Notes that nobody may be in the room any more. One without a document goes at once.
    pub(super) fn note_quiet(&mut self, key: &DocumentKey) {
        let Some(Slot::Open(room)) = self.rooms.get(key) else { return };
        if !room.is_quiet() {
            return;
        }
        if room.is_begun() {
            self.quiet.insert((self.now + self.limits.linger_time_max, key.clone()));
        } else {
            self.drop_room(key);
        }
    }

    /// Forgets the documents that nobody has followed for a while.
    fn evict(&mut self) {
        while let Some((due, _)) = self.quiet.first()
            && *due <= self.now
        {
            let (_, key) = self.quiet.pop_first().expect("it was looked at");
            let Some(Slot::Open(room)) = self.rooms.get(&key) else { continue };
            let is_due = self.now.since(room.used) >= self.limits.linger_time_max;
            if room.is_quiet() && is_due {
                self.drop_room(&key);
                self.counters.documents_evicted += 1;
            } else if room.is_quiet() {
                self.quiet.insert((room.used + self.limits.linger_time_max, key));
            }
        }
    }

    fn drop_room(&mut self, key: &DocumentKey) {
        if let Some(Slot::Open(room)) = self.rooms.remove(key) {
            self.sizes.replace(room.sizes(), Sizes::default());
        }
    }

    pub(super) fn access_changed(&mut self, key: &DocumentKey, access: Access) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        room.access = Some(access);
        let followers: Vec<_> = room.followers().collect();
        for follower in followers {
            self.recheck(follower, key);
        }
    }

    /// Applies what a connection may do with a document now to what it does.
    pub(super) fn recheck(&mut self, id: ConnectionId, key: &DocumentKey) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let right = room.right_of(&connection.permit, key.document);
        let Some(follower) = room.follower(id) else { return };
        if let Some(right) = right {
            follower.state.set_read_only(right < Right::Write);
            self.note_dirty(id, key.document);
        } else {
            let reason = "you may no longer read this document";
            self.refuse_document(id, key.document, Refused::Reading, DenialCode::Forbidden, reason);
            self.leave(id, key);
        }
    }

    pub(super) fn erased(&mut self, key: &DocumentKey, sequence: Sequence) {
        self.outputs.push_back(Output::Advanced { tenant: key.tenant.clone(), sequence });
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let followers: Vec<_> = room.followers().collect();
        let (appends, sizes) = (room.appends(), room.sizes());
        self.sizes.replace(sizes, Sizes::default());
        if appends > 0 {
            self.rooms.insert(key.clone(), Slot::Failed { appends });
        } else {
            self.rooms.remove(key);
        }
        for follower in followers {
            let reason = "the document was erased";
            self.refuse_document(follower, key.document, Refused::Reading, DenialCode::Forbidden, reason);
            self.leave(follower, key);
        }
    }
}
