//! From a change's hash to its position.

use super::{Node, Position};
use crate::id::ChangeHash;

/// An open-addressed table of positions: a few bytes a change. The hashes themselves stay in the nodes.
///
/// Hashes are SHA-256, so their own bytes spread well; whoever grinds out collisions slows only their own document.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Slots,
    used: usize,
}

/// A power of two of slots; each has a position plus one, or zero when it is empty.
#[derive(Debug)]
enum Slots {
    /// As long as no position is too large: most documents stay small, and many of them are in memory.
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

/// Most slots whose positions, of which there are fewer, fit two bytes.
const NARROW_MAX: usize = 1 << 16;

impl Default for Slots {
    fn default() -> Self {
        Self::Narrow(Box::default())
    }
}

impl Slots {
    fn empty(count: usize) -> Self {
        if count <= NARROW_MAX {
            Self::Narrow(vec![0; count].into())
        } else {
            Self::Wide(vec![0; count].into())
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Narrow(slots) => slots.len(),
            Self::Wide(slots) => slots.len(),
        }
    }

    fn get(&self, slot: usize) -> usize {
        match self {
            Self::Narrow(slots) => usize::from(slots[slot]),
            Self::Wide(slots) => slots[slot] as usize,
        }
    }

    fn set(&mut self, slot: usize, value: u32) {
        match self {
            Self::Narrow(slots) => {
                slots[slot] = u16::try_from(value).expect("there are more slots than positions");
            }
            Self::Wide(slots) => slots[slot] = value,
        }
    }
}

impl Index {
    pub(super) fn find(&self, id: &ChangeHash, nodes: &[Node]) -> Option<Position> {
        if self.used == 0 {
            return None;
        }
        let mut slot = self.first_slot(id);
        loop {
            let position = self.slots.get(slot).checked_sub(1)?;
            if nodes[position].id == *id {
                return Some(position);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match &self.slots {
            Slots::Narrow(slots) => size_of_val(&**slots),
            Slots::Wide(slots) => size_of_val(&**slots),
        }
    }

    /// Notes the node at `position`, which is not noted yet.
    pub(super) fn insert(&mut self, position: Position, nodes: &[Node]) {
        if self.used * 4 >= self.slots.len() * 3 {
            self.slots = Slots::empty((self.slots.len() * 2).max(8));
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
        while self.slots.get(slot) != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots.set(slot, super::index_of(position + 1));
    }

    fn first_slot(&self, id: &ChangeHash) -> usize {
        let (first, _) = id.as_bytes().split_first_chunk::<4>().expect("hashes are longer");
        u32::from_le_bytes(*first) as usize & (self.slots.len() - 1)
    }
}
