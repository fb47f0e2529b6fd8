//! Progress in the course `c`, which has the lessons `l1` to `l4`.
//!
//! `done L` completes a lesson, `pos L N` reaches a position in it, `floor N` imports a percentage, `heal` puts back what
//! was taken away.

use crdt_core::document::Document;
use crdt_core::id::{CourseId, LessonId};
use crdt_core::progress::{Percent, Position, Progress};
use crdt_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::{Replica, Replicas, StepError, unknown_step, word};

/// A replica that holds a student's progress.
pub(crate) struct ProgressReplica(Progress);

impl Replica for ProgressReplica {
    fn open(_: &str, document: Document) -> Self {
        Self(Progress::open(document).expect("a vector's document is one of progress"))
    }

    fn document(&mut self) -> &mut Document {
        self.0.document_mut()
    }

    fn refresh(&mut self) {
        self.0.view();
    }

    fn act(&mut self, verb: &str, words: &[String], _: &mut Replicas<Self>) -> Result<String, StepError> {
        match verb {
            "heal" => drop(self.0.heal()),
            _ => advance(&mut self.0, &course(), verb, words)?,
        }
        Ok(String::new())
    }

    fn view(&mut self) -> Value {
        shown(&mut self.0, &course())
    }
}

pub(crate) fn advance<D: std::borrow::BorrowMut<Document>>(
    progress: &mut Progress<D>,
    course: &CourseId,
    verb: &str,
    words: &[String],
) -> Result<(), StepError> {
    let lesson = || LessonId::new(word(words, 0)?).map_err(|_| unknown_step());
    let number = |index| word(words, index)?.parse::<u32>().map_err(|_| unknown_step());
    match verb {
        "done" => progress.complete(course, &lesson()?, Timestamp::ZERO),
        "pos" => progress.reach(course, &lesson()?, Position::new(number(1)?), Timestamp::ZERO),
        "floor" => {
            let percent = u8::try_from(number(0)?).ok().and_then(Percent::new).ok_or("percent")?;
            progress.raise_floor(course, percent, Timestamp::ZERO)
        }
        _ => return Err(unknown_step()),
    };
    Ok(())
}

pub(crate) fn shown<D: std::borrow::BorrowMut<Document>>(
    progress: &mut Progress<D>,
    course: &CourseId,
) -> Value {
    let mut reasons: Vec<_> = progress.inert().facts().iter().map(|fact| fact.reason.code()).collect();
    reasons.sort_unstable();
    let seen = progress.view().courses.get(course).cloned().unwrap_or_default();
    let lessons = ["l1", "l2", "l3", "l4"].map(|name| LessonId::new(name).expect("a short text"));
    json!({
        "percent": seen.percent(&lessons),
        "done": seen.done.keys().collect::<Vec<_>>(),
        "pos": seen.positions,
        "floor": seen.floor,
        "inertProgress": reasons,
    })
}

fn course() -> CourseId {
    CourseId::new("c").expect("a short text")
}
