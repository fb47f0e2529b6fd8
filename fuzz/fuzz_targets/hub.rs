//! Whatever strangers and disks do to a relay, in the order that the bytes spell: it goes on, and honest devices meet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::hub::tests::drill::drill;

fuzz_target!(|bytes: &[u8]| drill(bytes));
