//! How long things took, all together.

use std::time::Duration;

/// Spans of time, each of which happened.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    micros: Vec<u32>,
}

impl Spread {
    pub fn add(&mut self, time: Duration) {
        self.micros.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes in what another has seen.
    pub fn absorb(&mut self, other: &Self) {
        self.micros.extend_from_slice(&other.micros);
    }

    pub fn len(&self) -> usize {
        self.micros.len()
    }

    pub fn is_empty(&self) -> bool {
        self.micros.is_empty()
    }

    /// The time within which this share of everything (from 0 to 1) happened; nothing happened in no time.
    pub fn within(&self, share: f64) -> Duration {
        let mut micros = self.micros.clone();
        if micros.is_empty() {
            return Duration::ZERO;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count is a count"
        )]
        let rank = ((micros.len() as f64 * share).ceil() as usize).clamp(1, micros.len()) - 1;
        let (_, value, _) = micros.select_nth_unstable(rank);
        Duration::from_micros(u64::from(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_happened() {
        let mut spread = Spread::default();
        assert_eq!(spread.within(0.99), Duration::ZERO);
        for millis in (1..=100).rev() {
            spread.add(Duration::from_millis(millis));
        }
        let within = [0.0, 0.5, 0.95, 0.99, 1.0].map(|share| spread.within(share).as_millis());
        assert_eq!(within, [1, 50, 95, 99, 100]);
    }
}
