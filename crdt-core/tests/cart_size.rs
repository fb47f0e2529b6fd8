//! How many bytes carts take once saved: bounds that hold, measured where they can't be argued with.

use crdt_core::cart::{Cart, Line, Quantity};
use crdt_core::document::Document;
use crdt_core::id::ActorId;

/// A cart of 200 lines, each added by a change of its own.
fn cart_of_200_lines() -> Cart {
    let mut cart = Cart::create(ActorId::from_bytes(*b"0123456789abcdef"));
    for n in 0..200 {
        cart.add(&line(n), Quantity::new(n % 7 + 1).unwrap()).unwrap();
    }
    cart
}

fn line(n: u32) -> Line {
    Line::of(&format!("sku-{n:05}").parse().unwrap())
}

fn saved(cart: &Cart) -> usize {
    cart.document().save().len()
}

#[test]
fn a_cart_of_200_lines_is_small() {
    let cart = cart_of_200_lines();
    let bytes = saved(&cart);
    println!("200 lines: {bytes} bytes saved");
    assert!(bytes < 12_000, "{bytes} bytes");
    let loaded = Cart::open(Document::load(&cart.document().save(), ActorId::from_bytes([2; 16])).unwrap());
    assert_eq!(loaded.unwrap().view(), cart.view());
}

#[test]
fn a_thousand_operations_more_stay_small() {
    let mut cart = cart_of_200_lines();
    let before = saved(&cart);
    for n in 0..1000 {
        // What people do with a cart: mostly a little more or less of what is there.
        let line = line(n * 37 % 200);
        let operation = match n % 5 {
            0 | 1 => cart.add(&line, Quantity::ONE),
            2 => cart.set(&line, Quantity::new(n % 9 + 1).unwrap()),
            3 => cart.take(&line, Quantity::ONE),
            _ => cart.remove(&line),
        };
        operation.unwrap();
        // Everything is handed over at once, as online: nothing can be taken back unseen.
        cart.document_mut().mark_shared();
    }
    let each = (saved(&cart) - before) / 1000;
    println!("1,000 operations more: {each} bytes each");
    assert!(each < 30, "{each} bytes");
}
