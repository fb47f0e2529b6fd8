//! The operations of a packed document, gathered by the changes that they belong to.

use std::ops::Range;

use super::super::InvalidChunk;
use super::super::operation::{Action, Said, Where, judge};
use super::history::History;
use super::rows::{Name, Place, Rows};
use crate::limits::CHANGE_OPS_MAX;

/// Every operation, as its author wrote it: by author, then by number.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) operations: Vec<Assembled>,
    /// The rows that operations replace, delete or increment, one operation after another.
    overwritten: Vec<u32>,
    /// Of each change, its operations.
    changes: Vec<Range<u32>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Assembled {
    /// Author and number, as [`super::rows::Name::by_author`] gives them.
    key: u64,
    /// Its row, or for one that only deletes, the first of those that it deletes.
    pub(super) row: u32,
    pub(super) is_delete: bool,
    overwritten_end: u32,
}

impl Assembled {
    fn author(self) -> u64 {
        self.key >> 32
    }

    pub(super) fn counter(self) -> u32 {
        u32::try_from(self.key & u64::from(u32::MAX)).expect("half a number")
    }
}

impl Assembly {
    /// Gathers the operations, and tells each change where its operations begin, each row which change it belongs to.
    pub(super) fn of(rows: &mut Rows<'_>, history: &mut History<'_>) -> Result<Self, InvalidChunk> {
        let mut assembly = Self::gather(rows)?;
        assembly.check_operations(rows)?;
        assembly.assign(rows, history)?;
        Ok(assembly)
    }

    pub(super) fn of_change(&self, change: usize) -> Range<usize> {
        let range = &self.changes[change];
        range.start as usize..range.end as usize
    }

    /// The rows that an operation replaces, deletes or increments, in the order of the document.
    pub(super) fn overwritten(&self, operation: usize) -> &[u32] {
        let start = operation.checked_sub(1).map_or(0, |before| self.operations[before].overwritten_end);
        &self.overwritten[start as usize..self.operations[operation].overwritten_end as usize]
    }

    /// The row of the operation with this name.
    pub(super) fn row_of(&self, name: Name) -> Option<usize> {
        let found =
            self.operations.binary_search_by_key(&name.by_author(), |operation| operation.key).ok()?;
        let found = self.operations[found];
        (!found.is_delete).then_some(found.row as usize)
    }

    fn gather(rows: &Rows<'_>) -> Result<Self, InvalidChunk> {
        let short = |number: usize| u32::try_from(number).expect("rows are bounded");
        let mut named: Vec<_> =
            rows.all.iter().enumerate().map(|(row, it)| (it.name.by_author(), short(row))).collect();
        named.sort_unstable();
        let mut succeeded = Vec::new();
        for row in 0..rows.all.len() {
            succeeded.extend(rows.successors(row).iter().map(|next| (next.by_author(), short(row))));
        }
        succeeded.sort_unstable();
        let mut assembly = Self { operations: Vec::with_capacity(named.len()), ..Self::default() };
        let (mut named, mut succeeded) = (named.into_iter().peekable(), succeeded.into_iter().peekable());
        loop {
            let next = (named.peek().map(|(key, _)| *key), succeeded.peek().map(|(key, _)| *key));
            let key = match next {
                (None, None) => return Ok(assembly),
                (Some(key), None) | (None, Some(key)) => key,
                (Some(one), Some(other)) => one.min(other),
            };
            let own = named.next_if(|(own, _)| *own == key).map(|(_, row)| row);
            let start = assembly.overwritten.len();
            while let Some((_, row)) = succeeded.next_if(|(own, _)| *own == key) {
                assembly.overwritten.push(row);
            }
            let row = own.unwrap_or_else(|| assembly.overwritten[start]);
            let overwritten_end = short(assembly.overwritten.len());
            let is_twin = assembly.operations.last().is_some_and(|last| last.key == key);
            let names_twice = !assembly.overwritten[start..].is_sorted_by(|one, next| one < next);
            if is_twin || names_twice {
                return Err(InvalidChunk::BadOperation { index: row as usize, why: "it is there twice" });
            }
            assembly.operations.push(Assembled { key, row, is_delete: own.is_none(), overwritten_end });
        }
    }

    /// Checks that what each operation says makes sense, as far as can be told without the others.
    fn check_operations(&self, rows: &Rows<'_>) -> Result<(), InvalidChunk> {
        for (index, operation) in self.operations.iter().enumerate() {
            let row = &rows.all[operation.row as usize];
            let overwritten = self.overwritten(index);
            let bad = |why| InvalidChunk::BadOperation { index: operation.row as usize, why };
            let counter = operation.counter();
            let is_older = |other: super::rows::Name| other.counter() < counter;
            if !overwritten.iter().all(|other| is_older(rows.all[*other as usize].name)) {
                return Err(bad("it names an operation that is not older than itself"));
            }
            if operation.is_delete {
                let place = (row.object, row.own_place());
                let elsewhere = |other: &u32| {
                    let other = &rows.all[*other as usize];
                    (other.object, other.own_place()) != place
                };
                if overwritten.iter().any(elsewhere) {
                    return Err(bad("it deletes values of several places"));
                }
                continue;
            }
            let placed = match row.place {
                Place::Map(_) => Where::Map,
                Place::Head => Where::Head,
                Place::Element(element) if is_older(element) => Where::Element,
                Place::Element(_) => return Err(bad("it names an operation that is not older than itself")),
            };
            if !is_older(row.object) {
                return Err(bad("it names an operation that is not older than itself"));
            }
            let said = Said {
                placed,
                insert: row.insert,
                action: row.action.into(),
                value_kind: row.value_kind,
                value: row.value,
                expand: row.expand,
                mark_name: row.mark_name,
                overwrites: !overwritten.is_empty(),
            };
            if judge(&said).map_err(bad)? == Action::Delete {
                return Err(bad("it only deletes, which takes no row"));
            }
        }
        Ok(())
    }

    /// Finds out which change each operation belongs to: that of its author whose numbers it is among.
    fn assign(&mut self, rows: &mut Rows<'_>, history: &mut History<'_>) -> Result<(), InvalidChunk> {
        let short = |number: usize| u32::try_from(number).expect("rows are bounded");
        self.changes = vec![0..0; history.entries.len()];
        let mut next = 0;
        for (author, changes) in history.by_author.iter().enumerate() {
            for change in changes {
                let entry = &mut history.entries[*change as usize];
                let bad = |why| InvalidChunk::BadChange { index: *change as usize, why };
                let start = next;
                while let Some(operation) = self.operations.get(next)
                    && operation.author() == author as u64
                    && operation.counter() <= entry.max_op
                {
                    if !operation.is_delete {
                        rows.all[operation.row as usize].change = *change;
                    }
                    next += 1;
                }
                self.changes[*change as usize] = short(start)..short(next);
                let count = next - start;
                let overwrites: usize =
                    (start..next).map(|operation| self.overwritten(operation).len()).sum();
                if count > CHANGE_OPS_MAX || overwrites > CHANGE_OPS_MAX {
                    return Err(bad("it has too many operations"));
                }
                if count == 0 {
                    continue;
                }
                entry.start_op = self.operations[start].counter();
                let is_dense = self.operations[next - 1].counter() == entry.max_op
                    && (entry.max_op - entry.start_op) as usize == count - 1;
                if !is_dense {
                    return Err(bad("an operation of it is missing"));
                }
            }
            if self.operations.get(next).is_some_and(|operation| operation.author() == author as u64) {
                let row = self.operations[next].row as usize;
                return Err(InvalidChunk::BadOperation { index: row, why: "it belongs to no change" });
            }
        }
        Ok(())
    }
}
