//! Time that never runs backwards, from a clock that may.

use std::time::Duration;

use crate::time::Timestamp;

/// A moment of the replica's own time, which starts with it and only advances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(Duration);

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Moment {
    /// Time passed since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Follows the caller's clock. Where that is set back, own time stands still for the step: a deadline is then late by
/// no more than the caller's next call, instead of by the size of the step.
#[derive(Debug)]
pub(super) struct Clock {
    wall: Timestamp,
    now: Moment,
}

impl Clock {
    pub(super) fn new(wall: Timestamp) -> Self {
        Self { wall, now: Moment::default() }
    }

    /// Notes what the caller's clock shows.
    pub(super) fn advance(&mut self, wall: Timestamp) {
        self.now = self.now + wall.since(self.wall);
        self.wall = wall;
    }

    pub(super) fn now(&self) -> Moment {
        self.now
    }

    /// What the caller's clock will show at `moment`, if nobody sets it. Never earlier, which rounding down would be: a
    /// caller that comes too early has to come again at once, for as long as the millisecond lasts.
    pub(super) fn wall_at(&self, moment: Moment) -> Timestamp {
        let wait = moment.since(self.now).as_nanos().div_ceil(1_000_000);
        self.wall + Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_between_two_milliseconds_is_due_when_it_is_asked_for() {
        let mut clock = Clock::new(Timestamp::from_millis(5000));
        let deadline = clock.now() + Duration::from_micros(1250);
        let asked_for = clock.wall_at(deadline);
        assert_eq!(asked_for, Timestamp::from_millis(5002));
        clock.advance(asked_for);
        assert!(deadline <= clock.now());
    }

    #[test]
    fn a_clock_set_back_does_not_postpone_deadlines() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        let mut clock = Clock::new(at(5000));
        let deadline = clock.now() + Duration::from_secs(10);
        clock.advance(at(5004));
        clock.advance(at(1000));
        assert_eq!(clock.wall_at(deadline), at(1006));
        clock.advance(at(1006));
        assert_eq!(clock.now(), deadline);
    }
}
