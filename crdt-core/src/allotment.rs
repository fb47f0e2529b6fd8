//! Allotments: seats and stock that are never oversold, even offline.
//!
//! One sentence: **an authority mints rights and hands them out; a device spends only rights that it holds, and so needs
//! to ask nobody.** Ten seats shared out to three tills are sold by three tills without a network, and there is no
//! interleaving in which an eleventh is sold. (The idea is the escrow of the bounded-counter papers.)
//!
//! ```
//! use crdt_core::allotment::{Allotment, AllotmentError, HolderId, MintId, PoolId, ReservationId, Spender, Units};
//! use crdt_core::authority::{AuthorityKey, Role, TrustSet};
//! use crdt_core::id::ActorId;
//!
//! let shop = AuthorityKey::from_seed([7; 32]);
//! let mut trust = TrustSet::default();
//! trust.trust(shop.public(), Role::System);
//! let pool = PoolId::new("rust-101/seats")?;
//! let actor = |n| ActorId::from_bytes([n; 16]);
//!
//! // The laptop has the shop's key. It mints one seat, and the phone may sell it.
//! let mut laptop = Allotment::create(actor(1), pool.clone(), trust.clone());
//! let seller = Spender::keyed(AuthorityKey::from_seed([8; 32]));
//! laptop.mint(&shop, MintId::new("opening")?, seller.holder().clone(), Units::ONE)?;
//!
//! // The phone takes the right with it, goes offline, and sells.
//! let mut phone = Allotment::create(actor(2), pool, trust);
//! phone.merge(&mut laptop)?;
//! phone.reserve(&seller, ReservationId::new("order-1")?, Units::ONE)?;
//!
//! // There is no second seat: the wish is noted, for whoever has rights to spare.
//! let refused = phone.reserve(&seller, ReservationId::new("order-2")?, Units::ONE);
//! assert!(matches!(refused, Err(AllotmentError::Exhausted { .. })));
//! assert_eq!(phone.view().queue()[0].reservation.as_str(), "order-2");
//!
//! laptop.merge(&mut phone)?;
//! assert_eq!(laptop.view().used().get(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Facts
//!
//! | key | value | who may write it | rival values |
//! |---|---|---|---|
//! | `m/{id}` | `{n, to}`: rights minted | the authority | the smaller counts |
//! | `t/{from}/{dot}` | `{at, n, to}`: rights given | `from` | the larger counts |
//! | `u/{holder}/{reservation}` | `{at, n}`: rights spent | `holder` | the larger counts |
//! | `v/{holder}/{reservation}` | released: the rights are back with the holder | `holder` unless a lease; the authority | any counts |
//! | `w/{holder}/{reservation}` | `{at, n}`: wanted, while rights lack | `holder` | the larger counts |
//! | `k/{lease}/{dot}` | `{keep}`: the lease is closed, and exactly these uses of it count | the authority | all that any kept |
//!
//! `at` exceeds every counter its author had seen: larger is newer. Facts are written once and never deleted, only wants are.
//!
//! # What concurrent operations come to
//!
//! | concurrently | result |
//! |---|---|
//! | two holders reserve | both hold: each spends its own rights |
//! | two holders reserve under one id | both hold; each may release its own |
//! | reserve, give away | a holder does one after the other; whichever came second found fewer rights |
//! | release, reserve by another | both count: the released rights are the releasing holder's |
//! | reserve on a lease, close the lease | the reservation is void, and its author's view says so |
//! | give back on a lease, close the lease | the rights come back once |
//! | give to a lease, close the lease | the rights pass on to the authority |
//! | close, close | what either kept counts |
//! | one holder's state restored and spent twice | the newest uses are struck until the rest is covered |
//!
//! # Leases
//!
//! Rights given to a device that is lost are lost with it. Rights given to a **lease** (a holder named `lease:`...) are
//! not: the authority can close it. It keeps exactly the uses that the authority has seen and takes back all the rest, at
//! once, without asking the device. A use that arrives later is void: it was never counted, so nothing was oversold. In
//! return a lease may not give to others and may not release: what the authority has seen of it must be all there is.
//!
//! # Whom to trust for what
//!
//! Anyone who may write the document can write any bytes into it. What that can do depends on the names of holders (see
//! [`HolderId`]):
//!
//! * Nobody but the authority mints, closes, or speaks for the authority: those facts are signed.
//! * For a holder `key:...` nobody else can spend, give, release or want. Rights held by name alone can be spent by any
//!   writer of the document; use names where all writers belong to one shop.
//! * A holder that cheats with its own key (spends twice, or restores a backup) has its newest facts struck. Whoever
//!   accepted rights from a cheat may find them struck too, after its own uses are gone; rights from the authority are
//!   safe. In every case the uses that count are no more than what was minted.
//! * A writer can delete facts or write over them. History keeps them: [`Allotment::lost_facts`] tells, and
//!   [`Allotment::heal`] puts them back. Until then a deleted use looks unspent, and is struck when it comes back too late.
//! * The authority is one writer too. Two servers may mint and close side by side; if both give from the authority's own
//!   rights while apart, they can give more than there is, and the newer gifts are struck.
//! * Withholding a use from the authority until its lease is closed makes it void. Only its author and whoever it told are
//!   misled, and their view tells them as soon as they meet the close.

mod fact;
mod heal;
mod holder;
mod ledger;
mod operation;
mod settle;
mod units;
mod view;

use std::borrow::{Borrow, BorrowMut};
use std::collections::BTreeSet;

pub use self::holder::{HolderId, NotSpender, Spender};
pub use self::operation::{AllotmentError, Written};
pub use self::units::{NotUnits, Units, UnitsTotal};
pub use self::view::{AllotmentView, Gift, HolderChange, HolderView, QueuedWant, Want};

use self::fact::{Judge, Place};
use self::ledger::Ledger;
use self::settle::Settlement;
use crate::authority::{SignatureCache, TrustSet};
use crate::document::{ApplyError, Change, Document, Touched, Version};
use crate::id::{ActorId, text_id};
use crate::inert::InertList;
use crate::kind::{Kind, WrongKind};

text_id!(
    /// What is shared out: the seats of one course, the stock of one article. Part of every signature, so facts of one
    /// pool prove nothing in another.
    PoolId, "pool"
);
text_id!(
    /// One minting, as the application names it: minting again under the same id mints nothing.
    MintId, "mint id"
);
text_id!(
    /// What rights are spent on, such as an order: reserving again under the same id reserves nothing.
    ReservationId, "reservation"
);

/// One replica's allotment: a document, and the view of it.
///
/// Owns its document or borrows it (`Allotment<&mut Document>`); see [`Allotment::suspend`] for keeping the view while
/// somebody else has the document.
#[derive(Debug)]
pub struct Allotment<D = Document> {
    document: D,
    state: AllotmentState,
}

/// Everything an [`Allotment`] knows apart from its document.
#[derive(Clone, Debug)]
pub struct AllotmentState {
    judge: Judge,
    ledger: Ledger,
    settlement: Settlement,
    view: AllotmentView,
    version: Version,
}

impl Allotment {
    /// A new document, written to as `actor`.
    pub fn create(actor: ActorId, pool: PoolId, trust: TrustSet) -> Self {
        let mut document = Document::new(actor);
        Kind::Allotment.declare(&mut document);
        Self::open(document, pool, trust).expect("just declared to be of this kind")
    }
}

impl<D: BorrowMut<Document>> Allotment<D> {
    /// The document, to exchange changes with peers. [`Allotment::refresh`] afterwards.
    pub fn document_mut(&mut self) -> &mut Document {
        self.document.borrow_mut()
    }

    /// Takes in changes from storage or from peers, and tells which holders show something else.
    pub fn apply(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Vec<HolderChange>, ApplyError> {
        self.document.borrow_mut().apply(changes)?;
        Ok(self.refresh())
    }

    /// Takes in everything that `other` has, and tells which holders show something else.
    pub fn merge<E: BorrowMut<Document>>(
        &mut self,
        other: &mut Allotment<E>,
    ) -> Result<Vec<HolderChange>, ApplyError> {
        self.document.borrow_mut().merge(other.document.borrow_mut())?;
        Ok(self.refresh())
    }
}

impl<D: Borrow<Document>> Allotment<D> {
    /// The allotment of `pool` in `document`. `trust` says who may mint.
    pub fn open(document: D, pool: PoolId, trust: TrustSet) -> Result<Self, WrongKind> {
        Self::open_with(document, pool, trust, SignatureCache::default())
    }

    /// As [`Allotment::open`], sparing the check of signatures that `seen` knows.
    pub fn open_with(
        document: D,
        pool: PoolId,
        trust: TrustSet,
        seen: SignatureCache,
    ) -> Result<Self, WrongKind> {
        Kind::Allotment.check(document.borrow())?;
        let state = AllotmentState {
            judge: Judge { pool, trust, seen },
            ledger: Ledger::default(),
            settlement: Settlement::default(),
            view: AllotmentView::default(),
            version: document.borrow().version(),
        };
        let mut allotment = Self { document, state };
        allotment.state.read_everything(allotment.document.borrow());
        Ok(allotment)
    }

    /// Takes up again what [`Allotment::suspend`] put down. `document` must be the same replica, whatever it has taken in
    /// since.
    pub fn resume(document: D, state: AllotmentState) -> Self {
        let mut allotment = Self { document, state };
        allotment.refresh();
        allotment
    }

    /// Parts the document from what is known of it.
    pub fn suspend(self) -> (D, AllotmentState) {
        (self.document, self.state)
    }

    /// The document.
    pub fn document(&self) -> &Document {
        self.document.borrow()
    }

    /// The pool whose rights these are.
    pub fn pool(&self) -> &PoolId {
        &self.state.judge.pool
    }

    /// The view as of the last refresh or operation.
    pub fn view(&self) -> &AllotmentView {
        &self.state.view
    }

    /// The signatures found valid so far, to open faster next time.
    pub fn signatures(&self) -> &SignatureCache {
        &self.state.judge.seen
    }

    /// Takes notice of what others did to the document. Reads only what was touched. The holders that show something else
    /// now are returned.
    pub fn refresh(&mut self) -> Vec<HolderChange> {
        let document = self.document.borrow();
        match document.touched_since(self.state.version) {
            Touched::Keys(keys) => self.state.read(document, keys.iter().map(AsRef::as_ref)),
            Touched::Everything => self.state.read_everything(document),
        }
    }

    /// From now on the view is of what `trust` trusts.
    pub fn set_trust(&mut self, trust: TrustSet) -> Vec<HolderChange> {
        self.state.judge.trust = trust;
        self.state.read_everything(self.document.borrow())
    }

    /// Every value in the document that counts for nothing, with the reason. Reads the whole document.
    pub fn inert(&self) -> InertList {
        let mut judge = self.state.judge.clone();
        let mut list = InertList::default();
        for (key, values) in self.document().scan("") {
            judge.judge(&key, &values, |reason| list.push(&key, reason));
        }
        list
    }
}

impl AllotmentState {
    fn read_everything(&mut self, document: &Document) -> Vec<HolderChange> {
        self.ledger = Ledger::default();
        self.settlement = Settlement::default();
        let before = std::mem::take(&mut self.view);
        let mut concerned = BTreeSet::new();
        for (key, values) in document.scan("") {
            if let Some((place, fact)) = self.judge.judge(&key, &values, drop) {
                self.ledger.note(place, Some(fact), &mut concerned);
            }
        }
        self.show(document, concerned);
        before.changes_to(&self.view)
    }

    fn read<'a>(&mut self, document: &Document, keys: impl Iterator<Item = &'a str>) -> Vec<HolderChange> {
        let mut concerned = BTreeSet::new();
        for key in keys {
            match self.judge.judge(key, &document.values(key), drop) {
                Some((place, fact)) => self.ledger.note(place, Some(fact), &mut concerned),
                None => {
                    if let Some(place) = Place::parse(key) {
                        self.ledger.note(place, None, &mut concerned);
                    }
                }
            }
        }
        self.show(document, concerned)
    }

    fn show(&mut self, document: &Document, concerned: BTreeSet<HolderId>) -> Vec<HolderChange> {
        let concerned = self.settlement.settle(&self.ledger, concerned);
        self.version = document.version();
        self.view.show(&self.ledger, &self.settlement, concerned)
    }
}

#[cfg(test)]
mod tests;
