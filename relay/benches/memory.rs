//! What documents take of a relay's memory, counted where it is allocated.
//!
//! `cargo xtask bench relay-memory`. Counted are the bytes asked of the allocator, not what the hub believes it takes.

#![expect(clippy::cast_precision_loss, reason = "sizes of a benchmark are small")]

mod stage;

use std::alloc::System;
use std::time::Duration;

use relay::hub::Input;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use self::stage::{History, PHONE, Stage, frame_of, reader};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const DOCUMENTS: usize = 1000;

/// Changes of a small document.
const CHANGES: usize = 20;

/// What a small document with one follower may take.
const ACTIVE_BYTES_MAX: f64 = 2048.0;

fn main() {
    let history = History::of(CHANGES);
    let mut stage = Stage::new(1);
    let empty = allocated();
    for _ in 0..DOCUMENTS {
        stage.open(&history, CHANGES - 1, &[PHONE]);
    }
    println!("a document of {CHANGES} changes, of {DOCUMENTS} in memory");
    let hot = each(empty);
    println!("  {hot:>7.0} bytes  just loaded, with its changes' bytes for whoever comes next");
    for number in 0..DOCUMENTS {
        let frame = frame_of(number, PHONE, &history.news(CHANGES - 1));
        stage.give(PHONE, frame);
    }
    wait(&mut stage, 3);
    let active = each(empty);
    judge(active, ACTIVE_BYTES_MAX, "followed by one connection");
    for number in 0..DOCUMENTS {
        let thanks = history.thanks(CHANGES - 1);
        let frame = frame_of(number, reader(0), &thanks);
        stage.give(reader(0), frame);
    }
    println!("  {:>7.0} bytes  for one more follower", each(empty) - active);
    for connection in [PHONE, reader(0)] {
        stage.handle(Input::Closed { connection });
    }
    wait(&mut stage, 12);
    // What is left is spare room in queues and the tenant's name, however many documents there were.
    judge(each(empty), 4.0, "followed by nobody for a while");
}

fn wait(stage: &mut Stage, seconds: u64) {
    for _ in 0..seconds {
        stage.now = stage.now + Duration::from_secs(1);
        stage.handle(Input::Tick);
    }
}

fn judge(bytes: f64, bytes_max: f64, what: &str) {
    let verdict = if bytes <= bytes_max { "ok" } else { "MISSED" };
    println!("  {bytes:>7.0} bytes  {what}; {bytes_max:.0} are allowed: {verdict}");
}

/// Bytes allocated now.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Bytes of each document, more than before there were any.
fn each(before: usize) -> f64 {
    (allocated() as f64 - before as f64) / DOCUMENTS as f64
}
