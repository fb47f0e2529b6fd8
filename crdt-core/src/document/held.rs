//! Changes that arrived before what they depend on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Change;
use crate::id::ChangeHash;
use crate::limits::{HELD_BYTES_MAX, HELD_CHANGES_MAX};

/// Held-back changes, bounded in number and bytes: past a bound the oldest go. Sync asks for them again.
///
/// Each waits for one of its missing dependencies at a time, so a chain that arrives backwards costs one look-up a link.
#[derive(Default)]
pub(super) struct Held {
    changes: BTreeMap<ChangeHash, Change>,
    waiting: BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
    order: VecDeque<ChangeHash>,
    bytes: usize,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn contains(&self, hash: &ChangeHash) -> bool {
        self.changes.contains_key(hash)
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = &ChangeHash> {
        self.changes.keys()
    }

    pub(super) fn get(&self, hash: &ChangeHash) -> Option<&Change> {
        self.changes.get(hash)
    }

    /// Holds `change` until `missing`, one of its dependencies, is there.
    pub(super) fn insert(&mut self, change: Change, missing: ChangeHash) {
        let hash = change.hash();
        self.bytes += change.bytes().len();
        self.order.push_back(hash);
        self.waiting.entry(missing).or_default().insert(hash);
        self.changes.insert(hash, change);
        while self.changes.len() > HELD_CHANGES_MAX || self.bytes > HELD_BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// Takes out the changes that waited for `arrived`. They may be missing more.
    pub(super) fn take_waiting_for(&mut self, arrived: &ChangeHash) -> Vec<Change> {
        let hashes = self.waiting.remove(arrived).unwrap_or_default();
        let found: Vec<_> = hashes.iter().filter_map(|hash| self.changes.remove(hash)).collect();
        self.bytes -= found.iter().map(|change| change.bytes().len()).sum::<usize>();
        if self.order.len() > 2 * self.changes.len() + 64 {
            self.order.retain(|hash| self.changes.contains_key(hash));
        }
        found
    }

    fn drop_oldest(&mut self) {
        let oldest = self.order.pop_front().expect("every held change is in the order");
        let Some(change) = self.changes.remove(&oldest) else { return };
        self.bytes -= change.bytes().len();
        for dependency in change.deps() {
            if let Some(waiting) = self.waiting.get_mut(dependency) {
                waiting.remove(&oldest);
                if waiting.is_empty() {
                    self.waiting.remove(dependency);
                }
            }
        }
    }
}
