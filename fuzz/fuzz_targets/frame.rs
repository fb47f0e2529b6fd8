//! Any bytes are a frame or an error; a frame that is written again is read as the same.

#![no_main]

use crdt_core::wire::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = Frame::decode(bytes) else { return };
    if matches!(frame, Frame::Unknown { .. }) {
        return;
    }
    let again = frame.encode();
    assert_eq!(Frame::decode(&again), Ok(frame));
});
