//! Who holds rights, and how somebody proves to speak for a holder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::authority::{AuthorityKey, PublicKey};
use crate::id::{InvalidId, check_text_id, escape_segment, unescape_segment};

const AUTHORITY: &str = "authority";
const LEASE: &str = "lease:";
const KEY: &str = "key:";

/// A holder of rights: one writer (one device, till or process), never two.
///
/// The name says whose word counts for it, so that every fact can be judged alone:
///
/// | name | who may write its facts |
/// |---|---|
/// | `authority` | a key that the application trusts to mint |
/// | `key:` and a public key | the holder of that key |
/// | `lease:` before a key or a name | the same; and it may only reserve, or give back to the authority |
/// | anything else | whoever may write the document: for holders that trust each other |
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HolderId(Box<str>);

impl HolderId {
    /// A holder by its name: 1 to 128 bytes, no control characters. What begins with `lease:` or `key:` must be one.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
        let text = text.as_ref();
        let invalid = |why| InvalidId::new("holder", text, why);
        let unleased = text.strip_prefix(LEASE);
        if unleased.is_some_and(|bare| bare == AUTHORITY || bare.is_empty() || bare.starts_with(LEASE)) {
            return Err(invalid("is not a lease of a key or a name"));
        }
        if let Some(key) = unleased.unwrap_or(text).strip_prefix(KEY)
            && key.parse::<PublicKey>().is_err()
        {
            return Err(invalid("does not name a public key"));
        }
        check_text_id("holder", text)?;
        Ok(Self(text.into()))
    }

    /// The holder that stands for the authority itself: where rights come back to.
    pub fn authority() -> Self {
        Self(AUTHORITY.into())
    }

    /// The holder whose facts count only with this key's signature.
    pub fn of_key(key: PublicKey) -> Self {
        Self(format!("{KEY}{key}").into())
    }

    /// The lease of this holder. `None` for the authority, and for what is a lease already.
    pub fn lease(&self) -> Option<Self> {
        Self::new(format!("{LEASE}{self}")).ok()
    }

    /// Whether this holder may only reserve, or give back to the authority, and can be closed by it.
    pub fn is_lease(&self) -> bool {
        self.as_str().starts_with(LEASE)
    }

    /// Whether this is the authority itself.
    pub fn is_authority(&self) -> bool {
        self.as_str() == AUTHORITY
    }

    /// The key that must sign this holder's facts, when its name says one.
    pub fn key(&self) -> Option<PublicKey> {
        let text = self.as_str();
        text.strip_prefix(LEASE).unwrap_or(text).strip_prefix(KEY)?.parse().ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn segment(&self) -> String {
        let mut segment = String::with_capacity(self.0.len());
        escape_segment(&self.0, "/", &mut segment);
        segment
    }

    pub(super) fn from_segment(segment: &str) -> Option<Self> {
        Self::new(unescape_segment(segment, "/")?).ok()
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HolderId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for HolderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A holder, and the key that proves to speak for it when its name asks for one.
#[derive(Clone, Debug)]
pub struct Spender {
    holder: HolderId,
    key: Option<AuthorityKey>,
}

impl Spender {
    /// Speaks for a holder by name alone, which suffices where all who write the document trust each other.
    pub fn named(holder: HolderId) -> Result<Self, NotSpender> {
        if holder.is_authority() || holder.key().is_some() {
            return Err(NotSpender::KeyNeeded { holder });
        }
        Ok(Self { holder, key: None })
    }

    /// Speaks for the holder that this key names.
    pub fn keyed(key: AuthorityKey) -> Self {
        Self { holder: HolderId::of_key(key.public()), key: Some(key) }
    }

    /// Speaks for the lease of the holder that this key names.
    pub fn leasing(key: AuthorityKey) -> Self {
        let holder = HolderId::of_key(key.public()).lease().expect("a key can be leased to");
        Self { holder, key: Some(key) }
    }

    /// Speaks for the authority. Counts where the application trusts the key to mint.
    pub fn authority(key: AuthorityKey) -> Self {
        Self { holder: HolderId::authority(), key: Some(key) }
    }

    /// For whom.
    pub fn holder(&self) -> &HolderId {
        &self.holder
    }

    pub(super) fn key(&self) -> Option<&AuthorityKey> {
        self.key.as_ref()
    }
}

/// Why somebody can't speak for a holder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSpender {
    #[error("{holder} speaks with its key only")]
    KeyNeeded { holder: HolderId },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_whose_word_counts() {
        let key = AuthorityKey::from_seed([1; 32]).public();
        let phone = HolderId::of_key(key);
        assert_eq!(phone.key(), Some(key));
        let lease = phone.lease().unwrap();
        assert!(lease.is_lease() && lease.key() == Some(key) && lease.lease().is_none());
        assert_eq!(HolderId::authority().lease(), None);
        assert_eq!(HolderId::from_segment(&lease.segment()), Some(lease.clone()));
        assert!(Spender::named(phone.clone()).is_err() && Spender::named(HolderId::authority()).is_err());
        assert_eq!(Spender::leasing(AuthorityKey::from_seed([1; 32])).holder(), &lease);
        for text in
            ["", "lease:", "lease:authority", "lease:lease:till", "key:", "key:short", "lease:key:x", "a\n"]
        {
            assert!(HolderId::new(text).is_err(), "{text}");
        }
        assert_eq!(HolderId::new("till/3").unwrap().segment(), "till%2f3");
    }
}
