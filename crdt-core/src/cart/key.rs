//! The root keys of a cart, one variant a row of the table in [`crate::cart`].

use std::fmt;

use super::line::Line;
use super::name::{CheckoutId, CouponCode, NoteScope};
use super::order::Verdict;
use crate::id::{ChangeHash, Dot};
use crate::inert::InertReason;
use crate::kind::KIND_KEY;
use crate::limits::KEY_BYTES_MAX;

/// What a root key speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// What the document is; see [`crate::kind`].
    Kind,
    Batch(Line, Dot),
    Cap(Line, Dot),
    Place(Line, Dot),
    Coupon(CouponCode, Dot),
    Note(NoteScope),
    Checkout(CheckoutId),
    Verdict(CheckoutId, Verdict),
    Refusal(Dot),
    Undone(ChangeHash),
}

impl Key {
    /// Reads a key, refusing any spelling but the one that `Display` writes.
    pub(super) fn parse(key: &str) -> Result<Self, InertReason> {
        if key.len() > KEY_BYTES_MAX {
            return Err(InertReason::KeyTooLong { bytes: key.len() });
        }
        if key == KIND_KEY {
            return Ok(Self::Kind);
        }
        let mut segments = key.split('/');
        let parts = [segments.next(), segments.next(), segments.next(), segments.next()];
        Self::from_segments(parts).ok_or(InertReason::UnknownKey)
    }

    fn from_segments(parts: [Option<&str>; 4]) -> Option<Self> {
        Some(match parts {
            [Some("q"), Some(line), Some(dot), None] => {
                Self::Batch(Line::from_segment(line)?, dot.parse().ok()?)
            }
            [Some("cap"), Some(line), Some(dot), None] => {
                Self::Cap(Line::from_segment(line)?, dot.parse().ok()?)
            }
            [Some("at"), Some(line), Some(dot), None] => {
                Self::Place(Line::from_segment(line)?, dot.parse().ok()?)
            }
            [Some("c"), Some(code), Some(dot), None] => {
                Self::Coupon(CouponCode::from_segment(code)?, dot.parse().ok()?)
            }
            [Some("n"), Some(scope), None, None] => Self::Note(NoteScope::from_segment(scope)?),
            [Some("co"), Some(id), None, None] => Self::Checkout(CheckoutId::from_segment(id)?),
            [Some("cs"), Some(id), Some(verdict), None] => {
                Self::Verdict(CheckoutId::from_segment(id)?, Verdict::from_word(verdict)?)
            }
            [Some("x"), Some(dot), None, None] => Self::Refusal(dot.parse().ok()?),
            [Some("un"), Some(hash), None, None] => Self::Undone(hash.parse().ok()?),
            _ => return None,
        })
    }

    /// The dot of the fact that a refusal can refuse.
    pub(super) fn refusable_dot(&self) -> Option<&Dot> {
        match self {
            Self::Batch(_, dot) | Self::Coupon(_, dot) => Some(dot),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind => f.write_str(KIND_KEY),
            Self::Batch(line, dot) => write!(f, "q/{line}/{dot}"),
            Self::Cap(line, dot) => write!(f, "cap/{line}/{dot}"),
            Self::Place(line, dot) => write!(f, "at/{line}/{dot}"),
            Self::Coupon(code, dot) => write!(f, "c/{}/{dot}", code.segment()),
            Self::Note(scope) => write!(f, "n/{}", scope.segment()),
            Self::Checkout(id) => write!(f, "co/{}", id.segment()),
            Self::Verdict(id, verdict) => write!(f, "cs/{}/{}", id.segment(), verdict.word()),
            Self::Refusal(dot) => write!(f, "x/{dot}"),
            Self::Undone(hash) => write!(f, "un/{hash}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_spelling() {
        let hash = "ab".repeat(32);
        for text in [
            "@/kind",
            "q/shirt?color=red&size=M/7.0a",
            "cap/tea/7.0a",
            "at/tea/7.0a",
            "c/SAVE10/7.0a",
            "n/a%2fb",
            "co/o1",
            "cs/o1/confirmed",
            "cs/o1/rejected",
            "cs/o1/cancelled",
            "x/7.0a",
            &format!("un/{hash}"),
        ] {
            assert_eq!(Key::parse(text).map(|key| key.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["q/tea", "q/tea/7.0a/", "q//7.0a", "q/tea/07.0a", "c/save10/7.0a", "cs/o1/paid", "x/", "", "z/1"]
        {
            assert_eq!(Key::parse(text), Err(InertReason::UnknownKey), "{text}");
        }
        let long = format!("n/{}", "x".repeat(KEY_BYTES_MAX));
        assert_eq!(Key::parse(&long), Err(InertReason::KeyTooLong { bytes: long.len() }));
    }
}
