//! As much CBOR as frames need: a reader that borrows and never trusts a length, and a writer.
//!
//! The reader accepts what the writers of this protocol emit: wide length headers, indefinite maps and arrays,
//! `undefined`, tags, integers written as float64. A claimed length costs nothing until the bytes behind it are seen.

use crate::limits::CBOR_DEPTH_MAX;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const UNDEFINED: u8 = 0xf7;
const FLOAT64: u8 = 0xfb;
const BREAK: u8 = 0xff;

/// Integers from here on are written as float64, as JavaScript writers do: some readers would make them a `BigInt`.
const FLOAT_FROM: u64 = 1 << 32;
/// The largest integer that a float64 holds exactly together with all smaller ones.
const INTEGER_MAX: u64 = (1 << 53) - 1;
const MANTISSA_BITS: u64 = 52;
const EXPONENT_BIAS: u64 = 1023;

/// Why bytes are not the CBOR that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    #[error("the bytes end inside a value")]
    Truncated,
    #[error("{bytes} bytes follow the value")]
    Trailing { bytes: usize },
    #[error("expected {expected}")]
    Unexpected { expected: &'static str },
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("values are nested deeper than {CBOR_DEPTH_MAX}")]
    TooDeep,
    #[error("a byte means nothing here: {byte:#04x}")]
    Reserved { byte: u8 },
}

/// Reads values one after another from bytes that may come from anyone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// What the first bytes of a value say.
struct Head {
    major: u8,
    /// The argument; `None` for an indefinite length.
    argument: Option<u64>,
    initial: u8,
}

/// How many items of a map or an array are still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items {
    left: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Insists that everything has been read.
    pub(super) fn finish(self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing { bytes: self.rest.len() }) }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, CborError> {
        let bytes = self.string(TEXT, "a text")?;
        std::str::from_utf8(bytes).map_err(|_| CborError::NotUtf8)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        self.string(BYTES, "bytes")
    }

    /// Whether the next value is a text.
    pub(super) fn at_text(&self) -> bool {
        self.rest.first().is_some_and(|byte| byte >> 5 == TEXT)
    }

    /// Whether the next value is `null` or `undefined`, which both mean that the field is absent.
    pub(super) fn at_absent(&self) -> bool {
        matches!(self.rest.first(), Some(&(NULL | UNDEFINED)))
    }

    /// A whole number from 0 to 2^53 - 1, however its writer spelled it.
    pub(super) fn integer(&mut self) -> Result<u64, CborError> {
        let expected = CborError::Unexpected { expected: "a whole number from 0 to 2^53 - 1" };
        let head = self.head()?;
        let value = match (head.major, head.argument) {
            (UNSIGNED, Some(value)) => Some(value),
            (SIMPLE, Some(bits)) if head.initial == FLOAT64 => whole_from_float64(bits),
            _ => None,
        };
        value.filter(|value| *value <= INTEGER_MAX).ok_or(expected)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, CborError> {
        match self.head()?.initial {
            TRUE => Ok(true),
            FALSE => Ok(false),
            _ => Err(CborError::Unexpected { expected: "true or false" }),
        }
    }

    pub(super) fn map(&mut self) -> Result<Items, CborError> {
        self.items(MAP, "a map")
    }

    pub(super) fn array(&mut self) -> Result<Items, CborError> {
        self.items(ARRAY, "an array")
    }

    /// Whether another item (of a map: another key) follows; call once before reading each.
    pub(super) fn next(&mut self, items: &mut Items) -> bool {
        match &mut items.left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None if self.rest.first() == Some(&BREAK) => {
                self.rest = &self.rest[1..];
                items.left = Some(0);
                false
            }
            None => true,
        }
    }

    /// The bytes of the next value, whatever it is.
    pub(super) fn raw(&mut self) -> Result<&'a [u8], CborError> {
        let before = self.rest;
        self.skip(CBOR_DEPTH_MAX)?;
        Ok(&before[..before.len() - self.rest.len()])
    }

    fn skip(&mut self, depth: usize) -> Result<(), CborError> {
        let depth = depth.checked_sub(1).ok_or(CborError::TooDeep)?;
        let head = self.head()?;
        match (head.major, head.argument) {
            (BYTES | TEXT, Some(length)) => {
                self.take(length)?;
            }
            (BYTES | TEXT, None) => self.skip_pieces(head.major)?,
            (ARRAY | MAP, left) => {
                let mut items = Items { left };
                while self.next(&mut items) {
                    self.skip(depth)?;
                    if head.major == MAP {
                        self.skip(depth)?;
                    }
                }
            }
            (TAG, _) => self.skip(depth)?,
            (SIMPLE, None) => return Err(CborError::Reserved { byte: head.initial }),
            _ => {}
        }
        Ok(())
    }

    /// The pieces of a string of indefinite length, each of which must be of the same kind and of known length.
    fn skip_pieces(&mut self, major: u8) -> Result<(), CborError> {
        loop {
            let head = self.head()?;
            match (head.major, head.argument) {
                _ if head.initial == BREAK => return Ok(()),
                (piece, Some(length)) if piece == major => {
                    self.take(length)?;
                }
                _ => return Err(CborError::Reserved { byte: head.initial }),
            }
        }
    }

    fn string(&mut self, major: u8, expected: &'static str) -> Result<&'a [u8], CborError> {
        match self.untagged()? {
            Head { major: found, argument: Some(length), .. } if found == major => self.take(length),
            _ => Err(CborError::Unexpected { expected }),
        }
    }

    fn items(&mut self, major: u8, expected: &'static str) -> Result<Items, CborError> {
        match self.untagged()? {
            Head { major: found, argument, .. } if found == major => Ok(Items { left: argument }),
            _ => Err(CborError::Unexpected { expected }),
        }
    }

    /// The next head that is no tag: a byte array may come tagged as a typed array, which changes nothing here.
    fn untagged(&mut self) -> Result<Head, CborError> {
        for _ in 0..CBOR_DEPTH_MAX {
            let head = self.head()?;
            if head.major != TAG {
                return Ok(head);
            }
        }
        Err(CborError::TooDeep)
    }

    fn head(&mut self) -> Result<Head, CborError> {
        let (&initial, rest) = self.rest.split_first().ok_or(CborError::Truncated)?;
        self.rest = rest;
        let major = initial >> 5;
        let argument = match initial & 0x1f {
            small @ 0..=0x17 => Some(u64::from(small)),
            0x18 => Some(u64::from(self.fixed::<1>()?[0])),
            0x19 => Some(u64::from(u16::from_be_bytes(self.fixed()?))),
            0x1a => Some(u64::from(u32::from_be_bytes(self.fixed()?))),
            0x1b => Some(u64::from_be_bytes(self.fixed()?)),
            0x1f if !matches!(major, UNSIGNED | NEGATIVE | TAG) => None,
            _ => return Err(CborError::Reserved { byte: initial }),
        };
        Ok(Head { major, argument, initial })
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// Appends values to a buffer.
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn map(&mut self, fields: usize) {
        self.head(MAP, fields as u64);
    }

    pub(super) fn array(&mut self, items: usize) {
        self.head(ARRAY, items as u64);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.out.push(if value { TRUE } else { FALSE });
    }

    /// A whole number; past 2^53 - 1 the largest that every reader holds exactly.
    pub(super) fn integer(&mut self, value: u64) {
        let value = value.min(INTEGER_MAX);
        if value < FLOAT_FROM {
            self.head(UNSIGNED, value);
        } else {
            self.out.push(FLOAT64);
            self.out.extend_from_slice(&float64_from_whole(value).to_be_bytes());
        }
    }

    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        if let Ok(small) = u8::try_from(argument) {
            if small < 0x18 {
                self.out.push(major | small);
            } else {
                self.out.extend_from_slice(&[major | 0x18, small]);
            }
        } else if let Ok(medium) = u16::try_from(argument) {
            self.out.push(major | 0x19);
            self.out.extend_from_slice(&medium.to_be_bytes());
        } else if let Ok(large) = u32::try_from(argument) {
            self.out.push(major | 0x1a);
            self.out.extend_from_slice(&large.to_be_bytes());
        } else {
            self.out.push(major | 0x1b);
            self.out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

/// The bits of the float64 that equals `value`, which is from 2^32 to 2^53 - 1.
fn float64_from_whole(value: u64) -> u64 {
    let exponent = u64::from(value.ilog2());
    let mantissa = value << (MANTISSA_BITS - exponent);
    let without_leading_one = mantissa & ((1 << MANTISSA_BITS) - 1);
    ((exponent + EXPONENT_BIAS) << MANTISSA_BITS) | without_leading_one
}

/// The whole number from 0 to 2^53 - 1 that a float64 with these bits equals, if it does.
fn whole_from_float64(bits: u64) -> Option<u64> {
    if bits == 0 {
        return Some(0);
    }
    // The sign is the topmost bit, so a negative number has too large an exponent.
    let exponent = (bits >> MANTISSA_BITS).checked_sub(EXPONENT_BIAS)?;
    let fraction_bits = MANTISSA_BITS.checked_sub(exponent)?;
    let leading_one = 1 << MANTISSA_BITS;
    let mantissa = (bits & (leading_one - 1)) | leading_one;
    let whole = mantissa >> fraction_bits;
    (whole << fraction_bits == mantissa).then_some(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<'a, T>(
        bytes: &'a [u8],
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, CborError>,
    ) -> Result<T, CborError> {
        let mut reader = Reader::new(bytes);
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn integers_are_read_however_they_are_spelled() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x18, 0x07], 7),
            (&[0x1b, 0, 0, 0, 0, 0, 0, 0, 7], 7),
            (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], 0),
            (&[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], 1),
            (&[0xfb, 0x41, 0xf0, 0, 0, 0, 0, 0, 0], 1 << 32),
            (&[0xfb, 0x42, 0x78, 0xbc, 0xfe, 0x56, 0x80, 0, 0], 1_700_000_000_000),
        ] {
            assert_eq!(read(bytes, Reader::integer), Ok(value), "{bytes:02x?}");
        }
        let one_and_a_half = [0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0];
        let minus_one = [0xfb, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0];
        let two_to_the_53 = [0xfb, 0x43, 0x40, 0, 0, 0, 0, 0, 0];
        let not_a_number = [0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0];
        for bytes in [&one_and_a_half[..], &minus_one, &two_to_the_53, &not_a_number, &[0x20], &[0x1b; 9]] {
            assert!(
                matches!(read(bytes, Reader::integer), Err(CborError::Unexpected { .. })),
                "{bytes:02x?}"
            );
        }
    }

    #[test]
    fn a_claimed_length_is_never_believed() {
        for bytes in
            [&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0x7a, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Reader::new(bytes).raw(), Err(CborError::Truncated));
        }
        let endless_array = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
        assert_eq!(Reader::new(&endless_array).raw(), Err(CborError::Truncated));
    }

    #[test]
    fn depth_is_bounded() {
        for opener in [0x81, 0x9f, 0xc0] {
            let mut nested = vec![opener; CBOR_DEPTH_MAX];
            nested.push(0x00);
            assert_eq!(Reader::new(&nested).raw(), Err(CborError::TooDeep));
            let mut tagged = vec![0xc0; CBOR_DEPTH_MAX];
            tagged.push(0x40);
            assert_eq!(Reader::new(&tagged).bytes(), Err(CborError::TooDeep));
        }
    }

    #[test]
    fn tags_and_indefinite_lengths_are_seen_through() {
        assert_eq!(read(&[0xd8, 0x40, 0x42, 1, 2], Reader::bytes), Ok(&[1, 2][..]));
        let pieces = [0x7f, 0x61, b'a', 0x61, b'b', 0xff];
        assert_eq!(read(&pieces, Reader::raw), Ok(&pieces[..]));
        let mixed_pieces = [0x7f, 0x41, b'a', 0xff];
        assert_eq!(Reader::new(&mixed_pieces).raw(), Err(CborError::Reserved { byte: 0x41 }));
        let mut reader = Reader::new(&[0x9f, 0x01, 0x02, 0xff]);
        let mut items = reader.array().unwrap();
        let mut sum = 0;
        while reader.next(&mut items) {
            sum += reader.integer().unwrap();
        }
        assert_eq!((sum, reader.remaining()), (3, 0));
        assert_eq!(Reader::new(&[0xff]).raw(), Err(CborError::Reserved { byte: 0xff }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            integers in proptest::collection::vec((0..=INTEGER_MAX, 0..53_u32), 0..8),
            texts in proptest::collection::vec(".{0,300}", 0..4),
        ) {
            let integers: Vec<_> = integers.into_iter().map(|(value, shift)| value >> shift).collect();
            let mut writer = Writer::with_capacity(0);
            writer.array(integers.len() + texts.len());
            for value in &integers {
                writer.integer(*value);
            }
            for text in &texts {
                writer.text(text);
            }
            let bytes = writer.into_bytes();
            prop_assert_eq!(read(&bytes, Reader::raw), Ok(&bytes[..]));
            let mut reader = Reader::new(&bytes);
            reader.array().unwrap();
            for value in integers {
                prop_assert_eq!(reader.integer(), Ok(value));
            }
            for text in texts {
                prop_assert_eq!(reader.text(), Ok(text.as_str()));
            }
        }
    }
}
