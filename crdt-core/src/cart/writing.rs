//! One operation while it is written: what is there, and the edit that changes it.

use std::borrow::BorrowMut;

use super::Cart;
use super::batch::Batch;
use super::fold::Fold;
use super::key::Key;
use super::line::Line;
use super::name::ListName;
use super::operation::{CartError, Operation};
use super::standing::Standing;
use crate::canonical;
use crate::document::{Document, Edit, Stored};
use crate::id::Dot;
use crate::kind::Kind;

/// What an operation works with.
pub(super) struct Writing<'a> {
    pub(super) fold: &'a Fold,
    edit: Edit<'a>,
}

impl<D: BorrowMut<Document>> Cart<D> {
    /// Writes one operation as one change. An operation that writes nothing leaves no trace.
    pub(super) fn write(
        &mut self,
        work: impl Fn(&mut Writing<'_>) -> Result<(), CartError>,
    ) -> Result<Operation, CartError> {
        self.refresh();
        let id = loop {
            let document = self.document.borrow_mut();
            let mut edit = document.edit();
            edit.set_time(self.state.now);
            let mut writing = Writing { fold: &self.state.fold, edit };
            work(&mut writing)?;
            if writing.edit.is_empty() {
                return Ok(Operation::default());
            }
            if self.state.declared {
                break writing.edit.commit().map(|committed| committed.hash);
            }
            // The first write says what the document is. It comes before what it says that about, so begin again.
            drop(writing);
            Kind::Cart.declare(document);
            self.state.declared = true;
        };
        Ok(Operation { id, changes: self.refresh() })
    }
}

impl<'a> Writing<'a> {
    /// How every batch of `line` stands.
    pub(super) fn standings(&self, line: &Line) -> Vec<Standing<'a>> {
        self.fold.standings(line)
    }

    /// The lines of `list`.
    pub(super) fn lines_of(&self, list: &ListName) -> impl Iterator<Item = &'a Line> + use<'a> {
        self.fold.view.lists.get(list).into_iter().flat_map(|list| list.lines.keys())
    }

    /// Whether an order holds units of `dot`.
    pub(super) fn is_held(&self, dot: &Dot) -> bool {
        self.fold.orders.held.contains_key(dot)
    }

    pub(super) fn next_dot(&self) -> Dot {
        self.edit.next_dot()
    }

    pub(super) fn is_unshared(&self, dot: &Dot) -> bool {
        self.edit.is_unshared(dot)
    }

    /// Whether nothing has been written yet.
    pub(super) fn is_empty(&self) -> bool {
        self.edit.is_empty()
    }

    /// The values under `key` as this operation leaves them.
    pub(super) fn values(&self, key: &Key) -> Vec<Stored> {
        self.edit.values(&key.to_string())
    }

    pub(super) fn put(&mut self, key: &Key, text: &str) {
        self.edit.put(&key.to_string(), text);
    }

    pub(super) fn delete(&mut self, key: &Key) {
        self.edit.delete(&key.to_string());
    }

    pub(super) fn put_batch(&mut self, line: &Line, dot: &Dot, batch: &Batch) {
        self.put(&Key::Batch(line.clone(), dot.clone()), &canonical::to_text(batch));
    }

    /// At most `units` of the dot remain.
    pub(super) fn put_cap(&mut self, line: &Line, dot: &Dot, units: u32) {
        self.put(&Key::Cap(line.clone(), dot.clone()), &canonical::to_text(&units));
    }

    /// The dot is in `list` from now on.
    pub(super) fn put_place(&mut self, line: &Line, dot: &Dot, list: &ListName) {
        self.put(&Key::Place(line.clone(), dot.clone()), &canonical::to_text(list));
    }

    /// Removes the dot with all that has been said about it.
    pub(super) fn delete_dot(&mut self, line: &Line, dot: &Dot) {
        let facts = self.fold.ledger.lines.get(line).and_then(|dots| dots.get(dot));
        self.delete(&Key::Batch(line.clone(), dot.clone()));
        if facts.is_some_and(|facts| facts.cap.is_some()) {
            self.delete(&Key::Cap(line.clone(), dot.clone()));
        }
        if facts.is_some_and(|facts| facts.place.is_some()) {
            self.delete(&Key::Place(line.clone(), dot.clone()));
        }
    }
}

impl Writing<'_> {
    /// Removes the dot, and whatever stands for it since it was moved or put back.
    pub(super) fn delete_with_stand_ins(&mut self, line: &Line, dot: &Dot) {
        let facts = self.fold.ledger.lines.get(line);
        let stand_ins = facts
            .into_iter()
            .flatten()
            .filter(|(_, facts)| facts.batch.as_ref().is_some_and(|batch| batch.of.contains(dot)));
        for (stand_in, _) in stand_ins {
            self.delete_dot(line, stand_in);
        }
        self.delete_dot(line, dot);
    }
}
