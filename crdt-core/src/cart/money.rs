//! Amounts of money: integer minor units of a currency, summed without ever overflowing.

use std::collections::{BTreeMap, BTreeSet};
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
/// use crdt_core::cart::Money;
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

/// What some units cost together, by currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// The sum in each currency, in minor units.
    pub amounts: BTreeMap<Currency, i64>,
    /// Currencies whose sum is past 2^53 - 1 minor units, and so not an amount of money.
    pub too_large: BTreeSet<Currency>,
    /// Units without a price, which no amount counts.
    pub unpriced: u64,
}

/// A total in the making, to which lines are added and from which they are taken again. Sums are exact: 128 bits hold
/// more than any document can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    amounts: BTreeMap<Currency, Amount>,
    unpriced: u64,
}

/// The sum in one currency, and of how many units: a currency in which nothing is priced any more is no part of a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    minor: i128,
    units: u64,
}

impl Sum {
    /// So many units at this price each.
    pub(super) fn add(&mut self, units: u32, price: Option<Money>) {
        match price {
            Some(price) if units > 0 => {
                let amount = self.amounts.entry(price.currency).or_default();
                amount.minor += i128::from(price.minor) * i128::from(units);
                amount.units += u64::from(units);
            }
            Some(_) => {}
            None => self.unpriced += u64::from(units),
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (currency, added) in &other.amounts {
            let amount = self.amounts.entry(*currency).or_default();
            amount.minor += added.minor;
            amount.units += added.units;
        }
        self.unpriced += other.unpriced;
    }

    /// Takes out what [`Sum::add_all`] added.
    pub(super) fn take_all(&mut self, other: &Self) {
        for (currency, taken) in &other.amounts {
            let amount = self.amounts.get_mut(currency).expect("only what was added is taken out");
            amount.minor -= taken.minor;
            amount.units -= taken.units;
            if amount.units == 0 {
                self.amounts.remove(currency);
            }
        }
        self.unpriced -= other.unpriced;
    }

    pub(super) fn total(&self) -> Total {
        let mut total = Total { unpriced: self.unpriced, ..Total::default() };
        for (currency, amount) in &self.amounts {
            match i64::try_from(amount.minor) {
                Ok(minor) if minor <= MONEY_MINOR_MAX => {
                    total.amounts.insert(*currency, minor);
                }
                _ => {
                    total.too_large.insert(*currency);
                }
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_past_the_bound_says_so_and_spares_the_others() {
        let (eur, usd): (Currency, Currency) = ("EUR".parse().unwrap(), "USD".parse().unwrap());
        let mut sum = Sum::default();
        for _ in 0..3 {
            sum.add(1_000_000, Some(Money::new(MONEY_MINOR_MAX, eur).unwrap()));
        }
        sum.add(2, Some(Money::new(150, usd).unwrap()));
        sum.add(4, None);
        let total = sum.total();
        assert_eq!(total.amounts, BTreeMap::from([(usd, 300)]));
        assert_eq!((total.too_large, total.unpriced), (BTreeSet::from([eur]), 4));
        let mut larger = sum.clone();
        larger.add_all(&sum);
        larger.take_all(&sum);
        assert_eq!(larger, sum);
        larger.take_all(&sum);
        assert_eq!(larger, Sum::default());
    }

    #[test]
    fn currencies_are_three_capitals() {
        for text in ["eur", "EU", "EURO", "E1R", "€UR"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }
}
