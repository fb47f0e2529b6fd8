//! The keys that tokens are checked with.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, encode};

use super::{Claims, Unauthorized};

/// Shortest secret: HS256 is as strong as its key, up to its 32 bytes.
const SECRET_BYTES_MIN: usize = 32;

/// Most keys at once. An identity provider that rotates its keys has two or three.
const KEYS_MAX: usize = 64;

/// What tokens may be signed with: keys of one identity provider, or several while it rotates them.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// The only algorithm it is for, if it is for one only.
    algorithm: Option<Algorithm>,
    checks: DecodingKey,
}

/// What a relay shares with the identity provider when both sign and check with the same (HS256).
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Result<Self, WeakSecret> {
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(WeakSecret { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Signs what a token shall claim: what an identity provider does, and whoever tries a relay out.
    pub fn sign(&self, claims: &Claims) -> Result<String, Unsignable> {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(&self.0))
            .map_err(|error| Unsignable { why: error.to_string() })
    }
}

impl Keys {
    pub fn from_secret(secret: &Secret) -> Self {
        Self(vec![Key { id: None, algorithm: None, checks: DecodingKey::from_secret(&secret.0) }])
    }

    /// A public key in PEM: RSA, elliptic curve (P-256 or P-384), or Ed25519.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeysError> {
        let checks = DecodingKey::from_ed_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_rsa_pem(pem))
            .map_err(|_| KeysError::NotPem)?;
        Ok(Self(vec![Key { id: None, algorithm: None, checks }]))
    }

    /// The public keys of a JSON Web Key Set. Those that are not for signatures, or of a kind we do not know, are left out.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeysError> {
        let set: JwkSet =
            serde_json::from_slice(json).map_err(|error| KeysError::NotJwks { why: error.to_string() })?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeysError::TooMany { keys: set.keys.len() });
        }
        let keys: Vec<_> = set.keys.iter().filter_map(Key::from_jwk).collect();
        if keys.is_empty() { Err(KeysError::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// Those that may have signed a token that says so: at most one if it names its key.
    pub(super) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<&DecodingKey>, Unauthorized> {
        // A key without a name, as from a PEM file, can be the one that is meant under any.
        let named: Vec<_> =
            self.0.iter().filter(|key| id.is_none() || key.id.is_none() || key.id.as_deref() == id).collect();
        if named.is_empty() {
            return Err(Unauthorized::UnknownKey);
        }
        let fit: Vec<_> =
            named.into_iter().filter(|key| key.is_for(algorithm)).map(|key| &key.checks).collect();
        if fit.is_empty() { Err(Unauthorized::WrongAlgorithm) } else { Ok(fit) }
    }
}

impl Key {
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let is_for_signatures =
            jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        // A set of public keys is handed around; a secret in it is none.
        let is_public = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        let checks = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures && is_public)?;
        let algorithm = match &jwk.common.key_algorithm {
            None => None,
            Some(algorithm) => Some(algorithm.to_string().parse().ok()?),
        };
        Some(Self { id: jwk.common.key_id.clone(), algorithm, checks })
    }

    /// Whether a token signed this way can be checked with it. A public key is never taken for a shared secret.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let family: AlgorithmFamily = self.checks.family();
        family.algorithms().contains(&algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A secret that can be guessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret is {bytes} bytes long, and has to be at least {SECRET_BYTES_MIN}: make one with `openssl rand -hex 32`"
)]
pub struct WeakSecret {
    pub bytes: usize,
}

/// Why claims can't be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token can't be signed: {why}")]
pub struct Unsignable {
    pub why: String,
}

/// Why no keys can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    #[error("not a public key in PEM (RSA, elliptic curve or Ed25519)")]
    NotPem,
    #[error("not a JSON Web Key Set: {why}")]
    NotJwks { why: String },
    #[error("a set of {keys} keys; at most {KEYS_MAX} are accepted")]
    TooMany { keys: usize },
    #[error("none of the keys is a public one for signatures of a kind that is supported")]
    NoneUsable,
}
