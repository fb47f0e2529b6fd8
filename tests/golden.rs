//! Documents that format version 1 saved: they open for ever and show what they showed, and today's code still writes
//! the same changes.
//!
//! Each is `golden/{name}.automerge` with the view it must show beside it. A story that changes on purpose is written
//! anew with `PANNIER_BLESS=1 cargo test -p pannier-tests --test golden`; one that changes by itself is a broken format.

use std::fs;
use std::path::PathBuf;

use crdt_core::authority::{AuthorityKey, Role, TrustSet};
use crdt_core::cart::{Cart, CartError, CheckoutId, CouponCode, Line, ListName, NoteScope, Quantity};
use crdt_core::document::Document;
use crdt_core::id::ActorId;
use crdt_core::money::Money;
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

#[test]
fn a_cart_of_format_1_opens_for_ever() {
    let told = cart_story().unwrap();
    let view = serde_json::to_value(told.view()).unwrap();
    if std::env::var_os("PANNIER_BLESS").is_some() {
        fs::write(file("cart-v1.automerge"), told.document().save()).unwrap();
        fs::write(file("cart-v1.json"), format!("{view:#}\n")).unwrap();
    }
    let bytes = fs::read(file("cart-v1.automerge")).unwrap();
    let expected: Value = serde_json::from_slice(&fs::read(file("cart-v1.json")).unwrap()).unwrap();

    let mut golden = Cart::open(Document::load(&bytes, actor(9)).unwrap()).unwrap();
    golden.trust(trust());
    assert_eq!(serde_json::to_value(golden.view()).unwrap(), expected);
    assert!(golden.inert().is_empty());

    assert_eq!(view, expected);
    assert_eq!(told.document().heads(), golden.document().heads());
}

/// One of everything that a cart can hold.
fn cart_story() -> Result<Cart, CartError> {
    let (mut phone, mut laptop) = (cart(1), cart(2));
    let price = Money::new(1999, "EUR".parse().unwrap()).unwrap();
    phone.add(&line("tea"), some(2).at(price))?;
    laptop.add(&line("tea"), some(3).at(price))?;
    laptop.add(&line("shirt?color=red&size=M"), some(1))?;
    laptop.set(&line("lamp"), some(4))?;
    phone.merge(&mut laptop)?;
    laptop.merge(&mut phone)?;
    phone.set(&line("lamp"), some(5))?;
    laptop.set(&line("lamp"), some(3))?;
    phone.take(&line("tea"), some(1))?;
    laptop.save(&line("tea"))?;
    phone.coupon(&CouponCode::new("save10").unwrap())?;
    phone.note(&NoteScope::new("cart").unwrap(), "leave at the door")?;
    laptop.note(&NoteScope::new("cart").unwrap(), "ring twice")?;
    phone.merge(&mut laptop)?;
    let order = |n: u8| CheckoutId::new(format!("order-{n}")).unwrap();
    phone.checkout(&order(1))?;
    phone.confirm(&order(1), &shop())?;
    phone.add(&line("lamp"), some(7))?;
    phone.checkout(&order(2))?;
    phone.reject(&order(2), "sold out", &shop())?;
    let refused = phone.add(&line("gold"), some(100))?.id.unwrap();
    phone.refuse(&refused, "at most ten", &shop())?;
    let undone = phone.remove(&line("lamp"))?.id.unwrap();
    phone.undo(&undone)?;
    phone.list(ListName::saved()).set(&line("tea"), some(2))?;
    phone.gc()?;
    Ok(phone)
}

fn cart(n: u8) -> Cart {
    let mut cart = Cart::create(actor(n));
    cart.trust(trust());
    cart
}

fn actor(n: u8) -> ActorId {
    ActorId::from_bytes([n; 16])
}

fn shop() -> AuthorityKey {
    AuthorityKey::from_seed([7; 32])
}

fn trust() -> TrustSet {
    let mut trust = TrustSet::default();
    trust.trust(shop().public(), Role::System);
    trust
}

fn line(text: &str) -> Line {
    text.parse().unwrap()
}

fn some(n: u32) -> Quantity {
    Quantity::new(n).unwrap()
}
