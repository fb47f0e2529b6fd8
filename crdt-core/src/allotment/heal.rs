//! Facts that somebody deleted or wrote over, brought back from history.

use std::borrow::{Borrow, BorrowMut};
use std::collections::BTreeMap;

use super::Allotment;
use super::fact::{Fact, Place};
use crate::document::Document;
use crate::heal;
use crate::id::ChangeHash;

impl<D: Borrow<Document>> Allotment<D> {
    /// The keys of facts that once counted and do not stand any more: somebody deleted them or wrote over them. No honest
    /// writer does.
    ///
    /// Reads the whole history.
    pub fn lost_facts(&self) -> Vec<String> {
        self.lost().into_keys().collect()
    }

    /// The lost facts, each with the texts that bring it back.
    fn lost(&self) -> BTreeMap<String, Vec<String>> {
        let mut judge = self.state.judge.clone();
        let mut standing = BTreeMap::<String, Option<Fact>>::new();
        let mut lost = BTreeMap::<String, Vec<String>>::new();
        for (key, text) in heal::written(self.document(), "") {
            let Some(place) = Place::parse(&key).filter(|place| !matches!(place, Place::Want(..))) else {
                continue;
            };
            let Ok(fact) = judge.read(&place, &key, &text) else { continue };
            let stands = standing.entry(key.clone()).or_insert_with(|| {
                judge.judge(&key, &self.document().values(&key), drop).map(|(_, fact)| fact)
            });
            // What the rule of the key prefers something else to is not missed.
            let with = stands.clone().map_or(fact.clone(), |stands| stands.combine(fact));
            if stands.as_ref() != Some(&with) {
                lost.entry(key).or_default().push(text);
                *stands = Some(with);
            }
        }
        lost
    }
}

impl<D: BorrowMut<Document>> Allotment<D> {
    /// Puts lost facts back; signatures still hold, so anyone may. Two devices that heal the same thing write the same
    /// changes, which are returned.
    pub fn heal(&mut self) -> Vec<ChangeHash> {
        let lost = self.lost();
        let document = self.document_mut();
        let texts = lost.iter().flat_map(|(key, texts)| texts.iter().map(move |text| (key, text)));
        let changes = texts.filter_map(|(key, text)| heal::put_back(document, key, text)).collect();
        self.refresh();
        changes
    }
}
