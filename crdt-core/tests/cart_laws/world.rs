//! Some replicas of one cart, driven by generated steps.

use crdt_core::authority::{AuthorityKey, Role, TrustSet};
use crdt_core::cart::{
    Cart, CartError, CheckoutId, CouponCode, Line, ListName, NoteScope, Operation, Quantity,
};
use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash};
use crdt_core::money::Money;
use proptest::prelude::*;

/// What one replica does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Add(u8, u32),
    Take(u8, u32),
    Set(u8, u32),
    Remove(u8),
    Clear,
    Save(u8),
    Unsave(u8),
    Coupon(u8),
    Uncoupon(u8),
    Note(u8),
    Checkout(u8),
    Cancel(u8),
    Confirm(u8),
    Reject(u8),
    /// Of one of the operations done so far.
    Refuse(usize),
    /// Of one of the operations done so far.
    Undo(usize),
    /// On a third list.
    MoveOn(u8),
    /// The guest puts something into a cart that is nobody's yet, or takes it out again.
    Guest(u8, u32),
    /// Takes the guest's cart over, as it is now.
    Adopt,
    Collect,
    /// What no honest client writes.
    Hostile(Hostile, u8, u32),
}

/// What somebody writes past all rules.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hostile {
    /// Another quantity in the place of a batch that is there.
    Overwrite,
    /// A cap on a batch that is there.
    Cap,
    /// A move of a batch that is there.
    Move,
    /// A batch that stands for one that is there.
    StandIn,
    /// A typed quantity that replaces everything.
    Replace,
    Delete,
    /// A decision that nobody signed.
    Confirm,
    Nonsense,
}

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Do(usize, Act),
    /// Some of what one replica has reaches another, in some order, some of it twice.
    Deliver {
        from: usize,
        to: usize,
        seed: u64,
        lossy: bool,
    },
    /// Saved and loaded again, as after a restart.
    Reload(usize),
}

/// Adds, takes, sets, removes and clears: what the model of units speaks of.
pub(crate) fn quantities() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3u8, 1..5u32).prop_map(|(line, n)| Act::Add(line, n)),
        3 => (0..3u8, 1..5u32).prop_map(|(line, n)| Act::Take(line, n)),
        3 => (0..3u8, 1..7u32).prop_map(|(line, n)| Act::Set(line, n)),
        2 => (0..3u8).prop_map(Act::Remove),
        1 => Just(Act::Clear),
    ]
}

/// Everything that moves, remarks on, orders, decides and undoes; never `gc`, which a law adds itself.
pub(crate) fn anything() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => quantities(),
        2 => (0..3u8).prop_map(Act::Save),
        2 => (0..3u8).prop_map(Act::Unsave),
        1 => (0..3u8).prop_map(Act::MoveOn),
        1 => (0..2u8).prop_map(Act::Coupon),
        1 => (0..2u8).prop_map(Act::Uncoupon),
        1 => (0..3u8).prop_map(Act::Note),
        2 => (0..4u8).prop_map(Act::Checkout),
        1 => (0..4u8).prop_map(Act::Cancel),
        1 => (0..4u8).prop_map(Act::Confirm),
        1 => (0..4u8).prop_map(Act::Reject),
        1 => any::<usize>().prop_map(Act::Refuse),
        2 => any::<usize>().prop_map(Act::Undo),
    ]
}

/// As [`anything`], with guests whose carts are taken over, garbage that is collected, and hostile writers.
pub(crate) fn everything() -> impl Strategy<Value = Act> {
    use Hostile::{Cap, Confirm, Delete, Move, Nonsense, Overwrite, Replace, StandIn};
    let ways = vec![Overwrite, Cap, Move, StandIn, Replace, Delete, Confirm, Nonsense];
    let hostile = (prop::sample::select(ways), any::<u8>(), 0..9u32);
    prop_oneof![
        20 => anything(),
        2 => (0..3u8, 0..4u32).prop_map(|(line, n)| Act::Guest(line, n)),
        2 => Just(Act::Adopt),
        2 => Just(Act::Collect),
        3 => hostile.prop_map(|(way, which, n)| Act::Hostile(way, which, n)),
    ]
}

/// A history on up to five replicas.
pub(crate) fn history(acts: impl Strategy<Value = Act>, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let deliver = (0..5usize, 0..5usize, any::<u64>(), any::<bool>());
    let step = prop_oneof![
        6 => (0..5usize, acts).prop_map(|(replica, act)| Step::Do(replica, act)),
        4 => deliver.prop_map(|(from, to, seed, lossy)| Step::Deliver { from, to, seed, lossy }),
        1 => (0..5usize).prop_map(Step::Reload),
    ];
    proptest::collection::vec(step, 1..most)
}

pub(crate) fn line(n: u8) -> Line {
    Line::of(&["tea", "shirt", "lamp"][usize::from(n)].parse().unwrap())
}

pub(crate) struct World {
    pub(crate) carts: Vec<Cart>,
    /// Everything that was asked for, in the order of the history: its operation, if it wrote something.
    pub(crate) operations: Vec<Option<ChangeHash>>,
    guest: Cart,
}

impl World {
    pub(crate) fn new(replicas: usize) -> Self {
        let carts = (0..replicas).map(|n| open(Document::new(actor(n))));
        Self { carts: carts.collect(), operations: Vec::new(), guest: open(Document::new(actor(50))) }
    }

    /// Plays one step. What was done, if an operation was.
    pub(crate) fn play(&mut self, step: &Step) -> Option<(usize, Operation)> {
        let count = self.carts.len();
        match *step {
            Step::Do(replica, ref act) => {
                let replica = replica % count;
                let operation = self.act(replica, act);
                self.operations.push(operation.as_ref().and_then(|operation| operation.id));
                return Some((replica, operation?));
            }
            Step::Deliver { from, to, seed, lossy } if from % count != to % count => {
                self.deliver(from % count, to % count, seed, lossy);
            }
            Step::Deliver { .. } => {}
            Step::Reload(replica) => {
                let bytes = self.carts[replica % count].document().save();
                self.carts[replica % count] = open(Document::load(&bytes, actor(replica % count)).unwrap());
            }
        }
        None
    }

    fn act(&mut self, replica: usize, act: &Act) -> Option<Operation> {
        let done = self.operations.len().max(1);
        let nth = |n: usize| self.operations.get(n % done).copied().flatten();
        let cart = &mut self.carts[replica];
        let quantity = |n: u32| Quantity::new(n).unwrap();
        let price = Money::new(100, "EUR".parse().unwrap()).unwrap();
        let outcome = match *act {
            Act::Add(of, n) if of == 0 => cart.add(&line(of), quantity(n).at(price)),
            Act::Add(of, n) => cart.add(&line(of), quantity(n)),
            Act::Take(of, n) => cart.take(&line(of), quantity(n)),
            Act::Set(of, n) => cart.set(&line(of), quantity(n)),
            Act::Remove(of) => cart.remove(&line(of)),
            Act::Clear => cart.clear(),
            Act::Save(of) => cart.save(&line(of)),
            Act::Unsave(of) => cart.unsave(&line(of)),
            Act::Coupon(n) => cart.coupon(&coupon(n)),
            Act::Uncoupon(n) => cart.uncoupon(&coupon(n)),
            Act::Note(n) => cart.note(&NoteScope::new("cart").unwrap(), ["", "bell", "door"][usize::from(n)]),
            Act::Checkout(n) => cart.checkout(&checkout(n)),
            Act::Cancel(n) => cart.cancel(&checkout(n)),
            Act::Confirm(n) => cart.confirm(&checkout(n), &authority()),
            Act::Reject(n) => cart.reject(&checkout(n), "sold out", &authority()),
            Act::Refuse(n) => cart.refuse(&nth(n)?, "not this", &authority()),
            Act::Undo(n) => cart.undo(&nth(n)?),
            Act::MoveOn(of) => {
                cart.list(ListName::saved()).move_to(&line(of), &ListName::new("later").unwrap())
            }
            Act::Guest(of, 0) => self.guest.remove(&line(of)),
            Act::Guest(of, n) => self.guest.add(&line(of), quantity(n)),
            Act::Adopt => cart.adopt(self.guest.document_mut()).map(|_| Operation::default()),
            Act::Collect => cart.gc(),
            Act::Hostile(way, which, n) => {
                write_hostile(cart.document_mut(), way, which, n);
                cart.refresh();
                return None;
            }
        };
        match outcome {
            Ok(operation) => Some(operation),
            // What may be asked for at the wrong time, and then changes nothing.
            Err(
                CartError::Empty
                | CartError::UnknownCheckout { .. }
                | CartError::Decided { .. }
                | CartError::UnknownOperation { .. }
                | CartError::NotUndoable { .. }
                | CartError::NotRefusable { .. },
            ) => None,
            Err(error) => panic!("{act:?} failed: {error}"),
        }
    }

    fn deliver(&mut self, from: usize, to: usize, seed: u64, lossy: bool) {
        let mut changes = self.carts[from].document_mut().changes_for_peer(&[]);
        let twice = changes.clone();
        changes.extend(twice);
        let mut random = seed;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        for last in (1..changes.len()).rev() {
            let chosen = usize::try_from(next()).unwrap() % (last + 1);
            changes.swap(last, chosen);
        }
        if lossy {
            changes.retain(|_| next() % 4 > 0);
        }
        self.carts[to].apply(changes).unwrap();
    }

    /// Everyone gets everything.
    pub(crate) fn heal(&mut self) {
        for _ in 0..2 {
            for other in 1..self.carts.len() {
                self.deliver(0, other, 1, false);
                self.deliver(other, 0, 2, false);
            }
        }
    }
}

fn write_hostile(document: &mut Document, way: Hostile, which: u8, n: u32) {
    let keys: Vec<String> = document.scan("q/").map(|(key, _)| key).collect();
    let Some(batch) = keys.get(usize::from(which) % keys.len().max(1)) else { return };
    let (place, dot) = batch.trim_start_matches("q/").rsplit_once('/').unwrap();
    let list = ["cart", "saved", "later"][usize::from(which) % 3];
    let with = |field: &str| {
        let free = format!("q/{place}/{}.{}", 5 + n, actor(60));
        let kind = if field == "on" { "set" } else { "add" };
        (free, format!(r#"{{"k":"{kind}","l":"{list}","n":{},"{field}":["{dot}"]}}"#, n + 1))
    };
    let (key, text) = match way {
        Hostile::Overwrite => (batch.clone(), format!(r#"{{"k":"set","l":"{list}","n":{n}}}"#)),
        Hostile::Cap => (format!("cap/{place}/{dot}"), n.to_string()),
        Hostile::Move => (format!("at/{place}/{dot}"), format!("\"{list}\"")),
        Hostile::StandIn => with("of"),
        Hostile::Replace => with("on"),
        Hostile::Delete => (batch.clone(), String::new()),
        Hostile::Confirm => (format!("cs/o{}/confirmed", n % 4), r#"{"order":"any"}"#.to_owned()),
        Hostile::Nonsense => (batch.clone(), "nonsense".to_owned()),
    };
    let mut edit = document.edit();
    if text.is_empty() {
        edit.delete(&key);
    } else {
        edit.put(&key, &text);
    }
    edit.commit();
}

/// The replica's copy of the cart, in which the authority is trusted.
fn open(document: Document) -> Cart {
    let mut cart = Cart::open(document).unwrap();
    let mut trust = TrustSet::default();
    trust.trust(authority().public(), Role::System);
    cart.set_trust(trust);
    cart
}

/// The same document, read by somebody who has never seen it.
pub(crate) fn from_scratch(cart: &Cart) -> Cart {
    open(Document::load(&cart.document().save(), ActorId::from_bytes([99; 16])).unwrap())
}

/// Every quantity of every list.
pub(crate) fn shown(cart: &Cart) -> Vec<(ListName, Line, u64)> {
    let lists = cart.view().lists.iter();
    let lines = lists.flat_map(|(name, list)| {
        list.lines.iter().map(|(line, shown)| (name.clone(), line.clone(), shown.quantity))
    });
    lines.collect()
}

fn actor(n: usize) -> ActorId {
    ActorId::from_bytes([u8::try_from(n).unwrap() + 1; 16])
}

fn authority() -> AuthorityKey {
    AuthorityKey::from_seed([7; 32])
}

fn coupon(n: u8) -> CouponCode {
    CouponCode::new(["save10", "vip"][usize::from(n)]).unwrap()
}

fn checkout(n: u8) -> CheckoutId {
    CheckoutId::new(format!("o{n}")).unwrap()
}
