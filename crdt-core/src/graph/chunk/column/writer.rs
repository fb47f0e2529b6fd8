//! Writing columns in the one spelling that Automerge writes.

use crate::leb128::{write_prefixed, write_signed, write_unsigned};

/// What a column is written from.
pub(in crate::graph::chunk) trait Spell: Copy + PartialEq {
    fn spell(self, into: &mut Vec<u8>);
}

impl Spell for u64 {
    fn spell(self, into: &mut Vec<u8>) {
        write_unsigned(into, self);
    }
}

impl Spell for i64 {
    fn spell(self, into: &mut Vec<u8>) {
        write_signed(into, self);
    }
}

impl Spell for &str {
    fn spell(self, into: &mut Vec<u8>) {
        write_prefixed(into, self.as_bytes());
    }
}

/// A run-length encoded column, written row by row.
pub(in crate::graph::chunk) struct RunsWriter<T> {
    bytes: Vec<u8>,
    /// Rows that differ from their neighbours, not written yet.
    literal: Vec<T>,
    last: Option<T>,
    count: u64,
    any_value: bool,
}

impl<T: Spell> RunsWriter<T> {
    pub(in crate::graph::chunk) fn new() -> Self {
        Self { bytes: Vec::new(), literal: Vec::new(), last: None, count: 0, any_value: false }
    }

    pub(in crate::graph::chunk) fn push(&mut self, row: Option<T>) {
        if self.count > 0 && self.last == row {
            self.count += 1;
            return;
        }
        self.end_run();
        self.any_value |= row.is_some();
        self.last = row;
        self.count = 1;
    }

    /// The column's bytes, none if it holds nothing but nulls. What is written next is another column.
    pub(in crate::graph::chunk) fn finish(&mut self, into: &mut Vec<u8>) -> usize {
        self.end_run();
        self.end_literal();
        let length = if self.any_value { self.bytes.len() } else { 0 };
        into.extend_from_slice(&self.bytes[..length]);
        self.bytes.clear();
        self.count = 0;
        self.last = None;
        self.any_value = false;
        length
    }

    fn end_run(&mut self) {
        match (self.last, self.count) {
            (_, 0) => {}
            (None, count) => {
                self.end_literal();
                write_signed(&mut self.bytes, 0);
                write_unsigned(&mut self.bytes, count);
            }
            (Some(value), 1) => self.literal.push(value),
            (Some(value), count) => {
                self.end_literal();
                write_signed(&mut self.bytes, i64::try_from(count).expect("rows fit memory"));
                value.spell(&mut self.bytes);
            }
        }
    }

    fn end_literal(&mut self) {
        if self.literal.is_empty() {
            return;
        }
        let count = i64::try_from(self.literal.len()).expect("rows fit memory");
        write_signed(&mut self.bytes, -count);
        for value in self.literal.drain(..) {
            value.spell(&mut self.bytes);
        }
    }
}

/// A column of numbers, each written as its difference from the one before.
pub(in crate::graph::chunk) struct DeltasWriter {
    runs: RunsWriter<i64>,
    last: i64,
}

impl DeltasWriter {
    pub(in crate::graph::chunk) fn new() -> Self {
        Self { runs: RunsWriter::new(), last: 0 }
    }

    pub(in crate::graph::chunk) fn push(&mut self, row: Option<u32>) {
        let delta = row.map(|row| {
            let delta = i64::from(row) - self.last;
            self.last = row.into();
            delta
        });
        self.runs.push(delta);
    }

    pub(in crate::graph::chunk) fn finish(&mut self, into: &mut Vec<u8>) -> usize {
        self.last = 0;
        self.runs.finish(into)
    }
}

/// A column of booleans.
pub(in crate::graph::chunk) struct FlagsWriter {
    bytes: Vec<u8>,
    value: bool,
    count: u64,
    any_true: bool,
}

impl FlagsWriter {
    pub(in crate::graph::chunk) fn new() -> Self {
        Self { bytes: Vec::new(), value: false, count: 0, any_true: false }
    }

    pub(in crate::graph::chunk) fn push(&mut self, row: bool) {
        if row != self.value {
            write_unsigned(&mut self.bytes, self.count);
            self.count = 0;
            self.value = row;
        }
        self.any_true |= row;
        self.count += 1;
    }

    /// The column's bytes; none if it has no rows, or if it `may_be_absent` and no row is true.
    pub(in crate::graph::chunk) fn finish(&mut self, may_be_absent: bool, into: &mut Vec<u8>) -> usize {
        if self.count > 0 {
            write_unsigned(&mut self.bytes, self.count);
        }
        let length = if self.any_true || !may_be_absent { self.bytes.len() } else { 0 };
        into.extend_from_slice(&self.bytes[..length]);
        self.bytes.clear();
        self.value = false;
        self.count = 0;
        self.any_true = false;
        length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Deltas, Flags, Runs};
    use super::*;

    fn rows() -> impl Strategy<Value = Vec<Option<u32>>> {
        proptest::collection::vec(proptest::option::weighted(0.8, 0..3_u32), 0..40)
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_one_spelling_that_is_read(rows in rows()) {
            let mut bytes = Vec::new();
            let mut writer = RunsWriter::new();
            for row in &rows {
                writer.push(row.map(u64::from));
            }
            writer.finish(&mut bytes);
            let mut reader = Runs::<u64>::new(&bytes);
            for row in &rows {
                prop_assert_eq!(reader.row().unwrap(), row.map(u64::from));
            }
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn differences_read_back(rows in rows()) {
            let mut bytes = Vec::new();
            let mut writer = DeltasWriter::new();
            for row in &rows {
                writer.push(*row);
            }
            writer.finish(&mut bytes);
            let mut reader = Deltas::new(&bytes);
            for row in &rows {
                prop_assert_eq!(reader.row().unwrap(), row.map(u64::from));
            }
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn flags_read_back(rows in proptest::collection::vec(any::<bool>(), 0..40), may_be_absent: bool) {
            let mut bytes = Vec::new();
            let mut writer = FlagsWriter::new();
            for row in &rows {
                writer.push(*row);
            }
            writer.finish(may_be_absent, &mut bytes);
            let mut reader = Flags::new(&bytes);
            for row in &rows {
                prop_assert_eq!(reader.row().unwrap(), *row);
            }
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
