//! The keys and values of progress.

use serde::{Deserialize, Serialize};

use super::percent::Percent;
use crate::canonical;
use crate::document::Stored;
use crate::id::{CourseId, LessonId};
use crate::inert::InertReason;
use crate::limits::KEY_BYTES_MAX;
use crate::time::Timestamp;

/// Root keys of progress start so.
pub(super) const PREFIX: &str = "p/";

/// What a key is about, within its course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Done(LessonId),
    Position(LessonId),
    Floor,
}

/// The root key of a mark.
pub(super) fn of(course: &CourseId, mark: &Mark) -> String {
    let course = course.segment();
    match mark {
        Mark::Done(lesson) => format!("{PREFIX}{course}/done/{}", lesson.segment()),
        Mark::Position(lesson) => format!("{PREFIX}{course}/pos/{}", lesson.segment()),
        Mark::Floor => format!("{PREFIX}{course}/floor"),
    }
}

/// Takes a root key apart, or says why no mark can stand there.
pub(super) fn parse(key: &str) -> Result<(CourseId, Mark), InertReason> {
    if key.len() > KEY_BYTES_MAX {
        return Err(InertReason::KeyTooLong { bytes: key.len() });
    }
    parts(key).ok_or(InertReason::UnknownKey)
}

fn parts(key: &str) -> Option<(CourseId, Mark)> {
    let (course, rest) = key.strip_prefix(PREFIX)?.split_once('/')?;
    let mark = match rest.split_once('/') {
        None if rest == "floor" => Mark::Floor,
        Some(("done", lesson)) => Mark::Done(LessonId::from_segment(lesson)?),
        Some(("pos", lesson)) => Mark::Position(LessonId::from_segment(lesson)?),
        _ => return None,
    };
    Some((CourseId::from_segment(course)?, mark))
}

/// The stored value of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// When the device says it was.
    #[serde(default)]
    pub(super) at: Timestamp,
    /// The position or the percentage. Being done has no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) n: Option<u32>,
}

impl Entry {
    pub(super) fn done(at: Timestamp) -> Self {
        Self { at, n: None }
    }

    pub(super) fn number(n: u32, at: Timestamp) -> Self {
        Self { at, n: Some(n) }
    }

    /// Reads one value found under the key of `mark`.
    pub(super) fn read(mark: &Mark, stored: &Stored) -> Result<Self, InertReason> {
        let entry: Self = canonical::from_text(stored.as_text().ok_or(InertReason::Foreign)?)?;
        match (mark, entry.n) {
            (Mark::Done(_), _) => Ok(Self { n: None, ..entry }),
            (_, None) => Err(InertReason::Unreadable("the value has no number".to_owned())),
            (Mark::Floor, Some(n)) if n > Percent::FULL.get().into() => {
                Err(InertReason::OutOfBounds { what: "the percentage", value: n.to_string() })
            }
            _ => Ok(entry),
        }
    }

    pub(super) fn to_text(self) -> String {
        canonical::to_text(&self)
    }

    /// Whether this is as far as `other`, or further.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        self.n >= other.n
    }

    /// The further of the two, reached the earlier.
    pub(super) fn join(self, other: Self) -> Self {
        let further = if other.n > self.n { other } else { self };
        let at = if self.n == other.n { self.at.min(other.at) } else { further.at };
        Self { at, ..further }
    }
}
