//! Columns: how chunks lay out the fields of many rows.
//!
//! A column is a sequence of runs. Every sequence of values has exactly one spelling that Automerge writes, and only
//! that one is read here.

mod writer;

pub(super) use self::writer::{DeltasWriter, FlagsWriter, RunsWriter};

use crate::leb128::{Malformed, Reader};

/// What a column may hold.
pub(super) trait Cell<'a>: Copy + PartialEq {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
}

impl Cell<'_> for u64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.unsigned()
    }
}

impl Cell<'_> for i64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.signed()
    }
}

impl<'a> Cell<'a> for &'a str {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        std::str::from_utf8(reader.prefixed()?).map_err(|_| Malformed::AnotherSpelling)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Run {
    Nulls,
    Same,
    Literal,
}

/// A run-length encoded column, read row by row. An absent column is all nulls.
pub(super) struct Runs<'a, T> {
    reader: Reader<'a>,
    absent: bool,
    run: Option<Run>,
    left: u64,
    last: Option<T>,
    any_value: bool,
}

impl<'a, T: Cell<'a>> Runs<'a, T> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let reader = Reader::new(bytes);
        Self { absent: bytes.is_empty(), reader, run: None, left: 0, last: None, any_value: false }
    }

    /// Whether every row has been read.
    pub(super) fn at_end(&self) -> bool {
        self.left == 0 && self.reader.is_empty()
    }

    /// The next row.
    pub(super) fn row(&mut self) -> Result<Option<T>, Malformed> {
        if self.absent {
            return Ok(None);
        }
        if self.left == 0 {
            self.begin_run()?;
        }
        self.left -= 1;
        if self.run == Some(Run::Literal) {
            let value = T::read(&mut self.reader)?;
            if self.last == Some(value) {
                return Err(Malformed::AnotherSpelling);
            }
            self.last = Some(value);
        }
        Ok(self.last)
    }

    fn begin_run(&mut self) -> Result<(), Malformed> {
        let header = self.reader.signed()?;
        let (run, left) = match header {
            0 => (Run::Nulls, self.reader.unsigned()?),
            1.. => (Run::Same, header.unsigned_abs()),
            _ => (Run::Literal, header.unsigned_abs()),
        };
        let repeats = matches!(run, Run::Nulls | Run::Literal) && self.run == Some(run);
        if repeats || left == 0 || (run == Run::Same && left == 1) {
            return Err(Malformed::AnotherSpelling);
        }
        match run {
            Run::Nulls => self.last = None,
            Run::Same => {
                let value = T::read(&mut self.reader)?;
                if self.last == Some(value) {
                    return Err(Malformed::AnotherSpelling);
                }
                self.last = Some(value);
            }
            Run::Literal => {}
        }
        self.any_value |= run != Run::Nulls;
        self.run = Some(run);
        self.left = left;
        Ok(())
    }

    /// Checks that no row is left over. A column of nulls alone is written as no column.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.at_end() && (self.absent || self.any_value) {
            Ok(())
        } else {
            Err(Malformed::AnotherSpelling)
        }
    }
}

/// A column of numbers, each written as its difference from the one before.
pub(super) struct Deltas<'a> {
    runs: Runs<'a, i64>,
    value: i64,
}

impl<'a> Deltas<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { runs: Runs::new(bytes), value: 0 }
    }

    pub(super) fn row(&mut self) -> Result<Option<u64>, Malformed> {
        let Some(value) = self.signed_row()? else { return Ok(None) };
        u64::try_from(value).map(Some).map_err(|_| Malformed::NumberTooLarge)
    }

    pub(super) fn signed_row(&mut self) -> Result<Option<i64>, Malformed> {
        let Some(delta) = self.runs.row()? else { return Ok(None) };
        self.value = self.value.checked_add(delta).ok_or(Malformed::NumberTooLarge)?;
        Ok(Some(self.value))
    }

    pub(super) fn finish(&self) -> Result<(), Malformed> {
        self.runs.finish()
    }
}

/// A column of booleans: alternating counts, of false first. An absent column is all false.
pub(super) struct Flags<'a> {
    reader: Reader<'a>,
    absent: bool,
    started: bool,
    value: bool,
    /// Rows read so far that are true.
    trues: u64,
    left: u64,
}

impl<'a> Flags<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let reader = Reader::new(bytes);
        Self { absent: bytes.is_empty(), reader, started: false, value: true, trues: 0, left: 0 }
    }

    pub(super) fn row(&mut self) -> Result<bool, Malformed> {
        if self.absent {
            return Ok(false);
        }
        while self.left == 0 {
            self.left = self.reader.unsigned()?;
            if self.left == 0 && self.started {
                return Err(Malformed::AnotherSpelling);
            }
            self.started = true;
            self.value = !self.value;
        }
        self.left -= 1;
        self.trues += u64::from(self.value);
        Ok(self.value)
    }

    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.left == 0 && self.reader.is_empty() { Ok(()) } else { Err(Malformed::AnotherSpelling) }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent
    }

    /// Whether any row that was read is true.
    pub(super) fn any_true(&self) -> bool {
        self.trues > 0
    }
}

/// How many rows a run-length encoded column claims, whatever its cells are. Stops counting past `max`.
pub(super) fn count_rows<'a, T: Cell<'a>>(bytes: &'a [u8], max: u64) -> Result<u64, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut rows = 0_u64;
    while !reader.is_empty() && rows <= max {
        let header = reader.signed()?;
        match header {
            0 => rows = rows.saturating_add(reader.unsigned()?),
            1.. => {
                T::read(&mut reader)?;
                rows = rows.saturating_add(header.unsigned_abs());
            }
            _ => {
                rows = rows.saturating_add(header.unsigned_abs());
                for _ in 0..header.unsigned_abs() {
                    T::read(&mut reader)?;
                }
            }
        }
    }
    Ok(rows)
}

/// How many rows a column of booleans claims.
pub(super) fn count_flags(bytes: &[u8], max: u64) -> Result<u64, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut rows = 0_u64;
    while !reader.is_empty() && rows <= max {
        rows = rows.saturating_add(reader.unsigned()?);
    }
    Ok(rows)
}
