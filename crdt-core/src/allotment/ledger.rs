//! The facts that count, kept as one book per holder.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Fact, Granted, Kept, Moved, Place, Spent};
use super::holder::HolderId;
use super::units::{Units, UnitsTotal};
use super::{MintId, ReservationId};
use crate::id::Dot;

/// Every fact that counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    mints: BTreeMap<MintId, Granted>,
    minted: UnitsTotal,
    books: BTreeMap<HolderId, Book>,
}

/// What concerns one holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) minted: BTreeMap<MintId, Units>,
    pub(super) received: BTreeMap<(HolderId, Dot), Units>,
    pub(super) given: BTreeMap<Dot, Moved>,
    pub(super) uses: BTreeMap<ReservationId, Spent>,
    pub(super) releases: BTreeSet<ReservationId>,
    pub(super) wants: BTreeMap<ReservationId, Spent>,
    pub(super) closes: BTreeMap<Dot, Kept>,
}

impl Book {
    /// Whether the authority has closed this lease.
    pub(super) fn is_closed(&self) -> bool {
        !self.closes.is_empty()
    }

    /// What closing kept and nobody released since: of several closes, what any of them kept.
    pub(super) fn kept(&self) -> Kept {
        let mut kept = Kept::new();
        for (reservation, units) in self.closes.values().flatten() {
            if !self.releases.contains(reservation) {
                let known = kept.entry(reservation.clone()).or_insert(*units);
                *known = (*units).max(*known);
            }
        }
        kept
    }

    /// The uses that nobody released.
    pub(super) fn open_uses(&self) -> impl Iterator<Item = (&ReservationId, &Spent)> {
        self.uses.iter().filter(|(reservation, _)| !self.releases.contains(reservation))
    }
}

impl Ledger {
    /// Everything minted.
    pub(super) fn minted(&self) -> UnitsTotal {
        self.minted
    }

    /// What was minted under this id.
    pub(super) fn mint(&self, id: &MintId) -> Option<&Granted> {
        self.mints.get(id)
    }

    /// One holder's book, if any fact concerns it.
    pub(super) fn book(&self, holder: &HolderId) -> Option<&Book> {
        self.books.get(holder)
    }

    /// Every book.
    pub(super) fn books(&self) -> impl Iterator<Item = (&HolderId, &Book)> {
        self.books.iter()
    }

    /// Notes what `place` says now: a fact, or nothing. Adds the holders whose books changed to `concerned`.
    pub(super) fn note(&mut self, place: Place, fact: Option<Fact>, concerned: &mut BTreeSet<HolderId>) {
        match (place, fact) {
            (Place::Mint(id), Some(Fact::Mint(granted))) => self.note_mint(id, Some(granted), concerned),
            (Place::Mint(id), _) => self.note_mint(id, None, concerned),
            (Place::Transfer(from, dot), Some(Fact::Transfer(moved))) => {
                self.note_transfer(&from, &dot, Some(moved), concerned);
            }
            (Place::Transfer(from, dot), _) => self.note_transfer(&from, &dot, None, concerned),
            (Place::Use(holder, id), fact) => {
                let spent = fact.and_then(Fact::into_spent);
                self.in_book(&holder, concerned, |book| set(&mut book.uses, id, spent));
            }
            (Place::Release(holder, id), Some(_)) => {
                self.in_book(&holder, concerned, |book| book.releases.extend([id]));
            }
            (Place::Release(holder, id), None) => {
                self.in_book(&holder, concerned, |book| book.releases.retain(|known| *known != id));
            }
            (Place::Want(holder, id), fact) => {
                let spent = fact.and_then(Fact::into_spent);
                self.in_book(&holder, concerned, |book| set(&mut book.wants, id, spent));
            }
            (Place::Close(lease, dot), Some(Fact::Close(kept))) => {
                self.in_book(&lease, concerned, |book| set(&mut book.closes, dot, Some(kept)));
            }
            (Place::Close(lease, dot), _) => {
                self.in_book(&lease, concerned, |book| set(&mut book.closes, dot, None));
            }
        }
    }

    fn note_mint(&mut self, id: MintId, granted: Option<Granted>, concerned: &mut BTreeSet<HolderId>) {
        if let Some(before) = self.mints.remove(&id) {
            self.minted = self.minted.less(before.units.into());
            self.in_book(&before.to, concerned, |book| set(&mut book.minted, id.clone(), None));
        }
        if let Some(granted) = granted {
            self.minted = self.minted + granted.units.into();
            self.in_book(&granted.to, concerned, |book| {
                set(&mut book.minted, id.clone(), Some(granted.units));
            });
            self.mints.insert(id, granted);
        }
    }

    fn note_transfer(
        &mut self,
        from: &HolderId,
        dot: &Dot,
        moved: Option<Moved>,
        concerned: &mut BTreeSet<HolderId>,
    ) {
        let entry = (from.clone(), dot.clone());
        if let Some(before) = self.books.get(from).and_then(|book| book.given.get(dot)) {
            let to = before.to.clone();
            self.in_book(&to, concerned, |book| set(&mut book.received, entry.clone(), None));
        }
        if let Some(moved) = &moved {
            self.in_book(&moved.to, concerned, |book| set(&mut book.received, entry, Some(moved.units)));
        }
        self.in_book(from, concerned, |book| set(&mut book.given, dot.clone(), moved));
    }

    /// Changes one book; a book with nothing in it is no book.
    fn in_book(
        &mut self,
        holder: &HolderId,
        concerned: &mut BTreeSet<HolderId>,
        change: impl FnOnce(&mut Book),
    ) {
        let book = self.books.entry(holder.clone()).or_default();
        change(book);
        if *book == Book::default() {
            self.books.remove(holder);
        }
        concerned.insert(holder.clone());
    }
}

fn set<Id: Ord, Value>(map: &mut BTreeMap<Id, Value>, id: Id, value: Option<Value>) {
    match value {
        Some(value) => map.insert(id, value),
        None => map.remove(&id),
    };
}
