//! What people see of an allotment.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ReservationId;
use super::holder::HolderId;
use super::ledger::Ledger;
use super::settle::Settlement;
use super::units::{Units, UnitsTotal};
use crate::id::Dot;

/// An allotment as it stands. The same JSON in every language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllotmentView {
    minted: UnitsTotal,
    used: UnitsTotal,
    holders: BTreeMap<HolderId, HolderView>,
}

/// What one holder has, spent, wants, and was denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HolderView {
    /// What it may still spend.
    pub rights: UnitsTotal,
    /// The reservations it holds.
    pub uses: BTreeMap<ReservationId, Units>,
    /// The reservations it would make had it the rights.
    pub wants: BTreeMap<ReservationId, Want>,
    /// Reservations that count for nothing because the authority had closed the lease before it learned of them.
    pub voids: BTreeMap<ReservationId, Units>,
    /// Reservations that count for nothing because more was spent than there was.
    pub struck: BTreeMap<ReservationId, Units>,
    /// Gifts that count for nothing because more was given than there was.
    pub struck_gifts: BTreeMap<Dot, Gift>,
    /// The authority has closed this lease.
    pub closed: bool,
}

/// A change of what is shown of one holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HolderChange {
    pub holder: HolderId,
    /// The rights it had left.
    pub before: UnitsTotal,
    /// The rights it has left now. The same where only its reservations or wants are others.
    pub after: UnitsTotal,
}

/// A reservation that waits for rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Want {
    /// How many.
    pub units: Units,
    /// Larger was asked later.
    pub at: u64,
}

/// Rights given to another holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Gift {
    /// The receiver.
    pub to: HolderId,
    /// How many.
    pub units: Units,
}

/// A want in the queue of all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct QueuedWant {
    /// Who wants.
    pub holder: HolderId,
    /// For what.
    pub reservation: ReservationId,
    /// How many.
    pub units: Units,
}

impl AllotmentView {
    /// How many there are.
    pub fn minted(&self) -> UnitsTotal {
        self.minted
    }

    /// How many of them are reserved. Never more than there are.
    pub fn used(&self) -> UnitsTotal {
        self.used
    }

    /// Every holder that any fact concerns.
    pub fn holders(&self) -> &BTreeMap<HolderId, HolderView> {
        &self.holders
    }

    /// What one holder has, spent and wants.
    pub fn holder(&self, holder: &HolderId) -> Option<&HolderView> {
        self.holders.get(holder)
    }

    /// How many `holder` may still spend, on its own, without asking anyone.
    pub fn rights(&self, holder: &HolderId) -> UnitsTotal {
        self.holders.get(holder).map_or(UnitsTotal::ZERO, |view| view.rights)
    }

    /// Who holds this reservation, and how much of it. Usually one; more where devices reserved it independently.
    pub fn reserved_by<'a>(
        &'a self,
        reservation: &'a ReservationId,
    ) -> impl Iterator<Item = (&'a HolderId, Units)> {
        self.holders.iter().filter_map(|(holder, view)| Some((holder, *view.uses.get(reservation)?)))
    }

    /// Everything that is wanted, oldest first.
    pub fn queue(&self) -> Vec<QueuedWant> {
        let wants = self.holders.iter().flat_map(|(holder, view)| {
            view.wants.iter().map(move |(reservation, want)| (want.at, holder, reservation, want.units))
        });
        let mut wants: Vec<_> = wants.collect();
        wants.sort_unstable();
        let queued = wants.into_iter().map(|(_, holder, reservation, units)| QueuedWant {
            holder: holder.clone(),
            reservation: reservation.clone(),
            units,
        });
        queued.collect()
    }

    /// Makes the view show what `ledger` and `settlement` say of these holders now. Who shows something else is returned.
    pub(super) fn show(
        &mut self,
        ledger: &Ledger,
        settlement: &Settlement,
        concerned: BTreeSet<HolderId>,
    ) -> Vec<HolderChange> {
        self.minted = ledger.minted();
        let mut changes = Vec::new();
        for holder in concerned {
            let before = self.holders.remove(&holder).unwrap_or_default();
            let view = HolderView::of(ledger, settlement, &holder);
            self.used = self.used.less(before.used()) + view.used();
            changes.extend(before.change_to(&view, &holder));
            if view != HolderView::default() {
                self.holders.insert(holder, view);
            }
        }
        changes
    }

    /// Which holders `after` shows otherwise.
    pub(super) fn changes_to(&self, after: &Self) -> Vec<HolderChange> {
        let holders: BTreeSet<_> = self.holders.keys().chain(after.holders.keys()).collect();
        let shown = |view: &Self, holder| view.holders.get(holder).cloned().unwrap_or_default();
        let changes = holders
            .into_iter()
            .filter_map(|holder| shown(self, holder).change_to(&shown(after, holder), holder));
        changes.collect()
    }
}

impl HolderView {
    /// How many this holder has reserved.
    pub fn used(&self) -> UnitsTotal {
        self.uses.values().map(|units| UnitsTotal::from(*units)).sum()
    }

    fn change_to(&self, after: &Self, holder: &HolderId) -> Option<HolderChange> {
        let change = || HolderChange { holder: holder.clone(), before: self.rights, after: after.rights };
        (self != after).then(change)
    }

    fn of(ledger: &Ledger, settlement: &Settlement, holder: &HolderId) -> Self {
        let standing = settlement.standing(holder).cloned().unwrap_or_default();
        let mut view = Self { rights: standing.left, ..Self::default() };
        let Some(book) = ledger.book(holder) else {
            return view;
        };
        view.closed = book.is_closed();
        let uses = book.open_uses().map(|(reservation, spent)| (reservation.clone(), spent.units));
        if view.closed {
            view.uses = book.kept();
            view.voids = uses.filter(|(reservation, _)| !view.uses.contains_key(reservation)).collect();
        } else {
            view.uses = uses.collect();
            let wants = book.wants.iter().filter(|(reservation, _)| {
                !book.uses.contains_key(*reservation) && !book.releases.contains(*reservation)
            });
            view.wants = wants
                .map(|(reservation, want)| (reservation.clone(), Want { units: want.units, at: want.at }))
                .collect();
        }
        for reservation in standing.struck_uses {
            if let Some((reservation, units)) = view.uses.remove_entry(&reservation) {
                view.struck.insert(reservation, units);
            }
        }
        let gifts = standing.struck_gifts.into_iter().filter_map(|dot| {
            let moved = book.given.get(&dot)?;
            Some((dot, Gift { to: moved.to.clone(), units: moved.units }))
        });
        view.struck_gifts = gifts.collect();
        view
    }
}
