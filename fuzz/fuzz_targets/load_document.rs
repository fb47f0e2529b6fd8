//! Any body under a checksum that holds is a document or an error, alone and on top of another document.

#![no_main]

use crdt_core::document::Document;
use crdt_core::id::ActorId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let chunk = fuzz::sealed(0, body);
    let Ok(loaded) = Document::load(&chunk, ActorId::from_bytes([8; 16])) else { return };
    let again = Document::load(&loaded.save(), ActorId::from_bytes([8; 16])).expect("what is saved can be loaded");
    assert_eq!(again.heads(), loaded.heads());

    let mut phone = Document::new(ActorId::from_bytes([9; 16]));
    let mut edit = phone.edit();
    edit.put("key", "value");
    edit.commit();
    if phone.apply_packed(&chunk).is_ok() {
        let again = Document::load(&phone.save(), ActorId::from_bytes([8; 16])).expect("what is saved can be loaded");
        assert_eq!(again.heads(), phone.heads());
    }
});
