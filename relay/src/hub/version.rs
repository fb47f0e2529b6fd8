//! The state of a document as a short name, and conditions on it.

use std::fmt;

use crdt_core::id::ChangeHash;

/// So many heads are told one by one; of more, only how many there are and what they come to together.
const HEADS_SPELLED_MAX: usize = 4;

/// Hexadecimal digits of a head that tell it from all others of its document.
const DIGITS: usize = 16;

/// What names the state of a document: two states with equal heads are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The version with these heads.
    pub fn of(heads: &[ChangeHash]) -> Self {
        let digits = |head: &ChangeHash| head.to_string()[..DIGITS].to_owned();
        if heads.len() <= HEADS_SPELLED_MAX {
            return Self(heads.iter().map(digits).collect::<Vec<_>>().join("."));
        }
        let mut together = [0_u8; 32];
        for head in heads {
            together.iter_mut().zip(head.as_bytes()).for_each(|(all, byte)| *all ^= byte);
        }
        Self(format!("{}x{}", heads.len(), digits(&ChangeHash::from_bytes(together))))
    }

    /// The version that somebody names.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Some versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Whichever there is.
    Any,
    These(Vec<Version>),
}

impl Versions {
    /// Whether the version of a document, which may not be there, is one of them.
    pub fn contain(&self, current: Option<&Version>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(these), Some(current)) => these.contains(current),
        }
    }
}

/// What a document has to be for something to be done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// It is one of these.
    pub matches: Option<Versions>,
    /// It is none of these.
    pub matches_none: Option<Versions>,
}

impl Condition {
    /// Whether the condition holds for a document of this version; `None` when it is not there.
    pub fn holds(&self, current: Option<&Version>) -> bool {
        self.matches.as_ref().is_none_or(|versions| versions.contain(current))
            && !self.matches_none.as_ref().is_some_and(|versions| versions.contain(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(numbers: &[u8]) -> Vec<ChangeHash> {
        numbers.iter().map(|number| ChangeHash::from_bytes([*number; 32])).collect()
    }

    #[test]
    fn versions_tell_states_apart_and_stay_short() {
        let many: Vec<_> = (0..=255).collect();
        for (one, other) in
            [(&[1][..], &[2][..]), (&[1], &[1, 2]), (&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 6]), (&many, &many[1..])]
        {
            let (one, other) = (Version::of(&heads(one)), Version::of(&heads(other)));
            assert_ne!(one, other);
            assert!(one.to_string().len() < 80, "{one}");
        }
        assert_eq!(Version::of(&heads(&[1, 2])), Version::named("0101010101010101.0202020202020202"));
    }

    #[test]
    fn conditions_hold_as_http_says() {
        let (old, new) = (Version::of(&heads(&[1])), Version::of(&heads(&[2])));
        let these = |version: &Version| Some(Versions::These(vec![version.clone()]));
        let only = |matches| Condition { matches, matches_none: None };
        let unless = |matches_none| Condition { matches: None, matches_none };
        for (condition, holds_for_none, holds_for_old, holds_for_new) in [
            (Condition::default(), true, true, true),
            (only(Some(Versions::Any)), false, true, true),
            (only(these(&old)), false, true, false),
            (unless(Some(Versions::Any)), true, false, false),
            (unless(these(&new)), true, true, false),
        ] {
            assert_eq!(condition.holds(None), holds_for_none, "{condition:?}");
            assert_eq!(condition.holds(Some(&old)), holds_for_old, "{condition:?}");
            assert_eq!(condition.holds(Some(&new)), holds_for_new, "{condition:?}");
        }
    }
}
