//! Enrollment facts are put back when they disappear: what was said stays said.

use std::borrow::BorrowMut;
use std::collections::BTreeMap;

use super::Enrollments;
use super::fact::{self, Reader};
use super::id::{FactId, PREFIX};
use crate::document::{Document, Stored};
use crate::heal;
use crate::id::{ChangeHash, CourseId};

/// What was put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    pub facts: Vec<(CourseId, FactId)>,
    /// The changes that put them back.
    pub changes: Vec<ChangeHash>,
}

impl<D: BorrowMut<Document>> Enrollments<D> {
    /// Puts back every fact that counts and was deleted or overwritten. Reads the whole history, so it is for opening a
    /// document that others may write, and for when [`Enrollments::is_damaged`] says so.
    ///
    /// A device that was not there before the damage heals as well as one that was, and two devices that heal the same
    /// thing write the same change.
    pub fn heal(&mut self) -> Healed {
        self.read();
        let mut healed = Healed::default();
        for (key, texts) in self.lost() {
            let (course, fact) = fact::parse(&key).expect("only keys of facts are lost");
            let document = self.document.borrow_mut();
            let changes = texts.iter().filter_map(|text| heal::put_back(document, &key, text));
            healed.changes.extend(changes);
            healed.facts.push((course, fact));
        }
        self.read();
        self.state.ledger.mark_healed();
        healed
    }

    /// The texts that count, by key, which the history has and the document no longer shows.
    fn lost(&mut self) -> BTreeMap<String, Vec<String>> {
        let state = &mut self.state;
        let mut reader = Reader { student: &state.student, policy: &state.policy, seen: &mut state.seen };
        let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, text) in heal::written(self.document.borrow(), PREFIX) {
            let Ok((course, id)) = fact::parse(&key) else { continue };
            let Ok(fact) = reader.read(&key, &course, &id, &Stored::Text(text.clone())) else { continue };
            if state.ledger.fact(&course, &id).is_some_and(|known| known.contains(&fact)) {
                continue;
            }
            let texts = lost.entry(key).or_default();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        lost
    }
}
