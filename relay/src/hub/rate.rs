//! How much of something may come how fast.

use std::time::Duration;

use crdt_core::time::Timestamp;

/// A sustained rate, and how far above it a burst may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u64,
    /// What may come at once after a rest.
    pub burst: u64,
}

/// What is left of a [`Rate`]: a bucket that refills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Thousandths, so that a refill of one millisecond is whole. Negative is debt.
    level: i64,
    refilled: Timestamp,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Timestamp) -> Self {
        Self { level: thousandths(rate.burst), refilled: now }
    }

    /// Takes `amount` in any case, and says how long the giver has to rest until the debt is paid.
    ///
    /// What has arrived is not dropped: whoever lost a sync message would wait for its answer for ever.
    pub(super) fn take(&mut self, rate: Rate, amount: u64, now: Timestamp) -> Option<Duration> {
        self.refill(rate, now);
        self.level = self.level.saturating_sub(thousandths(amount));
        self.debt(rate)
    }

    /// Takes `amount` if there is as much, and otherwise nothing, and says how long it takes until there is.
    pub(crate) fn try_take(&mut self, rate: Rate, amount: u64, now: Timestamp) -> Result<(), Duration> {
        self.refill(rate, now);
        let before = self.level;
        match self.take(rate, amount, now) {
            None => Ok(()),
            Some(rest) => {
                self.level = before;
                Err(rest)
            }
        }
    }

    /// Whether it has forgotten everything that was taken.
    pub(crate) fn is_full(&self, rate: Rate, now: Timestamp) -> bool {
        let mut refilled = *self;
        refilled.refill(rate, now);
        refilled.level >= thousandths(rate.burst)
    }

    fn refill(&mut self, rate: Rate, now: Timestamp) {
        let passed = i64::try_from(now.since(self.refilled).as_millis()).unwrap_or(i64::MAX);
        let per_millisecond = i64::try_from(rate.per_second).unwrap_or(i64::MAX);
        let level = self.level.saturating_add(passed.saturating_mul(per_millisecond));
        self.level = level.min(thousandths(rate.burst));
        self.refilled = now;
    }

    /// How long it takes until what was taken beyond what was there is paid.
    fn debt(&self, rate: Rate) -> Option<Duration> {
        let debt = u64::try_from(self.level.checked_neg()?).ok().filter(|debt| *debt > 0)?;
        Some(Duration::from_millis(debt.div_ceil(rate.per_second.max(1))))
    }
}

fn thousandths(amount: u64) -> i64 {
    i64::try_from(amount.saturating_mul(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::full(RATE, at(0));
        for _ in 0..5 {
            assert_eq!(bucket.take(RATE, 1, at(0)), None);
        }
        assert_eq!(bucket.take(RATE, 1, at(0)), Some(Duration::from_millis(100)));
        assert_eq!(bucket.take(RATE, 1, at(100)), Some(Duration::from_millis(100)));
        assert_eq!(bucket.take(RATE, 1, at(300)), None);
    }

    #[test]
    fn rest_refills_no_further_than_the_burst() {
        let mut bucket = Bucket::full(RATE, at(0));
        assert_eq!(bucket.take(RATE, 5, at(0)), None);
        assert_eq!(bucket.take(RATE, 5, at(u64::MAX)), None);
        assert_eq!(bucket.take(RATE, 1, at(u64::MAX)), Some(Duration::from_millis(100)));
    }

    #[test]
    fn absurd_amounts_and_clocks_set_back_do_not_overflow() {
        let mut bucket = Bucket::full(Rate { per_second: u64::MAX, burst: u64::MAX }, at(5));
        assert_eq!(bucket.take(Rate { per_second: 0, burst: 0 }, u64::MAX, at(0)).map(|_| ()), Some(()));
        assert!(bucket.take(RATE, u64::MAX, at(u64::MAX)).is_some());
    }
}
