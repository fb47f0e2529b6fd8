//! What people see of a student's progress: the same JSON in every language.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::key::{Entry, Mark};
use super::percent::{Percent, Position};
use crate::id::{CourseId, LessonId};
use crate::time::Timestamp;

/// Progress in every course that the document says anything about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    pub courses: BTreeMap<CourseId, CourseProgress>,
}

/// Progress in one course.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CourseProgress {
    /// The lessons done, each with the time when a device says so.
    pub done: BTreeMap<LessonId, Timestamp>,
    /// How far into each lesson.
    pub positions: BTreeMap<LessonId, Position>,
    /// The least percentage, imported from an older system.
    pub floor: Percent,
}

/// A change of what is shown of one course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProgressChange {
    pub course: CourseId,
    pub before: CourseProgress,
    pub after: CourseProgress,
}

impl CourseProgress {
    /// The share of these lessons that are done, at least the floor. A lesson listed twice is one lesson.
    pub fn percent<'a>(&self, lessons: impl IntoIterator<Item = &'a LessonId>) -> Percent {
        let lessons: BTreeSet<_> = lessons.into_iter().collect();
        let done = lessons.iter().filter(|lesson| self.done.contains_key(**lesson)).count();
        Percent::of(done, lessons.len()).max(self.floor)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ProgressView {
    /// Shows what a mark says now: `None` when nothing does.
    pub(super) fn note(&mut self, id: &CourseId, mark: Mark, entry: Option<Entry>) {
        let course = self.courses.entry(id.clone()).or_default();
        let number = entry.and_then(|entry| entry.n);
        match (mark, entry) {
            (Mark::Done(lesson), Some(entry)) => {
                course.done.insert(lesson, entry.at);
            }
            (Mark::Done(lesson), None) => {
                course.done.remove(&lesson);
            }
            (Mark::Position(lesson), Some(_)) => {
                course.positions.insert(lesson, Position::new(number.unwrap_or(0)));
            }
            (Mark::Position(lesson), None) => {
                course.positions.remove(&lesson);
            }
            (Mark::Floor, _) => {
                let percent = number.and_then(|n| u8::try_from(n).ok()).and_then(Percent::new);
                course.floor = percent.unwrap_or_default();
            }
        }
        if course.is_empty() {
            self.courses.remove(id);
        }
    }
}
