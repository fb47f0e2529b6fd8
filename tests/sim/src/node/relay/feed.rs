//! A service that follows a relay's change feed: it never starts over, and it must not miss anything.

use std::collections::BTreeMap;

use crdt_core::id::{ChangeHash, DocumentId};
use relay::id::Sequence;
use relay::store::{FeedEntry, News};

/// How far the service has come, and what it was told last of each document.
#[derive(Debug, Default)]
pub(super) struct Follower {
    cursor: Sequence,
    told: BTreeMap<DocumentId, Vec<ChangeHash>>,
}

impl Follower {
    pub(super) fn cursor(&self) -> Sequence {
        self.cursor
    }

    /// Takes a page of the feed; whether there may be more.
    pub(super) fn take(&mut self, page: Vec<FeedEntry>) -> bool {
        let is_empty = page.is_empty();
        for FeedEntry { sequence, document, news } in page {
            assert!(sequence > self.cursor, "the feed goes back from {:?} to {sequence:?}", self.cursor);
            self.cursor = sequence;
            let mut heads = match news {
                News::Changed { heads } => heads,
                _ => Vec::new(),
            };
            heads.sort_unstable();
            self.told.insert(document, heads);
        }
        !is_empty
    }

    /// The heads that it was last told of a document; none of one that was erased.
    pub(super) fn heads_of(&self, document: DocumentId) -> &[ChangeHash] {
        self.told.get(&document).map_or(&[], Vec::as_slice)
    }
}
