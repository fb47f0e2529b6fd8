//! Whatever strangers, networks and disks do to a device, in the order that the bytes spell: it goes on, and honest devices
//! meet.

#![no_main]

use crdt_core::replica::tests::drill::drill;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| drill(bytes));
