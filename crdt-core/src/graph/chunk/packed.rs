//! A packed document, as far as can be told without loading it.

use super::change::read_actor;
use super::column::{count_flags, count_rows};
use super::{InvalidChunk, inflate};
use crate::id::ChangeHash;
use crate::leb128::Reader;
use crate::limits::{DOCUMENT_COLUMNS_MAX, DOCUMENT_INFLATED_BYTES_MAX, DOCUMENT_ROWS_MAX, HEADS_MAX};

/// What a packed document says of itself, once its checksum is verified and nothing in it inflates or unrolls past its
/// bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedSummary {
    pub heads: Box<[ChangeHash]>,
    /// Bytes of all columns, inflated.
    pub inflated_bytes: usize,
}

impl PackedSummary {
    pub(super) fn read(body: &[u8]) -> Result<Self, InvalidChunk> {
        let mut reader = Reader::new(body);
        for _ in 0..reader.length()? {
            read_actor(&mut reader)?;
        }
        let heads = reader.hashes(HEADS_MAX)?.into();
        let changes = read_table(&mut reader)?;
        let operations = read_table(&mut reader)?;
        let mut inflated_bytes = 0;
        for (column, length) in changes.into_iter().chain(operations) {
            inflated_bytes += check_column(column, reader.take(length)?, inflated_bytes)?;
        }
        Ok(Self { heads, inflated_bytes })
    }
}

fn read_table(reader: &mut Reader<'_>) -> Result<Vec<(u64, usize)>, InvalidChunk> {
    let count = reader.length()?;
    if count > DOCUMENT_COLUMNS_MAX {
        return Err(InvalidChunk::BadColumns { why: "there are more than Automerge has" });
    }
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        columns.push((reader.unsigned()?, reader.length()?));
    }
    Ok(columns)
}

/// Checks one column against its bounds and says how many bytes it inflates to.
fn check_column(column: u64, bytes: &[u8], inflated_before: usize) -> Result<usize, InvalidChunk> {
    const DEFLATED: u64 = 8;
    let inflated;
    let bytes = if column & DEFLATED == 0 {
        bytes
    } else {
        inflated = inflate(bytes, DOCUMENT_INFLATED_BYTES_MAX.saturating_sub(inflated_before))?;
        &inflated
    };
    let rows = match column & 7 {
        0 | 1 | 2 | 6 => count_rows::<u64>(bytes, DOCUMENT_ROWS_MAX)?,
        3 => count_rows::<i64>(bytes, DOCUMENT_ROWS_MAX)?,
        4 => count_flags(bytes, DOCUMENT_ROWS_MAX)?,
        5 => count_rows::<&str>(bytes, DOCUMENT_ROWS_MAX)?,
        _ => 0,
    };
    if rows > DOCUMENT_ROWS_MAX {
        return Err(InvalidChunk::BadColumns { why: "one claims more rows than a document may have" });
    }
    Ok(bytes.len())
}
