//! How many, and at which price.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::QUANTITY_MAX;
use crate::money::Money;

/// How many units one operation speaks of: 1 to 1,000,000.
///
/// ```
/// use crdt_core::cart::Quantity;
/// assert_eq!(Quantity::new(3)?.get(), 3);
/// assert!(Quantity::new(0).is_err());
/// # Ok::<(), crdt_core::cart::InvalidQuantity>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Quantity(u32);

impl Quantity {
    /// A single unit.
    pub const ONE: Self = Self(1);

    /// Checks the bounds.
    pub const fn new(units: u32) -> Result<Self, InvalidQuantity> {
        if units == 0 || units > QUANTITY_MAX {
            return Err(InvalidQuantity { units });
        }
        Ok(Self(units))
    }

    /// The number of units.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// These units, remembered at this price each.
    pub const fn at(self, price: Money) -> Units {
        Units { quantity: self, price: Some(price) }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Some units and, where the application shows totals offline, what one of them cost when a person put it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    pub quantity: Quantity,
    /// The price of one unit, as the person saw it.
    pub price: Option<Money>,
}

impl From<Quantity> for Units {
    fn from(quantity: Quantity) -> Self {
        Self { quantity, price: None }
    }
}

/// A number that is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{units} is not a quantity: from 1 to {QUANTITY_MAX} units can be asked for at once")]
pub struct InvalidQuantity {
    pub units: u32,
}
