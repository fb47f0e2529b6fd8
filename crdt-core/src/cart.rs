//! A shopping cart that several devices fill at once.
//!
//! **A cart is a set of identified units; adding creates units, taking away removes the units you saw, and nothing
//! removes what it has not seen.** So two adds are two, and the same unit taken away twice is taken away once.
//!
//! ```
//! use crdt_core::cart::{Cart, Line, Quantity, Sku};
//! use crdt_core::id::ActorId;
//!
//! let mut phone = Cart::create(ActorId::from_bytes([1; 16]));
//! let mut laptop = Cart::create(ActorId::from_bytes([2; 16]));
//! let tea = Line::of(&Sku::new("tea")?);
//!
//! phone.add(&tea, Quantity::new(2)?)?;
//! laptop.add(&tea, Quantity::new(3)?)?;
//! phone.merge(&mut laptop)?;
//! assert_eq!(phone.view().quantity(&tea), 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What happens at once
//!
//! | concurrently | result |
//! |---|---|
//! | add 2, add 3 | 5 |
//! | remove, add 1 | 1: the unseen unit stays; nothing removed comes back |
//! | from 5: take 1, take 1 | 4: both screens said 4. Take 1, take 2: 3 |
//! | take 1, add 1 | both count. Take, remove: gone. Take, set 5: 5 |
//! | set 5, set 3 | 5, and both are shown until someone sets again. Set 5, add 2: 7. Set 5, remove: 5 |
//! | clear, add | the unseen add stays |
//! | save for later, add 1 | the saved ones are saved, 1 is in the cart |
//! | save, save | saved once |
//! | save, remove | gone; a typed quantity that was saved stays saved |
//! | save, take 1 | saved with one fewer |
//! | save, set 5 | both as asked |
//! | moved here, moved there | one place; the cart wins |
//! | checkout, add | the order as frozen; the late add is the new cart |
//! | checkout, remove | the order as frozen |
//! | checkout of 3, set 5 | 2 stay in the cart: 5 was meant to include them |
//! | checkout, checkout of the same units | confirmed first, then the smallest id; the other is superseded and asks for nothing |
//! | checkout, and it is rejected or cancelled | its units are back, as reduced since |
//! | coupon, uncoupon | stays |
//! | a guest's cart adopted on two devices | once; what the guest removed stays removed |
//!
//! ```
//! # use crdt_core::cart::{Cart, Line, ListName, Quantity, Sku};
//! # use crdt_core::id::ActorId;
//! # let mut phone = Cart::create(ActorId::from_bytes([1; 16]));
//! # let mut laptop = Cart::create(ActorId::from_bytes([2; 16]));
//! # let tea = Line::of(&Sku::new("tea")?);
//! phone.add(&tea, Quantity::ONE)?;
//! laptop.merge(&mut phone)?;
//! phone.set(&tea, Quantity::new(5)?)?;
//! laptop.set(&tea, Quantity::new(3)?)?;
//! laptop.merge(&mut phone)?;
//! let shown = &laptop.view().lists[&ListName::cart()].lines[&tea];
//! assert_eq!((shown.quantity, shown.conflict.as_slice()), (5, [3, 5].as_slice()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is stored
//!
//! Every fact is one scalar under one root key. A *batch* is the units that one operation put there; its *dot* names it.
//!
//! | key | value | several values combine by |
//! |---|---|---|
//! | `q/{line}/{dot}` | a batch: `k` add or set, `n` units, `l` list, `p` price of one; `on` what a set replaced, `of` what the batch stands for, `re` what it was taken from before an undo gave it back | written once; of hostile rivals the largest |
//! | `cap/{line}/{dot}` | at most so many units of the batch remain | the smallest |
//! | `at/{line}/{dot}` | the list that the batch has moved to | `cart`, else the smallest name |
//! | `c/{CODE}/{dot}` | a coupon's application | any |
//! | `n/{scope}` | a note | all are shown |
//! | `co/{id}` | a checkout: frozen batches, lines, prices, totals | written once; the confirmed one, else the smallest |
//! | `cs/{id}/{verdict}` | `confirmed` and `rejected`, signed over the hash of the frozen content; `cancelled` | the most decided |
//! | `x/{dot}` | the authority's signed refusal of a batch or coupon | all are shown |
//! | `un/{operation}` | the operation has been undone | any |
//!
//! The quantity of a line in a list is the units of its adds, plus the largest of its sets. Three rules make the table
//! above:
//!
//! * **A set does not delete what it replaces; it names it** (`on`), and what is named does not count in the list while
//!   the set is there. So a refused or undone set gives back exactly what it replaced, what was moved away meanwhile
//!   counts where it went, and what was bought meanwhile is deducted. The next set, or a remove, deletes what was
//!   replaced before.
//! * **A set never leaves its list.** When it is moved it becomes an add under a dot that everyone derives alike, bound by
//!   the same caps and the same orders.
//! * **An order holds units**, not quantities, for as long as nothing speaks against it. They count in no list.
//!
//! An add is always a batch of its own, also while nobody has been handed the last one: a peer may receive the first of
//! two changes without the second, remove what it sees, and would find it back had the second enlarged the first.
//!
//! # Who decides
//!
//! Orders are confirmed and rejected, and operations refused, by whom the application trusts as an admin, owner, system
//! or provider ([`Cart::set_trust`]). A decision is signed over the hash of what it decides about, so it moves neither to
//! another order nor to another content. It follows its order into whichever cart adopts the order with its units.
//!
//! ```
//! use crdt_core::authority::{AuthorityKey, Role, TrustSet};
//! use crdt_core::cart::{Cart, CheckoutId, Line, OrderStatus, Quantity, Sku};
//! # use crdt_core::id::ActorId;
//! # let mut cart = Cart::create(ActorId::from_bytes([1; 16]));
//! # let tea = Line::of(&Sku::new("tea")?);
//! let shop = AuthorityKey::from_seed([7; 32]);
//! let mut trust = TrustSet::default();
//! trust.trust(shop.public(), Role::System);
//! cart.set_trust(trust);
//!
//! let id = CheckoutId::new("order-1")?;
//! cart.add(&tea, Quantity::new(2)?)?;
//! cart.checkout(&id)?;
//! cart.add(&tea, Quantity::ONE)?;
//! cart.confirm(&id, &shop)?;
//! assert_eq!(cart.view().orders[&id].status, OrderStatus::Confirmed);
//! assert_eq!(cart.view().quantity(&tea), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Undo
//!
//! [`Cart::undo`] reads what an operation did from the document's own history and writes the inverse under derived ids:
//!
//! ```
//! # use crdt_core::cart::{Cart, Line, Quantity, Sku};
//! # use crdt_core::id::ActorId;
//! # let mut phone = Cart::create(ActorId::from_bytes([1; 16]));
//! # let mut laptop = Cart::create(ActorId::from_bytes([2; 16]));
//! # let tea = Line::of(&Sku::new("tea")?);
//! phone.add(&tea, Quantity::new(5)?)?;
//! let taken = phone.take(&tea, Quantity::new(2)?)?.id.expect("something was taken");
//! laptop.merge(&mut phone)?;
//! phone.undo(&taken)?;
//! laptop.undo(&taken)?;
//! laptop.merge(&mut phone)?;
//! assert_eq!(laptop.view().quantity(&tea), 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod checkout;
mod fold;
mod garbage;
pub(crate) mod imported;
mod key;
mod ledger;
mod line;
mod name;
mod operation;
mod order;
mod quantities;
mod quantity;
mod remarks;
mod standing;
mod total;
mod undo;
mod view;
mod writing;

use std::borrow::BorrowMut;

pub use self::line::{Line, Sku};
pub use self::name::{CheckoutId, CouponCode, ListName, NoteScope};
pub use self::operation::{CartError, Operation};
pub use self::quantity::{InvalidQuantity, Quantity, Units};
pub use self::total::Total;
pub use self::view::{
    CartView, LineChange, LineView, ListView, OrderLine, OrderStatus, OrderView, RefusalView,
};

use self::fold::Fold;
use crate::authority::{SignatureCache, TrustSet};
use crate::document::{Change, Document, Touched, Version};
use crate::id::ActorId;
use crate::inert::InertList;
use crate::kind::{Kind, WrongKind};
use crate::time::Timestamp;

/// A cart: a document, and what people see of it.
///
/// Owns its document, or borrows it: `Cart<&mut Document>` works inside whatever keeps the document, and
/// [`Cart::suspend`] and [`Cart::resume`] carry the view over from one use to the next.
pub struct Cart<D = Document> {
    document: D,
    state: CartState,
}

/// What a cart keeps besides its document.
#[derive(Clone, Debug)]
pub struct CartState {
    fold: Fold,
    /// How far the fold has read, and in whose copy of the document.
    read: Option<(ActorId, Version)>,
    trust: TrustSet,
    signatures: SignatureCache,
    /// The document is known to say that it is a cart.
    declared: bool,
    now: Timestamp,
}

impl Cart {
    /// An empty cart, written to as `actor`.
    pub fn create(actor: ActorId) -> Self {
        Self::resume(Document::new(actor), CartState::default())
    }
}

impl<D: BorrowMut<Document>> Cart<D> {
    /// The cart in a document. Refused when the document says that it is something else.
    pub fn open(document: D) -> Result<Self, WrongKind> {
        Kind::Cart.check(document.borrow())?;
        Ok(Self::resume(document, CartState::default()))
    }

    /// Goes on where [`Cart::suspend`] left off, with the same copy of the document.
    pub fn resume(document: D, state: CartState) -> Self {
        let mut cart = Self { document, state };
        cart.refresh();
        cart
    }

    /// Takes the cart apart, keeping its view for [`Cart::resume`].
    pub fn suspend(self) -> (D, CartState) {
        (self.document, self.state)
    }

    /// The cart's document.
    pub fn document(&self) -> &Document {
        self.document.borrow()
    }

    /// The cart's document, to exchange changes with others. Call [`Cart::refresh`] afterwards.
    pub fn document_mut(&mut self) -> &mut Document {
        self.document.borrow_mut()
    }

    /// What people see: as of the last operation or [`Cart::refresh`].
    pub fn view(&self) -> &CartView {
        &self.state.fold.view
    }

    /// Takes notice of what others did to the document. Reads only what was touched. The lines that show something else
    /// now are returned.
    pub fn refresh(&mut self) -> Vec<LineChange> {
        let document = self.document.borrow();
        let state = &mut self.state;
        let touched = match &state.read {
            Some((actor, version)) if actor == document.actor() => document.touched_since(*version),
            _ => Touched::Everything,
        };
        state.read = Some((document.actor().clone(), document.version()));
        match touched {
            Touched::Keys(keys) if keys.is_empty() => vec![],
            Touched::Keys(keys) => state.fold.refresh(document, &keys, &state.trust, &mut state.signatures),
            Touched::Everything => self.read_everything(),
        }
    }

    /// Decides whom the cart believes when orders are confirmed and operations refused. Trusts nobody at first.
    pub fn set_trust(&mut self, trust: TrustSet) -> Vec<LineChange> {
        if self.state.trust == trust {
            return self.refresh();
        }
        self.state.trust = trust;
        self.state.read = None;
        self.refresh()
    }

    /// The signatures found valid so far, to be kept with the device's own data.
    pub fn signatures(&self) -> &SignatureCache {
        &self.state.signatures
    }

    /// Spares checking signatures that were found valid before.
    pub fn set_signatures(&mut self, seen: SignatureCache) {
        self.state.signatures = seen;
    }

    /// When what is done from now on happens: for people to read in the history. Nothing is decided by it.
    pub fn set_time(&mut self, now: Timestamp) {
        self.state.now = now;
    }

    /// Takes in changes from storage or from peers.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<Vec<LineChange>, CartError> {
        self.document.borrow_mut().apply(changes)?;
        Ok(self.refresh())
    }

    /// Takes in everything that `other` has.
    pub fn merge<E: BorrowMut<Document>>(
        &mut self,
        other: &mut Cart<E>,
    ) -> Result<Vec<LineChange>, CartError> {
        self.document.borrow_mut().merge(other.document.borrow_mut())?;
        Ok(self.refresh())
    }

    /// Takes over a guest's cart, with its whole history: once, however many devices do it, and what the guest removed
    /// stays removed.
    pub fn adopt(&mut self, guest: &mut Document) -> Result<Vec<LineChange>, CartError> {
        Kind::Cart.check(guest)?;
        self.document.borrow_mut().merge(guest)?;
        Ok(self.refresh())
    }

    /// Everything in the document that counts for nothing, with the reason.
    pub fn inert(&self) -> InertList {
        let mut seen = self.state.signatures.clone();
        self.state.fold.inert(self.document.borrow(), &self.state.trust, &mut seen)
    }

    fn read_everything(&mut self) -> Vec<LineChange> {
        let state = &mut self.state;
        let fold = Fold::of(self.document.borrow(), &state.trust, &mut state.signatures);
        let before = std::mem::replace(&mut state.fold, fold);
        before.view.changes_to(&state.fold.view)
    }
}

impl Default for CartState {
    fn default() -> Self {
        Self {
            fold: Fold::default(),
            read: None,
            trust: TrustSet::default(),
            signatures: SignatureCache::default(),
            declared: false,
            now: Timestamp::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
