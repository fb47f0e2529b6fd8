//! How long to wait before trying again: longer each time, and never in step with others.

use std::time::Duration;

use rand_core::Rng;

/// Exponential backoff with full jitter: the `n`th wait is drawn between nothing and `first * 2^n`, at most `longest`.
///
/// Drawing from the whole range spreads a thousand clients of a restarted relay evenly, where a fixed wait with some
/// noise would bring them back in waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest that the first wait may be.
    pub first: Duration,
    /// The longest that any wait may be.
    pub longest: Duration,
}

impl Backoff {
    /// The wait before the next attempt, after this many failed ones.
    pub fn wait(&self, failed: u32, rng: &mut dyn Rng) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failed).unwrap_or(u32::MAX));
        between(Duration::ZERO, doubled.min(self.longest), rng)
    }
}

/// A moment drawn evenly between two, in whole milliseconds.
pub(super) fn between(least: Duration, most: Duration, rng: &mut dyn Rng) -> Duration {
    let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
    // The upper half of the product is even over the span, with no loop to make it so.
    let drawn = (u128::from(rng.next_u64()) * (u128::from(span) + 1)) >> 64;
    least + Duration::from_millis(u64::try_from(drawn).expect("no more than the span"))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_fill_their_range() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for (failed, longest) in [(0, 1), (1, 2), (4, 16), (5, 30), (31, 30), (4_000_000, 30)] {
            let longest = Duration::from_secs(longest);
            let waits: Vec<_> = (0..200).map(|_| backoff.wait(failed, &mut rng)).collect();
            assert!(waits.iter().all(|wait| *wait <= longest), "after {failed} failures");
            assert!(waits.iter().any(|wait| *wait < longest / 8), "after {failed} failures");
            assert!(waits.iter().any(|wait| *wait > longest * 7 / 8), "after {failed} failures");
        }
    }

    #[test]
    fn a_range_of_one_moment_is_that_moment() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let moment = Duration::from_millis(250);
        assert_eq!(between(moment, moment, &mut rng), moment);
        assert_eq!(between(moment, Duration::ZERO, &mut rng), moment);
    }
}
