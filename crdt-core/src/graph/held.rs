//! Items that arrived before what they depend on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Item;
use crate::id::ChangeHash;
use crate::limits::{HELD_BYTES_MAX, HELD_CHANGES_MAX, HELD_TIME_MAX};
use crate::time::Timestamp;

/// Held-back items, bounded in number, bytes and time. What is dropped is asked for again when sync finds it missing.
#[derive(Debug)]
pub(super) struct Held<P> {
    items: BTreeMap<ChangeHash, Waiting<P>>,
    /// From a missing dependency to the items that wait for it.
    dependents: BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
    /// Arrivals, oldest first. May name items that have left.
    arrivals: VecDeque<(Timestamp, ChangeHash)>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<P> {
    item: Item,
    payload: P,
    missing: usize,
}

impl<P> Default for Held<P> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), dependents: BTreeMap::new(), arrivals: VecDeque::new(), bytes: 0 }
    }
}

impl<P> Held<P> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Holds an item until each of `missing`, which is not empty, has been released.
    pub(super) fn insert(&mut self, item: Item, payload: P, missing: &[ChangeHash], now: Timestamp) {
        if self.items.contains_key(&item.id) {
            return;
        }
        self.bytes += cost(&item);
        if self.arrivals.len() > 2 * self.items.len() + 16 {
            self.arrivals.retain(|(_, id)| self.items.contains_key(id));
        }
        self.arrivals.push_back((now, item.id));
        for dep in missing {
            self.dependents.entry(*dep).or_default().insert(item.id);
        }
        let waiting = Waiting { missing: missing.len(), item, payload };
        self.items.insert(waiting.item.id, waiting);
    }

    /// Moves the items that waited for `id` alone to `ready`.
    pub(super) fn release(&mut self, id: &ChangeHash, ready: &mut Vec<(Item, P)>) {
        for dependent in self.dependents.remove(id).unwrap_or_default() {
            let waiting = self.items.get_mut(&dependent).expect("dependents are held");
            waiting.missing -= 1;
            if waiting.missing == 0 {
                let waiting = self.items.remove(&dependent).expect("found above");
                self.bytes -= cost(&waiting.item);
                ready.push((waiting.item, waiting.payload));
            }
        }
    }

    /// Drops what has waited too long, then the oldest until within bounds.
    pub(super) fn shed(&mut self, now: Timestamp) {
        while let Some((since, id)) = self.arrivals.front().copied() {
            let excess = self.items.len() > HELD_CHANGES_MAX || self.bytes > HELD_BYTES_MAX;
            if self.items.contains_key(&id) && !excess && now.since(since) < HELD_TIME_MAX {
                break;
            }
            self.arrivals.pop_front();
            self.remove(&id);
        }
    }

    /// Those of `wanted`, or of what held-back items among it depend on, for which `absent` holds and that are not held.
    pub(super) fn missing(
        &self,
        wanted: impl Iterator<Item = ChangeHash>,
        absent: impl Fn(&ChangeHash) -> bool,
        max: usize,
    ) -> Vec<ChangeHash> {
        let mut seen = BTreeSet::new();
        let mut missing = Vec::new();
        let mut stack: Vec<_> = wanted.collect();
        while let Some(id) = stack.pop() {
            if missing.len() == max {
                break;
            }
            if !seen.insert(id) {
                continue;
            }
            match self.items.get(&id) {
                Some(waiting) => stack.extend(waiting.item.deps.iter().copied().filter(|dep| absent(dep))),
                None => missing.push(id),
            }
        }
        missing
    }

    fn remove(&mut self, id: &ChangeHash) {
        let Some(waiting) = self.items.remove(id) else { return };
        self.bytes -= cost(&waiting.item);
        for dep in &waiting.item.deps {
            if let Some(dependents) = self.dependents.get_mut(dep) {
                dependents.remove(id);
                if dependents.is_empty() {
                    self.dependents.remove(dep);
                }
            }
        }
    }
}

/// What an item is counted as. A deflated chunk may be smaller than the dependencies it names.
fn cost(item: &Item) -> usize {
    item.bytes as usize + item.deps.len() * 128
}
