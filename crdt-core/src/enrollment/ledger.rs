//! The facts read so far, and the views folded from them: refreshed by what changed.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{self, Fact, Reader};
use super::fold::{Facts, Folded, Round, fold};
use super::id::{FactId, PREFIX};
use super::view::{CourseChange, CourseView, EnrollmentView};
use crate::document::{Document, Stored, Touched, Version};
use crate::id::CourseId;
use crate::inert::{InertList, InertReason};
use crate::time::Timestamp;
use crate::untold::Untold;

/// Everything read from one document.
#[derive(Debug)]
pub(super) struct Ledger {
    /// How much of the document has been read; `None` before the first time.
    version: Option<Version>,
    courses: BTreeMap<CourseId, Course>,
    /// Keys that are no fact's.
    strays: BTreeMap<Box<str>, InertReason>,
    view: EnrollmentView,
    untold: Untold<CourseId, CourseView>,
    stale: BTreeSet<CourseId>,
    /// The stretch of time for which every folded view holds.
    from: Timestamp,
    until: Timestamp,
    damaged: bool,
}

/// The facts about one course.
#[derive(Debug, Default)]
struct Course {
    facts: Facts,
    inert: BTreeMap<FactId, Vec<InertReason>>,
    fold: Option<Fold>,
}

/// What is kept of a fold beside its view.
#[derive(Debug)]
struct Fold {
    premature: Vec<FactId>,
    round: Round,
    from: Timestamp,
    until: Timestamp,
}

impl Fold {
    fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// What a course looks like that nobody has said anything about.
static NOTHING: CourseView = CourseView::NOTHING;

impl Default for Ledger {
    fn default() -> Self {
        Self {
            version: None,
            courses: BTreeMap::new(),
            strays: BTreeMap::new(),
            view: EnrollmentView::default(),
            untold: Untold::default(),
            stale: BTreeSet::new(),
            from: Timestamp::ZERO,
            until: Timestamp::MAX,
            damaged: false,
        }
    }
}

impl Ledger {
    /// Reads what has changed since the last time; everything, the first time.
    pub(super) fn refresh(&mut self, document: &Document, reader: &mut Reader<'_>) {
        let touched = self.version.map_or(Touched::Everything, |version| document.touched_since(version));
        self.version = Some(document.version());
        match touched {
            Touched::Keys(keys) => {
                for key in keys.iter().filter(|key| key.starts_with(PREFIX)) {
                    self.read(key, &document.values(key), reader);
                }
            }
            Touched::Everything => {
                let before = std::mem::replace(self, Self { version: self.version, ..Self::default() });
                for (key, values) in document.scan(PREFIX) {
                    self.read(&key, &values, reader);
                }
                self.untold = before.untold;
                for (id, shown) in before.view.courses {
                    self.untold.note(&id, || shown);
                    self.stale.insert(id);
                }
                self.damaged =
                    before.damaged || before.courses.iter().any(|(id, known)| !self.has_all(id, known));
            }
        }
    }

    /// Has everything read again next time, since it is read otherwise from now on. What no longer counts then is not
    /// damage.
    pub(super) fn read_again(&mut self) {
        self.version = None;
        self.courses.clear();
        self.strays.clear();
    }

    /// Reads one key anew.
    fn read(&mut self, key: &str, values: &[Stored], reader: &mut Reader<'_>) {
        let (id, fact) = match fact::parse(key) {
            Ok(parsed) => parsed,
            Err(_) if values.is_empty() => {
                self.strays.remove(key);
                return;
            }
            Err(reason) => {
                self.strays.insert(key.into(), reason);
                return;
            }
        };
        let (facts, inert) = judge(key, &id, &fact, values, reader);
        let course = self.courses.entry(id.clone()).or_default();
        let before = course.facts.remove(&fact).unwrap_or_default();
        self.damaged |= before.iter().any(|known| !facts.contains(known));
        course.inert.remove(&fact);
        if !inert.is_empty() {
            course.inert.insert(fact.clone(), inert);
        }
        if !facts.is_empty() {
            course.facts.insert(fact, facts);
        }
        course.fold = None;
        if course.facts.is_empty() && course.inert.is_empty() {
            self.courses.remove(&id);
        }
        self.stale.insert(id);
    }

    fn has_all(&self, id: &CourseId, known: &Course) -> bool {
        let found = self.courses.get(id);
        known.facts.iter().all(|(fact, values)| {
            let found = found.and_then(|course| course.facts.get(fact));
            found.is_some_and(|found| values.iter().all(|value| found.contains(value)))
        })
    }

    /// Every course, as of `now`.
    pub(super) fn view(&mut self, now: Timestamp) -> &EnrollmentView {
        for id in std::mem::take(&mut self.stale) {
            self.fold(&id, now);
        }
        if now < self.from || self.until <= now {
            self.fold_for(now);
        }
        self.untold.begin();
        &self.view
    }

    /// Where something else is shown than when this was last asked.
    pub(super) fn take_changes(&mut self, now: Timestamp) -> Vec<CourseChange> {
        self.view(now);
        let before = self.untold.take().into_iter();
        let changed = before.filter_map(|(course, before)| {
            let after = self.view.courses.get(&course).unwrap_or(&NOTHING);
            let is_other = *after != before;
            is_other.then_some(CourseChange { course, before: before.status, after: after.status })
        });
        changed.collect()
    }

    /// Whether a change of this course has yet to be told.
    pub(super) fn has_untold(&self, id: &CourseId) -> bool {
        self.untold.holds(id)
    }

    /// Whoever changed this course knows.
    pub(super) fn mark_told(&mut self, id: &CourseId) {
        self.untold.forget(id);
    }

    /// One course, as of `now`. The others are left as they are.
    pub(super) fn course(&mut self, id: &CourseId, now: Timestamp) -> &CourseView {
        let Some(course) = self.courses.get(id) else { return &NOTHING };
        if !course.fold.as_ref().is_some_and(|fold| fold.holds(now)) {
            self.stale.remove(id);
            self.fold(id, now);
        }
        self.view.courses.get(id).unwrap_or(&NOTHING)
    }

    /// The current round of requesting a course. To be asked after [`Ledger::course`].
    pub(super) fn round(&self, id: &CourseId) -> Round {
        let fold = self.courses.get(id).and_then(|course| course.fold.as_ref());
        fold.map_or(Round::UNASKED, |fold| fold.round)
    }

    /// The facts about a course that count.
    pub(super) fn facts(&self, id: &CourseId) -> impl Iterator<Item = (&FactId, &Vec<Fact>)> {
        self.courses.get(id).into_iter().flat_map(|course| &course.facts)
    }

    pub(super) fn fact(&self, course: &CourseId, id: &FactId) -> Option<&[Fact]> {
        self.courses.get(course)?.facts.get(id).map(Vec::as_slice)
    }

    /// Whether a fact that counted has disappeared since the document was first read.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    pub(super) fn mark_healed(&mut self) {
        self.damaged = false;
    }

    /// Everything that counts for nothing, in the order of courses. To be asked after [`Ledger::view`].
    pub(super) fn inert(&self) -> InertList {
        let mut list = InertList::default();
        for (key, reason) in &self.strays {
            list.push(key, reason.clone());
        }
        for (id, course) in &self.courses {
            for (fact, reasons) in &course.inert {
                for reason in reasons {
                    list.push(&fact.root_key(id), reason.clone());
                }
            }
            for fact in course.fold.iter().flat_map(|fold| &fold.premature) {
                let why = "the epoch before it has not come to an end";
                list.push(&fact.root_key(id), InertReason::Premature { why });
            }
        }
        list
    }

    fn fold(&mut self, id: &CourseId, now: Timestamp) {
        let shown = || self.view.courses.get(id).cloned().unwrap_or_default();
        self.untold.note(id, shown);
        let Some(course) = self.courses.get_mut(id) else {
            self.view.courses.remove(id);
            return;
        };
        let Folded { view, premature, round, from, until } = fold(&course.facts, now);
        course.fold = Some(Fold { premature, round, from, until });
        self.from = from.max(self.from);
        self.until = until.min(self.until);
        if view.facts == 0 {
            // All that was said is inert.
            self.view.courses.remove(id);
        } else {
            self.view.courses.insert(id.clone(), view);
        }
    }

    /// Folds again what no longer holds, because time went on, or back.
    fn fold_for(&mut self, now: Timestamp) {
        let holds = |course: &Course| course.fold.as_ref().is_some_and(|fold| fold.holds(now));
        let outdated: Vec<_> =
            self.courses.iter().filter(|(_, course)| !holds(course)).map(|(id, _)| id.clone()).collect();
        for id in outdated {
            self.fold(&id, now);
        }
        let folds = || self.courses.values().filter_map(|course| course.fold.as_ref());
        self.from = folds().map(|fold| fold.from).max().unwrap_or(Timestamp::ZERO);
        self.until = folds().map(|fold| fold.until).min().unwrap_or(Timestamp::MAX);
    }
}

/// Tells the values under one key apart: those that count, each once, and why the others don't.
fn judge(
    key: &str,
    course: &CourseId,
    id: &FactId,
    values: &[Stored],
    reader: &mut Reader<'_>,
) -> (Vec<Fact>, Vec<InertReason>) {
    let mut facts = Vec::new();
    let mut inert = Vec::new();
    for value in values {
        match reader.read(key, course, id, value) {
            Ok(fact) if facts.contains(&fact) => {}
            Ok(fact) => facts.push(fact),
            Err(reason) => inert.push(reason),
        }
    }
    (facts, inert)
}
