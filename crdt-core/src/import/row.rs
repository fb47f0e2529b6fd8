//! The rows of older tables, as they are found, and the facts that they become.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::authority::AuthorityKey;
use crate::cart::{self, Line, ListName, Quantity, Sku};
use crate::enrollment::{LegacyRow, LegacyTable, RowId};
use crate::id::{ActorId, CourseId, Dot, LessonId, StudentId};
use crate::limits::IMPORT_LESSONS_MAX;
use crate::money::{Currency, Money};
use crate::progress::{self, Percent};
use crate::time::Timestamp;

/// The tables that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Table {
    Enrollments,
    AccessRequests,
    Payments,
    StudentProgress,
    CartItems,
}

impl Table {
    /// Every table, the source of truth first.
    pub const ALL: [Self; 5] =
        [Self::Enrollments, Self::AccessRequests, Self::Payments, Self::StudentProgress, Self::CartItems];

    /// The table's name.
    pub const fn as_str(self) -> &'static str {
        match self.legacy() {
            Some(table) => table.as_str(),
            None => "cartItems",
        }
    }

    /// The table among those that enrollments came from. `None` for cart rows.
    const fn legacy(self) -> Option<LegacyTable> {
        match self {
            Self::Enrollments => Some(LegacyTable::Enrollments),
            Self::AccessRequests => Some(LegacyTable::AccessRequests),
            Self::Payments => Some(LegacyTable::Payments),
            Self::StudentProgress => Some(LegacyTable::StudentProgress),
            Self::CartItems => None,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A row about a student and a course: `enrollments`, `accessRequests`, `payments`, `studentProgress`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CourseRow {
    #[serde(deserialize_with = "row_id")]
    id: RowId,
    #[serde(alias = "userId")]
    student_id: StudentId,
    course_id: CourseId,
    status: Option<String>,
    /// Milliseconds since 1970. Of several states of one row, the latest counts.
    #[serde(default)]
    updated_at: Timestamp,
    /// `studentProgress` only.
    #[serde(alias = "percent")]
    progress: Option<Percent>,
    #[serde(default)]
    completed_lessons: Vec<LessonId>,
}

/// A row of `cartItems`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CartRow {
    #[serde(deserialize_with = "row_id")]
    id: RowId,
    #[serde(alias = "studentId")]
    user_id: StudentId,
    sku: Sku,
    #[serde(default)]
    options: BTreeMap<String, String>,
    quantity: Quantity,
    #[serde(default)]
    saved_for_later: bool,
    price_minor: Option<i64>,
    currency: Option<Currency>,
}

/// Tables number their rows, or name them.
fn row_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RowId, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return Err(D::Error::custom("the id is neither a text nor a whole number")),
    };
    RowId::new(text).map_err(D::Error::custom)
}

/// Which document a row belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Target {
    /// The student's enrollments and progress.
    Enrollments(StudentId),
    /// The person's cart.
    Cart(StudentId),
}

/// The facts of one row.
pub(super) struct Facts {
    pub(super) target: Target,
    pub(super) row: RowId,
    pub(super) entries: Vec<(String, String)>,
}

/// Why a row is not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    #[error("the row can't be read: {why}")]
    Unreadable { why: String },
    #[error("{why}")]
    UnknownStatus { why: String },
    #[error("the row has neither a percentage nor lessons")]
    NoProgress,
    #[error("the row names {lessons} lessons; at most {IMPORT_LESSONS_MAX} are accepted")]
    TooManyLessons { lessons: usize },
    #[error("the row has a status, and {table} rows must have one that is known")]
    NoStatus { table: Table },
    #[error("the row's price and currency do not make an amount of money: {why}")]
    BadPrice { why: String },
}

/// Reads one row into the facts that it becomes.
pub(super) fn facts(table: Table, row: &Value, system: &AuthorityKey) -> Result<Facts, RowError> {
    match table.legacy() {
        Some(legacy) => course_facts(table, legacy, read(row)?, system),
        None => cart_facts(read(row)?),
    }
}

fn read<'a, T: Deserialize<'a>>(row: &'a Value) -> Result<T, RowError> {
    T::deserialize(row).map_err(|error| RowError::Unreadable { why: error.to_string() })
}

fn course_facts(
    table: Table,
    legacy: LegacyTable,
    row: CourseRow,
    system: &AuthorityKey,
) -> Result<Facts, RowError> {
    let CourseRow { id, student_id, course_id, status, updated_at, progress, completed_lessons } = row;
    let mut entries = Vec::new();
    // Progress speaks in percent; the others in words, which must be known ones.
    let status = if table == Table::StudentProgress {
        if progress.is_none() && completed_lessons.is_empty() {
            return Err(RowError::NoProgress);
        }
        if completed_lessons.len() > IMPORT_LESSONS_MAX {
            return Err(RowError::TooManyLessons { lessons: completed_lessons.len() });
        }
        entries.extend(progress.map(|percent| progress::imported::floor(&course_id, percent, updated_at)));
        let done = completed_lessons.iter();
        entries.extend(done.map(|lesson| progress::imported::done(&course_id, lesson, updated_at)));
        progress.map(|percent| percent.get().to_string())
    } else {
        Some(status.ok_or(RowError::NoStatus { table })?)
    };
    let fact = LegacyRow { table: legacy, row: id.clone(), status, updated: updated_at };
    let (_, key, text) = fact
        .to_fact(&student_id, &course_id, system)
        .map_err(|error| RowError::UnknownStatus { why: error.to_string() })?;
    entries.push((key, text));
    Ok(Facts { target: Target::Enrollments(student_id), row: id, entries })
}

fn cart_facts(row: CartRow) -> Result<Facts, RowError> {
    let CartRow { id, user_id, sku, options, quantity, saved_for_later, price_minor, currency } = row;
    let unreadable = |error: crate::id::InvalidId| RowError::Unreadable { why: error.to_string() };
    let line = options
        .iter()
        .try_fold(Line::of(&sku), |line, (option, value)| line.with(option, value))
        .map_err(unreadable)?;
    let price = match (price_minor, currency) {
        (None, _) => None,
        (Some(_), None) => return Err(RowError::BadPrice { why: "the currency is missing".to_owned() }),
        (Some(minor), Some(currency)) => {
            Some(Money::new(minor, currency).map_err(|error| RowError::BadPrice { why: error.to_string() })?)
        }
    };
    let list = if saved_for_later { ListName::saved() } else { ListName::cart() };
    // The dot is the row's own: whatever the row says later is about the same units.
    let actor = ActorId::derive(&["import", Table::CartItems.as_str(), user_id.as_str(), id.as_str()]);
    let dot = Dot { counter: 1, actor };
    let entries = vec![cart::imported::fact(&line, &dot, quantity, list, price)];
    Ok(Facts { target: Target::Cart(user_id), row: id, entries })
}
