//! Who may keep what: no holder gets away with more than came to it.
//!
//! A holder that spent or gave more than came to it has cheated, or was restored from a backup and spent the same right
//! twice. Then its facts are struck, newest first, until the rest is covered: first its uses, and only then what it
//! gave, because that others may have built on. A struck gift can leave its receiver short, whose newest facts are then
//! struck in turn. Striking only ever takes away from others, so the order in which holders are looked at makes no
//! difference: there is one smallest set of struck facts, and every replica finds it.
//!
//! Afterwards nobody holds less than nothing, and as rights only move between holders, what is used together is never more
//! than what was minted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::ReservationId;
use super::holder::HolderId;
use super::ledger::{Book, Ledger};
use super::units::UnitsTotal;
use crate::id::Dot;

/// Where one holder stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// What it may still spend.
    pub(super) left: UnitsTotal,
    pub(super) struck_uses: BTreeSet<ReservationId>,
    pub(super) struck_gifts: BTreeSet<Dot>,
    /// What the authority has back of this lease, once closed. Gifts to the authority are part of it.
    returned: UnitsTotal,
}

impl Standing {
    fn is_struck(&self) -> bool {
        !self.struck_uses.is_empty() || !self.struck_gifts.is_empty()
    }
}

/// Where every holder stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settlement {
    standings: BTreeMap<HolderId, Standing>,
}

impl Settlement {
    /// Where one holder stands.
    pub(super) fn standing(&self, holder: &HolderId) -> Option<&Standing> {
        self.standings.get(holder)
    }

    /// Settles anew after the books of `concerned` changed. Returns whose standing may have changed.
    ///
    /// While nothing is struck, only they and whom they affect are looked at. Strikes are undone only from scratch.
    pub(super) fn settle(
        &mut self,
        ledger: &Ledger,
        mut concerned: BTreeSet<HolderId>,
    ) -> BTreeSet<HolderId> {
        if self.standings.values().any(Standing::is_struck) {
            concerned.extend(self.standings.keys().cloned());
            concerned.extend(ledger.books().map(|(holder, _)| holder.clone()));
            self.standings.clear();
        }
        // Strikes only grow from here on, so what a lease returns must start from its largest: nothing struck.
        let leases: Vec<_> = concerned.iter().filter(|holder| holder.is_lease()).cloned().collect();
        for lease in leases {
            let standing = Standing { returned: self.returned(ledger, &lease), ..Standing::default() };
            self.standings.insert(lease, standing);
            concerned.insert(HolderId::authority());
        }
        let nothing = Book::default();
        let mut waiting = concerned.clone();
        while let Some(holder) = waiting.pop_first() {
            let book = ledger.book(&holder).unwrap_or(&nothing);
            let standing = self.stand(ledger, &holder, book);
            let before = self.standings.get(&holder).cloned().unwrap_or_default();
            let mut affected: Vec<_> = standing
                .struck_gifts
                .difference(&before.struck_gifts)
                .map(|dot| book.given[dot].to.clone())
                .collect();
            if standing.returned != before.returned {
                affected.push(HolderId::authority());
            }
            concerned.extend(affected.iter().cloned());
            waiting.extend(affected);
            if standing == Standing::default() {
                self.standings.remove(&holder);
            } else {
                self.standings.insert(holder, standing);
            }
        }
        concerned
    }

    /// Where `holder` stands, given where the others do.
    fn stand(&self, ledger: &Ledger, holder: &HolderId, book: &Book) -> Standing {
        let income = self.income(ledger, holder, book);
        if book.is_closed() {
            let kept = book.kept();
            let spent: UnitsTotal = kept.values().map(|units| UnitsTotal::from(*units)).sum();
            // The close says what was kept, not when it was used: later names are struck first.
            let newest = kept.into_iter().rev().map(|(reservation, units)| (reservation, units.into()));
            let (struck_uses, _) = strike(newest, spent, income);
            let returned = income.less(spent);
            return Standing { struck_uses, returned, ..Standing::default() };
        }
        let spent: UnitsTotal = book.open_uses().map(|(_, spent)| UnitsTotal::from(spent.units)).sum();
        let given: UnitsTotal = book.given.values().map(|moved| UnitsTotal::from(moved.units)).sum();
        let outgo = spent + given;
        if outgo <= income {
            return Standing { left: income.less(outgo), ..Standing::default() };
        }
        let mut uses: Vec<_> = book.open_uses().collect();
        uses.sort_unstable_by_key(|(reservation, spent)| Reverse((spent.at, *reservation)));
        let mut gifts: Vec<_> = book.given.iter().collect();
        gifts.sort_unstable_by_key(|(dot, moved)| Reverse((moved.at, *dot)));
        let newest = uses.into_iter().map(|(reservation, spent)| (reservation.clone(), spent.units.into()));
        let (struck_uses, outgo) = strike(newest, outgo, income);
        let newest = gifts.into_iter().map(|(dot, moved)| (dot.clone(), moved.units.into()));
        let (struck_gifts, outgo) = strike(newest, outgo, income);
        Standing { left: income.less(outgo), struck_uses, struck_gifts, returned: UnitsTotal::ZERO }
    }

    /// What came to `holder`: minted, given by others, and, for the authority, returned by closed leases.
    fn income(&self, ledger: &Ledger, holder: &HolderId, book: &Book) -> UnitsTotal {
        let minted = book.minted.values().map(|units| UnitsTotal::from(*units)).sum::<UnitsTotal>();
        let received = book.received.iter().filter(|((from, dot), _)| {
            let struck = self.standings.get(from).is_some_and(|standing| standing.struck_gifts.contains(dot));
            !struck && !ledger.book(from).is_some_and(Book::is_closed)
        });
        let received = received.map(|(_, units)| UnitsTotal::from(*units)).sum();
        let returned = if holder.is_authority() {
            self.standings.values().map(|standing| standing.returned).sum()
        } else {
            UnitsTotal::ZERO
        };
        minted + received + returned
    }

    fn returned(&self, ledger: &Ledger, lease: &HolderId) -> UnitsTotal {
        ledger.book(lease).map_or(UnitsTotal::ZERO, |book| self.stand(ledger, lease, book).returned)
    }
}

/// Strikes from the newest on until `income` covers the outgo. What was struck, and the outgo that remains.
fn strike<Id: Ord>(
    newest_first: impl Iterator<Item = (Id, UnitsTotal)>,
    mut outgo: UnitsTotal,
    income: UnitsTotal,
) -> (BTreeSet<Id>, UnitsTotal) {
    let mut struck = BTreeSet::new();
    for (id, units) in newest_first {
        if outgo <= income {
            break;
        }
        outgo = outgo.less(units);
        struck.insert(id);
    }
    (struck, outgo)
}
