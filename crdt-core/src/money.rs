//! Amounts of money: integer minor units of a currency.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::InvalidId;
use crate::limits::MONEY_MINOR_MAX;

/// An ISO 4217 currency code, such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code's three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters")
    }
}

impl FromStr for Currency {
    type Err = InvalidId;

    /// Accepts three upper-case ASCII letters. Whether such a currency exists is for the application to know.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(InvalidId::new("currency", text, "is not three upper-case letters")),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({self})")
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount of money, zero or more: integer minor units (cents) and their currency.
///
/// ```
/// use crdt_core::money::Money;
/// let price = Money::new(1999, "EUR".parse()?)?;
/// assert_eq!(price.to_string(), "1999 EUR");
/// assert!(Money::new(-1, price.currency()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// Checks the bounds: 0 to 2^53 - 1 minor units, which every language's JSON can hold.
    pub const fn new(minor: i64, currency: Currency) -> Result<Self, InvalidMoney> {
        if minor < 0 || minor > MONEY_MINOR_MAX {
            return Err(InvalidMoney { minor });
        }
        Ok(Self { minor, currency })
    }

    /// The amount in minor units.
    pub const fn minor(&self) -> i64 {
        self.minor
    }

    /// What it is an amount of.
    pub const fn currency(&self) -> Currency {
        self.currency
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.minor, self.currency)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            minor: i64,
            currency: Currency,
        }
        let fields = Fields::deserialize(deserializer)?;
        Self::new(fields.minor, fields.currency).map_err(serde::de::Error::custom)
    }
}

/// A number of minor units that is not an amount of money here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{minor} minor units is not an amount from 0 to {MONEY_MINOR_MAX}")]
pub struct InvalidMoney {
    pub minor: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_three_capitals() {
        for text in ["eur", "EU", "EURO", "E1R", "€UR"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }
}
