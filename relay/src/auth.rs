//! A token becomes a permit, or nothing.
//!
//! Tokens are JSON Web Tokens that the application's identity provider signs. [`Tokens`] knows the keys to check them with
//! and what they have to say; [`Tokens::permit`] takes the time as an argument, and answers with a [`Permit`] or the reason
//! why not. What a token may claim is told at [`Claims`].
//!
//! ```
//! use crdt_core::time::Timestamp;
//! use relay::auth::{Claims, Keys, Rules, Secret, Tokens};
//!
//! let secret = Secret::new(b"thirty-two bytes that nobody guesses".to_vec())?;
//! let now = Timestamp::from_millis(1_700_000_000_000);
//! let token = secret.sign(&Claims::user("student-7", 1_700_000_600))?;
//!
//! let tokens = Tokens::new(Keys::from_secret(&secret), Rules::default());
//! assert_eq!(tokens.permit(&token, now)?.subject.as_str(), "student-7");
//! assert!(tokens.permit(&token, Timestamp::MAX).is_err(), "it has expired by then");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claims;
mod key;
mod revoked;

use std::time::Duration;

use crdt_core::time::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};

use crate::access::Permit;
use crate::id::{InvalidName, Tenant};

pub use self::claims::{Claims, Grant, Role};
pub use self::key::{Keys, KeysError, Secret, Unsignable, WeakSecret};
pub use self::revoked::{Bearer, Revoked, RevokedError};

/// Longest token that is looked at. Those with dozens of grants stay below.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Clocks of relays and identity providers differ; by this much nobody is turned away.
const LEEWAY: Duration = Duration::from_secs(30);

/// What every token has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who has to have issued it, if that matters.
    pub issuer: Option<String>,
    /// For whom it has to be meant. Without one, a token that names an audience is meant for somebody else.
    pub audience: Option<String>,
    /// How far the clock of its issuer may be from ours.
    pub leeway: Duration,
    /// Whose documents it is about when it does not say.
    pub tenant: Tenant,
}

impl Default for Rules {
    fn default() -> Self {
        let tenant = Tenant::new("main").expect("it is a name");
        Self { issuer: None, audience: None, leeway: LEEWAY, tenant }
    }
}

/// Whoever checks tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    keys: Keys,
    rules: Rules,
    revoked: Revoked,
}

impl Tokens {
    pub fn new(keys: Keys, rules: Rules) -> Self {
        Self { keys, rules, revoked: Revoked::default() }
    }

    /// Replaces the list of what is not to be accepted any more.
    pub fn with_revoked(mut self, revoked: Revoked) -> Self {
        self.revoked = revoked;
        self
    }

    /// What the bearer of a token is permitted.
    pub fn permit(&self, token: &str, now: Timestamp) -> Result<Permit, Unauthorized> {
        self.check(token, now).map(|(permit, _)| permit)
    }

    /// As [`Tokens::permit`], with the names under which the token can be revoked later.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<(Permit, Bearer), Unauthorized> {
        let claims = self.claims(token)?;
        let leeway = self.rules.leeway;
        let expires = seconds(claims.exp) + leeway;
        if now >= expires {
            return Err(Unauthorized::Expired { at: claims.exp });
        }
        if let Some(from) = claims.nbf
            && now + leeway < seconds(from)
        {
            return Err(Unauthorized::NotYet { from });
        }
        let bearer = Bearer::of(&claims);
        if self.revoked.contains(&bearer) {
            return Err(Unauthorized::Revoked);
        }
        Ok((claims.permit(&self.rules.tenant, expires)?, bearer))
    }

    /// Whether the bearer's token has been revoked.
    pub fn is_revoked(&self, bearer: &Bearer) -> bool {
        self.revoked.contains(bearer)
    }

    /// What a token claims, once its signature and its addressees have been checked.
    fn claims(&self, token: &str) -> Result<Claims, Unauthorized> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Unauthorized::TooLong { bytes: token.len() });
        }
        // An algorithm that is unknown here, such as none, makes it none.
        let header = decode_header(token).map_err(|_| Unauthorized::Malformed)?;
        let candidates = self.keys.candidates(header.kid.as_deref(), header.alg)?;
        let mut validation = Validation::new(header.alg);
        // Times are checked against a time that is an argument.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        if let Some(issuer) = &self.rules.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if let Some(audience) = &self.rules.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        let mut refusal = Unauthorized::UnknownKey;
        for key in candidates {
            match decode(token, key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => refusal = Unauthorized::from(error.kind()),
            }
            // Another key may have signed it; a reason beyond the signature is the token's own.
            if refusal != Unauthorized::WrongSignature {
                break;
            }
        }
        Err(refusal)
    }
}

fn seconds(since_1970: u64) -> Timestamp {
    Timestamp::from_millis(since_1970.saturating_mul(1000))
}

/// Why a token is not accepted. Nothing of the token is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthorized {
    #[error("a token is needed: send it as `Authorization: Bearer TOKEN`")]
    Missing,
    #[error("the token is {bytes} bytes long; at most {TOKEN_BYTES_MAX} are accepted")]
    TooLong { bytes: usize },
    #[error("this is not a JSON Web Token")]
    Malformed,
    #[error("the token is signed with a key that this relay does not know")]
    UnknownKey,
    #[error("the token's algorithm is not one for the key it names")]
    WrongAlgorithm,
    #[error("the token's signature is wrong")]
    WrongSignature,
    #[error("the token has expired (`exp` is {at})")]
    Expired { at: u64 },
    #[error("the token is not valid yet (`nbf` is {from})")]
    NotYet { from: u64 },
    #[error("the token is from another issuer (`iss`)")]
    WrongIssuer,
    #[error("the token is meant for somebody else (`aud`)")]
    WrongAudience,
    #[error("the token has been revoked")]
    Revoked,
    #[error("the token's claims are not as they should be: {why}")]
    BadClaims { why: String },
}

impl From<&ErrorKind> for Unauthorized {
    fn from(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidSignature => Self::WrongSignature,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Self::WrongAlgorithm,
            ErrorKind::InvalidIssuer => Self::WrongIssuer,
            ErrorKind::InvalidAudience => Self::WrongAudience,
            ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => Self::WrongIssuer,
            ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => Self::WrongAudience,
            ErrorKind::InvalidClaimFormat(claim) => {
                Self::BadClaims { why: format!("`{claim}` is malformed") }
            }
            ErrorKind::Json(error) if error.is_data() => Self::BadClaims { why: error.to_string() },
            _ => Self::Malformed,
        }
    }
}

impl From<InvalidName> for Unauthorized {
    fn from(error: InvalidName) -> Self {
        Self::BadClaims { why: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
