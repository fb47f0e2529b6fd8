//! What a cart of 200 lines costs: changing it with the view kept fresh, receiving a peer's change, opening it.
//!
//! `cargo xtask bench cart`; how many bytes such a cart takes is bounded in `tests/cart_size.rs`.

use std::hint::black_box;
use std::time::Duration;

use crdt_core::cart::{Cart, Line, Quantity};
use crdt_core::document::Document;
use crdt_core::id::ActorId;
use crdt_core::money::Money;
use criterion::measurement::{Measurement as _, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};

const LINES: u32 = 200;

/// Operations on one cart before it is opened afresh, so that what is measured stays a cart of about 200 lines.
const OPERATIONS: u64 = 100;

fn actor(n: u8) -> ActorId {
    ActorId::from_bytes([n; 16])
}

fn line(n: u32) -> Line {
    Line::of(&format!("sku-{n:05}").parse().expect("a short text"))
}

fn some(n: u32) -> Quantity {
    Quantity::new(n).expect("a small number")
}

fn price(n: u32) -> Money {
    Money::new(i64::from(n) * 37 + 99, "EUR".parse().expect("a currency")).expect("a small amount")
}

/// A saved cart of 200 lines with prices, each added by an operation of its own.
fn saved() -> Vec<u8> {
    let mut cart = Cart::create(actor(1));
    for n in 0..LINES {
        cart.add(&line(n), some(n % 7 + 1).at(price(n))).expect("adding never fails");
    }
    cart.document().save()
}

/// The same after people have gone on for a while: a thousand operations on its lines, by two devices.
fn lived_in() -> Vec<u8> {
    let mut phone = open(&saved(), 2);
    let mut laptop = open(&saved(), 3);
    for n in 0..1000 {
        let (cart, line) = (if n % 2 == 0 { &mut phone } else { &mut laptop }, line(n * 37 % LINES));
        match n % 5 {
            0 | 1 => cart.add(&line, some(1).at(price(n))),
            2 => cart.set(&line, some(n % 9 + 1)),
            3 => cart.take(&line, Quantity::ONE),
            _ => cart.save(&line),
        }
        .expect("none of these fails");
        if n % 50 == 0 {
            phone.merge(&mut laptop).expect("honest changes apply");
            laptop.merge(&mut phone).expect("honest changes apply");
        }
    }
    phone.merge(&mut laptop).expect("honest changes apply");
    phone.document().save()
}

fn open(bytes: &[u8], device: u8) -> Cart {
    Cart::open(Document::load(bytes, actor(device)).expect("it was saved")).expect("it is a cart")
}

/// The time that `iterations` operations take, on carts opened afresh every [`OPERATIONS`].
fn timed<T>(iterations: u64, fresh: impl Fn() -> T, mut operation: impl FnMut(&mut T, u32)) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let mut subject = fresh();
        let some = left.min(OPERATIONS);
        let began = WallTime.start();
        for n in 0..u32::try_from(some).expect("few") {
            operation(&mut subject, n);
        }
        spent += WallTime.end(began);
        left -= some;
    }
    spent
}

fn carts(criterion: &mut Criterion) {
    let (saved, lived_in) = (saved(), lived_in());
    println!("a cart of 200 lines: {} bytes; lived in: {} bytes", saved.len(), lived_in.len());
    let mut group = criterion.benchmark_group("cart");
    for (name, bytes) in [("200 lines", &saved), ("200 lines lived in", &lived_in)] {
        group.bench_function(format!("add to {name}"), |bench| {
            bench.iter_custom(|iterations| {
                timed(
                    iterations,
                    || open(bytes, 9),
                    |cart, n| {
                        cart.add(&line(n * 37 % LINES), some(2).at(price(n))).expect("adding never fails");
                        black_box(cart.view());
                    },
                )
            });
        });
        group.bench_function(format!("open {name}"), |bench| {
            bench.iter(|| black_box(open(bytes, 9).view().lists.len()));
        });
    }
    group.bench_function("set in 200 lines", |bench| {
        bench.iter_custom(|iterations| {
            timed(
                iterations,
                || open(&saved, 9),
                |cart, n| {
                    cart.set(&line(n * 37 % LINES), some(n % 5 + 8)).expect("setting never fails");
                    black_box(cart.view());
                },
            )
        });
    });
    group.bench_function("receive an add to 200 lines", |bench| {
        bench.iter_custom(|iterations| {
            let fresh = || {
                let mut laptop = open(&saved, 8);
                let heads = laptop.document().heads();
                for n in 0..u32::try_from(OPERATIONS).expect("few") {
                    laptop.add(&line(n * 37 % LINES), some(1)).expect("adding never fails");
                }
                let changes = laptop.document_mut().changes_for_peer(&heads);
                (open(&saved, 9), changes.into_iter())
            };
            timed(iterations, fresh, |(phone, changes), _| {
                phone.apply(changes.next()).expect("honest changes apply");
                black_box(phone.view());
            })
        });
    });
    group.finish();
}

criterion_group!(benches, carts);
criterion_main!(benches);
