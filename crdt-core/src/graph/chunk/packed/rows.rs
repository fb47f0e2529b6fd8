//! The operations of a packed document, as they stand there: by the place they write to.

use super::super::InvalidChunk;
use super::super::column::{Deltas, Flags, Runs};
use super::super::operation::{Action, DELETE, MARK};
use super::Table;
use crate::leb128::Reader;
use crate::limits::OP_COUNTER_MAX;

/// An operation's name: its number, and its author's place among the document's actors. Ordered by age, as Automerge
/// orders them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(u64);

impl Name {
    /// No operation: stands for the document itself.
    pub(super) const ROOT: Self = Self(0);

    fn new(actor: u32, counter: u32) -> Self {
        Self(u64::from(counter) << 32 | u64::from(actor))
    }

    pub(super) fn counter(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("half a number")
    }

    pub(super) fn actor(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).expect("half a number")
    }

    /// A key by which operations sort as their authors wrote them.
    pub(super) fn by_author(self) -> u64 {
        self.0.rotate_left(32)
    }
}

/// A place within an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'p> {
    Map(&'p str),
    Head,
    Element(Name),
}

/// One operation. Those that only delete have no row: what they delete names them.
#[derive(Debug)]
pub(super) struct Row<'p> {
    pub(super) name: Name,
    /// The operation that made the object it works on.
    pub(super) object: Name,
    pub(super) place: Place<'p>,
    pub(super) insert: bool,
    pub(super) expand: bool,
    pub(super) action: u8,
    /// The change it belongs to, once that is known.
    pub(super) change: u32,
    pub(super) value_kind: u64,
    pub(super) value: &'p [u8],
    pub(super) mark_name: Option<&'p str>,
    successors_end: u32,
}

impl<'p> Row<'p> {
    /// What it does, once that is known to make sense.
    pub(super) fn does(&self) -> Action {
        match self.action {
            0 | 6 => Action::MakeMap,
            2 => Action::MakeList,
            4 => Action::MakeText,
            1 => Action::Put,
            DELETE => Action::Delete,
            5 => Action::Increment,
            _ => Action::Mark,
        }
    }

    /// The place that values which replace this one name.
    pub(super) fn own_place(&self) -> Place<'p> {
        if self.insert { Place::Element(self.name) } else { self.place }
    }
}

/// All operations, in the order of the document.
#[derive(Debug, Default)]
pub(super) struct Rows<'p> {
    pub(super) all: Vec<Row<'p>>,
    successors: Vec<Name>,
    pub(super) has_marks: bool,
}

impl<'p> Rows<'p> {
    pub(super) fn read(table: &'p Table<'_>, actors: usize) -> Result<Self, InvalidChunk> {
        let mut reading = Reading::new(table, actors);
        let mut rows = Self::default();
        while !reading.id_actor.at_end() {
            let row = reading.row(rows.all.len(), &mut rows.successors)?;
            rows.has_marks |= row.action == MARK;
            rows.all.push(row);
        }
        reading.finish()?;
        Ok(rows)
    }

    /// The operations that replace, delete or increment the one at `index`.
    pub(super) fn successors(&self, index: usize) -> &[Name] {
        let start = index.checked_sub(1).map_or(0, |before| self.all[before].successors_end);
        &self.successors[start as usize..self.all[index].successors_end as usize]
    }
}

/// The columns of operations, read side by side.
struct Reading<'p> {
    actors: usize,
    object_actor: Runs<'p, u64>,
    object_counter: Runs<'p, u64>,
    key_actor: Runs<'p, u64>,
    key_counter: Deltas<'p>,
    key_text: Runs<'p, &'p str>,
    id_actor: Runs<'p, u64>,
    id_counter: Deltas<'p>,
    insert: Flags<'p>,
    action: Runs<'p, u64>,
    value_kind: Runs<'p, u64>,
    value: Reader<'p>,
    successor_count: Runs<'p, u64>,
    successor_actor: Runs<'p, u64>,
    successor_counter: Deltas<'p>,
    expand: Flags<'p>,
    mark_name: Runs<'p, &'p str>,
}

impl<'p> Reading<'p> {
    fn new(table: &'p Table<'_>, actors: usize) -> Self {
        Self {
            actors,
            object_actor: Runs::new(table.column(0x01)),
            object_counter: Runs::new(table.column(0x02)),
            key_actor: Runs::new(table.column(0x11)),
            key_counter: Deltas::new(table.column(0x13)),
            key_text: Runs::new(table.column(0x15)),
            id_actor: Runs::new(table.column(0x21)),
            id_counter: Deltas::new(table.column(0x23)),
            insert: Flags::new(table.column(0x34)),
            action: Runs::new(table.column(0x42)),
            value_kind: Runs::new(table.column(0x56)),
            value: Reader::new(table.column(0x57)),
            successor_count: Runs::new(table.column(0x80)),
            successor_actor: Runs::new(table.column(0x81)),
            successor_counter: Deltas::new(table.column(0x83)),
            expand: Flags::new(table.column(0x94)),
            mark_name: Runs::new(table.column(0xa5)),
        }
    }

    fn row(&mut self, index: usize, successors: &mut Vec<Name>) -> Result<Row<'p>, InvalidChunk> {
        let bad = |why| InvalidChunk::BadOperation { index, why };
        let own = name(self.actors, self.id_actor.row()?, self.id_counter.row()?);
        let own = own.ok_or_else(|| bad("its own name is out of bounds"))?;
        let object = match (self.object_actor.row()?, self.object_counter.row()?) {
            (None, None) => Name::ROOT,
            (actor, number) => {
                name(self.actors, actor, number).ok_or_else(|| bad("its object is out of bounds"))?
            }
        };
        let key = (self.key_actor.row()?, self.key_counter.row()?, self.key_text.row()?);
        let place = match key {
            (None, None, Some(text)) => Place::Map(text),
            (None, Some(0), None) => Place::Head,
            (Some(_), Some(_), None) => {
                let element = name(self.actors, key.0, key.1);
                Place::Element(element.ok_or_else(|| bad("its place is out of bounds"))?)
            }
            _ => return Err(bad("its place is not one place")),
        };
        let action = self.action.row()?.and_then(|action| u8::try_from(action).ok());
        let action = action.ok_or_else(|| bad("its action is unknown or does not go with its value"))?;
        let value_kind = self.value_kind.row()?.ok_or_else(|| bad("it has no value"))?;
        let length = usize::try_from(value_kind >> 4).map_err(|_| bad("its value is malformed"))?;
        let value = self.value.take(length)?;
        let count = self.successor_count.row()?.ok_or_else(|| bad("it does not say what replaces it"))?;
        for _ in 0..count {
            let successor = name(self.actors, self.successor_actor.row()?, self.successor_counter.row()?);
            successors.push(successor.ok_or_else(|| bad("what replaces it is out of bounds"))?);
        }
        Ok(Row {
            name: own,
            object,
            place,
            insert: self.insert.row()?,
            expand: self.expand.row()?,
            action,
            change: 0,
            value_kind,
            value,
            mark_name: self.mark_name.row()?,
            successors_end: u32::try_from(successors.len()).expect("rows are bounded"),
        })
    }

    fn finish(&self) -> Result<(), InvalidChunk> {
        self.object_actor.finish()?;
        self.object_counter.finish()?;
        self.key_actor.finish()?;
        self.key_counter.finish()?;
        self.key_text.finish()?;
        self.id_actor.finish()?;
        self.id_counter.finish()?;
        self.insert.finish()?;
        self.action.finish()?;
        self.value_kind.finish()?;
        self.successor_count.finish()?;
        self.successor_actor.finish()?;
        self.successor_counter.finish()?;
        self.expand.finish()?;
        self.mark_name.finish()?;
        if !self.value.is_empty() {
            return Err(InvalidChunk::BadColumns { why: "a value belongs to no operation" });
        }
        Ok(())
    }
}

fn name(actors: usize, actor: Option<u64>, counter: Option<u64>) -> Option<Name> {
    let actor = usize::try_from(actor?).ok().filter(|actor| *actor < actors)?;
    let counter = counter.filter(|counter| (1..=OP_COUNTER_MAX).contains(counter))?;
    Some(Name::new(u32::try_from(actor).ok()?, u32::try_from(counter).ok()?))
}
