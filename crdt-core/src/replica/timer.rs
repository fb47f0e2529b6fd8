//! What the replica wants to be woken for.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Moment;
use super::port::{ConnectionId, EndpointId};
use crate::id::DocumentId;

/// Something that may be due at a moment. Whoever is woken looks whether it is, and sets the timer again if it is not:
/// timers are set generously and never cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Dial(EndpointId),
    Liveness(ConnectionId),
    Renewal(ConnectionId),
    /// Something of a connection's exchanges waits no longer for its answer.
    Exchanges(ConnectionId),
    /// The edits that were held back to go together.
    Gathered,
    /// A document that could not be read or written.
    Storage(DocumentId),
    /// What an earlier run left could not be read.
    Index,
    Outbox,
    Presence,
}

/// Every timer that is set: each once, for the earliest moment it was set for.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Moment, Timer)>,
    moments: BTreeMap<Timer, Moment>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Moment, timer: Timer) {
        match self.moments.get(&timer).copied() {
            Some(earlier) if earlier <= at => return,
            Some(later) => {
                self.due.remove(&(later, timer));
            }
            None => {}
        }
        self.due.insert((at, timer));
        self.moments.insert(timer, at);
    }

    /// Takes out a timer that is due.
    pub(super) fn pop(&mut self, now: Moment) -> Option<Timer> {
        let first = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&first);
        self.moments.remove(&first.1);
        Some(first.1)
    }

    /// The earliest of all.
    pub(super) fn first(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }
}
