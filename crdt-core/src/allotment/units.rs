//! How many: seats, pieces, places.

use std::fmt;
use std::iter::Sum;

use serde::{Deserialize, Serialize};

use crate::limits::QUANTITY_MAX;

/// How many one operation speaks of: 1 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Units(u32);

impl Units {
    /// Just one.
    pub const ONE: Self = Self(1);

    /// Checks the number: 1 to 1,000,000.
    pub const fn new(number: u32) -> Result<Self, NotUnits> {
        if number == 0 || number > QUANTITY_MAX {
            return Err(NotUnits { number: number as i64 });
        }
        Ok(Self(number))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Units {
    type Error = NotUnits;

    fn try_from(number: i64) -> Result<Self, NotUnits> {
        u32::try_from(number).ok().and_then(|number| Self::new(number).ok()).ok_or(NotUnits { number })
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that is not [`Units`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{number} is not 1 to {QUANTITY_MAX} units")]
pub struct NotUnits {
    /// The number given.
    pub number: i64,
}

/// How many together: zero or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitsTotal(u64);

impl UnitsTotal {
    /// None at all.
    pub const ZERO: Self = Self(0);

    /// The total of this many.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether there are at least so many.
    pub fn covers(self, units: Units) -> bool {
        self.0 >= u64::from(units.0)
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl From<Units> for UnitsTotal {
    fn from(units: Units) -> Self {
        Self(u64::from(units.0))
    }
}

impl std::ops::Add for UnitsTotal {
    type Output = Self;

    /// Facts are at most a million each and fit a document, so a sum of them is far from overflow.
    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("a sum of bounded facts"))
    }
}

impl Sum for UnitsTotal {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::ZERO, |sum, total| sum + total)
    }
}

impl fmt::Display for UnitsTotal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
