//! Who has written how much of a document.

use std::collections::BTreeMap;

use crate::id::ActorId;

/// An actor's last change: its number, and that of its last operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    pub(super) seq: u32,
    pub(super) max_op: u32,
}

/// How many authors are looked through one by one. Most documents have fewer.
const FEW: usize = 8;

/// The last change of each author.
#[derive(Debug, Default)]
pub(super) struct Authors {
    few: Vec<(ActorId, Last)>,
    #[expect(clippy::box_collection, reason = "one word in the many graphs that need none")]
    more: Option<Box<BTreeMap<ActorId, Last>>>,
}

impl Authors {
    /// The actor's last change; nothing yet from one who has not written.
    pub(super) fn last(&self, actor: &ActorId) -> Last {
        let few = self.few.iter().find(|(author, _)| author == actor).map(|(_, last)| last);
        few.or_else(|| self.more.as_ref()?.get(actor)).copied().unwrap_or_default()
    }

    /// Notes the actor's latest change.
    pub(super) fn note(&mut self, actor: &ActorId, last: Last) {
        let few = self.few.iter().position(|(author, _)| author == actor);
        if let Some(known) = few {
            self.few[known].1 = last;
        } else if self.few.len() < FEW {
            self.few.reserve_exact(1);
            self.few.push((actor.clone(), last));
        } else {
            self.more.get_or_insert_default().insert(actor.clone(), last);
        }
    }

    /// Bytes of memory beyond its own size, without what allocators add.
    pub(super) fn memory_bytes(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| more.len());
        let names = self.few.iter().map(|(actor, _)| actor);
        let names = names.chain(self.more.iter().flat_map(|more| more.keys()));
        let names: usize = names.map(|actor| actor.as_bytes().len()).sum();
        names + (self.few.capacity() + more) * size_of::<(ActorId, Last)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(number: u8) -> ActorId {
        ActorId::from_bytes([number; 16])
    }

    #[test]
    fn few_authors_and_many_are_told_apart() {
        let mut authors = Authors::default();
        for round in 1..=3 {
            for number in 0..40 {
                assert_eq!(authors.last(&actor(number)).seq, round - 1);
                authors.note(&actor(number), Last { seq: round, max_op: u32::from(number) });
            }
        }
        assert_eq!(authors.few.len(), FEW);
        assert!((0..40).all(|number| authors.last(&actor(number)).max_op == u32::from(number)));
        assert_eq!(authors.last(&actor(40)).seq, 0);
    }
}
