//! A document as it was: what some heads and everything before them say.

use automerge::{ROOT, ReadDoc};

use super::{Document, Stored, change, stored};
use crate::id::ChangeHash;

/// A moment in a document's history; see [`Document::at`].
pub struct Past<'a> {
    document: &'a Document,
    heads: Vec<automerge::ChangeHash>,
}

impl<'a> Past<'a> {
    pub(super) fn new(document: &'a Document, heads: &[ChangeHash]) -> Self {
        let known = heads.iter().filter(|hash| document.contains(hash));
        Self { document, heads: known.map(change::automerge_hash).collect() }
    }

    /// Every value that `key` had, as [`Document::values`] gives those of now.
    pub fn values(&self, key: &str) -> Vec<Stored> {
        if self.heads.is_empty() {
            return Vec::new();
        }
        let found = self.document.automerge.get_all_at(ROOT, key, &self.heads).expect("the root is a map");
        found.into_iter().map(|(value, _)| stored(&value)).collect()
    }

    /// Every key that started with `prefix`, as [`Document::scan`] gives those of now.
    pub fn scan(&self, prefix: &'a str) -> impl Iterator<Item = (String, Vec<Stored>)> + '_ {
        let range = (!self.heads.is_empty())
            .then(|| self.document.automerge.map_range_at(ROOT, prefix.to_owned().., &self.heads));
        let items = range.into_iter().flatten().take_while(move |item| item.key.starts_with(prefix));
        items.map(|item| (item.key.to_string(), self.values(&item.key)))
    }
}
