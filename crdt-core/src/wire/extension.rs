//! What our extension frames carry: acknowledgements, refusals, openings, presence, goodbyes.

use std::fmt;
use std::time::Duration;

use super::name::{DeviceRef, SessionRef};
use crate::id::{ChangeHash, DocumentId};

/// One document and heads of it: what an opener has, or what is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentHeads {
    pub document: DocumentId,
    /// Sorted by whoever computed them. Empty: nothing of this document.
    pub heads: Vec<ChangeHash>,
}

/// A refusal, for a person to read and a program to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial<'a> {
    /// The document it is about; `None` when it is about the connection.
    pub document: Option<DocumentId>,
    pub code: DenialCode,
    /// For a person.
    pub reason: &'a str,
    /// When trying again may help; `None` when it will not.
    pub retry_after: Option<Duration>,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DenialCode {
    /// Who you are is not known, or no longer.
    Unauthenticated,
    /// You may not do this to this document.
    Forbidden,
    /// What you sent is malformed, or breaks a rule.
    Invalid,
    /// What you sent is over a bound.
    TooLarge,
    /// Your share of space is used up.
    Quota,
    /// Too much at once.
    Rate,
    /// It could not be stored; nothing that was not acknowledged is kept.
    Storage,
    /// The exchange made no progress and was ended.
    Stalled,
    /// A code of a later version.
    Other,
}

impl DenialCode {
    const ALL: [Self; 9] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Invalid,
        Self::TooLarge,
        Self::Quota,
        Self::Rate,
        Self::Storage,
        Self::Stalled,
        Self::Other,
    ];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::TooLarge => "too-large",
            Self::Quota => "quota",
            Self::Rate => "rate",
            Self::Storage => "storage",
            Self::Stalled => "stalled",
            Self::Other => "other",
        }
    }

    pub(super) fn from_wire(text: &str) -> Self {
        Self::ALL.into_iter().find(|code| code.as_str() == text).unwrap_or(Self::Other)
    }
}

impl fmt::Display for DenialCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// That somebody is here, until it expires or is told anew. The sender of the frame is the author, also when forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence<'a> {
    /// The tab or process.
    pub session: SessionRef<'a>,
    /// The device it runs on.
    pub device: DeviceRef<'a>,
    /// Rises within a session; a receiver ignores what does not rise.
    pub count: u64,
    /// Who is told: everyone who follows this document, or, without one, the author's other devices.
    pub document: Option<DocumentId>,
    /// How long ago the person was last seen. A span, not a moment: clocks differ.
    pub idle: Duration,
    /// How long this holds from its arrival on. Zero is a goodbye.
    pub expires_after: Duration,
    /// The application's: a name, a cursor. Opaque here.
    pub data: &'a [u8],
}

/// An announced end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoingAway<'a> {
    /// For a person.
    pub reason: &'a str,
    /// Do not come back earlier.
    pub reconnect_after_min: Duration,
    /// Come back at a random moment until then, so that not everyone comes back at once. Never less than the minimum.
    pub reconnect_after_max: Duration,
}
