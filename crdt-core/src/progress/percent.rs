//! Shares and positions.

use serde::{Deserialize, Deserializer, Serialize};

/// A share of a course, in whole percent: 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const FULL: Self = Self(100);

    /// `None` above 100.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent > 100 { None } else { Some(Self(percent)) }
    }

    /// This many of so many, rounded down: 100 percent is all, and nothing less. Nothing of nothing is nothing.
    pub fn of(part: usize, whole: usize) -> Self {
        let share = (part.min(whole) as u128 * 100).checked_div(whole as u128).unwrap_or(0);
        Self(u8::try_from(share).expect("a part is at most the whole"))
    }

    /// The number, 0 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = u8::deserialize(deserializer)?;
        Self::new(percent)
            .ok_or_else(|| serde::de::Error::custom(format!("{percent} is more than 100 percent")))
    }
}

/// How far into a lesson, in a unit of the application's: seconds of a video, pages, exercises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(u32);

impl Position {
    /// The position this far in.
    pub const fn new(position: u32) -> Self {
        Self(position)
    }

    /// How far in.
    pub const fn get(self) -> u32 {
        self.0
    }
}
