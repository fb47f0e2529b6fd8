//! The highest count seen of each session, so that nothing is taken twice.

use std::collections::{BTreeMap, VecDeque};

use crate::limits::SESSIONS_COUNTED_MAX;
use crate::wire::{PeerId, PeerRef, SessionId, SessionRef};

/// Highest counts, of a bounded number of sessions: past it, the one first heard of is forgotten.
#[derive(Debug, Default)]
pub(super) struct Counts {
    highest: BTreeMap<(PeerId, SessionId), u64>,
    order: VecDeque<(PeerId, SessionId)>,
}

impl Counts {
    /// Notes a count. Whether it rose, and the message that carries it is new.
    pub(super) fn rises(&mut self, sender: PeerRef<'_>, session: SessionRef<'_>, count: u64) -> bool {
        let key = (sender.to_owned(), session.to_owned());
        if let Some(highest) = self.highest.get_mut(&key) {
            let rises = count > *highest;
            *highest = count.max(*highest);
            return rises;
        }
        if self.order.len() >= SESSIONS_COUNTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.highest.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.highest.insert(key, count);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_counts_for_itself_and_few_are_remembered() {
        let mut counts = Counts::default();
        let phone = PeerRef::new("phone").unwrap();
        let mut rises = |session: &str, count| counts.rises(phone, SessionRef::new(session).unwrap(), count);
        assert!(rises("s", 3));
        assert!(!rises("s", 3) && !rises("s", 2));
        assert!(rises("s", 4) && rises("t", 1));
        for n in 0..SESSIONS_COUNTED_MAX {
            assert!(rises(&n.to_string(), 1));
        }
        assert!(rises("s", 1), "it was forgotten");
        assert_eq!(counts.highest.len(), SESSIONS_COUNTED_MAX);
        assert_eq!(counts.order.len(), SESSIONS_COUNTED_MAX);
    }
}
