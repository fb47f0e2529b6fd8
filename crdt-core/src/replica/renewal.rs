//! Permits that end: the application is told in time, and its new token goes out on the connection that is open.

use std::time::Duration;

use super::Replica;
use super::clock::Moment;
use super::event::Event;
use super::port::{ConnectionId, EndpointId, Output};
use super::timer::Timer;
use crate::wire::{Capability, Frame, Route};

/// How long before a permit ends a new token is asked for, at most. Relays allow for clocks that differ, by about a minute:
/// by then the token itself has ended.
const AHEAD_MAX: Duration = Duration::from_mins(2);

/// A permit that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    /// When a new token is due; none is once that was said.
    due: Option<Moment>,
    ends: Moment,
}

impl Replica {
    /// The other end says how long its permit lasts. A short one leaves less time to renew it.
    pub(super) fn hear_permitted(&mut self, connection: ConnectionId, expires_after: Duration) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let due = now + expires_after.saturating_sub(AHEAD_MAX.min(expires_after / 4));
        session.renewal = Some(Renewal { due: Some(due), ends: now + expires_after });
        self.timers.set(due, Timer::Renewal(connection));
    }

    /// Asks the application for a new token when that is due.
    pub(super) fn check_renewal(&mut self, connection: ConnectionId) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let Some(endpoint) = session.endpoint else { return };
        let Some(renewal) = &mut session.renewal else { return };
        match renewal.due {
            Some(due) if due <= now => {
                renewal.due = None;
                let expires_after = renewal.ends.since(now);
                self.event(Event::TokenDue { endpoint, expires_after });
            }
            Some(due) => self.timers.set(due, Timer::Renewal(connection)),
            None => {}
        }
    }

    /// Sends a new token to a place. Where no connection is open, or the other end takes none, there is nothing to do: a
    /// driver uses its newest token when it dials.
    pub(super) fn renew(&mut self, endpoint: EndpointId, token: &str) {
        let at_endpoint = self.sessions.iter().filter(|(_, session)| session.endpoint == Some(endpoint));
        for (connection, session) in at_endpoint {
            let Some(peer) = session.peer().filter(|peer| peer.capabilities.has(Capability::Renewal)) else {
                continue;
            };
            let route = Route { sender: self.config.peer.borrowed(), target: peer.id.borrowed() };
            let frame = Frame::Renew { route, token }.encode();
            self.outputs.push_back(Output::Send { connection: *connection, frame });
        }
    }
}
