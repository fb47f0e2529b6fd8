//! What a document says it is: `@/kind`, with the version of its format.
//!
//! The declaration is one change that every device writes alike (same actor, same bytes, same hash), so two devices that
//! create a document offline have declared it once, and histories of two documents of a kind merge without a trace of
//! it. It is proven by being part of the history: overwriting or deleting the key afterwards changes nothing.
//!
//! A document may be of several kinds: a student's enrollments and progress often live together.
//!
//! ```
//! use crdt_core::document::Document;
//! use crdt_core::id::ActorId;
//! use crdt_core::kind::Kind;
//!
//! let mut phone = Document::new(ActorId::from_bytes([1; 16]));
//! let mut laptop = Document::new(ActorId::from_bytes([2; 16]));
//! Kind::Enrollment.declare(&mut phone);
//! Kind::Enrollment.declare(&mut laptop);
//! assert_eq!(phone.heads(), laptop.heads());
//!
//! assert!(Kind::Enrollment.check(&phone).is_ok());
//! assert!(Kind::Cart.check(&phone).is_err());
//! ```

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::document::{Change, Document, Stored};
use crate::id::{ActorId, ChangeHash};

/// The root key of the declaration.
pub const KIND_KEY: &str = "@/kind";

/// The version of every encoding that this crate writes.
pub const FORMAT: u32 = 1;

/// What a document holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    Cart,
    Enrollment,
    Progress,
    Profile,
    Allotment,
}

#[derive(Serialize, Deserialize)]
struct Declaration {
    format: u32,
    kind: String,
}

impl Kind {
    /// Every kind that this version knows.
    pub const ALL: [Self; 5] = [Self::Cart, Self::Enrollment, Self::Progress, Self::Profile, Self::Allotment];

    /// The word that `@/kind` says, which is also the kind that facts of authority are signed for.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cart => "cart",
            Self::Enrollment => "enrollment",
            Self::Progress => "progress",
            Self::Profile => "profile",
            Self::Allotment => "allotment",
        }
    }

    /// Makes the document one of this kind. `None` when it is already.
    pub fn declare(self, document: &mut Document) -> Option<ChangeHash> {
        let change = self.declaration();
        let hash = change.hash();
        match document.write_derived(change) {
            Ok(new) => new.then_some(hash),
            // Somebody squats on the derived actor. The same words in our own name say the same.
            Err(_) if self.check(document).is_ok() && !document.values(KIND_KEY).is_empty() => None,
            Err(_) => {
                let mut edit = document.edit();
                edit.put(KIND_KEY, &self.text());
                edit.commit().map(|committed| committed.hash)
            }
        }
    }

    /// Whether the document has been declared to be of this kind, in the format that this version writes.
    pub fn is_declared(self, document: &Document) -> bool {
        document.contains(&self.declaration().hash())
    }

    /// Refuses a document that was declared to be something else. A document that declares nothing passes: its
    /// declaration may still be on its way.
    pub fn check(self, document: &Document) -> Result<(), WrongKind> {
        let declarations = declarations(document);
        if declarations.is_empty() || self.is_declared(document) {
            return Ok(());
        }
        match declarations.iter().filter(|found| found.kind == self.as_str()).map(|found| found.format).min()
        {
            Some(format) if format > FORMAT => Err(WrongKind::Newer { kind: self, format }),
            Some(_) => Ok(()),
            None => {
                let found = declarations.into_iter().map(|found| found.kind);
                Err(WrongKind::Another { expected: self, found: found.collect() })
            }
        }
    }

    fn declaration(self) -> Change {
        Change::derived(self.declarer(), &[(KIND_KEY, &self.text())])
    }

    fn declarer(self) -> ActorId {
        ActorId::derive(&["kind", self.as_str(), &FORMAT.to_string()])
    }

    fn text(self) -> String {
        canonical::to_text(&Declaration { format: FORMAT, kind: self.as_str().to_owned() })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn declarations(document: &Document) -> Vec<Declaration> {
    let values = document.values(KIND_KEY);
    values.iter().filter_map(Stored::as_text).filter_map(|text| canonical::from_text(text).ok()).collect()
}

/// Why a document can't be opened as what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongKind {
    #[error("the document is not of kind {expected} but {found:?}")]
    Another { expected: Kind, found: BTreeSet<String> },
    #[error("the document is of kind {kind} in format {format}; this version reads up to {FORMAT}")]
    Newer { kind: Kind, format: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(n: u8) -> Document {
        Document::new(ActorId::from_bytes([n; 16]))
    }

    fn put(document: &mut Document, text: &str) {
        let mut edit = document.edit();
        edit.put(KIND_KEY, text);
        edit.commit();
    }

    #[test]
    fn declared_once_by_whomever() {
        let mut phone = document(1);
        assert!(Kind::Cart.declare(&mut phone).is_some());
        assert_eq!(Kind::Cart.declare(&mut phone), None);
        let mut laptop = document(2);
        Kind::Cart.declare(&mut laptop);
        assert_eq!(laptop.merge(&mut phone).unwrap().changes, []);
        Kind::Progress.declare(&mut laptop);
        assert_eq!(laptop.values(KIND_KEY).len(), 2);
        assert!(Kind::Cart.check(&laptop).is_ok() && Kind::Progress.check(&laptop).is_ok());
        assert!(Kind::Profile.check(&laptop).is_err());
    }

    #[test]
    fn a_declaration_can_not_be_unsaid() {
        let mut phone = document(1);
        Kind::Cart.declare(&mut phone);
        put(&mut phone, r#"{"format":1,"kind":"enrollment"}"#);
        assert!(Kind::Cart.check(&phone).is_ok());
    }

    #[test]
    fn a_squatted_declaration_is_made_in_our_own_name() {
        let mut phone = document(1);
        let squat = Change::derived(Kind::Cart.declarer(), &[("elsewhere", "1")]);
        phone.apply([squat]).unwrap();
        assert!(Kind::Cart.declare(&mut phone).is_some());
        assert_eq!(Kind::Cart.declare(&mut phone), None);
        assert!(Kind::Cart.check(&phone).is_ok());
        assert!(Kind::Profile.check(&phone).is_err());
    }

    #[test]
    fn a_newer_format_is_told_apart_from_another_kind() {
        let mut phone = document(1);
        assert!(Kind::Cart.check(&phone).is_ok());
        put(&mut phone, r#"{"format":2,"kind":"cart","more":true}"#);
        assert_eq!(Kind::Cart.check(&phone), Err(WrongKind::Newer { kind: Kind::Cart, format: 2 }));
        put(&mut phone, "nonsense");
        assert!(Kind::Cart.check(&phone).is_ok());
    }
}
