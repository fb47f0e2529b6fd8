//! Any bytes are a document or an error, also under a checksum and heads that hold; alone and on top of another document.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::loading::load(bytes);
});
