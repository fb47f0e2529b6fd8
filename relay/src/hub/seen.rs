//! What has been heard of passing messages, so that each is passed on once.

use std::collections::BTreeMap;

use crdt_core::wire::{PeerId, PeerRef, SessionId, SessionRef};

/// The largest count heard of each session of each author. Bounded: past the bound the session longest silent is
/// forgotten, and one of its messages may then pass twice.
#[derive(Debug, Default)]
pub(super) struct Seen {
    sessions: BTreeMap<(PeerId, SessionId), Heard>,
    clock: u64,
}

#[derive(Debug)]
struct Heard {
    count: u64,
    at: u64,
}

impl Seen {
    /// Whether `count` is news of this session, which it is once.
    pub(super) fn is_news(
        &mut self,
        author: PeerRef<'_>,
        session: SessionRef<'_>,
        count: u64,
        sessions_max: usize,
    ) -> bool {
        self.clock += 1;
        let key = (author.to_owned(), session.to_owned());
        if let Some(heard) = self.sessions.get_mut(&key) {
            let is_news = count > heard.count;
            heard.count = heard.count.max(count);
            heard.at = self.clock;
            return is_news;
        }
        if self.sessions.len() >= sessions_max {
            let longest_silent = self.sessions.iter().min_by_key(|(_, heard)| heard.at);
            if let Some(key) = longest_silent.map(|(key, _)| key.clone()) {
                self.sessions.remove(&key);
            }
        }
        self.sessions.insert(key, Heard { count, at: self.clock });
        true
    }

    /// Bytes of memory that it takes, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        let names =
            self.sessions.keys().map(|(author, session)| author.as_str().len() + session.as_str().len());
        size_of::<Self>()
            + self.sessions.len() * size_of::<((PeerId, SessionId), Heard)>()
            + names.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(seen: &mut Seen, author: &str, session: &str, count: u64) -> bool {
        seen.is_news(PeerRef::new(author).unwrap(), SessionRef::new(session).unwrap(), count, 2)
    }

    #[test]
    fn only_rising_counts_are_news() {
        let mut seen = Seen::default();
        assert!(hear(&mut seen, "phone", "a", 1));
        assert!(!hear(&mut seen, "phone", "a", 1));
        assert!(hear(&mut seen, "phone", "a", 7));
        assert!(!hear(&mut seen, "phone", "a", 3));
        assert!(hear(&mut seen, "phone", "b", 1));
        assert!(hear(&mut seen, "laptop", "a", 1));
    }

    #[test]
    fn sessions_are_bounded_and_the_longest_silent_goes() {
        let mut seen = Seen::default();
        hear(&mut seen, "phone", "a", 1);
        hear(&mut seen, "phone", "b", 1);
        hear(&mut seen, "phone", "a", 2);
        hear(&mut seen, "phone", "c", 1);
        assert_eq!(seen.sessions.len(), 2);
        assert!(!hear(&mut seen, "phone", "a", 2), "a was not the longest silent");
    }
}
