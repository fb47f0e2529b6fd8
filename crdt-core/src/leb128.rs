//! Foreign bytes, read front to back: a cursor that can only fail, and the LEB128 numbers of Automerge's formats.

use crate::id::ChangeHash;

/// What is left to read. Every method either consumes exactly what it returns, or fails.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned number in its shortest spelling. Longer spellings are refused: what is hashed has one spelling.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Malformed::NumberTooLarge);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(Malformed::AnotherSpelling) } else { Ok(value) };
            }
        }
        Err(Malformed::NumberTooLarge)
    }

    /// A signed number in its shortest spelling.
    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        let mut value = 0;
        let mut previous = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                return Err(Malformed::NumberTooLarge);
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let negative = byte & 0x40 != 0;
                let extends_sign =
                    (byte == 0 && previous & 0x40 == 0) || (byte == 0x7f && previous & 0x40 != 0);
                if shift > 0 && extends_sign {
                    return Err(Malformed::AnotherSpelling);
                }
                if negative && shift + 7 < 64 {
                    value |= -1 << (shift + 7);
                }
                return Ok(value);
            }
            previous = byte;
        }
        Err(Malformed::NumberTooLarge)
    }

    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.unsigned()?).map_err(|_| Malformed::NumberTooLarge)
    }

    /// Bytes preceded by their length.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        self.take(length)
    }

    /// Hashes preceded by their number, of which at most `max`.
    pub(crate) fn hashes(&mut self, max: usize) -> Result<Vec<ChangeHash>, Malformed> {
        let count = self.length()?;
        if count > max {
            return Err(Malformed::TooMany { count, max });
        }
        let bytes = self.take(count.checked_mul(32).ok_or(Malformed::NumberTooLarge)?)?;
        let (hashes, _) = bytes.as_chunks::<32>();
        Ok(hashes.iter().copied().map(ChangeHash::from_bytes).collect())
    }
}

pub(crate) fn write_unsigned(into: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return into.push(low);
        }
        into.push(low | 0x80);
    }
}

pub(crate) fn write_signed(into: &mut Vec<u8>, mut value: i64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        let low = low & 0x7f;
        value >>= 7;
        let is_last = (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0);
        if is_last {
            return into.push(low);
        }
        into.push(low | 0x80);
    }
}

pub(crate) fn write_length(into: &mut Vec<u8>, length: usize) {
    write_unsigned(into, length as u64);
}

pub(crate) fn write_prefixed(into: &mut Vec<u8>, bytes: &[u8]) {
    write_length(into, bytes.len());
    into.extend_from_slice(bytes);
}

pub(crate) fn write_hashes(into: &mut Vec<u8>, hashes: &[ChangeHash]) {
    write_length(into, hashes.len());
    for hash in hashes {
        into.extend_from_slice(hash.as_bytes());
    }
}

/// Why bytes don't spell what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    #[error("the bytes end too early")]
    CutShort,
    #[error("a number is too large")]
    NumberTooLarge,
    #[error("a number or a run is not in its one canonical spelling")]
    AnotherSpelling,
    #[error("{count} items where at most {max} are accepted")]
    TooMany { count: usize, max: usize },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unsigned(bytes: &[u8]) -> Result<u64, Malformed> {
        Reader::new(bytes).unsigned()
    }

    fn signed(bytes: &[u8]) -> Result<i64, Malformed> {
        Reader::new(bytes).signed()
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(unsigned(&[0]), Ok(0));
        assert_eq!(unsigned(&[0x81, 0x01]), Ok(129));
        assert_eq!(unsigned(&[0x81, 0x00]), Err(Malformed::AnotherSpelling));
        assert_eq!(unsigned(&[0xff]), Err(Malformed::CutShort));
        assert_eq!(unsigned(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(u64::MAX));
        assert_eq!(unsigned(&[0xff; 10]), Err(Malformed::NumberTooLarge));
        assert_eq!(signed(&[0x7f]), Ok(-1));
        assert_eq!(signed(&[0xff, 0x7f]), Err(Malformed::AnotherSpelling));
        assert_eq!(signed(&[0xc0, 0x00]), Ok(64));
        assert_eq!(signed(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]), Ok(i64::MIN));
        assert_eq!(signed(&[0x80; 11]), Err(Malformed::NumberTooLarge));
    }

    proptest! {
        #[test]
        fn written_numbers_read_back(value: u64) {
            let mut bytes = Vec::new();
            write_unsigned(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.unsigned(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn written_signed_numbers_read_back(value: i64) {
            let mut bytes = Vec::new();
            write_signed(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.signed(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn whatever_reads_is_the_canonical_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.unsigned() {
                let mut again = Vec::new();
                write_unsigned(&mut again, value);
                prop_assert_eq!(&bytes[..bytes.len() - reader.rest().len()], &again);
            }
        }
    }
}
