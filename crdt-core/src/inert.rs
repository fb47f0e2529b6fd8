//! What a fold ignores, and why.
//!
//! Anyone who may write a document can write anything into it. A fold never fails on what it finds: a value it can't use
//! is inert, stays where it is, and is listed with its reason, so that `validate` can tell a person.

use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::authority::{PublicKey, Role, Unproven};
use crate::canonical::NotCanonical;
use crate::id::InvalidId;
use crate::limits::INERT_LISTED_MAX;

/// One value that a fold ignores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InertFact {
    /// The root key it stands under.
    pub key: Box<str>,
    /// Why it counts for nothing.
    pub reason: InertReason,
}

/// Why a value counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InertReason {
    #[error("the value is not a text")]
    Foreign,
    #[error("the key is {bytes} bytes long, longer than any of ours")]
    KeyTooLong { bytes: usize },
    #[error("this version knows no such key")]
    UnknownKey,
    #[error("{0}")]
    Unreadable(String),
    #[error("the fact must be signed and is not")]
    NotSigned,
    #[error("the signature by {by} is not valid for this fact in this place")]
    BadSignature { by: PublicKey },
    #[error("{by} is nobody the application trusts here")]
    NotTrusted { by: PublicKey },
    #[error("{by} speaks as {role} and may not author this fact")]
    NotEntitled { by: PublicKey, role: Role },
    #[error("the key names another author than the value, which is by {by}")]
    Misplaced { by: PublicKey },
    #[error("{what} is {value}, past what is accepted")]
    OutOfBounds { what: &'static str, value: String },
    #[error("it comes before its time: {why}")]
    Premature { why: &'static str },
    #[error("the application does not allow it: {why}")]
    NotAllowed { why: &'static str },
}

impl InertReason {
    /// A word for programs: the same in every language and version.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::KeyTooLong { .. } => "keyTooLong",
            Self::UnknownKey => "unknownKey",
            Self::Unreadable(_) => "unreadable",
            Self::NotSigned => "notSigned",
            Self::BadSignature { .. } => "badSignature",
            Self::NotTrusted { .. } => "notTrusted",
            Self::NotEntitled { .. } => "notEntitled",
            Self::Misplaced { .. } => "misplaced",
            Self::OutOfBounds { .. } => "outOfBounds",
            Self::Premature { .. } => "premature",
            Self::NotAllowed { .. } => "notAllowed",
        }
    }
}

impl From<Unproven> for InertReason {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Unreadable(why) => why.into(),
            Unproven::NotSigned => Self::NotSigned,
            Unproven::BadSignature { by } => Self::BadSignature { by },
        }
    }
}

impl From<NotCanonical> for InertReason {
    fn from(why: NotCanonical) -> Self {
        Self::Unreadable(why.to_string())
    }
}

impl From<InvalidId> for InertReason {
    fn from(why: InvalidId) -> Self {
        Self::Unreadable(why.to_string())
    }
}

impl fmt::Display for InertFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

impl Serialize for InertFact {
    /// `{"key", "reason", "sentence"}`: a word for programs and a sentence for people.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("InertFact", 3)?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("reason", self.reason.code())?;
        fields.serialize_field("sentence", &self.reason.to_string())?;
        fields.end()
    }
}

/// A bounded list of inert facts: a hostile writer can fill a document with them, but not the memory of its readers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InertList {
    facts: Vec<InertFact>,
    more: usize,
}

impl InertList {
    /// Lists one more, or only counts it when the list is full. Keys are kept shortened.
    pub fn push(&mut self, key: &str, reason: InertReason) {
        if self.facts.len() == INERT_LISTED_MAX {
            self.more += 1;
            return;
        }
        let shortened: String = key.chars().take(256).collect();
        self.facts.push(InertFact { key: shortened.into(), reason });
    }

    /// The facts listed, in the order of their keys.
    pub fn facts(&self) -> &[InertFact] {
        &self.facts
    }

    /// How many there are beyond those listed.
    pub fn more(&self) -> usize {
        self.more
    }

    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_says_so() {
        let mut list = InertList::default();
        for _ in 0..INERT_LISTED_MAX + 5 {
            list.push(&"k".repeat(100_000), InertReason::UnknownKey);
        }
        assert_eq!((list.facts().len(), list.more()), (INERT_LISTED_MAX, 5));
        assert_eq!(list.facts()[0].key.len(), 256);
        let json =
            serde_json::to_value(&InertFact { key: "q".into(), reason: InertReason::Foreign }).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"key": "q", "reason": "foreign", "sentence": "the value is not a text"})
        );
    }
}
