//! The operations of one change, read one by one.

use super::InvalidChunk;
use super::column::{Deltas, Flags, Runs};
use crate::leb128::{Malformed, Reader};
use crate::limits::CHANGE_OPS_MAX;

/// An operation named by another: the `counter`th of the document, by the change's `actor`th actor (its author first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationRef {
    pub(crate) actor: usize,
    pub(crate) counter: u64,
}

/// What an operation does to the place it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    MakeMap,
    MakeList,
    MakeText,
    Put,
    Delete,
    Increment,
    Mark,
}

/// What actions are written as.
pub(super) const DELETE: u8 = 3;
pub(super) const MARK: u8 = 7;

/// A place within an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Map(&'a str),
    Head,
    Element(OperationRef),
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation<'a> {
    /// The object it works on; `None` is the root.
    pub(crate) object: Option<OperationRef>,
    pub(crate) key: Key<'a>,
    pub(crate) insert: bool,
    pub(crate) action: Action,
}

/// What one operation says, apart from whom it names.
pub(super) struct Said<'a> {
    pub(super) placed: Where,
    pub(super) insert: bool,
    pub(super) action: u64,
    /// The kind of its value, and the value's length.
    pub(super) value_kind: u64,
    pub(super) value: &'a [u8],
    pub(super) expand: bool,
    pub(super) mark_name: Option<&'a str>,
    /// Whether it replaces, deletes or increments anything.
    pub(super) overwrites: bool,
}

/// What kind of place an operation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Map,
    Head,
    Element,
}

/// Checks that what an operation says makes sense in itself, and tells what it does.
pub(super) fn judge(said: &Said<'_>) -> Result<Action, &'static str> {
    let kind = said.value_kind & 15;
    if !is_value(kind, said.value) {
        return Err("its value is malformed");
    }
    let action = match (said.action, kind) {
        (0 | 6, 0) => Action::MakeMap,
        (2, 0) => Action::MakeList,
        (4, 0) => Action::MakeText,
        (3, 0) => Action::Delete,
        (1, _) => Action::Put,
        (5, 4) => Action::Increment,
        (7, kind) if said.mark_name.is_some() || kind == 0 => Action::Mark,
        _ => return Err("its action is unknown or does not go with its value"),
    };
    let is_mark = action == Action::Mark;
    if (said.expand || said.mark_name.is_some()) && !is_mark {
        return Err("only marks have names and edges");
    }
    let placed = match said.placed {
        Where::Map => !said.insert && !is_mark,
        Where::Head => said.insert,
        Where::Element => said.insert || !is_mark,
    };
    let creates = !matches!(action, Action::Delete | Action::Increment) && !said.overwrites;
    if !placed || (said.insert && !creates) {
        return Err("it inserts what can't be inserted, or where nothing can be");
    }
    if !said.overwrites && matches!(action, Action::Delete | Action::Increment) {
        return Err("it changes a value but names none");
    }
    Ok(action)
}

fn is_value(kind: u64, bytes: &[u8]) -> bool {
    let whole = |number: Result<(), Malformed>, reader: Reader<'_>| number.is_ok() && reader.is_empty();
    let mut reader = Reader::new(bytes);
    match kind {
        0..=2 => bytes.is_empty(),
        3 => whole(reader.unsigned().map(drop), reader),
        4 | 8 | 9 => whole(reader.signed().map(drop), reader),
        5 => bytes.len() == 8,
        6 => std::str::from_utf8(bytes).is_ok(),
        _ => true,
    }
}

/// The columns of a change's operations, by what they hold.
#[derive(Clone, Copy, Default)]
pub(super) struct Columns<'a> {
    object_actor: &'a [u8],
    object_counter: &'a [u8],
    key_actor: &'a [u8],
    key_counter: &'a [u8],
    key_text: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value_kind: &'a [u8],
    value: &'a [u8],
    overwritten_count: &'a [u8],
    overwritten_actor: &'a [u8],
    overwritten_counter: &'a [u8],
    expand: &'a [u8],
    mark_name: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Reads the list of columns, then their content. Only what Automerge writes is accepted: known columns, in order,
    /// none empty, none deflated on its own.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, InvalidChunk> {
        const KNOWN: usize = 14;
        let count = reader.length()?;
        if count > KNOWN {
            return Err(InvalidChunk::BadColumns { why: "there are more than Automerge has" });
        }
        let mut lengths = [(0, 0); KNOWN];
        let lengths = &mut lengths[..count];
        for entry in lengths.iter_mut() {
            *entry = (reader.unsigned()?, reader.length()?);
        }
        if !lengths.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(InvalidChunk::BadColumns { why: "they are out of order" });
        }
        let mut columns = Self::default();
        for (column, length) in lengths {
            let slot = match column {
                0x01 => &mut columns.object_actor,
                0x02 => &mut columns.object_counter,
                0x11 => &mut columns.key_actor,
                0x13 => &mut columns.key_counter,
                0x15 => &mut columns.key_text,
                0x34 => &mut columns.insert,
                0x42 => &mut columns.action,
                0x56 => &mut columns.value_kind,
                0x57 => &mut columns.value,
                0x70 => &mut columns.overwritten_count,
                0x71 => &mut columns.overwritten_actor,
                0x73 => &mut columns.overwritten_counter,
                0x94 => &mut columns.expand,
                0xa5 => &mut columns.mark_name,
                _ => return Err(InvalidChunk::BadColumns { why: "one is unknown" }),
            };
            if *length == 0 {
                return Err(InvalidChunk::BadColumns { why: "one is empty" });
            }
            *slot = reader.take(*length)?;
        }
        Ok(columns)
    }
}

/// Reads operations in order, refusing the first that is not well-formed.
pub(super) struct Operations<'a> {
    object_actor: Runs<'a, u64>,
    object_counter: Runs<'a, u64>,
    key_actor: Runs<'a, u64>,
    key_counter: Deltas<'a>,
    key_text: Runs<'a, &'a str>,
    insert: Flags<'a>,
    action: Runs<'a, u64>,
    value_kind: Runs<'a, u64>,
    value: Reader<'a>,
    overwritten_count: Runs<'a, u64>,
    overwritten_actor: Runs<'a, u64>,
    overwritten_counter: Deltas<'a>,
    expand: Flags<'a>,
    mark_name: Runs<'a, &'a str>,
    index: usize,
    start: u64,
    actors: Vec<&'a [u8]>,
    /// For each actor of the change, whether an operation has named it.
    named: Vec<bool>,
    overwritten_total: u64,
}

impl<'a> Operations<'a> {
    pub(super) fn new(columns: &Columns<'a>, start: u64, actors: Vec<&'a [u8]>) -> Self {
        Self {
            object_actor: Runs::new(columns.object_actor),
            object_counter: Runs::new(columns.object_counter),
            key_actor: Runs::new(columns.key_actor),
            key_counter: Deltas::new(columns.key_counter),
            key_text: Runs::new(columns.key_text),
            insert: Flags::new(columns.insert),
            action: Runs::new(columns.action),
            value_kind: Runs::new(columns.value_kind),
            value: Reader::new(columns.value),
            overwritten_count: Runs::new(columns.overwritten_count),
            overwritten_actor: Runs::new(columns.overwritten_actor),
            overwritten_counter: Deltas::new(columns.overwritten_counter),
            expand: Flags::new(columns.expand),
            mark_name: Runs::new(columns.mark_name),
            index: 0,
            start,
            named: vec![false; actors.len()],
            actors,
            overwritten_total: 0,
        }
    }

    /// The next operation; what it overwrites replaces the content of `overwritten`. `None` after the last, once
    /// everything has been found to be used up.
    pub(super) fn next(
        &mut self,
        overwritten: &mut Vec<OperationRef>,
    ) -> Result<Option<Operation<'a>>, InvalidChunk> {
        if self.action.at_end() {
            self.finish()?;
            return Ok(None);
        }
        if self.index == CHANGE_OPS_MAX {
            return Err(InvalidChunk::TooMuch { deps: 0, ops: CHANGE_OPS_MAX });
        }
        let operation = self.read(overwritten)?;
        self.index += 1;
        Ok(Some(operation))
    }

    fn read(&mut self, overwritten: &mut Vec<OperationRef>) -> Result<Operation<'a>, InvalidChunk> {
        let counter = self.start + self.index as u64;
        let object = (self.object_actor.row()?, self.object_counter.row()?);
        let object = match object {
            (None, None) => None,
            (Some(actor), Some(number)) => Some(self.reference(actor, number, counter)?),
            _ => return Err(self.bad("its object is half named")),
        };
        let key = (self.key_actor.row()?, self.key_counter.row()?, self.key_text.row()?);
        let key = match key {
            (None, None, Some(text)) => Key::Map(text),
            (None, Some(0), None) => Key::Head,
            (Some(actor), Some(number), None) => Key::Element(self.reference(actor, number, counter)?),
            _ => return Err(self.bad("its place is not one place")),
        };
        let insert = self.insert.row()?;
        let action = self.action.row()?.ok_or_else(|| self.bad("it has no action"))?;
        let (value_kind, value) = self.read_value()?;
        let expand = self.expand.row()?;
        let mark_name = self.mark_name.row()?;
        self.read_overwritten(overwritten, counter)?;
        let placed = match key {
            Key::Map(_) => Where::Map,
            Key::Head => Where::Head,
            Key::Element(_) => Where::Element,
        };
        let overwrites = !overwritten.is_empty();
        let said = Said { placed, insert, action, value_kind, value, expand, mark_name, overwrites };
        let action = judge(&said).map_err(|why| self.bad(why))?;
        Ok(Operation { object, key, insert, action })
    }

    fn reference(&mut self, actor: u64, number: u64, own: u64) -> Result<OperationRef, InvalidChunk> {
        let known = usize::try_from(actor).ok().filter(|actor| *actor < self.named.len());
        let Some(actor) = known else { return Err(self.bad("it names an actor that the change does not")) };
        if number == 0 || number >= own {
            return Err(self.bad("it names an operation that is not older than itself"));
        }
        self.named[actor] = true;
        Ok(OperationRef { actor, counter: number })
    }

    fn read_value(&mut self) -> Result<(u64, &'a [u8]), InvalidChunk> {
        let kind = self.value_kind.row()?.ok_or_else(|| self.bad("it has no value"))?;
        let length = usize::try_from(kind >> 4).map_err(|_| Malformed::NumberTooLarge)?;
        Ok((kind, self.value.take(length)?))
    }

    fn read_overwritten(
        &mut self,
        overwritten: &mut Vec<OperationRef>,
        own: u64,
    ) -> Result<(), InvalidChunk> {
        overwritten.clear();
        let count =
            self.overwritten_count.row()?.ok_or_else(|| self.bad("it does not say what it overwrites"))?;
        self.overwritten_total = self.overwritten_total.saturating_add(count);
        if self.overwritten_total > CHANGE_OPS_MAX as u64 {
            return Err(self.bad("it and those before it overwrite too many values"));
        }
        for _ in 0..count {
            let actor = self.overwritten_actor.row()?;
            let number = self.overwritten_counter.row()?;
            let (Some(actor), Some(number)) = (actor, number) else {
                return Err(self.bad("what it overwrites is half named"));
            };
            let reference = self.reference(actor, number, own)?;
            overwritten.push(reference);
        }
        let order = |reference: &OperationRef| (reference.counter, self.actors[reference.actor]);
        if !overwritten.is_sorted_by(|one, next| order(one) < order(next)) {
            return Err(self.bad("what it overwrites is out of order"));
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), InvalidChunk> {
        self.object_actor.finish()?;
        self.object_counter.finish()?;
        self.key_actor.finish()?;
        self.key_counter.finish()?;
        self.key_text.finish()?;
        self.insert.finish()?;
        self.action.finish()?;
        self.value_kind.finish()?;
        self.overwritten_count.finish()?;
        self.overwritten_actor.finish()?;
        self.overwritten_counter.finish()?;
        self.expand.finish()?;
        self.mark_name.finish()?;
        // Automerge writes whether operations insert even if none does, and whether marks expand only if one does.
        let is_insert_written = self.index == 0 || !self.insert.is_absent();
        let is_expand_written = self.expand.is_absent() || self.expand.any_true();
        if !is_insert_written || !is_expand_written {
            return Err(Malformed::AnotherSpelling.into());
        }
        if !self.value.is_empty() {
            return Err(InvalidChunk::BadColumns { why: "a value belongs to no operation" });
        }
        if self.named.iter().skip(1).any(|named| !named) {
            return Err(InvalidChunk::BadHeader { why: "it names an actor that no operation does" });
        }
        Ok(())
    }

    fn bad(&self, why: &'static str) -> InvalidChunk {
        InvalidChunk::BadOperation { index: self.index, why }
    }
}
