//! What the fuzz targets do, done with a few inputs: what a fuzzer begins with, damaged in a few places.

#[path = "../../fuzz/src/chunks.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is a library's")]
mod chunks;
#[path = "../../fuzz/src/loading.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is a library's")]
mod loading;
#[path = "../../fuzz/src/messages.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is a library's")]
mod messages;
#[path = "../../fuzz/src/sealing.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is a library's")]
mod sealing;

use proptest::prelude::*;
use proptest::sample::Index;

const CHANGE: &[u8] = include_bytes!("../../fuzz/seeds/chunk/put");
const DOCUMENTS: [&[u8]; 2] = [
    include_bytes!("../../fuzz/seeds/load_document/profile"),
    include_bytes!("../../fuzz/seeds/load_document/progress"),
];
const MESSAGES: [&[u8]; 3] = [
    include_bytes!("../../fuzz/seeds/sync_message/change"),
    include_bytes!("../../fuzz/seeds/sync_message/document"),
    include_bytes!("../../fuzz/seeds/sync_message/opening"),
];

/// One of these, with up to three bytes replaced, and perhaps one removed or put in.
fn damaged(seeds: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let place = || (any::<Index>(), any::<u8>());
    let replaced = proptest::collection::vec(place(), 0..4);
    let resized = proptest::option::weighted(0.3, (place(), any::<bool>()));
    (proptest::sample::select(seeds), replaced, resized).prop_map(|(seed, replaced, resized)| {
        let mut bytes = seed.to_vec();
        for (at, byte) in replaced {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        match resized {
            Some(((at, byte), true)) => bytes.insert(at.index(bytes.len()), byte),
            Some(((at, _), false)) => drop(bytes.remove(at.index(bytes.len()))),
            None => {}
        }
        bytes
    })
}

#[test]
fn undamaged_everything_is_taken() {
    assert!(chunks::read(CHANGE));
    for document in DOCUMENTS {
        assert!(loading::load(document) >= 1);
    }
    for message in MESSAGES {
        assert!(messages::hear(message));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_damaged_change_does_no_harm(bytes in damaged(&[CHANGE])) {
        chunks::read(&bytes);
    }

    #[test]
    fn a_damaged_document_does_no_harm(bytes in damaged(&DOCUMENTS)) {
        loading::load(&bytes);
    }

    #[test]
    fn a_damaged_message_does_no_harm(bytes in damaged(&MESSAGES)) {
        messages::hear(&bytes);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        chunks::read(&bytes);
        loading::load(&bytes);
        messages::hear(&bytes);
    }
}
