//! Facts of authority: who may decide, and how a decision proves itself.
//!
//! An approval, a completed payment or a minted seat is only as good as whoever wrote it, and anyone who may write a
//! document can write anything into it. So such facts are signed, with Ed25519, over everything that gives them
//! meaning: the kind of document, whose document it is, the key they stand under, and their content. A fact lifted into
//! another document, another key or another role proves nothing there.
//!
//! A fold takes the application's [`TrustSet`] as an argument and ignores, and reports, what is not proven.
//!
//! ```
//! use crdt_core::authority::{AuthorityKey, Role, SignatureCache, Statement, TrustSet};
//!
//! let admin = AuthorityKey::from_seed([7; 32]);
//! let mut trust = TrustSet::default();
//! trust.trust(admin.public(), Role::Admin);
//!
//! let place = Statement { kind: "enrollment", subject: "student-7", key: "f/rust-101/gr" };
//! let stored = admin.sign(&place, &serde_json::json!({"why": "scholarship"}));
//!
//! let mut seen = SignatureCache::default();
//! let proven = place.verify(&stored, &mut seen)?;
//! assert_eq!(trust.role(proven.by()), Some(Role::Admin));
//!
//! // The same text in somebody else's document proves nothing.
//! let elsewhere = Statement { subject: "student-8", ..place };
//! assert!(elsewhere.verify(&stored, &mut seen).is_err());
//! # Ok::<(), crdt_core::authority::Unproven>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::canonical;
use crate::id::{CourseId, InvalidId};
use crate::limits::SIGNATURES_CACHED_MAX;

/// In what capacity somebody writes a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// The person whose document it is. Needs no key: whoever may write the document may speak as its owner.
    Student,
    /// Decides on requests for a course.
    Instructor,
    /// Decides for the shop or school; outranks instructors.
    Admin,
    /// The last word.
    Owner,
    /// The application's own back end: imports, expiry, open courses.
    System,
    /// A payment provider, or the service that speaks for it.
    Provider,
}

impl Role {
    /// The role as one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Instructor => "instructor",
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::System => "system",
            Self::Provider => "provider",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A secret signing key, held by whoever decides.
#[derive(Clone)]
pub struct AuthorityKey(SigningKey);

impl AuthorityKey {
    /// A key from 32 secret bytes: fresh randomness for a new key, or an exported seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The secret, for safekeeping. Whoever has it decides in your name.
    pub fn to_seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half, to be put into [`TrustSet`]s.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The text to store under `place.key`: `body`'s fields, who signed, and the signature.
    ///
    /// # Panics
    /// If `body` is not a JSON object, or holds the fields `by` or `sig`.
    pub fn sign(&self, place: &Statement<'_>, body: &Value) -> String {
        let mut fields = body.as_object().expect("a signed body is an object").clone();
        assert!(
            !fields.contains_key("by") && !fields.contains_key("sig"),
            "by and sig are the signature's own"
        );
        fields.insert("by".into(), self.public().to_string().into());
        let signature = self.0.sign(place.signed_text(&fields).as_bytes());
        fields.insert("sig".into(), URL_SAFE_NO_PAD.encode(signature.to_bytes()).into());
        canonical::to_text(&fields)
    }
}

impl fmt::Debug for AuthorityKey {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorityKey(public {})", self.public())
    }
}

/// Names an authority: the public half of its key, written as 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes. Whether they are a point of the curve shows when a signature is checked.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("public key", text, "is not 32 bytes of base64url");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        Ok(Self(bytes.try_into().map_err(|_| invalid())?))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whom the application trusts, and for what: everywhere, or in single courses only.
///
/// ```
/// use crdt_core::authority::{AuthorityKey, Role, TrustSet};
/// use crdt_core::id::CourseId;
///
/// let (rust, go) = (CourseId::new("rust-101")?, CourseId::new("go-101")?);
/// let teacher = AuthorityKey::from_seed([7; 32]).public();
/// let mut trust = TrustSet::default();
/// trust.trust_in(&rust, teacher, Role::Instructor);
///
/// // Who teaches one course decides nothing about another, and nothing that is about no course.
/// assert_eq!(trust.role_in(&rust, &teacher), Some(Role::Instructor));
/// assert_eq!(trust.role_in(&go, &teacher), None);
/// assert_eq!(trust.role(&teacher), None);
/// # Ok::<(), crdt_core::id::InvalidId>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustSet {
    roles: BTreeMap<PublicKey, Role>,
    by_course: BTreeMap<CourseId, BTreeMap<PublicKey, Role>>,
}

impl TrustSet {
    /// From now on `key` speaks as `role`, in every course and about everything else. A key has one role: the last one
    /// given.
    pub fn trust(&mut self, key: PublicKey, role: Role) {
        self.roles.insert(key, role);
    }

    /// From now on `key` speaks as `role` in `course`, whatever it is elsewhere.
    pub fn trust_in(&mut self, course: &CourseId, key: PublicKey, role: Role) {
        self.by_course.entry(course.clone()).or_default().insert(key, role);
    }

    /// From now on what `key` signed, anywhere and also in the past, counts for nothing.
    pub fn distrust(&mut self, key: &PublicKey) {
        self.roles.remove(key);
        for roles in self.by_course.values_mut() {
            roles.remove(key);
        }
        self.by_course.retain(|_, roles| !roles.is_empty());
    }

    /// The role in which `key` speaks about what is no course's.
    pub fn role(&self, key: &PublicKey) -> Option<Role> {
        self.roles.get(key).copied()
    }

    /// The role in which `key` speaks about `course`: the one it was given there, else the one it has everywhere.
    pub fn role_in(&self, course: &CourseId, key: &PublicKey) -> Option<Role> {
        let there = self.by_course.get(course).and_then(|roles| roles.get(key)).copied();
        there.or_else(|| self.role(key))
    }

    /// Every key that is trusted everywhere, with its role.
    pub fn iter(&self) -> impl Iterator<Item = (&PublicKey, Role)> {
        self.roles.iter().map(|(key, role)| (key, *role))
    }

    /// Every key that is trusted in a single course, with the course and its role there.
    pub fn iter_courses(&self) -> impl Iterator<Item = (&CourseId, &PublicKey, Role)> {
        let courses = self.by_course.iter();
        courses.flat_map(|(course, roles)| roles.iter().map(move |(key, role)| (course, key, *role)))
    }
}

/// The place a signed fact stands in. All of it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The kind of document, such as `enrollment`.
    pub kind: &'a str,
    /// Whose document it is.
    pub subject: &'a str,
    /// The root key that the fact stands under.
    pub key: &'a str,
}

impl Statement<'_> {
    /// As [`Statement::verify`], for a caller who reads the text itself: what was found valid before costs one hash.
    pub fn check(&self, stored: &str, seen: &mut SignatureCache) -> Result<(), Unproven> {
        if seen.holds(&self.fingerprint(stored)) {
            return Ok(());
        }
        self.verify(stored, seen).map(drop)
    }

    /// Checks that `stored`, found in this place, was signed for this place, and by whom.
    pub fn verify(&self, stored: &str, seen: &mut SignatureCache) -> Result<Proven, Unproven> {
        let fingerprint = self.fingerprint(stored);
        let known = seen.holds(&fingerprint);
        // What was found valid once is canonical.
        let value = if known { canonical::from_text(stored)? } else { canonical::value_from_text(stored)? };
        let Value::Object(mut body) = value else { return Err(Unproven::NotSigned) };
        let (Some(Value::String(signature)), Some(Value::String(by))) = (body.remove("sig"), body.get("by"))
        else {
            return Err(Unproven::NotSigned);
        };
        let by: PublicKey = by.parse().map_err(|_| Unproven::NotSigned)?;
        if !known {
            let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Unproven::NotSigned)?;
            let signature = Signature::from_slice(&signature).map_err(|_| Unproven::NotSigned)?;
            let key = VerifyingKey::from_bytes(&by.0).map_err(|_| Unproven::BadSignature { by })?;
            let text = self.signed_text(&body);
            key.verify_strict(text.as_bytes(), &signature).map_err(|_| Unproven::BadSignature { by })?;
            seen.insert(fingerprint);
        }
        Ok(Proven { by, body })
    }

    fn signed_text(&self, fields: &Map<String, Value>) -> String {
        canonical::to_text(&serde_json::json!({
            "fact": fields,
            "key": self.key,
            "kind": format!("pannier/1/{}", self.kind),
            "subject": self.subject,
        }))
    }

    fn fingerprint(&self, stored: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in [self.kind, self.subject, self.key, stored] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().into()
    }
}

/// A fact whose signature has been checked. Whether its author is trusted is the fold's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    by: PublicKey,
    body: Map<String, Value>,
}

impl Proven {
    /// Who signed.
    pub fn by(&self) -> &PublicKey {
        &self.by
    }

    /// The signed fields, with `by` and without the signature.
    pub fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    /// The signed fields as a type of the caller's. Unknown fields are ignored.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Unproven> {
        serde_json::from_value(Value::Object(self.body.clone())).map_err(|error| {
            Unproven::Unreadable(canonical::NotCanonical::Unreadable { why: error.to_string() })
        })
    }
}

/// Why a stored text proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unproven {
    #[error(transparent)]
    Unreadable(#[from] canonical::NotCanonical),
    #[error("the fact is not signed")]
    NotSigned,
    #[error("the signature by {by} is not valid for this fact in this place")]
    BadSignature { by: PublicKey },
}

/// Remembers which signatures were found valid, so that opening a document again does not check thousands anew.
///
/// Holds fingerprints of valid facts only. It may be kept with the device's own data; never accept one from a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureCache {
    valid: BTreeSet<[u8; 32]>,
}

impl SignatureCache {
    /// Reads what [`SignatureCache::to_bytes`] wrote. Trailing bytes of a torn write are dropped.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (fingerprints, _) = bytes.as_chunks::<32>();
        Self { valid: fingerprints.iter().take(SIGNATURES_CACHED_MAX).copied().collect() }
    }

    /// The cache, to be kept with the device's own data.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.valid.iter().flatten().copied().collect()
    }

    fn holds(&self, fingerprint: &[u8; 32]) -> bool {
        self.valid.contains(fingerprint)
    }

    fn insert(&mut self, fingerprint: [u8; 32]) {
        if self.valid.len() >= SIGNATURES_CACHED_MAX {
            self.valid.clear();
        }
        self.valid.insert(fingerprint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Statement<'static> =
        Statement { kind: "enrollment", subject: "student", key: "f/course/gr" };

    #[test]
    fn a_signature_holds_in_its_place_only() {
        let key = AuthorityKey::from_seed([1; 32]);
        let stored = key.sign(&PLACE, &serde_json::json!({"n": 1}));
        let proven = PLACE.verify(&stored, &mut SignatureCache::default()).unwrap();
        assert_eq!((proven.by(), &proven.body()["n"]), (&key.public(), &Value::from(1)));
        for elsewhere in [
            Statement { kind: "cart", ..PLACE },
            Statement { subject: "other", ..PLACE },
            Statement { key: "f/course/gr2", ..PLACE },
        ] {
            let verdict = elsewhere.verify(&stored, &mut SignatureCache::default());
            assert_eq!(verdict, Err(Unproven::BadSignature { by: key.public() }));
        }
    }

    #[test]
    fn a_changed_fact_is_unproven_even_with_a_warm_cache() {
        let key = AuthorityKey::from_seed([1; 32]);
        let mut seen = SignatureCache::default();
        let stored = key.sign(&PLACE, &serde_json::json!({"n": 1}));
        PLACE.verify(&stored, &mut seen).unwrap();
        assert!(PLACE.verify(&stored.replace("\"n\":1", "\"n\":2"), &mut seen).is_err());
        assert!(PLACE.verify(&stored.replace("\"n\":1", "\"n\":1 "), &mut seen).is_err());
        let other = AuthorityKey::from_seed([2; 32]).public().to_string();
        assert!(PLACE.verify(&stored.replace(&key.public().to_string(), &other), &mut seen).is_err());
        for text in ["", "{}", "[]", r#"{"by":"x","sig":"y"}"#, "null"] {
            assert!(PLACE.verify(text, &mut seen).is_err(), "{text}");
        }
        assert_eq!(SignatureCache::from_bytes(&seen.to_bytes()), seen);
    }

    #[test]
    fn keys_export_and_import() {
        let key = AuthorityKey::from_seed([9; 32]);
        assert_eq!(AuthorityKey::from_seed(key.to_seed()).public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert!("short".parse::<PublicKey>().is_err());
        assert!(!format!("{key:?}").contains(&URL_SAFE_NO_PAD.encode(key.to_seed())));
    }
}
