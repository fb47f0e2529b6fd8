//! Base58 with a checksum, for exactly the sixteen bytes of a document id.
//!
//! A relay reads one such text and writes several for every change that it passes on. Knowing the length, a number of five
//! limbs is divided a few times instead of a string of digits hundreds of times.

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// From a letter to its digit; letters that are none stand for more than any digit.
const DIGITS: [u8; 128] = {
    let mut digits = [u8::MAX; 128];
    let mut digit = 0;
    while digit < 58 {
        digits[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    digits
};

/// Digits that are taken at once: the largest power of 58 that fits a limb has so many.
const GROUP_DIGITS: usize = 5;
const GROUP: u64 = 58_u64.pow(5);

/// Groups of digits that hold any 20 bytes.
const GROUPS: usize = 6;
const DIGITS_MAX: usize = GROUPS * GROUP_DIGITS;

/// 28 digits are 20 bytes or more.
const TEXT_MAX: usize = 28;

/// A document id as text.
pub(crate) struct Spelled {
    letters: [u8; DIGITS_MAX],
    start: usize,
}

impl Spelled {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.letters[self.start..]).expect("the alphabet is ASCII")
    }
}

/// The text of these bytes.
pub(super) fn encode(bytes: &[u8; 16]) -> Spelled {
    let mut limbs = [0; 5];
    let (words, _) = bytes.as_chunks::<4>();
    for (limb, word) in limbs.iter_mut().zip(words) {
        *limb = u32::from_be_bytes(*word);
    }
    limbs[4] = u32::from_be_bytes(checksum(bytes));
    let zeros = leading_zero_bytes(&limbs);

    let mut digits = [0; DIGITS_MAX];
    for group in digits.rchunks_exact_mut(GROUP_DIGITS) {
        let mut rest = divide(&mut limbs);
        for digit in group.iter_mut().rev() {
            *digit = u8::try_from(rest % 58).expect("below 58");
            rest /= 58;
        }
    }
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(DIGITS_MAX);
    // A leading zero byte is written as one zero digit, and there are more of those than of them.
    let start = first - zeros;
    Spelled { letters: digits.map(|digit| ALPHABET[usize::from(digit)]), start }
}

/// The bytes of this text, if it is the one spelling of sixteen bytes and its checksum holds.
pub(super) fn decode(text: &str) -> Option<[u8; 16]> {
    let letters = text.as_bytes();
    if letters.len() > TEXT_MAX {
        return None;
    }
    let mut limbs = [0; 5];
    for group in letters.chunks(GROUP_DIGITS) {
        let (mut value, mut scale) = (0, 1);
        for letter in group {
            let digit = *DIGITS.get(usize::from(*letter)).filter(|digit| **digit < 58)?;
            value = value * 58 + u64::from(digit);
            scale *= 58;
        }
        multiply_add(&mut limbs, scale, value)?;
    }
    let zeros = letters.iter().take_while(|letter| **letter == ALPHABET[0]).count();
    if zeros != leading_zero_bytes(&limbs) {
        return None;
    }
    let mut bytes = [0; 16];
    for (word, limb) in bytes.chunks_exact_mut(4).zip(limbs) {
        word.copy_from_slice(&limb.to_be_bytes());
    }
    (checksum(&bytes) == limbs[4].to_be_bytes()).then_some(bytes)
}

/// The first bytes of a hash of a hash, as Base58 texts carry them.
fn checksum(bytes: &[u8; 16]) -> [u8; 4] {
    let hash = Sha256::digest(Sha256::digest(bytes));
    let (first, _) = hash.split_first_chunk().expect("hashes are longer");
    *first
}

/// Divides the number, most significant limb first, by [`GROUP`], and returns what is left over.
fn divide(limbs: &mut [u32; 5]) -> u64 {
    let mut rest = 0;
    for limb in limbs {
        let value = rest << 32 | u64::from(*limb);
        *limb = u32::try_from(value / GROUP).expect("the rest is smaller than the divisor");
        rest = value % GROUP;
    }
    rest
}

/// The number times `factor` plus `more`, unless that takes more limbs.
fn multiply_add(limbs: &mut [u32; 5], factor: u64, more: u64) -> Option<()> {
    let mut carry = more;
    for limb in limbs.iter_mut().rev() {
        let value = u64::from(*limb) * factor + carry;
        let [a, b, c, d, ..] = value.to_le_bytes();
        *limb = u32::from_le_bytes([a, b, c, d]);
        carry = value >> 32;
    }
    (carry == 0).then_some(())
}

fn leading_zero_bytes(limbs: &[u32; 5]) -> usize {
    let mut zeros = 0;
    for limb in limbs {
        zeros += limb.leading_zeros() as usize / 8;
        if *limb != 0 {
            break;
        }
    }
    zeros
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn general(bytes: &[u8]) -> String {
        bs58::encode(bytes).with_check().into_string()
    }

    #[test]
    fn leading_zeros_are_kept() {
        for zeros in 0..=16 {
            let mut bytes = [0xff; 16];
            bytes[..zeros].fill(0);
            let text = encode(&bytes);
            assert_eq!(text.as_str(), general(&bytes));
            assert_eq!(decode(text.as_str()), Some(bytes));
        }
    }

    proptest! {
        #[test]
        fn every_id_is_spelled_as_everyone_spells_it(bytes: [u8; 16]) {
            let text = encode(&bytes);
            prop_assert_eq!(text.as_str(), general(&bytes));
            prop_assert_eq!(decode(text.as_str()), Some(bytes));
        }

        #[test]
        fn nothing_else_is_read(
            bytes in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..24),
            at: prop::sample::Index,
            letter in "[ -~ü]",
        ) {
            let right = general(&bytes);
            let whole: Option<[u8; 16]> = bytes.try_into().ok();
            prop_assert_eq!(decode(&right), whole);
            let mut wrong: Vec<_> = right.chars().map(String::from).collect();
            *at.get_mut(&mut wrong) = letter;
            let wrong = wrong.concat();
            prop_assert_eq!(decode(&wrong).is_some(), wrong == right && whole.is_some());
            prop_assert_eq!(decode(&format!("1{right}")).filter(|_| whole.is_some()), None);
        }
    }
}
