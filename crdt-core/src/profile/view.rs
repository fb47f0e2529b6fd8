//! What people see of a profile: the same JSON in every language.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Field;
use super::value::{Candidate, FieldAuthor, FieldRole, FieldValue};
use crate::time::Timestamp;

/// Every field that holds something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView {
    pub fields: BTreeMap<Field, FieldView>,
}

/// What is shown of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldView {
    pub value: FieldValue,
    /// In which role the value was written; of a merged value, the newest that went into it. So with author and time.
    pub role: FieldRole,
    pub author: FieldAuthor,
    pub at: Timestamp,
    /// Somebody should choose among the candidates and resolve the conflict.
    pub conflict: bool,
    /// Everything that survives, oldest first, where it differs.
    pub candidates: Vec<Candidate>,
}

/// A change of what is shown of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FieldChange {
    pub field: Field,
    /// What was shown; the same as after where only the conflict or the author is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<FieldValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<FieldValue>,
}
