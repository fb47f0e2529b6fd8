//! What people and devices do to an allotment.

use std::borrow::BorrowMut;

use serde::Serialize;

use super::fact::{CloseBody, MintBody, Place, ReleaseBody, SpentBody, TransferBody};
use super::holder::{HolderId, Spender};
use super::units::{Units, UnitsTotal};
use super::{Allotment, MintId, ReservationId};
use crate::authority::{AuthorityKey, PublicKey};
use crate::canonical;
use crate::document::{Committed, Document, Edit};
use crate::id::Dot;
use crate::kind::{KIND_KEY, Kind};

/// What an operation wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written<Id> {
    /// Names what was done.
    pub id: Id,
    /// The change. `None` when it had been done already.
    pub committed: Option<Committed>,
}

/// Why an operation was not done. But for the queued want of [`AllotmentError::Exhausted`], nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllotmentError {
    #[error("{holder} has rights for {left}, and {wanted} are wanted; the want is queued where it can be")]
    Exhausted { holder: HolderId, wanted: Units, left: UnitsTotal },
    #[error("{lease} is a lease: it may only reserve, or give back to the authority")]
    Lease { lease: HolderId },
    #[error("{lease} is closed")]
    LeaseClosed { lease: HolderId },
    #[error("{holder} is not a lease and can't be closed")]
    NotLease { holder: HolderId },
    #[error("the application does not trust {by} to decide how many there are")]
    NotTrusted { by: PublicKey },
    #[error("{id} has minted {units} to {to} already")]
    MintTaken { id: MintId, units: Units, to: HolderId },
    #[error("{holder} has reserved {units} as {reservation} already")]
    ReservationTaken { holder: HolderId, reservation: ReservationId, units: Units },
    #[error("{reservation} of {holder} was released; a new reservation needs a new name")]
    Released { holder: HolderId, reservation: ReservationId },
    #[error("{reservation} of {holder} was struck: more had been spent than there was")]
    Struck { holder: HolderId, reservation: ReservationId },
    #[error("{holder} has no reservation {reservation}")]
    NoReservation { holder: HolderId, reservation: ReservationId },
    #[error("{holder} can't give to itself")]
    ToItself { holder: HolderId },
}

impl AllotmentError {
    /// A word for programs: the same in every language and version.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exhausted { .. } => "exhausted",
            Self::Lease { .. } => "lease",
            Self::LeaseClosed { .. } => "leaseClosed",
            Self::NotLease { .. } => "notLease",
            Self::NotTrusted { .. } => "notTrusted",
            Self::MintTaken { .. } => "mintTaken",
            Self::ReservationTaken { .. } => "reservationTaken",
            Self::Released { .. } => "released",
            Self::Struck { .. } => "struck",
            Self::NoReservation { .. } => "noReservation",
            Self::ToItself { .. } => "toItself",
        }
    }
}

impl<D: BorrowMut<Document>> Allotment<D> {
    /// Brings `units` rights into being, held by `to`. Done again under the same id, it does nothing.
    pub fn mint(
        &mut self,
        key: &AuthorityKey,
        id: MintId,
        to: HolderId,
        units: Units,
    ) -> Result<Written<MintId>, AllotmentError> {
        self.refresh();
        self.check_authority(Some(key))?;
        if let Some(granted) = self.state.ledger.mint(&id) {
            if (&granted.to, granted.units) == (&to, units) {
                return Ok(Written { id, committed: None });
            }
            return Err(AllotmentError::MintTaken { id, units: granted.units, to: granted.to.clone() });
        }
        self.check_open(&to)?;
        let body = MintBody { n: i64::from(units.get()), to };
        let committed = self.write(Some(key), &Place::Mint(id.clone()), &body);
        Ok(Written { id, committed })
    }

    /// Gives rights of `by` to another holder. A lease may only give back to [`HolderId::authority`].
    pub fn give(
        &mut self,
        by: &Spender,
        to: &HolderId,
        units: Units,
    ) -> Result<Written<Dot>, AllotmentError> {
        self.check_spender(by)?;
        let from = by.holder();
        if from == to {
            return Err(AllotmentError::ToItself { holder: to.clone() });
        }
        if from.is_lease() && !to.is_authority() {
            return Err(AllotmentError::Lease { lease: from.clone() });
        }
        self.check_open(to)?;
        self.check_rights(from, units)?;
        let dot = self.edit().next_dot();
        let body = TransferBody { at: dot.counter, n: i64::from(units.get()), to: to.clone() };
        let committed = self.write(by.key(), &Place::Transfer(from.clone(), dot.clone()), &body);
        Ok(Written { id: dot, committed })
    }

    /// Spends rights of `by` on a reservation. Done again under the same id, it does nothing.
    ///
    /// When rights run out, the want is queued, for whoever has rights to spare, and the error says so.
    pub fn reserve(
        &mut self,
        by: &Spender,
        reservation: ReservationId,
        units: Units,
    ) -> Result<Written<ReservationId>, AllotmentError> {
        self.refresh();
        let holder = by.holder();
        if let Some(already) = self.reserved(holder, &reservation, units)? {
            return Ok(Written { id: already, committed: None });
        }
        self.check_spender(by)?;
        if let Err(exhausted) = self.check_rights(holder, units) {
            self.want(by, reservation, units)?;
            return Err(exhausted);
        }
        let place = Place::Use(holder.clone(), reservation.clone());
        let want = Place::Want(holder.clone(), reservation.clone()).to_string();
        let at = self.edit().next_dot().counter;
        let text = self.text(by.key(), &place, &SpentBody { at, n: i64::from(units.get()) });
        let mut edit = self.edit();
        edit.put(&place.to_string(), &text);
        edit.delete(&want);
        let committed = edit.commit();
        self.refresh();
        Ok(Written { id: reservation, committed })
    }

    /// Gives a reservation up: its rights are back with `by`. A lease may not.
    pub fn release(
        &mut self,
        by: &Spender,
        reservation: ReservationId,
    ) -> Result<Written<ReservationId>, AllotmentError> {
        self.check_spender(by)?;
        if by.holder().is_lease() {
            return Err(AllotmentError::Lease { lease: by.holder().clone() });
        }
        self.write_release(by.key(), by.holder(), reservation)
    }

    /// The authority gives up a reservation of any holder: its rights are back with that holder, or, when that is a closed
    /// lease, with the authority.
    pub fn cancel(
        &mut self,
        key: &AuthorityKey,
        holder: &HolderId,
        reservation: ReservationId,
    ) -> Result<Written<ReservationId>, AllotmentError> {
        self.refresh();
        self.check_authority(Some(key))?;
        self.write_release(Some(key), holder, reservation)
    }

    /// Queues a want, for whoever has rights to spare.
    pub fn want(
        &mut self,
        by: &Spender,
        reservation: ReservationId,
        units: Units,
    ) -> Result<Written<ReservationId>, AllotmentError> {
        self.check_spender(by)?;
        let holder = by.holder();
        if let Some(already) = self.reserved(holder, &reservation, units)? {
            return Ok(Written { id: already, committed: None });
        }
        let wanted = self.view().holder(holder).and_then(|view| view.wants.get(&reservation));
        if wanted.is_some_and(|want| want.units == units) {
            return Ok(Written { id: reservation, committed: None });
        }
        let at = self.edit().next_dot().counter;
        let body = SpentBody { at, n: i64::from(units.get()) };
        let committed = self.write(by.key(), &Place::Want(holder.clone(), reservation.clone()), &body);
        Ok(Written { id: reservation, committed })
    }

    /// Takes a want out of the queue.
    pub fn withdraw(&mut self, by: &Spender, reservation: ReservationId) -> Written<ReservationId> {
        let key = Place::Want(by.holder().clone(), reservation.clone()).to_string();
        let mut edit = self.document_mut().edit();
        edit.delete(&key);
        let committed = edit.commit();
        self.refresh();
        Written { id: reservation, committed }
    }

    /// Gives rights of `by` to those who want them, oldest want first, as far as they go. A want larger than what is left
    /// does not hold up smaller ones behind it.
    pub fn answer_wants(&mut self, by: &Spender) -> Result<Vec<Written<Dot>>, AllotmentError> {
        self.check_spender(by)?;
        let mut spare = std::collections::BTreeMap::<HolderId, UnitsTotal>::new();
        let mut given = Vec::new();
        for want in self.view().queue() {
            if want.holder == *by.holder() {
                continue;
            }
            // Rights that a holder has already answer its oldest wants.
            let has = spare.entry(want.holder.clone()).or_insert_with(|| self.view().rights(&want.holder));
            let missing = UnitsTotal::from(want.units).less(*has);
            *has = has.less(want.units.into());
            let Ok(missing) = Units::try_from(i64::try_from(missing.get()).expect("at most one want")) else {
                continue;
            };
            match self.give(by, &want.holder, missing) {
                Ok(written) => given.push(written),
                Err(AllotmentError::Exhausted { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(given)
    }

    /// Closes a lease: exactly the uses that this replica has seen count, and all other rights of it are back with the
    /// authority. Returns how many.
    pub fn close_lease(
        &mut self,
        key: &AuthorityKey,
        lease: &HolderId,
    ) -> Result<Written<UnitsTotal>, AllotmentError> {
        self.refresh();
        self.check_authority(Some(key))?;
        if !lease.is_lease() {
            return Err(AllotmentError::NotLease { holder: lease.clone() });
        }
        self.check_open(lease)?;
        let view = self.view().holder(lease);
        let returned = view.map_or(UnitsTotal::ZERO, |view| view.rights);
        let keep = view.map(|view| view.uses.clone()).unwrap_or_default();
        let dot = self.edit().next_dot();
        let committed = self.write(Some(key), &Place::Close(lease.clone(), dot), &CloseBody { keep });
        Ok(Written { id: returned, committed })
    }

    fn write_release(
        &mut self,
        key: Option<&AuthorityKey>,
        holder: &HolderId,
        reservation: ReservationId,
    ) -> Result<Written<ReservationId>, AllotmentError> {
        let book = self.state.ledger.book(holder);
        if book.is_some_and(|book| book.releases.contains(&reservation)) {
            return Ok(Written { id: reservation, committed: None });
        }
        if !book.is_some_and(|book| {
            book.uses.contains_key(&reservation) || book.kept().contains_key(&reservation)
        }) {
            return Err(AllotmentError::NoReservation { holder: holder.clone(), reservation });
        }
        let place = Place::Release(holder.clone(), reservation.clone());
        let committed = self.write(key, &place, &ReleaseBody {});
        Ok(Written { id: reservation, committed })
    }

    /// The reservation, when `holder` has made it for as many and it counts.
    fn reserved(
        &self,
        holder: &HolderId,
        reservation: &ReservationId,
        units: Units,
    ) -> Result<Option<ReservationId>, AllotmentError> {
        let Some(book) = self.state.ledger.book(holder) else { return Ok(None) };
        let (holder, id) = (holder.clone(), reservation.clone());
        if book.releases.contains(reservation) {
            return Err(AllotmentError::Released { holder, reservation: id });
        }
        let Some(spent) = book.uses.get(reservation) else { return Ok(None) };
        if spent.units != units {
            return Err(AllotmentError::ReservationTaken { holder, reservation: id, units: spent.units });
        }
        let view = self.view().holder(&holder);
        if view.is_some_and(|view| view.uses.contains_key(reservation)) {
            return Ok(Some(id));
        }
        if book.is_closed() {
            return Err(AllotmentError::LeaseClosed { lease: holder });
        }
        Err(AllotmentError::Struck { holder, reservation: id })
    }

    fn check_spender(&mut self, by: &Spender) -> Result<(), AllotmentError> {
        self.refresh();
        if by.holder().is_authority() {
            self.check_authority(by.key())?;
        }
        self.check_open(by.holder())
    }

    fn check_authority(&self, key: Option<&AuthorityKey>) -> Result<(), AllotmentError> {
        let by = key.expect("a spender for the authority has a key").public();
        if self.state.judge.is_authority(&by) { Ok(()) } else { Err(AllotmentError::NotTrusted { by }) }
    }

    fn check_open(&self, holder: &HolderId) -> Result<(), AllotmentError> {
        if self.view().holder(holder).is_some_and(|view| view.closed) {
            return Err(AllotmentError::LeaseClosed { lease: holder.clone() });
        }
        Ok(())
    }

    fn check_rights(&self, holder: &HolderId, wanted: Units) -> Result<(), AllotmentError> {
        let left = self.view().rights(holder);
        if left.covers(wanted) {
            return Ok(());
        }
        Err(AllotmentError::Exhausted { holder: holder.clone(), wanted, left })
    }

    /// Writes one fact and shows it.
    fn write(
        &mut self,
        key: Option<&AuthorityKey>,
        place: &Place,
        body: &impl Serialize,
    ) -> Option<Committed> {
        let text = self.text(key, place, body);
        let mut edit = self.edit();
        edit.put(&place.to_string(), &text);
        let committed = edit.commit();
        self.refresh();
        committed
    }

    /// An edit of a document that says what it is.
    fn edit(&mut self) -> Edit<'_> {
        let document = self.document_mut();
        if document.values(KIND_KEY).is_empty() {
            Kind::Allotment.declare(document);
        }
        document.edit()
    }

    /// The text of a fact: signed where there is a key to sign with.
    fn text(&self, key: Option<&AuthorityKey>, place: &Place, body: &impl Serialize) -> String {
        let Some(key) = key else { return canonical::to_text(body) };
        let body = serde_json::to_value(body).expect("our own types serialise to JSON");
        key.sign(&self.state.judge.statement(&place.to_string()), &body)
    }
}
