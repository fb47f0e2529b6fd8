//! A hostile client: it writes what it likes, through Automerge itself and past all our rules.

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ObjType, ROOT, ReadDoc, ScalarValue};
use crdt_core::document::{Change, Document};

use crate::bytes::Bytes;

/// A writer of its own, with its own copy of the document.
pub struct Client(AutoCommit);

impl Client {
    pub fn new(number: u8) -> Self {
        Self(AutoCommit::new().with_actor(ActorId::from([number; 16])))
    }

    pub fn put(&mut self, key: &str, text: &str) {
        self.0.put(ROOT, key, text).expect("the root takes any key");
    }

    /// Something that no fact of ours is.
    pub fn put_odd(&mut self, key: &str, bytes: &mut Bytes<'_>) {
        let scalar = match bytes.below(8) {
            0 => ScalarValue::Null,
            1 => ScalarValue::Boolean(true),
            2 => ScalarValue::Int(-1),
            3 => ScalarValue::Uint(u64::MAX),
            4 => ScalarValue::F64(f64::NAN),
            5 => ScalarValue::counter(7),
            6 => ScalarValue::Bytes(vec![0xff; 9]),
            _ => {
                let made = self.0.put_object(ROOT, key, ObjType::Map).expect("the root takes any key");
                return self.0.put(made, "n", 5).expect("a new map takes any key");
            }
        };
        self.0.put(ROOT, key, scalar).expect("the root takes any key");
    }

    pub fn delete(&mut self, key: &str) {
        if self.0.get(ROOT, key).is_ok_and(|found| found.is_some()) {
            self.0.delete(ROOT, key).expect("it is there");
        }
    }

    /// Gives an honest device all that it has.
    pub fn give_to(&mut self, device: &mut Document) {
        self.0.commit();
        let changes = self.0.get_changes(&[]).into_iter();
        let changes = changes.map(|change| Change::parse(change.raw_bytes()).expect("Automerge wrote it"));
        device.apply(changes.collect::<Vec<_>>()).expect("a device goes on whatever comes");
    }

    /// Takes all that an honest device has.
    pub fn take_from(&mut self, device: &mut Document) {
        self.0.commit();
        let changes = device.changes_for_peer(&[]).into_iter();
        let changes = changes.map(|change| automerge::Change::try_from(change.bytes()).expect("we wrote it"));
        self.0.apply_changes(changes).expect("what is honest applies");
    }
}

/// One of the keys that the document has, if it has any.
pub fn some_key(document: &Document, bytes: &mut Bytes<'_>) -> Option<String> {
    let keys: Vec<_> = document.scan("").map(|(key, _)| key).collect();
    let chosen = bytes.below(keys.len());
    keys.into_iter().nth(chosen)
}

/// One of the texts that the document holds, if it holds any.
pub fn some_text(document: &Document, bytes: &mut Bytes<'_>) -> Option<String> {
    let key = some_key(document, bytes)?;
    document.values(&key).into_iter().find_map(|value| value.as_text().map(str::to_owned))
}
