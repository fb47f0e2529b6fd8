//! Who may do what: permits that connections carry, and the access that documents keep. Both are data.

use std::collections::BTreeMap;

use crdt_core::id::DocumentId;
use crdt_core::sync::Manner;
use crdt_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DocumentKey, Subject, Tenant};

/// What someone may do with a document. Each right includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    Read,
    Write,
    /// Also grant, revoke and erase.
    Admin,
}

impl Right {
    /// How a relay syncs with a peer that has this right.
    pub fn manner(self) -> Manner {
        if self >= Self::Write { Manner::RELAY } else { Manner::RELAY_READ_ONLY }
    }
}

/// Who may use a stored document besides administrators of its tenant.
///
/// ```
/// use relay::access::{Access, Right};
/// use relay::id::Subject;
/// let (owner, helper) = (Subject::new("student-7")?, Subject::new("tutor-1")?);
/// let mut access = Access::owned_by(owner.clone());
/// access.grant(helper.clone(), Right::Read);
/// assert_eq!(access.right_of(&owner), Some(Right::Admin));
/// assert_eq!(access.right_of(&helper), Some(Right::Read));
/// # Ok::<(), relay::id::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    owner: Subject,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    grants: BTreeMap<Subject, Right>,
}

impl Access {
    /// A new document belongs to the subject that first writes it.
    pub fn owned_by(owner: Subject) -> Self {
        Self { owner, grants: BTreeMap::new() }
    }

    pub fn owner(&self) -> &Subject {
        &self.owner
    }

    pub fn grants(&self) -> &BTreeMap<Subject, Right> {
        &self.grants
    }

    /// Gives `subject` this right, in place of the one it had.
    pub fn grant(&mut self, subject: Subject, right: Right) {
        self.grants.insert(subject, right);
    }

    /// Takes back what was granted to `subject`. An owner stays the owner.
    pub fn revoke(&mut self, subject: &Subject) -> Option<Right> {
        self.grants.remove(subject)
    }

    pub fn right_of(&self, subject: &Subject) -> Option<Right> {
        if *subject == self.owner { Some(Right::Admin) } else { self.grants.get(subject).copied() }
    }
}

/// What stands behind a connection: whoever holds a permit has been authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub tenant: Tenant,
    pub subject: Subject,
    /// Whether somebody vouches for the subject. Otherwise it may be anyone, and everyone is the same.
    pub is_authenticated: bool,
    /// From this moment on the permit permits nothing.
    pub expires: Timestamp,
    /// A right to every document of the tenant, known or not.
    pub everywhere: Option<Right>,
    /// Rights to single documents, beyond what documents themselves grant.
    pub documents: BTreeMap<DocumentId, Right>,
    /// Whether the subject may bring documents that the relay has not seen before.
    pub may_create: bool,
    /// Whether the subject may follow the tenant's change feed.
    pub may_follow: bool,
}

impl Permit {
    /// An ordinary user: their own documents, those shared with them, and new ones.
    pub fn user(tenant: Tenant, subject: Subject) -> Self {
        Self {
            tenant,
            subject,
            is_authenticated: true,
            expires: Timestamp::MAX,
            everywhere: None,
            documents: BTreeMap::new(),
            may_create: true,
            may_follow: false,
        }
    }

    /// Everyone without authentication: every document of the tenant may be read and written, and its feed followed.
    pub fn open(tenant: Tenant, subject: Subject) -> Self {
        Self {
            is_authenticated: false,
            everywhere: Some(Right::Write),
            may_follow: true,
            ..Self::user(tenant, subject)
        }
    }

    /// The key of a document as this permit's holder means it: another tenant's documents can't even be named.
    pub fn key(&self, document: DocumentId) -> DocumentKey {
        DocumentKey { tenant: self.tenant.clone(), document }
    }

    /// What the holder may do with a stored document.
    pub fn right_to(&self, document: DocumentId, access: &Access) -> Option<Right> {
        self.right_named(document).max(access.right_of(&self.subject))
    }

    /// What the holder may do with a document by this permit alone, whatever the document grants.
    pub fn right_named(&self, document: DocumentId) -> Option<Right> {
        self.everywhere.max(self.documents.get(&document).copied())
    }

    /// Whether the holder may write a document that is not stored yet, and so become its owner.
    pub fn may_begin(&self, document: DocumentId) -> bool {
        self.may_create || self.right_named(document) >= Some(Right::Write)
    }

    /// Whether the permit permits nothing any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Subject {
        Subject::new(text).unwrap()
    }

    #[test]
    fn the_widest_of_all_rights_counts() {
        let document = DocumentId::from_bytes([7; 16]);
        let mut access = Access::owned_by(name("student-7"));
        let mut permit = Permit::user(Tenant::new("shop").unwrap(), name("tutor-1"));
        assert_eq!(permit.right_to(document, &access), None);
        access.grant(name("tutor-1"), Right::Read);
        assert_eq!(permit.right_to(document, &access), Some(Right::Read));
        permit.documents.insert(document, Right::Write);
        assert_eq!(permit.right_to(document, &access), Some(Right::Write));
        permit.everywhere = Some(Right::Read);
        assert_eq!(permit.right_to(document, &access), Some(Right::Write));
        access.revoke(&name("tutor-1"));
        permit.documents.clear();
        assert_eq!(permit.right_to(document, &access), Some(Right::Read));
    }

    #[test]
    fn an_owner_can_not_be_revoked() {
        let mut access = Access::owned_by(name("student-7"));
        access.revoke(&name("student-7"));
        assert_eq!(access.right_of(&name("student-7")), Some(Right::Admin));
    }

    #[test]
    fn a_permit_ends_at_its_expiry() {
        let mut permit = Permit::user(Tenant::new("shop").unwrap(), name("student-7"));
        permit.expires = Timestamp::from_millis(10);
        assert!(!permit.is_expired(Timestamp::from_millis(9)));
        assert!(permit.is_expired(Timestamp::from_millis(10)));
    }
}
