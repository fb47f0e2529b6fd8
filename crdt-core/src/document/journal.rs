//! Which keys changed lately, so that views refresh by what changed.

use std::collections::{BTreeSet, VecDeque};

use crate::id::{ActorId, ChangeHash};
use crate::limits::JOURNAL_ENTRIES_MAX;

/// A moment in one replica's life; see [`super::Document::version`]. To another replica, or to one that was loaded anew,
/// it means that everything may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    index: u64,
    print: Print,
}

/// What changed since a [`Version`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Exactly these keys; possibly none.
    Keys(BTreeSet<Box<str>>),
    /// Too long ago to tell, or elsewhere: read everything again.
    Everything,
}

/// Identifies all that a replica has gone through up to a moment: a running FNV-1a hash. It tells replicas apart that
/// were mixed up by mistake; nothing secret or hostile hangs on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Print(u64);

impl Print {
    fn then(self, bytes: &[u8]) -> Self {
        let step = |print: u64, byte: &u8| (print ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }
}

/// The last edits' keys, bounded.
pub(super) struct Journal {
    /// The version before the oldest entry kept.
    first: Version,
    entries: VecDeque<Entry>,
}

struct Entry {
    keys: BTreeSet<Box<str>>,
    /// Of all up to and with this entry.
    print: Print,
}

impl Journal {
    /// The journal of a replica that begins its life with these heads.
    pub(super) fn beginning(actor: &ActorId, heads: &[ChangeHash]) -> Self {
        let start = Print(0xcbf2_9ce4_8422_2325).then(actor.as_bytes());
        let print = heads.iter().fold(start, |print, head| print.then(head.as_bytes()));
        Self { first: Version { index: 0, print }, entries: VecDeque::new() }
    }

    pub(super) fn version(&self) -> Version {
        Version { index: self.first.index + self.entries.len() as u64, print: self.print() }
    }

    pub(super) fn record(&mut self, hash: &ChangeHash, keys: BTreeSet<Box<str>>) {
        let print = self.print().then(hash.as_bytes());
        if self.entries.len() == JOURNAL_ENTRIES_MAX {
            let oldest = self.entries.pop_front().expect("it is full");
            self.first = Version { index: self.first.index + 1, print: oldest.print };
        }
        self.entries.push_back(Entry { keys, print });
    }

    /// Forgets which keys changed: whoever asks is told to read everything again.
    pub(super) fn forget(&mut self) {
        let print = self.print().then(b"forgotten");
        self.first = Version { index: self.version().index + 1, print };
        self.entries.clear();
    }

    pub(super) fn touched_since(&self, version: Version) -> Touched {
        let Some(skip) =
            version.index.checked_sub(self.first.index).and_then(|skip| usize::try_from(skip).ok())
        else {
            return Touched::Everything;
        };
        let print = match skip.checked_sub(1) {
            None => Some(self.first.print),
            Some(last) => self.entries.get(last).map(|entry| entry.print),
        };
        if print != Some(version.print) {
            return Touched::Everything;
        }
        Touched::Keys(self.entries.range(skip..).flat_map(|entry| &entry.keys).cloned().collect())
    }

    fn print(&self) -> Print {
        self.entries.back().map_or(self.first.print, |entry| entry.print)
    }
}
