//! Any bytes are chunks or an error; any body under a checksum that holds is a change that everyone spells alike, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::chunks::read(bytes);
});
