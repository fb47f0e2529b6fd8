//! How long it takes until a change is durable, over the last minute.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Steps between one power of two and the next: a figure is at most a fifth too large.
const STEPS: u32 = 4;

/// Enough for more than an hour, counted in microseconds.
const BUCKETS: usize = 34 * STEPS as usize;

/// How long one slice of the last minute is.
const SLICE_TIME: Duration = Duration::from_secs(5);

/// Slices of the last minute, the one in the making among them.
const SLICES: usize = 12;

/// Times that were taken lately.
pub(super) struct Latency {
    slices: Mutex<VecDeque<Slice>>,
}

struct Slice {
    began: Instant,
    counts: [u32; BUCKETS],
}

/// What most, nearly all, and all of the times were below. In milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(super) struct Percentiles {
    count: u64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self { slices: Mutex::new(VecDeque::with_capacity(SLICES)) }
    }

    /// Notes times that ended at `now`.
    pub(super) fn note(&self, now: Instant, times: impl Iterator<Item = Duration>) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if slices.back().is_none_or(|slice| now.saturating_duration_since(slice.began) >= SLICE_TIME) {
            if slices.len() == SLICES {
                slices.pop_front();
            }
            slices.push_back(Slice { began: now, counts: [0; BUCKETS] });
        }
        let counts = &mut slices.back_mut().expect("one was made").counts;
        for time in times {
            let count = &mut counts[bucket(time)];
            *count = count.saturating_add(1);
        }
    }

    /// What the last minute comes to.
    pub(super) fn percentiles(&self, now: Instant) -> Percentiles {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = SLICE_TIME * u32::try_from(SLICES).expect("a few");
        let recent = slices.iter().filter(|slice| now.saturating_duration_since(slice.began) < minute);
        let mut counts = [0_u64; BUCKETS];
        for slice in recent {
            counts.iter_mut().zip(slice.counts).for_each(|(sum, count)| *sum += u64::from(count));
        }
        let count: u64 = counts.iter().sum();
        let below = |hundredths: u64| {
            let rank = (count * hundredths).div_ceil(100);
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= rank && rank > 0
            });
            found.map_or(0.0, milliseconds)
        };
        Percentiles { count, p50: below(50), p95: below(95), p99: below(99), max: below(100) }
    }
}

/// Where a time is counted: by its power of two in microseconds, and a quarter of the way to the next.
fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, 1 << 40);
    let power = micros.ilog2();
    let quarter = ((micros - (1 << power)) * u64::from(STEPS)) >> power;
    (usize::try_from(power * STEPS).expect("below 256") + usize::try_from(quarter).expect("below 4"))
        .min(BUCKETS - 1)
}

/// The longest time that is counted there, rounded to what is worth telling.
fn milliseconds(bucket: usize) -> f64 {
    let next = u32::try_from(bucket + 1).expect("there are few");
    let (power, quarter) = (next / STEPS, next % STEPS);
    let micros = 2_f64.powi(i32::try_from(power).expect("there are few"))
        * (1.0 + f64::from(quarter) / f64::from(STEPS));
    (micros.round()) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_never_too_small_and_little_too_large() {
        let latency = Latency::new();
        let began = Instant::now();
        assert_eq!(latency.percentiles(began), Percentiles::default());
        latency.note(began, (1..=1000).map(|n| Duration::from_micros(100 * n)));
        let Percentiles { count, p50, p95, p99, max } = latency.percentiles(began);
        assert_eq!(count, 1000);
        for (told, truth) in [(p50, 50.0), (p95, 95.0), (p99, 99.0), (max, 100.0)] {
            assert!(told >= truth && told <= truth * 1.25, "{told} for {truth}");
        }
    }

    #[test]
    fn what_is_older_than_a_minute_does_not_count() {
        let latency = Latency::new();
        let began = Instant::now();
        latency.note(began, std::iter::once(Duration::from_secs(3)));
        for slice in 1..30 {
            latency.note(began + SLICE_TIME * slice, std::iter::once(Duration::from_millis(1)));
        }
        let later = latency.percentiles(began + SLICE_TIME * 29);
        assert!(later.count == 12 && later.max < 2.0, "{later:?}");
        assert_eq!(latency.percentiles(began + SLICE_TIME * 100).count, 0);
    }

    #[test]
    fn absurd_times_are_counted_somewhere() {
        for time in [Duration::ZERO, Duration::MAX, Duration::from_nanos(1)] {
            assert!(bucket(time) < BUCKETS);
        }
    }
}
