//! The changes of a packed document, without their operations.

use super::super::InvalidChunk;
use super::super::column::{Deltas, Runs};
use super::Table;
use crate::leb128::Reader;
use crate::limits::{CHANGE_DEPS_MAX, CHANGE_TIME_MAX, DOCUMENT_CHANGES_MAX, OP_COUNTER_MAX};

/// One change.
#[derive(Debug)]
pub(super) struct Entry<'p> {
    /// The author's place among the document's actors.
    pub(super) author: u32,
    pub(super) seq: u32,
    /// Numbers of its first and last operation. Without any, the last is one less than the first.
    pub(super) start_op: u32,
    pub(super) max_op: u32,
    pub(super) time: i64,
    pub(super) message: &'p str,
    /// What follows the operations.
    pub(super) footer: &'p [u8],
    deps_end: u32,
}

/// The changes in causal order, each after what it depends on, and each author's in sequence.
#[derive(Debug, Default)]
pub(super) struct History<'p> {
    pub(super) entries: Vec<Entry<'p>>,
    deps: Vec<u32>,
    /// The changes of each actor, in sequence.
    pub(super) by_author: Vec<Vec<u32>>,
}

impl<'p> History<'p> {
    pub(super) fn read(table: &'p Table<'_>, actors: usize) -> Result<Self, InvalidChunk> {
        let mut authors = Runs::<u64>::new(table.column(0x01));
        let mut seqs = Deltas::new(table.column(0x03));
        let mut max_ops = Deltas::new(table.column(0x13));
        let mut times = Deltas::new(table.column(0x23));
        let mut messages = Runs::<&str>::new(table.column(0x35));
        let mut dep_counts = Runs::<u64>::new(table.column(0x40));
        let mut deps = Deltas::new(table.column(0x43));
        let mut footer_kinds = Runs::<u64>::new(table.column(0x56));
        let mut footers = Reader::new(table.column(0x57));
        let has_times = !table.column(0x23).is_empty();
        let mut history = Self { by_author: vec![Vec::new(); actors], ..Self::default() };
        while !authors.at_end() {
            let index = history.entries.len();
            let bad = |why| InvalidChunk::BadChange { index, why };
            if index == DOCUMENT_CHANGES_MAX {
                return Err(bad("it is one more than a document may have"));
            }
            let author = authors.row()?.and_then(|author| u32::try_from(author).ok());
            let author = author.filter(|author| (*author as usize) < actors);
            let author = author.ok_or_else(|| bad("its author is not among the actors"))?;
            let seq = number(seqs.row()?).ok_or_else(|| bad("its number is out of bounds"))?;
            let max_op = number(max_ops.row()?).filter(|max_op| u64::from(*max_op) <= OP_COUNTER_MAX);
            let max_op = max_op.ok_or_else(|| bad("its operations are numbered too high"))?;
            let time = times.signed_row()?;
            let time = if has_times { time.ok_or_else(|| bad("it has no time"))? } else { 0 };
            if time.unsigned_abs() > CHANGE_TIME_MAX {
                return Err(bad("its time is out of bounds"));
            }
            let message = messages.row()?.unwrap_or_default();
            let kind = footer_kinds.row()?.ok_or_else(|| bad("it does not say what its footer is"))?;
            let length = usize::try_from(kind >> 4).map_err(|_| bad("its footer is too long"))?;
            let footer = footers.take(length)?;
            if (kind & 15 != 7 && kind != 0) || (seq > 1 && !footer.is_empty()) {
                return Err(bad("a footer, which names a person, belongs to first changes only"));
            }
            let count = dep_counts.row()?.ok_or_else(|| bad("it does not say what it depends on"))?;
            if count > CHANGE_DEPS_MAX as u64 {
                return Err(bad("it names too many dependencies"));
            }
            let deps_start = history.deps.len();
            for _ in 0..count {
                let dep = number(deps.row()?).filter(|dep| (*dep as usize) < index);
                history.deps.push(dep.ok_or_else(|| bad("it stands before something it depends on"))?);
            }
            let mut distinct = history.deps[deps_start..].to_vec();
            distinct.sort_unstable();
            if !distinct.is_sorted_by(|one, next| one < next) {
                return Err(bad("it names a dependency twice"));
            }
            let deps_end = u32::try_from(history.deps.len()).expect("rows are bounded");
            let own = &mut history.by_author[author as usize];
            let before = own.last().map(|last| &history.entries[*last as usize]);
            if seq != before.map_or(0, |before| before.seq) + 1 {
                return Err(bad("it does not follow its author's one before"));
            }
            let floor = distinct.iter().map(|dep| history.entries[*dep as usize].max_op);
            if floor.chain(before.map(|before| before.max_op)).any(|floor| floor > max_op) {
                return Err(bad("its operations are numbered lower than those it builds on"));
            }
            own.push(u32::try_from(index).expect("changes are bounded"));
            let start_op = max_op + 1;
            history.entries.push(Entry { author, seq, start_op, max_op, time, message, footer, deps_end });
        }
        authors.finish()?;
        seqs.finish()?;
        max_ops.finish()?;
        times.finish()?;
        messages.finish()?;
        dep_counts.finish()?;
        deps.finish()?;
        footer_kinds.finish()?;
        if !footers.is_empty() {
            return Err(InvalidChunk::BadColumns { why: "a footer belongs to no change" });
        }
        if history.by_author.iter().any(Vec::is_empty) {
            return Err(InvalidChunk::BadHeader { why: "it names an actor who wrote nothing" });
        }
        Ok(history)
    }

    /// The changes that the one at `index` was made on top of.
    pub(super) fn deps_of(&self, index: usize) -> &[u32] {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].deps_end);
        &self.deps[start as usize..self.entries[index].deps_end as usize]
    }

    /// The changes that no other depends on.
    pub(super) fn heads(&self) -> impl Iterator<Item = usize> + '_ {
        let mut is_head = vec![true; self.entries.len()];
        for dep in &self.deps {
            is_head[*dep as usize] = false;
        }
        is_head.into_iter().enumerate().filter(|(_, is_head)| *is_head).map(|(index, _)| index)
    }
}

fn number(row: Option<u64>) -> Option<u32> {
    row.and_then(|row| u32::try_from(row).ok())
}
