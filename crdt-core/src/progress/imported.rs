//! Rows of an older system's progress, as marks of this one.

use super::key::{self, Entry, Mark};
use super::percent::Percent;
use crate::id::{CourseId, LessonId};
use crate::time::Timestamp;

/// The root key and text of the least percentage.
pub(crate) fn floor(course: &CourseId, percent: Percent, at: Timestamp) -> (String, String) {
    (key::of(course, &Mark::Floor), Entry::number(percent.get().into(), at).to_text())
}

/// The root key and text of a lesson that is done.
pub(crate) fn done(course: &CourseId, lesson: &LessonId, at: Timestamp) -> (String, String) {
    (key::of(course, &Mark::Done(lesson.clone())), Entry::done(at).to_text())
}
