//! From a change's hash to its position.

use super::{Node, Position};
use crate::id::ChangeHash;

/// An open-addressed table of positions: four to eight bytes a change. The hashes themselves stay in the nodes.
///
/// Hashes are SHA-256, so their own bytes spread well; whoever grinds out collisions slows only their own document.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// A power of two of slots; position plus one, or zero for an empty slot.
    slots: Vec<u32>,
    used: usize,
}

impl Index {
    pub(super) fn find(&self, id: &ChangeHash, nodes: &[Node]) -> Option<Position> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.first_slot(id);
        loop {
            let position = (self.slots[slot] as usize).checked_sub(1)?;
            if nodes[position].id == *id {
                return Some(position);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }

    /// Notes the node at `position`, which is not noted yet.
    pub(super) fn insert(&mut self, position: Position, nodes: &[Node]) {
        if self.used * 4 >= self.slots.len() * 3 {
            let slots = (self.slots.len() * 2).max(8);
            self.slots = vec![0; slots];
            for position in 0..=position {
                self.put(position, nodes);
            }
        } else {
            self.put(position, nodes);
        }
        self.used += 1;
    }

    fn put(&mut self, position: Position, nodes: &[Node]) {
        let mut slot = self.first_slot(&nodes[position].id);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = super::index_of(position + 1);
    }

    fn first_slot(&self, id: &ChangeHash) -> usize {
        let (first, _) = id.as_bytes().split_first_chunk::<4>().expect("hashes are longer");
        u32::from_le_bytes(*first) as usize & (self.slots.len() - 1)
    }
}
