//! What an import would do, and doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::row::{self, Facts, RowError, Table, Target};
use crate::authority::AuthorityKey;
use crate::document::{ApplyError, Change, Document, Refusal};
use crate::id::{ActorId, ChangeHash};
use crate::kind::{Kind, WrongKind};
use crate::limits::BAD_ROWS_LISTED_MAX;

/// Rows that have been read, sorted by the documents they belong to. Nothing is written before [`Plan::apply`].
#[derive(Debug)]
pub struct Plan {
    system: AuthorityKey,
    changes: BTreeMap<Target, BTreeMap<ChangeHash, Change>>,
    report: Report,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The tables that rows were read from.
    pub tables: BTreeMap<Table, Tally>,
    /// Rows that will not be imported, with the reasons.
    pub bad: Vec<BadRow>,
    /// How many bad rows there are beyond those listed.
    pub bad_more: usize,
}

/// The rows of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Tally {
    pub rows: usize,
    /// Rows that will be imported.
    pub good: usize,
    /// Rows that say what another row said already.
    pub repeated: usize,
}

/// A row that is not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRow {
    pub table: Table,
    /// Counted from one, over all that was read of the table.
    pub number: usize,
    /// The row's id, when it has one that can be shown.
    pub id: Option<String>,
    pub error: RowError,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} row {}", self.table, self.number)?;
        if let Some(id) = &self.id {
            write!(f, " (id {id})")?;
        }
        write!(f, ": {}", self.error)
    }
}

impl Serialize for BadRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("BadRow", 3 + usize::from(self.id.is_some()))?;
        fields.serialize_field("table", &self.table)?;
        fields.serialize_field("number", &self.number)?;
        match &self.id {
            Some(id) => fields.serialize_field("id", id)?,
            None => fields.skip_field("id")?,
        }
        fields.serialize_field("reason", &self.error.to_string())?;
        fields.end()
    }
}

/// What became of the rows of one document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Imported {
    /// Rows that the document did not have.
    pub new: usize,
    /// Rows that it had already.
    pub present: usize,
}

/// Why the rows of one document could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    #[error(transparent)]
    WrongKind(#[from] WrongKind),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("somebody wrote another change in the place of an imported row: {refusal}")]
    Refused { change: ChangeHash, refusal: Refusal },
}

impl Plan {
    /// A plan without rows. `system` signs what was in the older tables; documents are to trust it as
    /// [`crate::authority::Role::System`].
    pub fn new(system: AuthorityKey) -> Self {
        Self { system, changes: BTreeMap::new(), report: Report::default() }
    }

    /// Reads rows of one table. May be called again, for the same table or others, in any order.
    pub fn read<'a>(&mut self, table: Table, rows: impl IntoIterator<Item = &'a Value>) {
        for row in rows {
            let tally = self.report.tables.entry(table).or_default();
            tally.rows += 1;
            match row::facts(table, row, &self.system) {
                Ok(facts) => {
                    let change = change(table, &facts);
                    let known = self.changes.entry(facts.target).or_default().insert(change.hash(), change);
                    if known.is_some() {
                        tally.repeated += 1;
                    } else {
                        tally.good += 1;
                    }
                }
                Err(_) if self.report.bad.len() == BAD_ROWS_LISTED_MAX => self.report.bad_more += 1,
                Err(error) => {
                    let id = row.get("id").and_then(Value::as_str).map(|id| id.chars().take(64).collect());
                    self.report.bad.push(BadRow { table, number: tally.rows, id, error });
                }
            }
        }
    }

    /// What was read so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The documents that rows were read for.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.changes.keys()
    }

    /// The changes for one document, one a row: to be written, or sent to whoever has the document.
    pub fn changes(&self, target: &Target) -> impl Iterator<Item = &Change> {
        self.changes.get(target).into_iter().flat_map(BTreeMap::values)
    }

    /// What [`Plan::apply`] would do to this document.
    pub fn preview(&self, target: &Target, document: &Document) -> Imported {
        let (mut new, mut present) = (0, 0);
        for change in self.changes(target) {
            *if document.contains(&change.hash()) { &mut present } else { &mut new } += 1;
        }
        Imported { new, present }
    }

    /// Writes the rows of one document that it does not have yet.
    pub fn apply(&self, target: &Target, document: &mut Document) -> Result<Imported, ImportError> {
        let kind = match target {
            Target::Enrollments(_) => Kind::Enrollment,
            Target::Cart(_) => Kind::Cart,
        };
        kind.check(document)?;
        kind.declare(document);
        let imported = self.preview(target, document);
        let ours: BTreeSet<_> = self.changes(target).map(Change::hash).collect();
        let applied = document.apply(self.changes(target).cloned())?;
        match applied.refused.into_iter().find(|(change, _)| ours.contains(change)) {
            Some((change, refusal)) => Err(ImportError::Refused { change, refusal }),
            None => Ok(imported),
        }
    }
}

/// The change that everyone makes alike out of this row.
fn change(table: Table, facts: &Facts) -> Change {
    let entries: Vec<_> = facts.entries.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
    let mut parts = vec!["import", table.as_str(), facts.row.as_str()];
    parts.extend(entries.iter().flat_map(|(key, text)| [*key, *text]));
    Change::derived(ActorId::derive(&parts), &entries)
}
