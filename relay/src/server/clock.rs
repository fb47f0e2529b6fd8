//! What time it is, for everything that waits, lingers and ends: a clock that is never set back.
//!
//! A wall clock that is set back would keep whoever rests resting, and documents that nobody needs in memory, for as long as
//! it was set back. This one follows the wall clock forward only; when that is behind, it goes on by itself.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crdt_core::time::Timestamp;

/// How far the clock was, and when.
#[derive(Clone, Copy, Debug)]
struct Clock {
    reading: Timestamp,
    read: Instant,
}

impl Clock {
    /// What the clock shows now, when the wall clock shows `wall`.
    fn read(&mut self, wall: Timestamp, now: Instant) -> Timestamp {
        let passed = now.saturating_duration_since(self.read);
        // Only whole milliseconds count: the rest of one counts the next time.
        let passed = Duration::from_millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        self.read += passed;
        self.reading = wall.max(self.reading + passed);
        self.reading
    }
}

/// What time it is, never earlier than before.
pub(super) fn now() -> Timestamp {
    static CLOCK: OnceLock<Mutex<Clock>> = OnceLock::new();
    let clock = CLOCK.get_or_init(|| Mutex::new(Clock { reading: wall(), read: Instant::now() }));
    clock.lock().unwrap_or_else(PoisonError::into_inner).read(wall(), Instant::now())
}

/// What the wall clock shows: for what was written by others' clocks, such as tokens.
pub(super) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_wall_clock_is_followed_forward_and_never_back() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut clock = Clock { reading: at(1_000_000), read: start };
        assert_eq!(clock.read(at(1_000_010), after(10)), at(1_000_010));
        assert_eq!(clock.read(at(5_000_000), after(20)), at(5_000_000), "set forward");
        assert_eq!(clock.read(at(1_000_030), after(30)), at(5_000_010), "set back: it goes on by itself");
        assert_eq!(clock.read(at(1_000_040), after(40)), at(5_000_020));
        assert_eq!(clock.read(at(6_000_000), after(50)), at(6_000_000), "the wall clock has caught up");
    }

    #[test]
    fn parts_of_milliseconds_are_not_lost() {
        let start = Instant::now();
        let mut clock = Clock { reading: at(1_000), read: start };
        for tenth in 1..=10_u32 {
            clock.read(at(0), start + tenth * Duration::from_micros(100));
        }
        assert_eq!(clock.reading, at(1_001));
    }
}
