//! The imported rows of a student's document, as they were found.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::authority::{Role, SignatureCache, Statement};
use crate::document::{Document, Stored};
use crate::enrollment::{FactId, LegacyTable, PaymentState, Policy, RowId, Status};
use crate::id::{CourseId, StudentId};
use crate::kind::Kind;
use crate::time::Timestamp;

/// One imported row. Of several states of a row, the latest.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) table: LegacyTable,
    pub(super) key: String,
    pub(super) at: Timestamp,
    pub(super) word: Option<String>,
}

impl Row {
    pub(super) fn status(&self) -> Option<Status> {
        self.word.as_deref().and_then(|word| Status::from_legacy(word).ok())
    }

    pub(super) fn payment(&self) -> Option<PaymentState> {
        self.word.as_deref().and_then(|word| PaymentState::from_legacy(word).ok())
    }

    /// How the word should have been written. `None` when nobody knows it; rows of progress have numbers, not words.
    pub(super) fn canonical(&self) -> Option<&'static str> {
        match self.table {
            LegacyTable::Enrollments | LegacyTable::AccessRequests => self.status().map(Status::as_str),
            LegacyTable::Payments => self.payment().map(PaymentState::as_str),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    at: Timestamp,
    status: Option<String>,
}

/// The rows by course. Only what the system signed is a row.
pub(super) fn rows(
    document: &Document,
    student: &StudentId,
    policy: &Policy,
) -> BTreeMap<CourseId, Vec<Row>> {
    let mut latest: BTreeMap<(CourseId, LegacyTable, RowId), Row> = BTreeMap::new();
    let mut seen = SignatureCache::default();
    for (key, values) in document.scan("f/") {
        let Some((course, fact)) = key["f/".len()..].split_once('/') else { continue };
        let (Some(course), Ok(FactId::Legacy(id))) = (CourseId::from_segment(course), fact.parse()) else {
            continue;
        };
        let place = Statement { kind: Kind::Enrollment.as_str(), subject: student.as_str(), key: &key };
        for text in values.iter().filter_map(Stored::as_text) {
            let Ok(proven) = place.verify(text, &mut seen) else { continue };
            if policy.trust.role_in(&course, proven.by()) != Some(Role::System) {
                continue;
            }
            let Ok(Body { at, status: word }) = proven.read() else { continue };
            let row = Row { table: id.table, key: key.clone(), at, word };
            let known = latest.entry((course.clone(), id.table, id.row.clone())).or_insert(row.clone());
            if row.at > known.at {
                *known = row;
            }
        }
    }
    let mut rows = BTreeMap::<_, Vec<_>>::new();
    for ((course, ..), row) in latest {
        rows.entry(course).or_default().push(row);
    }
    rows
}
