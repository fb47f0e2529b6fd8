//! How eagerly the replica works, given the conditions it runs in.

use std::time::Duration;

use super::queue::Priority;

/// What the system says about battery, network and visibility.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Nobody is looking at the application.
    pub background: bool,
    /// Bytes cost money.
    pub metered: bool,
    /// The battery is low and not charging.
    pub low_battery: bool,
}

/// How eagerly to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Edits wait so long for others to go with them. Critical documents don't.
    pub(super) gather: Duration,
    /// Intervals of signs of life and presence are so many times longer.
    pub(super) stretch: u32,
    /// Less urgent documents than this wait until conditions are better.
    pub(super) least: Priority,
}

impl Conditions {
    pub(super) fn pace(self) -> Pace {
        let Self { background, metered, low_battery } = self;
        Pace {
            gather: match (background, metered || low_battery) {
                (false, false) => Duration::ZERO,
                (false, true) => Duration::from_secs(2),
                (true, false) => Duration::from_secs(5),
                (true, true) => Duration::from_secs(15),
            },
            stretch: if background || low_battery { 4 } else { 1 },
            least: if metered || low_battery { Priority::Medium } else { Priority::Low },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_conditions_never_make_it_more_eager() {
        let all = (0..8_u8).map(|bits| Conditions {
            background: bits & 1 != 0,
            metered: bits & 2 != 0,
            low_battery: bits & 4 != 0,
        });
        for better in all.clone() {
            for worse in all.clone() {
                let gets_worse = [
                    (better.background, worse.background),
                    (better.metered, worse.metered),
                    (better.low_battery, worse.low_battery),
                ];
                if gets_worse.iter().all(|(before, after)| before <= after) {
                    let (before, after) = (better.pace(), worse.pace());
                    assert!(before.gather <= after.gather, "{better:?} to {worse:?}");
                    assert!(before.stretch <= after.stretch, "{better:?} to {worse:?}");
                    assert!(before.least <= after.least, "{better:?} to {worse:?}");
                }
            }
        }
        assert_eq!(Conditions::default().pace().gather, Duration::ZERO);
    }
}
