//! What a token may say.

use std::collections::BTreeMap;

use crdt_core::id::{DocumentId, DocumentName};
use crdt_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Unauthorized;
use crate::access::{Permit, Right};
use crate::id::{Subject, Tenant};

/// Most grants in one token.
const GRANTS_MAX: usize = 128;

/// The claims of a token. `sub` and `exp` are needed; the rest has the defaults of an ordinary user.
///
/// ```json
/// {
///   "sub": "student-7", "exp": 1700000600, "tenant": "academy",
///   "grants": [
///     {"document": "4NMNnkMhL8jXrdJ9jamS58PAVdXu", "right": "read"},
///     {"kind": "cart", "owner": "family-3", "name": "groceries", "right": "write"}
///   ]
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who bears the token.
    pub sub: String,
    /// Until when it is valid, in seconds since 1970.
    pub exp: u64,
    /// From when it is valid, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// The token's own name, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Whose documents it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default)]
    pub role: Role,
    /// Rights to single documents, beyond what the documents themselves grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// Whether the bearer may bring new documents.
    #[serde(default = "yes")]
    pub create: bool,
}

/// One audience, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Whom a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person: their own documents, and those shared with them.
    #[default]
    User,
    /// A program that reads everything of its tenant and follows the change feed: backup, search.
    Reader,
    /// As a reader, and writes: payments, webhooks.
    Service,
    /// As a service, and decides about access, erases, and sees how the relay does.
    Admin,
}

/// A right to one document, named by its id or by what the id is derived from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Grant {
    Document { document: DocumentId, right: Right },
    Named { kind: String, owner: String, name: String, right: Right },
}

impl Claims {
    /// An ordinary user's, until `exp`.
    pub fn user(subject: impl Into<String>, exp: u64) -> Self {
        Self {
            sub: subject.into(),
            exp,
            nbf: None,
            jti: None,
            iss: None,
            aud: None,
            tenant: None,
            role: Role::User,
            grants: Vec::new(),
            create: true,
        }
    }

    /// What they come to, for a relay whose own tenant is `tenant`.
    pub(super) fn permit(self, tenant: &Tenant, expires: Timestamp) -> Result<Permit, Unauthorized> {
        let tenant = self.tenant.map_or_else(|| Ok(tenant.clone()), Tenant::new)?;
        if self.grants.len() > GRANTS_MAX {
            return Err(Unauthorized::BadClaims { why: format!("more than {GRANTS_MAX} grants") });
        }
        let mut documents = BTreeMap::new();
        for grant in &self.grants {
            let (document, right) = grant.of(&tenant);
            let widest = documents.entry(document).or_insert(right);
            *widest = right.max(*widest);
        }
        Ok(Permit {
            expires,
            everywhere: self.role.everywhere(),
            documents,
            may_create: self.create,
            may_follow: self.role != Role::User,
            ..Permit::user(tenant, Subject::new(self.sub)?)
        })
    }
}

impl Role {
    /// The right that it has to every document of its tenant.
    pub fn everywhere(self) -> Option<Right> {
        match self {
            Self::User => None,
            Self::Reader => Some(Right::Read),
            Self::Service => Some(Right::Write),
            Self::Admin => Some(Right::Admin),
        }
    }
}

impl Grant {
    fn of(&self, tenant: &Tenant) -> (DocumentId, Right) {
        match self {
            Self::Document { document, right } => (*document, *right),
            Self::Named { kind, owner, name, right } => {
                let name = DocumentName { tenant: tenant.as_str(), kind, owner, name };
                (DocumentId::derive(&name), *right)
            }
        }
    }
}

fn yes() -> bool {
    true
}
