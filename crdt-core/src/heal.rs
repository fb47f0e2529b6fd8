//! Putting back what a hostile or broken client took away.
//!
//! In a grow-only set nobody honest ever deletes or overwrites a fact that counts, and a document's history still holds
//! every text that was ever written. So any holder, also one who came after the damage, can put back what is missing.
//! Each fact is put back by a change that every healer computes alike and that replaces nothing: many healers heal once.

use crate::document::{Change, Document};
use crate::id::{ActorId, ChangeHash};
use crate::limits::HEAL_ATTEMPTS_MAX;

/// Every text that was ever written under a key that starts with `prefix`, oldest first. Reads the whole history.
pub(crate) fn written(document: &Document, prefix: &str) -> impl Iterator<Item = (String, String)> {
    let texts = document.changes_since(&[]).into_iter().flat_map(|change| change.texts());
    texts.filter(move |(key, _)| key.starts_with(prefix))
}

/// Writes `text` beside whatever stands under `key` now. Somebody who keeps deleting it makes the same fact be put back
/// by ever new derived actors; past a bound, in our own name.
pub(crate) fn put_back(document: &mut Document, key: &str, text: &str) -> Option<ChangeHash> {
    for attempt in 0..HEAL_ATTEMPTS_MAX {
        let actor = ActorId::derive(&["heal", key, text, &attempt.to_string()]);
        let change = Change::derived(actor, &[(key, text)]);
        let hash = change.hash();
        if document.write_derived(change) == Ok(true) {
            return Some(hash);
        }
    }
    let mut edit = document.edit();
    edit.put(key, text);
    edit.commit().map(|committed| committed.hash)
}
