//! Whether every change of a packed document fits those before it, and the tables are in order.
//!
//! The same is asked of changes that come one by one (see `document`), with the same answers. Here everything is at
//! hand, so it is asked of the whole document in one pass.

use super::super::operation::Action;
use super::Unpacked;
use super::ancestry::Ancestry;
use super::rows::{Name, Place, Row};
use crate::limits::{OP_COUNTER_JUMP_MAX, OP_COUNTER_SKIPPED_MAX};

/// Why a packed document is not taken as it is. Those of its changes that fit may still be taken one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    #[error("change {index} {why}")]
    Change { index: usize, why: &'static str },
    #[error("operation {index} {why}")]
    Operation { index: usize, why: &'static str },
    #[error("an operation names one that its author had not seen")]
    Unseen,
    #[error("its changes branch too often to be compared")]
    Tangled,
}

impl Unpacked<'_> {
    /// Checks that each change fits those before it, and that the tables are in the order in which Automerge writes and
    /// expects them: then the document may be taken as it is.
    pub fn check_fit(&self) -> Result<(), Misfit> {
        self.check_numbers()?;
        let mut ancestry = Ancestry::of(&self.history);
        let mut walk = Walk::default();
        for index in 0..self.rows.all.len() {
            self.check_row(index, &mut walk, &mut ancestry)
                .map_err(|why| Misfit::Operation { index, why })?;
        }
        self.check_overwrites(&mut ancestry)?;
        match ancestry.answer(&self.history) {
            Some(true) => Ok(()),
            Some(false) => Err(Misfit::Unseen),
            None => Err(Misfit::Tangled),
        }
    }

    /// Checks that each change's operations are numbered on from those it builds on.
    fn check_numbers(&self) -> Result<(), Misfit> {
        let mut skipped_by_all = 0;
        let mut last_of_author = vec![0; self.actors.len()];
        for (index, entry) in self.history.entries.iter().enumerate() {
            let misfit = |why| Misfit::Change { index, why };
            let deps = self.history.deps_of(index).iter();
            let below = deps.map(|dep| self.history.entries[*dep as usize].max_op).max().unwrap_or(0);
            let last = &mut last_of_author[entry.author as usize];
            if *last > below {
                return Err(misfit("does not build on its author's one before"));
            }
            *last = entry.max_op;
            let skipped = entry.start_op.checked_sub(below + 1).map(u64::from);
            let skipped = skipped.filter(|skipped| *skipped <= OP_COUNTER_JUMP_MAX);
            let is_empty = entry.max_op < entry.start_op;
            let skipped = skipped.filter(|skipped| !is_empty || *skipped == 0);
            skipped_by_all += skipped.ok_or_else(|| misfit("does not number on from those it builds on"))?;
            if skipped_by_all > OP_COUNTER_SKIPPED_MAX {
                return Err(misfit("skips too many numbers"));
            }
        }
        Ok(())
    }

    /// Checks that a row stands where it belongs, and names what is there.
    fn check_row<'a>(
        &'a self,
        index: usize,
        walk: &mut Walk<'a>,
        ancestry: &mut Ancestry,
    ) -> Result<(), &'static str> {
        let row = &self.rows.all[index];
        if !self.rows.successors(index).is_sorted_by(|one, next| one < next) {
            return Err("lists what replaces it out of order");
        }
        if walk.object != Some(row.object) {
            if walk.object.is_some_and(|before| before > row.object) {
                return Err("stands after operations on later objects");
            }
            let maker = if row.object == Name::ROOT {
                None
            } else {
                Some(self.assembly.row_of(row.object).ok_or("writes into an object that was never made")?)
            };
            let action = maker.map_or(Action::MakeMap, |maker| self.rows.all[maker].does());
            let is_map = match action {
                Action::MakeMap => true,
                Action::MakeList | Action::MakeText => false,
                _ => return Err("writes into something that is not an object"),
            };
            *walk = Walk { object: Some(row.object), maker, is_map, ..Walk::default() };
        }
        if let Some(maker) = walk.maker {
            ancestry.ask(self.rows.all[maker].change, row.change);
        }
        if walk.is_map != matches!(row.place, Place::Map(_)) {
            return Err("names a place that its object can't have");
        }
        let element = walk.step(row)?;
        if let Some(element) = element {
            ancestry.ask(element, row.change);
        }
        Ok(())
    }

    /// Checks that operations replace values only, and where they themselves write.
    fn check_overwrites(&self, ancestry: &mut Ancestry) -> Result<(), Misfit> {
        for change in 0..self.len() {
            let newer = u32::try_from(change).expect("changes are bounded");
            for operation in self.assembly.of_change(change) {
                let assembled = self.assembly.operations[operation];
                let row = &self.rows.all[assembled.row as usize];
                let place = if assembled.is_delete { row.own_place() } else { row.place };
                for overwritten in self.assembly.overwritten(operation) {
                    let found = &self.rows.all[*overwritten as usize];
                    let misfit = |why| Misfit::Operation { index: assembled.row as usize, why };
                    if (found.object, found.own_place()) != (row.object, place) {
                        return Err(misfit("overwrites what is written elsewhere"));
                    }
                    if matches!(found.does(), Action::Delete | Action::Increment | Action::Mark) {
                        return Err(misfit("overwrites what is no value"));
                    }
                    ancestry.ask(found.change, newer);
                }
            }
        }
        Ok(())
    }
}

/// Where a walk over the rows has come to: the object, the place in it, the last operation there.
#[derive(Default)]
struct Walk<'a> {
    object: Option<Name>,
    /// The row that made the object.
    maker: Option<usize>,
    is_map: bool,
    key: Option<&'a str>,
    last: Name,
    /// In a sequence: the element that was inserted last, the one that it was inserted behind, and so on to the front.
    path: Vec<Step>,
    /// The element last inserted at the front.
    first: Option<Name>,
}

struct Step {
    element: Name,
    change: u32,
    /// The element last inserted right behind it.
    follower: Option<Name>,
}

impl<'a> Walk<'a> {
    /// Goes on to the next row of the object. Gives the change of the element that it names, if it names one.
    ///
    /// Behind one element, those inserted later stand first, each followed by all that was inserted behind it.
    fn step(&mut self, row: &Row<'a>) -> Result<Option<u32>, &'static str> {
        const ORDER: &str = "stands out of order";
        let last = std::mem::replace(&mut self.last, row.name);
        match row.place {
            Place::Map(key) => {
                let before = self.key.replace(key);
                let in_order = before.is_none_or(|before| before < key || (before == key && last < row.name));
                if in_order { Ok(None) } else { Err(ORDER) }
            }
            Place::Element(element) if !row.insert => {
                let here = self.path.last().filter(|here| here.element == element && last < row.name);
                here.map(|here| Some(here.change)).ok_or(ORDER)
            }
            Place::Element(element) => {
                while self.path.last().is_some_and(|step| step.element != element) {
                    self.path.pop();
                }
                let behind =
                    self.path.last_mut().ok_or("is inserted behind what does not stand before it")?;
                let change = behind.change;
                let sibling = behind.follower.replace(row.name);
                self.insert(row, sibling).map(|()| Some(change))
            }
            Place::Head => {
                self.path.clear();
                let sibling = self.first.replace(row.name);
                self.insert(row, sibling).map(|()| None)
            }
        }
    }

    fn insert(&mut self, row: &Row<'a>, sibling: Option<Name>) -> Result<(), &'static str> {
        if sibling.is_some_and(|sibling| sibling < row.name) {
            return Err("stands behind an older element that it should stand before");
        }
        self.path.push(Step { element: row.name, change: row.change, follower: None });
        Ok(())
    }
}
