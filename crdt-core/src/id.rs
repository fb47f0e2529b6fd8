//! Names of things: documents, actors, changes, and the texts that applications bring.

mod base58;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::base58::Spelled;
use crate::limits::{ACTOR_BYTES_MAX, TEXT_ID_BYTES_MAX};

/// A document's identity: 16 bytes, written the way automerge-repo writes them.
///
/// Random ids suit documents that one device creates. Documents that two devices of one person may create without
/// asking anyone (the cart, the enrollments) take a **derived** id, which both compute alike:
///
/// ```
/// use crdt_core::id::{DocumentId, DocumentName};
/// let name = DocumentName { tenant: "shop", kind: "cart", owner: "student-7", name: "main" };
/// let on_phone = DocumentId::derive(&name);
/// let on_laptop = DocumentId::derive(&name);
/// assert_eq!(on_phone, on_laptop);
/// assert_eq!(on_phone.to_string().parse::<DocumentId>()?, on_laptop);
/// # Ok::<(), crdt_core::id::InvalidId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId([u8; 16]);

/// What a derived [`DocumentId`] is derived from.
#[derive(Clone, Copy, Debug)]
pub struct DocumentName<'a> {
    /// The shop or school.
    pub tenant: &'a str,
    /// What the document is, such as `cart`.
    pub kind: &'a str,
    /// Whose it is.
    pub owner: &'a str,
    /// Which of the owner's, such as `main`.
    pub name: &'a str,
}

impl DocumentId {
    /// The id with these bytes: random ones for a document that one device creates.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id that every device computes for this name. Parts are length-prefixed, so no two names run together.
    pub fn derive(name: &DocumentName<'_>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"pannier/1/document-id");
        for part in [name.tenant, name.kind, name.owner, name.name] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(bytes)
    }

    /// The id as text, without a place of its own in memory.
    pub(crate) fn spell(&self) -> Spelled {
        base58::encode(&self.0)
    }

    /// `automerge:<id>`, the form that automerge-repo applications pass around.
    pub fn to_url(&self) -> String {
        format!("automerge:{self}")
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spell().as_str())
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentId({self})")
    }
}

impl FromStr for DocumentId {
    type Err = InvalidId;

    /// Accepts the bare id and its `automerge:` URL.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bare = text.strip_prefix("automerge:").unwrap_or(text);
        if let Some(bytes) = base58::decode(bare) {
            return Ok(Self(bytes));
        }
        // It is none; what remains is to say why.
        if bare.len() > 64 {
            return Err(InvalidId::new("document id", text, "is too long"));
        }
        let bytes = bs58::decode(bare)
            .with_check(None)
            .into_vec()
            .map_err(|_| InvalidId::new("document id", text, "is not base58 with a valid checksum"))?;
        let bytes = bytes.try_into().map_err(|_| InvalidId::new("document id", text, "is not 16 bytes"))?;
        Ok(Self(bytes))
    }
}

/// Who writes changes: one device, tab or process for one stretch of its life. Never shared by two writers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(Box<[u8]>);

impl ActorId {
    /// Our own actors: 16 bytes, random or derived.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes.into())
    }

    /// An actor found in a foreign change.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidId> {
        if bytes.is_empty() || bytes.len() > ACTOR_BYTES_MAX {
            return Err(InvalidId::new("actor id", &hex(bytes), "is not 1 to 64 bytes"));
        }
        Ok(Self(bytes.into()))
    }

    /// The actor that everyone computes for the same facts: imports and migrations write as such actors, so that the
    /// same work done twice is the same change.
    pub fn derive(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"pannier/1/actor-id");
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let digest: [u8; 32] = hasher.finalize().into();
        Self(digest[..16].into())
    }

    /// The actor's bytes: 1 to 64.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorId({self})")
    }
}

impl FromStr for ActorId {
    type Err = InvalidId;

    /// Lower-case hexadecimal only: one actor has one spelling.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes = unhex(text).ok_or_else(|| InvalidId::new("actor id", text, "is not lower-case hex"))?;
        Self::from_slice(&bytes)
    }
}

/// The SHA-256 that names one change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeHash([u8; 32]);

impl ChangeHash {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeHash({})", hex(&self.0[..4]))
    }
}

impl FromStr for ChangeHash {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| InvalidId::new("change hash", text, "is not 64 lower-case hex digits"))
    }
}

impl Serialize for ChangeHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChangeHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for DocumentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ActorId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActorId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Identity of one fact within a document: `counter.actor`.
///
/// The counter exceeds every one its author had seen, so dots of things that happened later sort later on every device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Larger than every counter its author had seen.
    pub counter: u64,
    /// Its author.
    pub actor: ActorId,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.counter, self.actor)
    }
}

impl FromStr for Dot {
    type Err = InvalidId;

    /// Accepts only the spelling that `Display` writes: a dot has one key.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("dot", text, "is not counter.actor");
        let (counter, actor) = text.split_once('.').ok_or_else(invalid)?;
        let dot = Self { counter: counter.parse().map_err(|_| invalid())?, actor: actor.parse()? };
        if counter.starts_with('+') || (counter.len() > 1 && counter.starts_with('0')) {
            return Err(invalid());
        }
        Ok(dot)
    }
}

impl Serialize for Dot {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dot {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text or some bytes are not the id they were taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {why}")]
#[non_exhaustive]
pub struct InvalidId {
    /// The kind of id, as a person would say it.
    pub what: &'static str,
    /// The offending text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl InvalidId {
    pub(crate) fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        Self { what, text: text.chars().take(64).collect(), why }
    }
}

/// Checks an application's text id: 1 to 128 bytes, no control characters.
pub(crate) fn check_text_id(what: &'static str, text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::new(what, text, "is empty"));
    }
    if text.len() > TEXT_ID_BYTES_MAX {
        return Err(InvalidId::new(what, text, "is longer than 128 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidId::new(what, text, "has a control character"));
    }
    Ok(())
}

/// Writes `text` as one segment of a root key: `%` and every character of `reserved` become `%XX`.
pub(crate) fn escape_segment(text: &str, reserved: &str, into: &mut String) {
    for character in text.chars() {
        if character == '%' || (character.is_ascii() && reserved.contains(character)) {
            into.push('%');
            into.push_str(&hex(&[character as u8]));
        } else {
            into.push(character);
        }
    }
}

/// Reads what [`escape_segment`] wrote. `None` for anything it would not have written.
pub(crate) fn unescape_segment(segment: &str, reserved: &str) -> Option<String> {
    let mut text = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let byte = *unhex(rest.get(at + 1..at + 3)?)?.first()?;
        text.push(char::from(byte));
        rest = &rest[at + 3..];
    }
    text.push_str(rest);
    let mut again = String::with_capacity(segment.len());
    escape_segment(&text, reserved, &mut again);
    (again == segment).then_some(text)
}

/// Declares a newtype for an application's text id: checked, ordered, serialised as its text, and with the
/// `segment`/`from_segment` pair that writes it into a root key. A third argument is a function that brings the text
/// into the one form in which ids that mean the same are equal.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal $(, $normal:path)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks the text: 1 to 128 bytes, no control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self, $crate::id::InvalidId> {
                let text = text.as_ref();
                $(let text = &*$normal(text);)?
                $crate::id::check_text_id($what, text)?;
                Ok(Self(text.into()))
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id as one segment of a root key.
            #[allow(dead_code, reason = "not every id is part of a key")]
            pub(crate) fn segment(&self) -> String {
                let mut segment = String::with_capacity(self.0.len());
                $crate::id::escape_segment(&self.0, "/", &mut segment);
                segment
            }

            /// The id written as this segment of a root key, if any is.
            #[allow(dead_code, reason = "not every id is part of a key")]
            pub(crate) fn from_segment(segment: &str) -> Option<Self> {
                let id = Self::new($crate::id::unescape_segment(segment, "/")?).ok()?;
                (id.segment() == segment).then_some(id)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::id::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_id;

text_id!(
    /// A course, as the application names it.
    CourseId, "course id"
);
text_id!(
    /// A lesson within a course.
    LessonId, "lesson id"
);
text_id!(
    /// The person whose enrollments, progress or profile a document holds.
    StudentId, "student id"
);

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads lower-case hexadecimal.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > 4096 {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_ids_read_back_and_refuse_damage() {
        let id = DocumentId::from_bytes([7; 16]);
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.to_url().parse(), Ok(id));
        let damaged = text.replace(text.chars().next().unwrap(), "x");
        assert!(damaged.parse::<DocumentId>().is_err());
        assert!("".parse::<DocumentId>().is_err());
    }

    #[test]
    fn derived_names_never_run_together() {
        let id = |tenant, kind| DocumentId::derive(&DocumentName { tenant, kind, owner: "o", name: "n" });
        assert_ne!(id("ab", "c"), id("a", "bc"));
    }

    #[test]
    fn dots_order_newest_last_and_have_one_spelling() {
        let actor = ActorId::from_bytes([1; 16]);
        let older = Dot { counter: 9, actor: actor.clone() };
        let newer = Dot { counter: 10, actor };
        assert!(older < newer);
        assert_eq!(newer.to_string().parse(), Ok(newer.clone()));
        for spelling in ["010.01", "+1.01", "1.0A", "1.", ".01", "1", "-1.01"] {
            assert!(spelling.parse::<Dot>().is_err(), "{spelling}");
        }
    }

    #[test]
    fn segments_have_one_spelling() {
        let id = CourseId::new("a/b%c").unwrap();
        assert_eq!(id.segment(), "a%2fb%25c");
        assert_eq!(CourseId::from_segment(&id.segment()), Some(id));
        for segment in ["a/b", "a%2Fb", "a%", "a%zz", "", "%41", "a%e9"] {
            assert_eq!(CourseId::from_segment(segment), None, "{segment}");
        }
    }
}
