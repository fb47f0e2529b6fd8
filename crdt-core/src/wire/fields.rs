//! The fields of one map, found by name, whatever their order.

use super::DecodeError;
use super::cbor::Reader;
use super::name::{DeviceRef, PeerRef, SessionRef, StorageRef};
use crate::id::{ChangeHash, DocumentId, InvalidId};
use crate::limits::FRAME_FIELDS_MAX;

/// Names and raw values of a map's fields, borrowed from the frame. Absent ones (`undefined`, `null`) are left out.
pub(super) struct Fields<'a> {
    entries: [(&'a str, &'a [u8]); FRAME_FIELDS_MAX],
    count: usize,
}

impl<'a> Fields<'a> {
    /// Reads a whole map. Two fields of one name are refused: two readers could take different ones.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut fields = Self { entries: [("", &[]); FRAME_FIELDS_MAX], count: 0 };
        let mut items = reader.map()?;
        while reader.next(&mut items) {
            let name = reader.text()?;
            let absent = reader.at_absent();
            let value = reader.raw()?;
            if fields.raw(name).is_some() {
                return Err(DecodeError::Repeated { field: shortened(name) });
            }
            if absent {
                continue;
            }
            let entry = fields.entries.get_mut(fields.count);
            *entry.ok_or(DecodeError::TooMany { what: "fields", max: FRAME_FIELDS_MAX })? = (name, value);
            fields.count += 1;
        }
        Ok(fields)
    }

    fn raw(&self, name: &str) -> Option<&'a [u8]> {
        self.entries[..self.count].iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }

    /// Reads a field that may be absent.
    pub(super) fn optional<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        let value = read(&mut Reader::new(raw));
        value.map(Some).map_err(|error| match error {
            DecodeError::Cbor(error) => DecodeError::Field { field, error },
            other => other,
        })
    }

    /// Reads a field that must be there.
    pub(super) fn required<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        self.optional(field, read)?.ok_or(DecodeError::Missing { field })
    }

    pub(super) fn text(&self, field: &'static str, bytes_max: usize) -> Result<&'a str, DecodeError> {
        self.required(field, |reader| bounded_text(reader, field, bytes_max))
    }

    pub(super) fn bytes(&self, field: &'static str, bytes_max: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.required(field, |reader| Ok(reader.bytes()?))?;
        check_length(field, bytes.len(), bytes_max)?;
        Ok(bytes)
    }

    pub(super) fn integer(&self, field: &'static str) -> Result<u64, DecodeError> {
        self.required(field, |reader| Ok(reader.integer()?))
    }

    pub(super) fn document(&self) -> Result<DocumentId, DecodeError> {
        self.required("documentId", document)
    }
}

pub(super) fn bounded_text<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
    bytes_max: usize,
) -> Result<&'a str, DecodeError> {
    let text = reader.text()?;
    check_length(field, text.len(), bytes_max)?;
    Ok(text)
}

fn check_length(field: &'static str, bytes: usize, bytes_max: usize) -> Result<(), DecodeError> {
    if bytes > bytes_max { Err(DecodeError::TooLong { field, bytes, bytes_max }) } else { Ok(()) }
}

pub(super) fn peer<'a>(reader: &mut Reader<'a>) -> Result<PeerRef<'a>, DecodeError> {
    Ok(PeerRef::new(reader.text()?)?)
}

pub(super) fn session<'a>(reader: &mut Reader<'a>) -> Result<SessionRef<'a>, DecodeError> {
    Ok(SessionRef::new(reader.text()?)?)
}

pub(super) fn storage<'a>(reader: &mut Reader<'a>) -> Result<StorageRef<'a>, DecodeError> {
    Ok(StorageRef::new(reader.text()?)?)
}

pub(super) fn device<'a>(reader: &mut Reader<'a>) -> Result<DeviceRef<'a>, DecodeError> {
    Ok(DeviceRef::new(reader.text()?)?)
}

/// A document id: base58 text with a checksum, or its 16 bytes.
pub(super) fn document(reader: &mut Reader<'_>) -> Result<DocumentId, DecodeError> {
    if reader.at_text() {
        return Ok(reader.text()?.parse()?);
    }
    let bytes = reader.bytes()?;
    let bytes = bytes.try_into().map_err(|_| InvalidId::new("document id", "of bytes", "is not 16 bytes"))?;
    Ok(DocumentId::from_bytes(bytes))
}

/// A head in an extension frame: its 32 bytes.
pub(super) fn head(reader: &mut Reader<'_>) -> Result<ChangeHash, DecodeError> {
    let bytes = reader.bytes()?;
    let bytes = bytes.try_into().map_err(|_| InvalidId::new("change hash", "of bytes", "is not 32 bytes"))?;
    Ok(ChangeHash::from_bytes(bytes))
}

/// A list of at most `max` items. What it claims to hold is reserved only as far as the bytes could hold it.
pub(super) fn list<'a, T>(
    reader: &mut Reader<'a>,
    what: &'static str,
    max: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut items = reader.array()?;
    let mut list = Vec::new();
    while reader.next(&mut items) {
        if list.len() == max {
            return Err(DecodeError::TooMany { what, max });
        }
        list.push(read(reader)?);
    }
    Ok(list)
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
