//! What things cost together: sums by currency, which never overflow.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::limits::MONEY_MINOR_MAX;
use crate::money::{Currency, Money};

/// What some units cost together, by currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
                let amount = self.amounts.entry(price.currency()).or_default();
                amount.minor += i128::from(price.minor()) * i128::from(units);
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
}
