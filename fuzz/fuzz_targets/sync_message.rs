//! Any bytes are a sync message or an error, and whatever a peer says, a relay and an open document answer finitely.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::messages::hear(bytes);
});
