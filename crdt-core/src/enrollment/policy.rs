//! What the application, and not the document, says: whose word counts, and which courses are open.

use std::collections::BTreeSet;

use crate::authority::{Role, TrustSet};
use crate::id::CourseId;

/// What a fold takes from the application. Replicas with equal documents and equal policies show equal views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whose signature counts, and as what.
    pub trust: TrustSet,
    /// Courses that a student may enter without asking. A grant that students write themselves counts for these only.
    pub open_courses: BTreeSet<CourseId>,
}

impl From<TrustSet> for Policy {
    /// Trusts these, and no course is open.
    fn from(trust: TrustSet) -> Self {
        Self { trust, open_courses: BTreeSet::new() }
    }
}

/// How far a role's decision outweighs another's. `None` for roles that don't decide.
pub(super) const fn rank(role: Role) -> Option<u8> {
    match role {
        Role::Instructor => Some(1),
        Role::Admin => Some(2),
        Role::Owner => Some(3),
        Role::Student | Role::System | Role::Provider => None,
    }
}
