//! Enrollment facts are put back when they disappear: what was said stays said.

use std::borrow::BorrowMut;
use std::collections::BTreeMap;

use super::Enrollments;
use super::fact::{self, Reader};
use super::id::{FactId, PREFIX};
use super::operation::Operation;
use crate::document::{Document, Stored};
use crate::heal;
use crate::id::{ChangeHash, CourseId};
use crate::time::Timestamp;

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
        let healed = self.heal_where(|_| true);
        self.state.ledger.mark_healed();
        healed
    }

    /// As [`Enrollments::heal`], for one course.
    pub fn heal_course(&mut self, course: &CourseId, now: Timestamp) -> Operation {
        let before = self.course(course, now).status;
        let healed = self.heal_where(|healed| healed == course);
        let facts = healed.facts.into_iter().map(|(_, fact)| fact).collect();
        let (id, after) = (healed.changes.last().copied(), self.course(course, now).status);
        Operation { id, course: course.clone(), facts, before, after }
    }

    /// The root keys of the facts that counted and that somebody deleted or overwrote. Reads the whole history.
    pub fn lost_facts(&mut self) -> Vec<String> {
        self.read();
        self.lost().into_keys().collect()
    }

    fn heal_where(&mut self, chosen: impl Fn(&CourseId) -> bool) -> Healed {
        self.read();
        let mut healed = Healed::default();
        for (key, texts) in self.lost() {
            let (course, fact) = fact::parse(&key).expect("only keys of facts are lost");
            if !chosen(&course) {
                continue;
            }
            let document = self.document.borrow_mut();
            let changes = texts.iter().filter_map(|text| heal::put_back(document, &key, text));
            healed.changes.extend(changes);
            healed.facts.push((course, fact));
        }
        self.read();
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
