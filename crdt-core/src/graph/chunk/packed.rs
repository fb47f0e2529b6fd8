//! A packed document, read without Automerge.
//!
//! A packed document holds every change of a history, taken apart: a table of changes, and a table of operations in the
//! order of the places that they write to. [`Packed`] reads its outer form within bounds; [`Packed::unpack`] puts every
//! change together again, in the bytes that its author gave it, and checks that they hash to the document's heads. So
//! what an [`Unpacked`] document says of itself is as trustworthy as its changes one by one, and nothing else about the
//! chunk has to be believed.

mod ancestry;
mod assembly;
mod fit;
mod history;
mod rows;
mod spelling;

use std::borrow::Cow;

pub use self::fit::Misfit;

use self::assembly::Assembly;
use self::history::History;
use self::rows::Rows;
use self::spelling::Speller;
use super::change::{ParsedChange, read_actor};
use super::column::{count_flags, count_rows};
use super::{InvalidChunk, inflate};
use crate::id::{ActorId, ChangeHash};
use crate::leb128::Reader;
use crate::limits::{
    DOCUMENT_INFLATED_BYTES_MAX, DOCUMENT_ROWS_FREE, DOCUMENT_ROWS_MAX, DOCUMENT_ROWS_PER_BYTE_MAX,
    DOCUMENT_UNPACKED_BYTES_MAX, DOCUMENT_UNPACKED_FREE, DOCUMENT_UNPACKED_PER_BYTE_MAX, HEADS_MAX,
};

/// Columns of changes and of operations that Automerge writes, by their numbers.
const CHANGE_COLUMNS: [u64; 9] = [0x01, 0x03, 0x13, 0x23, 0x35, 0x40, 0x43, 0x56, 0x57];
const OPERATION_COLUMNS: [u64; 16] =
    [0x01, 0x02, 0x11, 0x13, 0x15, 0x21, 0x23, 0x34, 0x42, 0x56, 0x57, 0x80, 0x81, 0x83, 0x94, 0xa5];

/// Set in a column's number when its bytes are deflated.
const DEFLATED: u64 = 8;

/// What a row is counted as, when bytes of unpacked changes are bounded. Most take more.
const UNPACKED_ROW_BYTES: usize = 16;

const _: () = assert!(DOCUMENT_UNPACKED_FREE as u64 / UNPACKED_ROW_BYTES as u64 >= DOCUMENT_ROWS_MAX);

/// A packed document whose checksum holds, and in which nothing inflates or unrolls past its bound.
#[derive(Clone, Debug)]
pub struct Packed<'a> {
    /// The changes that nothing in the document depends on, as it says: sorted.
    pub heads: Box<[ChangeHash]>,
    /// Bytes of all columns, inflated.
    pub inflated_bytes: usize,
    actors: Vec<&'a [u8]>,
    changes: Table<'a>,
    operations: Table<'a>,
    /// Length of the packed document.
    bytes: usize,
    /// Where in the table of changes the heads are. Older writers leave it out.
    head_rows: Option<Vec<u64>>,
}

impl<'a> Packed<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, InvalidChunk> {
        let mut reader = Reader::new(body);
        let mut actors = Vec::new();
        for _ in 0..reader.length()? {
            actors.push(read_actor(&mut reader)?);
        }
        let heads = reader.hashes(HEADS_MAX)?;
        let is_ordered = actors.is_sorted_by(|one, next| one < next);
        if !is_ordered || !heads.is_sorted_by(|one, next| one < next) {
            return Err(InvalidChunk::BadHeader { why: "its actors or heads are out of order" });
        }
        let mut inflated_bytes = 0;
        let changes = Lengths::read(&mut reader, &CHANGE_COLUMNS)?;
        let operations = Lengths::read(&mut reader, &OPERATION_COLUMNS)?;
        let rows_max =
            (DOCUMENT_ROWS_FREE + DOCUMENT_ROWS_PER_BYTE_MAX * body.len() as u64).min(DOCUMENT_ROWS_MAX);
        let changes = changes.take(&mut reader, rows_max, &mut inflated_bytes)?;
        let operations = operations.take(&mut reader, rows_max, &mut inflated_bytes)?;
        let head_rows = if reader.is_empty() {
            None
        } else {
            Some(heads.iter().map(|_| reader.unsigned()).collect::<Result<_, _>>()?)
        };
        if !reader.is_empty() {
            return Err(InvalidChunk::TrailingBytes { count: reader.rest().len() });
        }
        Ok(Self {
            heads: heads.into(),
            inflated_bytes,
            actors,
            changes,
            operations,
            bytes: body.len(),
            head_rows,
        })
    }

    /// Puts every change together again.
    ///
    /// ```
    /// use crdt_core::document::Document;
    /// use crdt_core::graph::chunk::split;
    /// use crdt_core::id::ActorId;
    ///
    /// let mut phone = Document::new(ActorId::from_bytes([1; 16]));
    /// for text in ["ring twice", "leave at the door"] {
    ///     let mut edit = phone.edit();
    ///     edit.put("n/cart", text);
    ///     edit.commit();
    /// }
    /// let saved = phone.save();
    /// let chunk = split(&saved).next().unwrap()?;
    /// let packed = chunk.packed()?;
    /// let unpacked = packed.unpack()?;
    /// for (unpacked, change) in unpacked.changes().zip(phone.changes_since(&[])) {
    ///     assert_eq!(&*unpacked.bytes, change.bytes());
    /// }
    /// # Ok::<(), crdt_core::graph::chunk::InvalidChunk>(())
    /// ```
    pub fn unpack(&self) -> Result<Unpacked<'_>, InvalidChunk> {
        let per_byte = DOCUMENT_UNPACKED_PER_BYTE_MAX.saturating_mul(self.bytes);
        let max = DOCUMENT_UNPACKED_FREE.saturating_add(per_byte).min(DOCUMENT_UNPACKED_BYTES_MAX);
        self.unpack_within(max)
    }

    /// As [`Packed::unpack`], but only if all changes together are no longer than `bytes_max`, and have not many more rows
    /// than fit: bounds the time and the memory that it takes.
    pub fn unpack_within(&self, bytes_max: usize) -> Result<Unpacked<'_>, InvalidChunk> {
        if self.changes.rows.max(self.operations.rows) > (bytes_max / UNPACKED_ROW_BYTES) as u64 {
            return Err(InvalidChunk::UnpacksTooFar { max: bytes_max });
        }
        let mut history = History::read(&self.changes, self.actors.len())?;
        let mut rows = Rows::read(&self.operations, self.actors.len())?;
        let assembly = Assembly::of(&mut rows, &mut history)?;
        let mut unpacked =
            Unpacked { actors: &self.actors, history, rows, assembly, hashes: Vec::new(), bytes: 0 };
        let mut speller = Speller::default();
        for index in 0..unpacked.len() {
            let hash = speller.spell(&unpacked, index)?;
            unpacked.hashes.push(hash);
            unpacked.bytes += speller.body().len();
            if unpacked.bytes > bytes_max {
                return Err(InvalidChunk::UnpacksTooFar { max: bytes_max });
            }
        }
        self.check_heads(&unpacked)?;
        Ok(unpacked)
    }

    fn check_heads(&self, unpacked: &Unpacked<'_>) -> Result<(), InvalidChunk> {
        let mut heads: Vec<_> =
            unpacked.history.heads().map(|index| (unpacked.hashes[index], index)).collect();
        heads.sort_unstable();
        let are_told = heads.iter().map(|(hash, _)| hash).eq(&self.heads);
        let are_found = self
            .head_rows
            .as_ref()
            .is_none_or(|rows| heads.iter().map(|(_, index)| *index as u64).eq(rows.iter().copied()));
        if are_told && are_found {
            return Ok(());
        }
        Err(InvalidChunk::WrongHeads { found: heads.into_iter().map(|(hash, _)| hash).collect() })
    }
}

/// The changes of a packed document: each in its author's bytes, together hashing to the document's heads.
#[derive(Debug)]
pub struct Unpacked<'p> {
    actors: &'p [&'p [u8]],
    history: History<'p>,
    rows: Rows<'p>,
    assembly: Assembly,
    hashes: Vec<ChangeHash>,
    bytes: usize,
}

impl Unpacked<'_> {
    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.history.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes' hashes, in causal order.
    pub fn hashes(&self) -> &[ChangeHash] {
        &self.hashes
    }

    /// The changes, in causal order. Each is spelled when it is asked for.
    pub fn changes(&self) -> impl Iterator<Item = ParsedChange> + '_ {
        let mut speller = Speller::default();
        (0..self.len()).map(move |index| {
            speller.spell(self, index).expect("spelled before");
            self.parsed(index, speller.body())
        })
    }

    /// The change at `index`.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn change(&self, index: usize) -> ParsedChange {
        let mut speller = Speller::default();
        speller.spell(self, index).expect("spelled before");
        self.parsed(index, speller.body())
    }

    /// Bytes of the changes, all together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether rich text is marked in the document. Such changes are taken as part of a whole document only.
    pub fn has_marks(&self) -> bool {
        self.rows.has_marks
    }

    fn parsed(&self, index: usize, body: &[u8]) -> ParsedChange {
        let entry = &self.history.entries[index];
        let hash = self.hashes[index];
        let actor =
            ActorId::from_slice(self.actors[entry.author as usize]).expect("checked when it was read");
        ParsedChange {
            hash,
            deps: self.history.deps_of(index).iter().map(|dep| self.hashes[*dep as usize]).collect(),
            actor,
            seq: entry.seq.into(),
            start_op: entry.start_op.into(),
            op_count: entry.max_op + 1 - entry.start_op,
            inflated_bytes: u32::try_from(body.len()).expect("bounded when it was spelled"),
            bytes: spelling::chunk(&hash, body),
        }
    }
}

/// The columns of one table.
#[derive(Clone, Debug, Default)]
struct Table<'a> {
    columns: Vec<(u64, Cow<'a, [u8]>)>,
    /// Most rows that a column claims.
    rows: u64,
}

impl Table<'_> {
    /// The column of this number: no bytes, if it is not there.
    fn column(&self, number: u64) -> &[u8] {
        let found = self.columns.binary_search_by_key(&number, |(number, _)| *number);
        found.map_or(&[], |index| &self.columns[index].1)
    }
}

/// What a table says of the lengths of its columns.
struct Lengths(Vec<(u64, usize)>);

impl Lengths {
    fn read(reader: &mut Reader<'_>, known: &[u64]) -> Result<Self, InvalidChunk> {
        let count = reader.length()?;
        if count > known.len() {
            return Err(InvalidChunk::BadColumns { why: "there are more than Automerge has" });
        }
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            columns.push((reader.unsigned()?, reader.length()?));
        }
        let plain = |(number, _): &(u64, usize)| number & !DEFLATED;
        if !columns.is_sorted_by(|one, next| plain(one) < plain(next)) {
            return Err(InvalidChunk::BadColumns { why: "they are out of order" });
        }
        if columns.iter().any(|column| !known.contains(&plain(column))) {
            return Err(InvalidChunk::BadColumns { why: "one is unknown" });
        }
        if columns.iter().any(|(_, length)| *length == 0) {
            return Err(InvalidChunk::BadColumns { why: "one is empty" });
        }
        Ok(Self(columns))
    }

    fn take<'a>(
        self,
        reader: &mut Reader<'a>,
        rows_max: u64,
        inflated_bytes: &mut usize,
    ) -> Result<Table<'a>, InvalidChunk> {
        let mut columns = Vec::with_capacity(self.0.len());
        let mut rows = 0;
        for (number, length) in self.0 {
            let bytes = reader.take(length)?;
            let bytes = if number & DEFLATED == 0 {
                Cow::Borrowed(bytes)
            } else {
                Cow::Owned(inflate(bytes, DOCUMENT_INFLATED_BYTES_MAX.saturating_sub(*inflated_bytes))?)
            };
            *inflated_bytes += bytes.len();
            let claimed = rows_claimed(number, &bytes, rows_max)?;
            if claimed > rows_max {
                return Err(InvalidChunk::BadColumns {
                    why: "one claims more rows than a document may have",
                });
            }
            rows = rows.max(claimed);
            columns.push((number & !DEFLATED, bytes));
        }
        Ok(Table { columns, rows })
    }
}

/// How many rows the column of this number claims. Stops counting past `max`.
fn rows_claimed(number: u64, bytes: &[u8], max: u64) -> Result<u64, InvalidChunk> {
    let rows = match number & 7 {
        0 | 1 | 2 | 6 => count_rows::<u64>(bytes, max)?,
        3 => count_rows::<i64>(bytes, max)?,
        4 => count_flags(bytes, max)?,
        5 => count_rows::<&str>(bytes, max)?,
        _ => 0,
    };
    Ok(rows)
}
