//! The replica among others: who is here, and what is said to whoever is.

use super::Replica;
use super::event::{Event, Quota};
use super::port::{ConnectionId, Output};
use super::presence::{EXPIRY_MAX, News, Telling};
use super::session::Session;
use super::timer::Timer;
use crate::id::DocumentId;
use crate::limits::{EPHEMERAL_BYTES_MAX, PRESENCE_BYTES_MAX};
use crate::wire::{Capability, Ephemeral, Frame, PeerId, PeerRef, Presence, Route};

impl Replica {
    pub(super) fn appear(&mut self, document: Option<DocumentId>, data: Vec<u8>) {
        if data.len() > PRESENCE_BYTES_MAX {
            let max = PRESENCE_BYTES_MAX;
            return self.event(Event::QuotaExceeded { quota: Quota::MessageBytes, max });
        }
        self.own.appear(document, data, self.clock.now(), &self.config.presence);
        self.check_presence();
    }

    pub(super) fn disappear(&mut self, document: Option<DocumentId>) {
        if let Some(goodbye) = self.own.disappear(document, self.clock.now()) {
            self.tell(&goodbye);
        }
    }

    /// Tells where this device is, where that is due, and forgets others who were not heard of for too long.
    pub(super) fn check_presence(&mut self) {
        let now = self.clock.now();
        let stretch = self.conditions.pace().stretch;
        for telling in self.own.take_due(now, &self.config.presence, stretch) {
            self.tell(&telling);
        }
        for ((_, session, document), device) in self.others.take_expired(now) {
            self.event(Event::Disappeared { session, device, document });
        }
        let deadlines = [self.own.next_deadline(), self.others.next_deadline()];
        if let Some(deadline) = deadlines.into_iter().flatten().min() {
            self.timers.set(deadline, Timer::Presence);
        }
    }

    fn tell(&mut self, telling: &Telling) {
        for (connection, peer) in self.company(telling.document, Some(Capability::Presence)) {
            let presence = Presence {
                session: self.config.session.borrowed(),
                device: self.config.device.borrowed(),
                count: telling.count,
                document: telling.document,
                idle: telling.idle,
                expires_after: telling.expires_after,
                data: &telling.data,
            };
            let route = Route { sender: self.config.peer.borrowed(), target: peer.borrowed() };
            let frame = Frame::Presence { route, presence }.encode();
            self.outputs.push_back(Output::Send { connection, frame });
        }
    }

    pub(super) fn broadcast(&mut self, document: DocumentId, data: &[u8]) {
        if data.len() > EPHEMERAL_BYTES_MAX {
            let max = EPHEMERAL_BYTES_MAX;
            return self.event(Event::QuotaExceeded { quota: Quota::MessageBytes, max });
        }
        self.told += 1;
        for (connection, peer) in self.company(Some(document), None) {
            let route = Route { sender: self.config.peer.borrowed(), target: peer.borrowed() };
            let session = self.config.session.borrowed();
            let frame =
                Frame::Ephemeral(Ephemeral { route, document, session, count: self.told, data }).encode();
            self.outputs.push_back(Output::Send { connection, frame });
        }
    }

    /// Those who are connected, follow the document if one is given, and have the extension if one is needed.
    fn company(
        &self,
        document: Option<DocumentId>,
        capability: Option<Capability>,
    ) -> Vec<(ConnectionId, PeerId)> {
        let follows = |session: &Session| {
            document.is_none_or(|document| session.exchanges.contains_key(&document))
                && capability.is_none_or(|capability| session.has(capability))
        };
        let sessions = self.sessions.iter().filter(|(_, session)| follows(session));
        sessions.filter_map(|(connection, session)| Some((*connection, session.peer()?.id.clone()))).collect()
    }

    pub(super) fn hear_ephemeral(&mut self, ephemeral: &Ephemeral<'_>) {
        let Ephemeral { route, document, session, count, data } = *ephemeral;
        let is_own = route.sender == self.config.peer.borrowed();
        let is_open = self.holdings.get(&document).is_some_and(|holding| holding.wanted.is_some());
        if !is_own && is_open && self.heard.rises(route.sender, session, count) {
            let (sender, data) = (route.sender.to_owned(), data.to_vec());
            self.event(Event::Broadcast { document, sender, data });
        }
    }

    pub(super) fn hear_presence(&mut self, sender: PeerRef<'_>, presence: &Presence<'_>) {
        if sender == self.config.peer.borrowed() {
            return;
        }
        let news = self.others.tell(sender, presence, self.clock.now());
        let (session, device) = (presence.session.to_owned(), presence.device.to_owned());
        let document = presence.document;
        match news {
            News::Appeared => self.event(Event::Appeared { session, device, document }),
            News::Disappeared => self.event(Event::Disappeared { session, device, document }),
            News::Nothing => {}
        }
        self.timers.set(self.clock.now() + presence.expires_after.min(EXPIRY_MAX), Timer::Presence);
    }
}
