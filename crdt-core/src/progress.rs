//! Progress: how far a student has come in each course. It never goes back.
//!
//! | key | value | concurrent values combine by |
//! |---|---|---|
//! | `p/{course}/done/{lesson}` | when, as the device says | presence: done is done |
//! | `p/{course}/pos/{lesson}` | the furthest position, in the application's unit | the largest |
//! | `p/{course}/floor` | the least percentage, imported from an older system | the largest |
//!
//! Percent is the share of a course's known lessons that are done, at least the floor. Which lessons a course has is the
//! application's to say: lessons that it no longer knows stay recorded and count for nothing.
//!
//! ```
//! use crdt_core::id::{ActorId, CourseId, LessonId, StudentId};
//! use crdt_core::progress::{Position, Progress};
//! use crdt_core::time::Timestamp;
//!
//! let now = Timestamp::from_millis(1_700_000_000_000);
//! let course = CourseId::new("rust-101")?;
//! let lessons: Vec<_> = ["l1", "l2", "l3", "l4"].iter().map(LessonId::new).collect::<Result<_, _>>()?;
//!
//! let mut phone = Progress::create(ActorId::from_bytes([1; 16]));
//! let mut laptop = Progress::create(ActorId::from_bytes([2; 16]));
//! phone.complete(&course, &lessons[0], now);
//! phone.reach(&course, &lessons[1], Position::new(50), now);
//! laptop.reach(&course, &lessons[1], Position::new(90), now);
//!
//! let changed = phone.merge(&mut laptop)?;
//! assert_eq!(changed[0].course, course);
//! let seen = &phone.view().courses[&course];
//! assert_eq!(seen.percent(&lessons).get(), 25);
//! assert_eq!(seen.positions[&lessons[1]], Position::new(90));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod imported;
mod key;
mod percent;
mod view;

use std::borrow::{Borrow, BorrowMut};
use std::collections::BTreeMap;

use serde::Serialize;

pub use self::percent::{Percent, Position};
pub use self::view::{CourseProgress, ProgressChange, ProgressView};

use self::key::{Entry, Mark, PREFIX};
use crate::document::{ApplyError, Change, Document, Stored, Touched, Version};
use crate::heal;
use crate::id::{ActorId, ChangeHash, CourseId, LessonId};
use crate::inert::{InertList, InertReason};
use crate::kind::{Kind, WrongKind};
use crate::time::Timestamp;
use crate::untold::Untold;

/// One student's progress: reads and writes the marks in a document, which it owns or borrows.
///
/// The document is often the one that holds the student's enrollments too.
#[derive(Debug)]
pub struct Progress<D = Document> {
    document: D,
    state: ProgressState,
}

/// What [`Progress`] remembers of a document between uses.
#[derive(Debug, Default)]
pub struct ProgressState {
    version: Option<Version>,
    /// Everything that counts, by key.
    entries: BTreeMap<Box<str>, (CourseId, Entry)>,
    inert: BTreeMap<Box<str>, Vec<InertReason>>,
    view: ProgressView,
    untold: Untold<CourseId, CourseProgress>,
    damaged: bool,
}

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The change that was written; `None` when the student had come that far already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ChangeHash>,
    pub course: CourseId,
}

impl Progress {
    /// A new document, written to as `actor`.
    pub fn create(actor: ActorId) -> Self {
        let mut document = Document::new(actor);
        Kind::Progress.declare(&mut document);
        Self::resume(document, ProgressState::default())
    }
}

impl<D: Borrow<Document>> Progress<D> {
    /// The progress in `document`, which may be one of progress or of enrollments.
    pub fn open(document: D) -> Result<Self, WrongKind> {
        Kind::Enrollment.check(document.borrow()).or_else(|_| Kind::Progress.check(document.borrow()))?;
        Ok(Self::resume(document, ProgressState::default()))
    }

    /// Goes on where [`Progress::suspend`] left off. The document must be the one that the state was taken from; it may
    /// have changed since.
    pub fn resume(document: D, state: ProgressState) -> Self {
        Self { document, state }
    }

    /// Gives the document back, and what is remembered of it.
    pub fn suspend(self) -> (D, ProgressState) {
        (self.document, self.state)
    }

    pub fn document(&self) -> &Document {
        self.document.borrow()
    }

    /// Progress in every course that the document says anything about.
    pub fn view(&mut self) -> &ProgressView {
        self.state.refresh(self.document.borrow());
        &self.state.view
    }

    /// Takes notice of what others did to the document. Reads only what was touched. The courses that show something else
    /// than when this was last asked are returned; after opening, none are.
    pub fn refresh(&mut self) -> Vec<ProgressChange> {
        self.view();
        let before = self.state.untold.take().into_iter();
        let changed = before.filter_map(|(course, before)| {
            let after = self.state.view.courses.get(&course).cloned().unwrap_or_default();
            (after != before).then_some(ProgressChange { course, before, after })
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

    /// Whether progress has gone back while this was looking, which only a hostile or broken client brings about: time
    /// to [`Progress::heal`].
    pub fn is_damaged(&mut self) -> bool {
        self.view();
        self.state.damaged
    }
}

impl<D: BorrowMut<Document>> Progress<D> {
    /// The document, to exchange changes with peers. [`Progress::refresh`] afterwards.
    pub fn document_mut(&mut self) -> &mut Document {
        self.document.borrow_mut()
    }

    /// Takes in changes from storage or from peers, and tells which courses show something else.
    pub fn apply(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Vec<ProgressChange>, ApplyError> {
        self.view();
        self.document.borrow_mut().apply(changes)?;
        Ok(self.refresh())
    }

    /// Takes in everything that `other` has, and tells which courses show something else.
    pub fn merge<E: BorrowMut<Document>>(
        &mut self,
        other: &mut Progress<E>,
    ) -> Result<Vec<ProgressChange>, ApplyError> {
        self.view();
        self.document.borrow_mut().merge(other.document.borrow_mut())?;
        Ok(self.refresh())
    }

    /// The student has done this lesson.
    pub fn complete(&mut self, course: &CourseId, lesson: &LessonId, now: Timestamp) -> Operation {
        self.mark(course, &Mark::Done(lesson.clone()), Entry::done(now), now)
    }

    /// The student has come this far in a lesson.
    pub fn reach(
        &mut self,
        course: &CourseId,
        lesson: &LessonId,
        position: Position,
        now: Timestamp,
    ) -> Operation {
        self.mark(course, &Mark::Position(lesson.clone()), Entry::number(position.get(), now), now)
    }

    /// An older system had the student at this percentage.
    pub fn raise_floor(&mut self, course: &CourseId, floor: Percent, now: Timestamp) -> Operation {
        self.mark(course, &Mark::Floor, Entry::number(floor.get().into(), now), now)
    }

    /// Puts back every mark that was deleted or overwritten by less. Reads the whole history, so it is for opening a
    /// document that others may write, and for when [`Progress::is_damaged`] says so. Returns the changes written.
    pub fn heal(&mut self) -> Vec<ChangeHash> {
        let lost = self.lost();
        let document = self.document.borrow_mut();
        let changes =
            lost.iter().filter_map(|(key, (_, text))| heal::put_back(document, key, text)).collect();
        self.view();
        self.state.damaged = false;
        changes
    }

    /// The root keys of the marks that were deleted or overwritten by less. Reads the whole history.
    pub fn lost_facts(&mut self) -> Vec<String> {
        self.lost().into_keys().collect()
    }

    fn lost(&mut self) -> BTreeMap<String, (Entry, String)> {
        self.view();
        let mut lost: BTreeMap<String, (Entry, String)> = BTreeMap::new();
        for (key, text) in heal::written(self.document.borrow(), PREFIX) {
            let Ok((_, mark)) = key::parse(&key) else { continue };
            let Ok(entry) = Entry::read(&mark, &Stored::Text(text.clone())) else { continue };
            let best = lost.get(&key).map(|(entry, _)| entry);
            let best = best.or(self.state.entries.get(key.as_str()).map(|(_, entry)| entry));
            if best.is_none_or(|best| !best.reaches(&entry)) {
                lost.insert(key, (entry, text));
            }
        }
        lost
    }

    /// Writes a mark, unless the student has come that far already.
    fn mark(&mut self, course: &CourseId, mark: &Mark, entry: Entry, now: Timestamp) -> Operation {
        self.view();
        let key = key::of(course, mark);
        let known = self.state.entries.get(key.as_str());
        let mut id = None;
        if known.is_none_or(|(_, known)| !known.reaches(&entry)) {
            let document = self.document.borrow_mut();
            if document.values(crate::kind::KIND_KEY).is_empty() {
                Kind::Progress.declare(document);
            }
            let mut edit = document.edit();
            edit.set_time(now);
            edit.put(&key, &entry.to_text());
            id = edit.commit().map(|committed| committed.hash);
            let untold = self.state.untold.holds(course);
            self.view();
            if !untold {
                self.state.untold.forget(course);
            }
        }
        Operation { id, course: course.clone() }
    }
}

impl ProgressState {
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
                let before = std::mem::replace(self, Self { version: self.version, ..Self::default() });
                for (key, values) in document.scan(PREFIX) {
                    self.read(&key, &values);
                }
                self.untold = before.untold;
                for (course, shown) in before.view.courses {
                    self.untold.note(&course, || shown);
                }
                self.damaged = before.damaged
                    || before.entries.iter().any(|(key, (_, known))| {
                        self.entries.get(key).is_none_or(|(_, entry)| !entry.reaches(known))
                    });
            }
        }
        self.untold.begin();
    }

    /// Reads one key anew.
    fn read(&mut self, key: &str, values: &[Stored]) {
        self.inert.remove(key);
        let (course, mark) = match key::parse(key) {
            Ok(parsed) => parsed,
            Err(_) if values.is_empty() => return,
            Err(reason) => {
                self.inert.insert(key.into(), vec![reason]);
                return;
            }
        };
        let (mut best, mut inert): (Option<Entry>, _) = (None, Vec::new());
        for value in values {
            match Entry::read(&mark, value) {
                Ok(entry) => best = Some(best.map_or(entry, |best| best.join(entry))),
                Err(reason) => inert.push(reason),
            }
        }
        if !inert.is_empty() {
            self.inert.insert(key.into(), inert);
        }
        let before = match best {
            Some(best) => self.entries.insert(key.into(), (course.clone(), best)),
            None => self.entries.remove(key),
        };
        self.damaged |= before.is_some_and(|(_, before)| best.is_none_or(|best| !best.reaches(&before)));
        self.untold.note(&course, || self.view.courses.get(&course).cloned().unwrap_or_default());
        self.view.note(&course, mark, best);
    }
}

#[cfg(test)]
mod tests;
