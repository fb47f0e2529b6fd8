//! Any bytes are a document or an error, alone and on top of another document.

use crdt_core::document::Document;
use crdt_core::id::ActorId;

use crate::sealing::{body, forged, operations, sealed};

/// Tries bytes as they are, as the body of a document, and as the body of a document that tells its own heads. Says how
/// many of the three were taken.
pub fn load(bytes: &[u8]) -> usize {
    let tried = [Some(bytes.to_vec()), Some(sealed(0, bytes)), forged(bytes)];
    tried.into_iter().flatten().filter(|bytes| load_as_is(bytes)).count()
}

/// Whether the bytes are a document. If so, it can be saved, read, passed on, built on and taken change by change.
pub fn load_as_is(bytes: &[u8]) -> bool {
    let mut phone = Document::new(ActorId::from_bytes([9; 16]));
    write(&mut phone);
    if phone.apply_packed(bytes).is_ok() {
        assert_sound(phone);
    }
    let mut laptop = Document::new(ActorId::from_bytes([8; 16]));
    if laptop.apply_packed(bytes).is_ok() {
        let changes = laptop.changes_since(&[]);
        let mut tablet = Document::new(ActorId::from_bytes([7; 16]));
        assert_eq!(tablet.apply(changes).expect("it was applied before").refused, []);
        let (one, other) = (laptop.save(), tablet.save());
        assert_eq!(operations(body(&one)), operations(body(&other)), "taken whole or singly, it is the same");
        assert_sound(laptop);
    }
    let Ok(loaded) = Document::load(bytes, ActorId::from_bytes([8; 16])) else { return false };
    assert_sound(loaded);
    true
}

fn write(document: &mut Document) {
    let mut edit = document.edit();
    edit.put("key", "value");
    edit.delete("key 1");
    edit.commit();
}

fn assert_sound(mut document: Document) {
    let _ = document.scan("").count();
    let before = document.edit().next_dot();
    write(&mut document);
    assert!(document.edit().next_dot() >= before, "numbers are used once");
    let actor = ActorId::from_bytes([6; 16]);
    let again = Document::load(&document.save(), actor).expect("what is saved can be loaded");
    assert_eq!(again.heads(), document.heads());
}
