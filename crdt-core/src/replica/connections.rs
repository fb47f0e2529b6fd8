//! The replica's connections: dialled, greeted, watched, lost.

use std::time::Duration;

use rand_core::Rng;

use super::Replica;
use super::endpoint::{ConnectionStatus, Endpoint};
use super::event::{ErrorClass, Event, Failure};
use super::pace::Conditions;
use super::port::{ConnectionId, EndpointId, Output, Role};
use super::session::{Peer, Phase, Session};
use super::timer::Timer;
use crate::wire::{
    Capabilities, Capability, Denial, DenialCode, Frame, GoingAway, PROTOCOL_VERSION, PeerMetadata, PeerRef,
    Route, StorageId, StorageRef,
};

impl Replica {
    /// Numbers a connection that the other end has opened. Its frames may follow; the other end introduces itself first.
    pub fn accept(&mut self) -> ConnectionId {
        let connection = self.number_connection();
        let now = self.clock.now();
        self.sessions.insert(connection, Session::new(Role::Peer, None, Phase::Greeting, now));
        self.timers.set(now + self.config.dial.handshake_max, Timer::Liveness(connection));
        connection
    }

    fn number_connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    pub(super) fn connect(&mut self, endpoint: EndpointId, role: Role) {
        let is_tried = self
            .endpoints
            .get(&endpoint)
            .is_some_and(|known| known.role == role && known.status() != ConnectionStatus::Disconnected);
        if !is_tried {
            self.disconnect(endpoint);
            self.endpoints.insert(endpoint, Endpoint::new(role, self.clock.now()));
            self.tell_status(endpoint);
            self.dial(endpoint);
        }
    }

    pub(super) fn disconnect(&mut self, endpoint: EndpointId) {
        let Some(known) = self.endpoints.remove(&endpoint) else { return };
        if let Some(connection) = known.connection() {
            self.end_session(connection);
            self.outputs.push_back(Output::Close { connection });
        }
        self.tell_status(endpoint);
    }

    /// Dials a place, if it is time to.
    pub(super) fn dial(&mut self, endpoint: EndpointId) {
        let now = self.clock.now();
        let Some(known) = self.endpoints.get(&endpoint) else { return };
        let Some(at) = known.dial_at() else { return };
        // Hints about the network may be wrong: being offline makes dialling rare, not impossible.
        let at = if self.is_online { at } else { at + self.config.dial.backoff.longest };
        if at > now {
            return self.timers.set(at, Timer::Dial(endpoint));
        }
        let role = known.role;
        let connection = self.number_connection();
        self.endpoints.get_mut(&endpoint).expect("looked up above").dialled(connection);
        self.sessions.insert(connection, Session::new(role, Some(endpoint), Phase::Dialling, now));
        self.timers.set(now + self.config.dial.handshake_max, Timer::Liveness(connection));
        self.outputs.push_back(Output::Dial { endpoint, connection });
    }

    pub(super) fn network_up(&mut self) {
        self.is_online = true;
        let now = self.clock.now();
        for (endpoint, known) in &mut self.endpoints {
            known.hurry(now);
            self.timers.set(now, Timer::Dial(*endpoint));
        }
    }

    pub(super) fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        let now = self.clock.now();
        // Better conditions release what waited for them; worse ones show with the next thing to do.
        self.busy.extend(self.sessions.keys());
        self.timers.set(now, Timer::Gathered);
        self.timers.set(now, Timer::Outbox);
    }

    /// The transport is open: whoever dialled introduces itself.
    pub(super) fn connected(&mut self, connection: ConnectionId) {
        let capabilities = self.capabilities(connection);
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if !matches!(session.phase, Phase::Dialling) {
            return;
        }
        session.phase = Phase::Greeting;
        session.liveness.heard = self.clock.now();
        let join = Frame::Join {
            sender: self.config.peer.borrowed(),
            metadata: self.metadata(capabilities),
            versions: vec![PROTOCOL_VERSION],
        };
        let frame = join.encode();
        self.outputs.push_back(Output::Send { connection, frame });
    }

    /// What we announce. Between replicas nobody's disk confirms anything, so they don't speak of it.
    fn capabilities(&self, connection: ConnectionId) -> Capabilities {
        let is_relay = self.sessions.get(&connection).is_some_and(|session| session.role == Role::Relay);
        let of_relays = [Capability::DurableHeads, Capability::OpenMany];
        Capabilities::all().iter().filter(|capability| is_relay || !of_relays.contains(capability)).collect()
    }

    fn metadata(&self, capabilities: Capabilities) -> PeerMetadata<'_> {
        PeerMetadata {
            storage: self.config.storage.as_ref().map(StorageId::borrowed),
            ephemeral: self.config.storage.is_none(),
            capabilities,
        }
    }

    /// The other end, which dialled, has introduced itself.
    pub(super) fn joined(
        &mut self,
        connection: ConnectionId,
        sender: PeerRef<'_>,
        metadata: &PeerMetadata<'_>,
        versions: &[&str],
        rng: &mut dyn Rng,
    ) {
        let greets =
            |session: &Session| session.endpoint.is_none() && matches!(session.phase, Phase::Greeting);
        if !self.sessions.get(&connection).is_some_and(greets) {
            return self.break_off(connection, "a join comes once, from whoever connected", rng);
        }
        if !versions.contains(&PROTOCOL_VERSION) {
            return self.break_off(connection, "no protocol version in common", rng);
        }
        let announced = self.capabilities(connection);
        let route = Route { sender: self.config.peer.borrowed(), target: sender };
        let peer = Frame::Peer { route, metadata: self.metadata(announced), version: PROTOCOL_VERSION };
        let frame = peer.encode();
        self.outputs.push_back(Output::Send { connection, frame });
        self.up(connection, sender, metadata, rng);
    }

    /// The other end, which we dialled, has answered our introduction.
    pub(super) fn answered(
        &mut self,
        connection: ConnectionId,
        sender: PeerRef<'_>,
        metadata: &PeerMetadata<'_>,
        version: &str,
        rng: &mut dyn Rng,
    ) {
        let greets =
            |session: &Session| session.endpoint.is_some() && matches!(session.phase, Phase::Greeting);
        if !self.sessions.get(&connection).is_some_and(greets) {
            return self.break_off(connection, "a peer answers a join, once", rng);
        }
        if version != PROTOCOL_VERSION {
            return self.break_off(connection, "a protocol version that was not offered", rng);
        }
        self.up(connection, sender, metadata, rng);
    }

    fn up(
        &mut self,
        connection: ConnectionId,
        sender: PeerRef<'_>,
        metadata: &PeerMetadata<'_>,
        rng: &mut dyn Rng,
    ) {
        if sender == self.config.peer.borrowed() {
            return self.break_off(connection, "somebody who calls itself as we do", rng);
        }
        let common = self.capabilities(connection).common(metadata.capabilities);
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        session.phase = Phase::Up(Peer {
            id: sender.to_owned(),
            storage: metadata.storage.filter(|_| !metadata.ephemeral).map(StorageRef::to_owned),
            capabilities: common,
        });
        session.liveness.heard = now;
        if let Some(endpoint) = session.endpoint {
            if let Some(known) = self.endpoints.get_mut(&endpoint) {
                known.up(now);
            }
            self.tell_status(endpoint);
        }
        self.timers.set(now, Timer::Liveness(connection));
        self.own.tell_again(now);
        // Not before it has been told of the documents.
        self.timers.set(now + self.config.presence.gap, Timer::Presence);
        self.introduce_all(connection);
    }

    pub(super) fn note_heard(&mut self, connection: ConnectionId) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.liveness.heard = self.clock.now();
            session.liveness.pinged = None;
        }
    }

    /// Looks whether a connection still lives.
    pub(super) fn check_liveness(&mut self, connection: ConnectionId, rng: &mut dyn Rng) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let config = self.config.liveness;
        let quiet = config.quiet * self.conditions.pace().stretch;
        let liveness = &mut session.liveness;
        match &session.phase {
            Phase::Dialling | Phase::Greeting => {
                let until = liveness.heard + self.config.dial.handshake_max;
                if until > now {
                    return self.timers.set(until, Timer::Liveness(connection));
                }
                self.break_off(connection, "the other end did not introduce itself in time", rng);
            }
            Phase::Up(peer) if peer.capabilities.has(Capability::Heartbeat) => {
                let next = match liveness.pinged {
                    Some(pinged) if pinged + config.answer_max <= now => {
                        self.outputs.push_back(Output::Close { connection });
                        return self.lost(connection, "the other end gave no sign of life", rng);
                    }
                    Some(pinged) => pinged + config.answer_max,
                    None if liveness.heard + quiet <= now => {
                        liveness.pinged = Some(now);
                        liveness.pings += 1;
                        let route = Route { sender: self.config.peer.borrowed(), target: peer.id.borrowed() };
                        let frame = Frame::Ping { route, count: liveness.pings }.encode();
                        self.outputs.push_back(Output::Send { connection, frame });
                        now + config.answer_max
                    }
                    None => liveness.heard + quiet,
                };
                self.timers.set(next, Timer::Liveness(connection));
            }
            // Where the other end can't be asked, the transport has to notice.
            Phase::Up(_) => {}
        }
    }

    /// The connection is no more. One that is to be kept is dialled again after a while.
    pub(super) fn lost(&mut self, connection: ConnectionId, why: &str, rng: &mut dyn Rng) {
        let dial = self.config.dial;
        let failure = Failure::new(ErrorClass::Network, why);
        self.end(connection, failure, |endpoint, now| endpoint.down(now, &dial, rng));
    }

    /// The other end asked to be left alone for a while, and closes.
    pub(super) fn sent_away(&mut self, connection: ConnectionId, going: &GoingAway<'_>, rng: &mut dyn Rng) {
        let (least, most) = (going.reconnect_after_min, going.reconnect_after_max);
        let failure = Failure::new(ErrorClass::Network, going.reason).retried_after(least);
        self.outputs.push_back(Output::Close { connection });
        self.end(connection, failure, |endpoint, now| endpoint.sent_away(now, least, most, rng));
    }

    /// The other end refuses us altogether, and closes.
    pub(super) fn refused(&mut self, connection: ConnectionId, denial: &Denial<'_>, rng: &mut dyn Rng) {
        let mut failure = Failure::new(denial.code.into(), denial.reason);
        failure.retry_after = denial.retry_after;
        self.outputs.push_back(Output::Close { connection });
        let dial = self.config.dial;
        self.end(connection, failure, |endpoint, now| match denial.retry_after {
            Some(after) => endpoint.sent_away(now, after, after + dial.backoff.first, rng),
            // Another token is needed; with the same one it would be the same again.
            None if denial.code == DenialCode::Unauthenticated => endpoint.give_up(),
            None => endpoint.down(now, &dial, rng),
        });
    }

    /// Ends a connection whose other end broke the protocol, telling it why.
    pub(super) fn break_off(&mut self, connection: ConnectionId, why: &str, rng: &mut dyn Rng) {
        let Some(session) = self.sessions.get(&connection) else { return };
        if !matches!(session.phase, Phase::Dialling) {
            let target = session.peer().map(|peer| peer.id.borrowed());
            let error = Frame::Error { sender: Some(self.config.peer.borrowed()), target, message: why };
            let frame = error.encode();
            self.outputs.push_back(Output::Send { connection, frame });
        }
        self.outputs.push_back(Output::Close { connection });
        self.lost(connection, why, rng);
    }

    fn end(
        &mut self,
        connection: ConnectionId,
        failure: Failure,
        then: impl FnOnce(&mut Endpoint, super::clock::Moment),
    ) {
        let Some(session) = self.end_session(connection) else { return };
        let peer = session.peer().map(|peer| peer.id.clone());
        self.event(Event::SyncFailed { document: None, peer, failure });
        let now = self.clock.now();
        let Some(endpoint) = session.endpoint else { return };
        let Some(known) = self.endpoints.get_mut(&endpoint) else { return };
        let before = known.status();
        then(known, now);
        if known.status() != before {
            self.tell_status(endpoint);
        }
        self.dial(endpoint);
    }

    /// Forgets a connection, but for what is worth keeping of its exchanges.
    fn end_session(&mut self, connection: ConnectionId) -> Option<Session> {
        let session = self.sessions.remove(&connection)?;
        if let Some(storage) = session.peer().and_then(|peer| peer.storage.as_ref()) {
            for (document, exchange) in &session.exchanges {
                let ready = self.holdings.get_mut(document).and_then(|holding| holding.ready_mut());
                if let Some(ready) = ready {
                    ready.set_shared(storage, exchange.state.encode());
                    self.unsettled.insert(*document);
                }
            }
        }
        Some(session)
    }

    fn tell_status(&mut self, endpoint: EndpointId) {
        let status = self.status(endpoint);
        self.event(Event::NetworkChanged { endpoint, status });
    }
}

/// How long an answer may be awaited before another exchange may take its place.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
