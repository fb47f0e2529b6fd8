//! A document as its raw facts: what every kind is made of.

use crdt_core::document::{Document, Stored};
use serde_json::{Map, Value};

use crate::world::{Replica, Replicas, StepError, unknown_step};

/// A replica that knows no kind of document.
pub(crate) struct Facts(Document);

impl Replica for Facts {
    fn open(_: &str, document: Document) -> Self {
        Self(document)
    }

    fn document(&mut self) -> &mut Document {
        &mut self.0
    }

    fn refresh(&mut self) {}

    fn act(&mut self, _: &str, _: &[String], _: &mut Replicas<Self>) -> Result<String, StepError> {
        Err(unknown_step())
    }

    /// Every key with all its values, in an order that no replica's name decides.
    fn view(&mut self) -> Value {
        let facts = self.0.scan("").map(|(key, values)| {
            let mut texts: Vec<_> = values.iter().filter_map(Stored::as_text).collect();
            texts.sort_unstable();
            (key, Value::from(texts))
        });
        Value::Object(facts.collect::<Map<_, _>>())
    }
}
