//! Many concurrent heads tied into few, so that the next edit names few dependencies.
//!
//! An edit names every head as a dependency. After an import, or on a peer's whim, a document may have thousands of heads,
//! and a change that names them all is one that every careful peer refuses. So they are first tied by changes that do
//! nothing; everyone who ties the same heads makes the same changes.

use super::{Change, Document, change};
use crate::limits::{CHANGE_DEPS_MAX, HEADS_TIED_MIN};

const _: () = assert!(HEADS_TIED_MIN < CHANGE_DEPS_MAX);

impl Document {
    pub(super) fn tie_heads(&mut self) {
        // Counting through Automerge's own list spares the common case a sorted copy.
        while self.automerge.get_heads().len() > HEADS_TIED_MIN {
            let heads = self.heads();
            let knots: Vec<_> = heads
                .chunks(HEADS_TIED_MIN)
                .map(|deps| {
                    let metas = deps.iter().filter_map(|hash| {
                        self.automerge.get_change_meta_by_hash(&change::automerge_hash(hash))
                    });
                    Change::tying(deps, metas.map(|meta| meta.max_op).max().unwrap_or(0))
                })
                .collect();
            let untied = heads.len();
            self.apply(knots).expect("what stands on heads fits");
            assert!(self.automerge.get_heads().len() < untied, "what stands on heads fits");
        }
    }
}
