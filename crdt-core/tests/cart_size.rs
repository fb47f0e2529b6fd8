//! How many bytes carts take once saved: bounds that hold, measured where they can't be argued with.

use crdt_core::cart::{Cart, Line, Quantity, Units};
use crdt_core::document::Document;
use crdt_core::id::ActorId;
use crdt_core::money::Money;

/// What a shop sells: numbered one after another, or as shops do that have grown: SKUs that share nothing, variants, and a
/// price for each.
#[derive(Clone, Copy, Debug)]
enum Shop {
    Tidy,
    Grown,
}

impl Shop {
    fn line(self, n: u32) -> Line {
        let sku = match self {
            Self::Tidy => format!("sku-{n:05}"),
            // Steps of a generator that never repeats within 2^32.
            Self::Grown => format!("{:08X}", n.wrapping_mul(2_654_435_761).wrapping_add(97)),
        };
        let line = Line::of(&sku.parse().unwrap());
        match (self, n % 3) {
            (Self::Grown, 0) => line.with("size", ["S", "M", "L", "XL"][(n / 3 % 4) as usize]).unwrap(),
            _ => line,
        }
    }

    fn units(self, n: u32, of: u32) -> Units {
        let quantity = Quantity::new(n % 7 + 1).unwrap();
        match self {
            Self::Tidy => quantity.into(),
            Self::Grown => {
                let minor = i64::from(of.wrapping_mul(40_503) % 20_000) + 95;
                quantity.at(Money::new(minor, "EUR".parse().unwrap()).unwrap())
            }
        }
    }

    /// A cart of 200 lines, each added by a change of its own.
    fn cart(self) -> Cart {
        let mut cart = Cart::create(ActorId::from_bytes(*b"0123456789abcdef"));
        for n in 0..200 {
            cart.add(&self.line(n), self.units(n, n)).unwrap();
        }
        cart
    }
}

fn saved(cart: &Cart) -> usize {
    cart.document().save().len()
}

#[test]
fn a_cart_of_200_lines_is_small() {
    for shop in [Shop::Tidy, Shop::Grown] {
        let cart = shop.cart();
        let bytes = saved(&cart);
        println!("{shop:?}: 200 lines: {bytes} bytes saved");
        assert!(bytes < 12_000, "{shop:?}: {bytes} bytes");
        let loaded = Document::load(&cart.document().save(), ActorId::from_bytes([2; 16])).unwrap();
        assert_eq!(Cart::open(loaded).unwrap().view(), cart.view());
    }
}

#[test]
fn a_thousand_operations_more_stay_small() {
    for shop in [Shop::Tidy, Shop::Grown] {
        let mut cart = shop.cart();
        let before = saved(&cart);
        for n in 0..1000 {
            // What people do with a cart: mostly a little more or less of what is there.
            let of = n * 37 % 200;
            let line = shop.line(of);
            let operation = match n % 5 {
                0 | 1 => cart.add(&line, shop.units(n, of)),
                2 => cart.set(&line, shop.units(n, of)),
                3 => cart.take(&line, Quantity::ONE),
                _ => cart.remove(&line),
            };
            operation.unwrap();
            // Everything is handed over at once, as online: nothing can be taken back unseen.
            cart.document_mut().mark_shared();
        }
        let each = (saved(&cart) - before) / 1000;
        println!("{shop:?}: 1,000 operations more: {each} bytes each");
        assert!(each < 30, "{shop:?}: {each} bytes");
    }
}
