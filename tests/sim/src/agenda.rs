//! The agenda: what will happen, and when, in virtual time.

use std::collections::BTreeMap;

use crdt_core::time::Timestamp;

/// Future events in the order in which they will happen. Events of one moment happen in the order they were scheduled.
#[derive(Debug)]
pub struct Agenda<E> {
    now: Timestamp,
    next_number: u64,
    events: BTreeMap<Entry, E>,
}

/// Names one scheduled event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    at: Timestamp,
    number: u64,
}

impl<E> Agenda<E> {
    /// Nothing scheduled; the time is `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now, next_number: 0, events: BTreeMap::new() }
    }

    /// The moment of the event that was taken last.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets `event` happen at `at`, or now if that has passed.
    pub fn schedule(&mut self, at: Timestamp, event: impl Into<E>) -> Entry {
        let entry = Entry { at: at.max(self.now), number: self.next_number };
        self.next_number += 1;
        self.events.insert(entry, event.into());
        entry
    }

    /// Takes an event back. No effect once it has happened.
    pub fn cancel(&mut self, entry: Entry) {
        self.events.remove(&entry);
    }

    /// The next event, if it happens by `until`; time advances to it, or to `until` when there is none.
    pub fn next_until(&mut self, until: Timestamp) -> Option<E> {
        match self.events.first_key_value() {
            Some((entry, _)) if entry.at <= until => {
                let (entry, event) = self.events.pop_first().expect("looked at above");
                self.now = entry.at;
                Some(event)
            }
            _ => {
                self.now = self.now.max(until);
                None
            }
        }
    }

    /// Whether nothing will happen any more.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn events_happen_by_time_then_by_when_they_were_scheduled() {
        let mut agenda: Agenda<&str> = Agenda::new(at(0));
        agenda.schedule(at(5), "second");
        agenda.schedule(at(5), "third");
        agenda.schedule(at(2), "first");
        let taken_back = agenda.schedule(at(3), "never");
        agenda.cancel(taken_back);
        let happened: Vec<_> = std::iter::from_fn(|| agenda.next_until(at(9))).collect();
        assert_eq!(happened, ["first", "second", "third"]);
        assert_eq!(agenda.now(), at(9));
    }

    #[test]
    fn time_never_goes_back() {
        let mut agenda: Agenda<&str> = Agenda::new(at(10));
        agenda.schedule(at(1), "late");
        assert_eq!(agenda.next_until(at(10)), Some("late"));
        assert_eq!(agenda.now(), at(10));
        assert_eq!(agenda.next_until(at(4)), None);
        assert_eq!(agenda.now(), at(10));
        assert!(agenda.is_empty());
    }
}
