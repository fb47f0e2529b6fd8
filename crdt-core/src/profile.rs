//! The profile: named fields that several devices and the server write, and a say in who wins.
//!
//! Each field is a register: writing it replaces what the writer had seen, and what was written concurrently survives
//! beside it. Which of the survivors is shown is decided by a [`Strategy`], purely from the survivors themselves, so that
//! all replicas show the same. "Client" and "server" are the roles of the authors, never "me" and "them"; a value is the
//! server's when a key that the application trusts as system, admin or owner has signed it.
//!
//! | strategy | shows |
//! |---|---|
//! | [`Strategy::ClientWins`] | the newest of the clients' values, else the newest of the server's |
//! | [`Strategy::ServerWins`] | the newest of the server's values, else the newest of the clients' |
//! | [`Strategy::LastModifiedWins`] | the newest value |
//! | [`Strategy::merge`] | what a function of the application's makes of all of them |
//! | [`Strategy::PromptUser`] | the newest value, as a conflict, until somebody resolves it |
//!
//! Newest is the latest by what its author's clock said; equally new values are told apart by author and content. Clocks
//! can be wrong: a field that must not be decided by them takes another strategy. They never matter among values of
//! which one was written in knowledge of the other.
//!
//! ```
//! use crdt_core::authority::TrustSet;
//! use crdt_core::id::{ActorId, StudentId};
//! use crdt_core::profile::{Field, FieldValue, Profile, Strategy};
//! use crdt_core::time::Timestamp;
//!
//! let student = StudentId::new("student-7")?;
//! let create = |n| Profile::create(ActorId::from_bytes([n; 16]), student.clone(), TrustSet::default());
//! let (mut phone, mut laptop) = (create(1), create(2));
//! let name = Field::new("display-name")?;
//! let at = Timestamp::from_millis;
//!
//! phone.set(&name, &FieldValue::text("Robin")?, at(1_000))?;
//! laptop.set(&name, &FieldValue::text("Robin H.")?, at(2_000))?;
//! let changed = phone.merge(&mut laptop)?;
//! assert_eq!(changed[0].field, name);
//! assert_eq!(phone.view().fields[&name].value, FieldValue::text("Robin H.")?);
//!
//! phone.set_strategy(&name, Strategy::PromptUser);
//! assert!(phone.view().fields[&name].conflict);
//! phone.resolve(&name, &FieldValue::text("Robin")?, at(3_000))?;
//! assert!(!phone.view().fields[&name].conflict);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod strategy;
mod value;
mod view;

use std::borrow::{Borrow, BorrowMut};
use std::collections::BTreeMap;

use serde::Serialize;

pub use self::strategy::{Merge, Strategy};
pub use self::value::{Candidate, FieldAuthor, FieldRole, FieldValue, InvalidValue};
pub use self::view::{FieldChange, FieldView, ProfileView};

use self::value::Reader;
use crate::authority::{AuthorityKey, PublicKey, Role, SignatureCache, TrustSet};
use crate::document::{ApplyError, Change, Document, Stored, Touched, Version};
use crate::id::{ActorId, ChangeHash, StudentId, text_id};
use crate::inert::{InertList, InertReason};
use crate::kind::{KIND_KEY, Kind, WrongKind};
use crate::limits::KEY_BYTES_MAX;
use crate::time::Timestamp;
use crate::untold::Untold;

text_id!(
    /// A field of a profile, as the application names it.
    Field, "field"
);

/// Root keys of fields start so.
const PREFIX: &str = "u/";

/// One student's profile: reads and writes the fields in a document, which it owns or borrows.
#[derive(Debug)]
pub struct Profile<D = Document> {
    document: D,
    state: ProfileState,
}

/// What [`Profile`] remembers of a document between uses.
#[derive(Debug)]
pub struct ProfileState {
    student: StudentId,
    trust: TrustSet,
    seen: SignatureCache,
    strategy: Strategy,
    strategies: BTreeMap<Field, Strategy>,
    version: Option<Version>,
    /// What survives of each field, newest last.
    candidates: BTreeMap<Field, Vec<Candidate>>,
    inert: BTreeMap<Box<str>, Vec<InertReason>>,
    view: ProfileView,
    untold: Untold<Field, Option<FieldView>>,
}

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The change that was written; `None` when the field was so already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ChangeHash>,
    pub field: Field,
    /// What was shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<FieldValue>,
    /// What is shown now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<FieldValue>,
}

/// Why an operation was not done. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    #[error("{field} has no conflict to resolve")]
    NothingToResolve { field: Field },
    #[error("{by} is not trusted to speak for the server")]
    NotTrusted { by: PublicKey },
}

impl ProfileError {
    /// A word for programs: the same in every language and version.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NothingToResolve { .. } => "nothingToResolve",
            Self::NotTrusted { .. } => "notTrusted",
        }
    }
}

impl Profile {
    /// A new document for `student`, written to as `actor`.
    pub fn create(actor: ActorId, student: StudentId, trust: TrustSet) -> Self {
        let mut document = Document::new(actor);
        Kind::Profile.declare(&mut document);
        Self::open(document, student, trust).expect("just declared to be of this kind")
    }
}

impl<D: Borrow<Document>> Profile<D> {
    /// The profile of `student` in `document`. Until told otherwise, the newest value of a field wins.
    pub fn open(document: D, student: StudentId, trust: TrustSet) -> Result<Self, WrongKind> {
        Kind::Profile.check(document.borrow())?;
        let state = ProfileState {
            student,
            trust,
            seen: SignatureCache::default(),
            strategy: Strategy::default(),
            strategies: BTreeMap::new(),
            version: None,
            candidates: BTreeMap::new(),
            inert: BTreeMap::new(),
            view: ProfileView::default(),
            untold: Untold::default(),
        };
        Ok(Self { document, state })
    }

    /// Goes on where [`Profile::suspend`] left off. The document must be the one that the state was taken from; it may
    /// have changed since.
    pub fn resume(document: D, state: ProfileState) -> Self {
        Self { document, state }
    }

    /// Gives the document back, and what is remembered of it.
    pub fn suspend(self) -> (D, ProfileState) {
        (self.document, self.state)
    }

    pub fn document(&self) -> &Document {
        self.document.borrow()
    }

    /// Decides conflicts of `field` this way. All replicas must be told the same to show the same.
    pub fn set_strategy(&mut self, field: &Field, strategy: Strategy) {
        self.state.strategies.insert(field.clone(), strategy);
        self.state.show(field);
    }

    /// Decides conflicts of all fields that have no strategy of their own this way.
    pub fn set_default_strategy(&mut self, strategy: Strategy) {
        self.state.strategy = strategy;
        let fields: Vec<_> = self.state.candidates.keys().cloned().collect();
        for field in &fields {
            self.state.show(field);
        }
    }

    /// From now on these are trusted. What was read before is read again.
    pub fn set_trust(&mut self, trust: TrustSet) {
        self.state.trust = trust;
        self.state.version = None;
    }

    /// The signatures found valid so far, to be kept with the device's own data.
    pub fn signatures(&self) -> &SignatureCache {
        &self.state.seen
    }

    /// Spares checking signatures that were found valid before.
    pub fn set_signatures(&mut self, seen: SignatureCache) {
        self.state.seen = seen;
    }

    /// Every field.
    pub fn view(&mut self) -> &ProfileView {
        self.state.refresh(self.document.borrow());
        &self.state.view
    }

    /// Takes notice of what others did to the document. Reads only what was touched. The fields that show something else
    /// than when this was last asked are returned; after opening, none are.
    pub fn refresh(&mut self) -> Vec<FieldChange> {
        self.view();
        let before = self.state.untold.take().into_iter();
        let changed = before.filter_map(|(field, before)| {
            let after = self.state.view.fields.get(&field);
            let is_other = before.as_ref() != after;
            let value = |shown: &FieldView| shown.value.clone();
            is_other.then(|| FieldChange {
                before: before.as_ref().map(value),
                after: after.map(value),
                field,
            })
        });
        changed.collect()
    }

    /// Everything in the document that counts for nothing, with the reasons.
    pub fn inert(&mut self) -> InertList {
        self.view();
        let mut list = InertList::default();
        for (key, reasons) in &self.state.inert {
            for reason in reasons {
                list.push(key, reason.clone());
            }
        }
        list
    }
}

impl<D: BorrowMut<Document>> Profile<D> {
    /// The document, to exchange changes with peers. [`Profile::refresh`] afterwards.
    pub fn document_mut(&mut self) -> &mut Document {
        self.document.borrow_mut()
    }

    /// Takes in changes from storage or from peers, and tells which fields show something else.
    pub fn apply(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Vec<FieldChange>, ApplyError> {
        self.view();
        self.document.borrow_mut().apply(changes)?;
        Ok(self.refresh())
    }

    /// Takes in everything that `other` has, and tells which fields show something else.
    pub fn merge<E: BorrowMut<Document>>(
        &mut self,
        other: &mut Profile<E>,
    ) -> Result<Vec<FieldChange>, ApplyError> {
        self.view();
        self.document.borrow_mut().merge(other.document.borrow_mut())?;
        Ok(self.refresh())
    }

    /// Writes a field as a client, replacing every value of it seen here.
    pub fn set(
        &mut self,
        field: &Field,
        value: &FieldValue,
        now: Timestamp,
    ) -> Result<Operation, ProfileError> {
        let author = FieldAuthor::Device(self.document().actor().clone());
        let text = Candidate { value: value.clone(), role: FieldRole::Client, author, at: now }.to_text();
        Ok(self.put(field, value, FieldRole::Client, &text, now))
    }

    /// Writes a field as the server, replacing every value of it seen here. As the system, an admin or owner.
    pub fn set_as_server(
        &mut self,
        field: &Field,
        value: &FieldValue,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, ProfileError> {
        let by = key.public();
        if !self.state.trust.role(&by).is_some_and(speaks_for_server) {
            return Err(ProfileError::NotTrusted { by });
        }
        let author = FieldAuthor::Key(by);
        let candidate = Candidate { value: value.clone(), role: FieldRole::Server, author, at: now };
        let text = candidate.to_signed_text(&self.state.student, &root_key(field), key);
        Ok(self.put(field, value, FieldRole::Server, &text, now))
    }

    /// Settles a conflict, as a client: from now on `value` alone stands.
    pub fn resolve(
        &mut self,
        field: &Field,
        value: &FieldValue,
        now: Timestamp,
    ) -> Result<Operation, ProfileError> {
        self.view();
        if self.state.candidates.get(field).is_none_or(|candidates| candidates.len() < 2) {
            return Err(ProfileError::NothingToResolve { field: field.clone() });
        }
        self.set(field, value, now)
    }

    /// Empties a field: removes every value of it seen here.
    pub fn clear(&mut self, field: &Field, now: Timestamp) -> Operation {
        let before = self.shown(field);
        let mut edit = self.document.borrow_mut().edit();
        edit.set_time(now);
        edit.delete(&root_key(field));
        let id = edit.commit().map(|committed| committed.hash);
        self.done(id, field, before)
    }

    fn put(
        &mut self,
        field: &Field,
        value: &FieldValue,
        role: FieldRole,
        text: &str,
        now: Timestamp,
    ) -> Operation {
        let before = self.shown(field);
        let survivors = self.state.candidates.get(field).map_or(&[][..], Vec::as_slice);
        let is_so = matches!(survivors, [only] if only.value == *value && only.role == role);
        let mut id = None;
        if !is_so {
            let document = self.document.borrow_mut();
            if document.values(KIND_KEY).is_empty() {
                Kind::Profile.declare(document);
            }
            let mut edit = document.edit();
            edit.set_time(now);
            edit.put(&root_key(field), text);
            id = edit.commit().map(|committed| committed.hash);
        }
        self.done(id, field, before)
    }

    fn done(&mut self, id: Option<ChangeHash>, field: &Field, before: Option<FieldValue>) -> Operation {
        let untold = self.state.untold.holds(field);
        let after = self.shown(field);
        if !untold {
            self.state.untold.forget(field);
        }
        Operation { id, field: field.clone(), before, after }
    }

    fn shown(&mut self, field: &Field) -> Option<FieldValue> {
        self.view().fields.get(field).map(|shown| shown.value.clone())
    }
}

impl ProfileState {
    /// Reads what has changed since the last time; everything, the first time.
    fn refresh(&mut self, document: &Document) {
        let touched = self.version.map_or(Touched::Everything, |version| document.touched_since(version));
        self.version = Some(document.version());
        match touched {
            Touched::Keys(keys) => {
                for key in keys.iter().filter(|key| key.starts_with(PREFIX)) {
                    self.read(key, &document.values(key));
                }
            }
            Touched::Everything => {
                self.candidates.clear();
                self.inert.clear();
                for (field, shown) in std::mem::take(&mut self.view).fields {
                    self.untold.note(&field, || Some(shown));
                }
                for (key, values) in document.scan(PREFIX) {
                    self.read(&key, &values);
                }
            }
        }
        self.untold.begin();
    }

    /// Reads one key anew.
    fn read(&mut self, key: &str, values: &[Stored]) {
        self.inert.remove(key);
        let field = match parse_key(key) {
            Ok(field) => field,
            Err(_) if values.is_empty() => return,
            Err(reason) => {
                self.inert.insert(key.into(), vec![reason]);
                return;
            }
        };
        let mut reader = Reader { student: &self.student, trust: &self.trust, seen: &mut self.seen };
        let (mut candidates, mut inert) = (Vec::new(), Vec::new());
        for value in values {
            match reader.read(key, value) {
                Ok(candidate) => candidates.push(candidate),
                Err(reason) => inert.push(reason),
            }
        }
        candidates.sort_unstable_by(Candidate::by_age);
        candidates.dedup();
        if !inert.is_empty() {
            self.inert.insert(key.into(), inert);
        }
        if candidates.is_empty() {
            self.candidates.remove(&field);
        } else {
            self.candidates.insert(field.clone(), candidates);
        }
        self.show(&field);
    }

    /// Decides what is shown of a field.
    fn show(&mut self, field: &Field) {
        self.untold.note(field, || self.view.fields.get(field).cloned());
        let strategy = self.strategies.get(field).unwrap_or(&self.strategy);
        match self.candidates.get(field).and_then(|candidates| strategy.decide(candidates)) {
            Some(shown) => self.view.fields.insert(field.clone(), shown),
            None => self.view.fields.remove(field),
        };
    }
}

fn root_key(field: &Field) -> String {
    format!("{PREFIX}{}", field.segment())
}

fn parse_key(key: &str) -> Result<Field, InertReason> {
    if key.len() > KEY_BYTES_MAX {
        return Err(InertReason::KeyTooLong { bytes: key.len() });
    }
    key.strip_prefix(PREFIX).and_then(Field::from_segment).ok_or(InertReason::UnknownKey)
}

const fn speaks_for_server(role: Role) -> bool {
    matches!(role, Role::System | Role::Admin | Role::Owner)
}

#[cfg(test)]
mod tests;
