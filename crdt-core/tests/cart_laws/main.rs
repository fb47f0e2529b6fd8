//! The laws of carts, over generated histories with partitions, loss, duplicates, reordering and restarts; with moves
//! between lists, checkouts, refusals, undo, guests that are adopted, collected garbage, and hostile writers.
//!
//! Mutations of the code that were applied, and what caught them: a law here, or vectors of `tests/vectors/cart.json`.
//!
//! | mutation | caught by |
//! |---|---|
//! | `standing.rs`: caps count for nothing | the units of the model; C09, C11, C115, C138 |
//! | `ledger.rs`: of several caps the largest counts | C11 |
//! | `quantities.rs`: an add enlarges the device's last one, so that a remove which saw the smaller is undone | the units of the model; C29, C58 |
//! | `quantities.rs`: a set does not record what it replaces | the units of the model; C05, C06, C07 |
//! | `quantities.rs`: takes begin with the oldest | the units of the model |
//! | `quantities.rs`: a remove leaves what a typed quantity had replaced | the units of the model; C40 |
//! | `quantities.rs`: what takes over when a typed quantity moves leaves it behind | C142 |
//! | `view.rs`: rivals add up | the units of the model; C05, C42, C44 |
//! | `ledger.rs`: of two moves the last counts | the cart wins; C20b |
//! | `fold.rs`: a refresh misses a touched key | refreshing is reading everything, and all others |
//! | `garbage.rs`: collects a batch with one unit left | gc is invisible |
//! | `undo.rs`: undoes under fresh ids | undos coincide; C114, C123, C124 |
//! | `standing.rs`: units given back count however often | C117 |
//! | `authority.rs`: signatures are not checked | C150b |

mod units;
mod world;

use std::collections::BTreeSet;

use crdt_core::cart::{Cart, ListName, Operation};
use crdt_core::document::{Change, Document};
use crdt_core::id::{ChangeHash, Dot};
use proptest::prelude::*;

use self::units::{Made, Meaning, Model};
use self::world::{Act, Step, World, anything, everything, from_scratch, history, line, quantities, shown};

/// 64 histories a law, or a quarter of `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / 4, ..usual }
}

proptest! {
    #![proptest_config(config())]

    /// Whoever has the same changes shows the same, whatever order they came in and whoever brought them.
    #[test]
    fn replicas_converge(steps in history(everything(), 40), replicas in 2..=5usize) {
        let mut world = World::new(replicas);
        for step in &steps {
            world.play(step);
        }
        world.heal();
        for cart in &world.carts {
            prop_assert_eq!(cart.document().heads(), world.carts[0].document().heads());
            prop_assert_eq!(cart.view(), world.carts[0].view());
        }
    }

    /// A view that was refreshed by what was touched is the view that reading everything gives.
    #[test]
    fn refreshing_is_reading_everything(steps in history(everything(), 30), replicas in 2..=4usize) {
        let mut world = World::new(replicas);
        for step in &steps {
            world.play(step);
            for cart in &world.carts {
                let scratch = from_scratch(cart);
                prop_assert_eq!(cart.view(), scratch.view());
            }
        }
    }

    /// Carts show exactly the units of the model. So no add is lost that nobody has taken away; nothing that was taken
    /// away comes back; the same unit taken twice is gone once; and no quantity is ever negative.
    #[test]
    fn carts_show_the_units_of_the_model(steps in history(quantities(), 40), replicas in 2..=5usize) {
        let mut world = World::new(replicas);
        let mut model = Model::default();
        for step in &steps {
            let before: Vec<Vec<ChangeHash>> = world.carts.iter().map(|cart| cart.document().heads()).collect();
            if let Some((replica, operation)) = world.play(step)
                && let (Step::Do(_, act), Some(id)) = (step, operation.id)
            {
                let cart = &world.carts[replica];
                let meaning = meaning(&model, act, cart, &before[replica], id);
                model.meanings.insert(id, meaning);
            }
            for cart in &world.carts {
                check_units(&model, cart)?;
            }
        }
        world.heal();
        for cart in &world.carts {
            check_units(&model, cart)?;
        }
    }

    /// Moving loses nothing and copies nothing: all lists together hold what was added, wherever it is.
    #[test]
    fn moves_lose_and_copy_nothing(steps in history(adds_and_moves(), 40), replicas in 2..=5usize) {
        let mut world = World::new(replicas);
        let mut added = 0;
        for step in &steps {
            if let (Some((_, operation)), Step::Do(_, Act::Add(_, n))) = (world.play(step), step) {
                prop_assert!(operation.id.is_some());
                added += u64::from(*n);
            }
        }
        world.heal();
        for cart in &world.carts {
            prop_assert_eq!(shown(cart).into_iter().map(|(_, _, n)| n).sum::<u64>(), added);
        }
    }

    /// What is moved here and there at once is in one place: the cart, if anybody moved it there.
    #[test]
    fn the_cart_wins_over_every_other_place(moves in proptest::collection::vec(any::<bool>(), 2..=5)) {
        let mut world = World::new(moves.len());
        world.play(&Step::Do(0, Act::Add(0, 3)));
        world.play(&Step::Do(0, Act::Save(0)));
        world.heal();
        for (replica, into_cart) in moves.iter().enumerate() {
            world.play(&Step::Do(replica, if *into_cart { Act::Unsave(0) } else { Act::MoveOn(0) }));
        }
        world.heal();
        let list = ListName::new(if moves.contains(&true) { "cart" } else { "later" }).unwrap();
        for cart in &world.carts {
            prop_assert_eq!(shown(cart), [(list.clone(), line(0), 3)]);
        }
    }

    /// Undoing what was just done shows every quantity as it was.
    #[test]
    fn undoing_at_once_restores(steps in history(anything(), 30), act in anything(), replicas in 2..=4usize) {
        let mut world = World::new(replicas);
        for step in &steps {
            world.play(step);
        }
        let before = (shown(&world.carts[0]), world.carts[0].view().coupons.clone());
        let Some((_, operation)) = world.play(&Step::Do(0, act.clone())) else { return Ok(()) };
        let is_undoable = !matches!(act, Act::Undo(_) | Act::Confirm(_) | Act::Reject(_) | Act::Refuse(_));
        if let Some(id) = operation.id.filter(|_| is_undoable) {
            world.carts[0].undo(&id).unwrap();
            prop_assert_eq!((shown(&world.carts[0]), world.carts[0].view().coupons.clone()), before);
        }
    }

    /// Any number of devices undoing one operation is one device undoing it.
    #[test]
    fn undos_coincide(steps in history(anything(), 30), chosen in any::<usize>(), replicas in 2..=4usize) {
        let worlds = [1, replicas].map(|undoing| {
            let mut world = World::new(replicas);
            for step in &steps {
                world.play(step);
            }
            world.heal();
            let chosen = chosen % world.operations.len().max(1);
            for replica in 0..undoing {
                world.play(&Step::Do(replica, Act::Undo(chosen)));
            }
            world.heal();
            world
        });
        let [once, together] = &worlds;
        prop_assert_eq!(once.carts[0].view(), together.carts[0].view());
    }

    /// Collecting garbage, whenever and wherever, is seen by nobody, whatever still arrives.
    ///
    /// Two worlds live the same history; in one of them garbage is collected. What one of them writes less is made up
    /// for, so that dots are the same in both, and so is what gets lost on the way.
    #[test]
    fn gc_is_invisible(
        steps in history(anything(), 40),
        collects in proptest::collection::vec(any::<bool>(), 40),
        replicas in 2..=4usize,
    ) {
        let (mut kept, mut collected) = (World::new(replicas), World::new(replicas));
        for (step, collect) in steps.iter().zip(collects) {
            let (one, other) = (kept.play(step), collected.play(step));
            if let Step::Do(replica, _) = step {
                let (one, other) = (wrote(one), wrote(other));
                let (kept, collected) = (&mut kept.carts[replica % replicas], &mut collected.carts[replica % replicas]);
                fill(kept, u64::from(other && !one));
                fill(collected, u64::from(one && !other));
                if collect {
                    fill(kept, 1);
                    let wrote = collected.gc().unwrap().id.is_some();
                    fill(collected, u64::from(!wrote));
                }
                let (left, right) = (next_counter(kept), next_counter(collected));
                fill(kept, 1 + right.saturating_sub(left));
                fill(collected, 1 + left.saturating_sub(right));
            }
            for (left, right) in kept.carts.iter().zip(&collected.carts) {
                prop_assert_eq!(left.view(), right.view());
            }
        }
        kept.heal();
        collected.heal();
        prop_assert_eq!(kept.carts[0].view(), collected.carts[0].view());
    }
}

fn adds_and_moves() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..3u8, 1..5u32).prop_map(|(line, n)| Act::Add(line, n)),
        (0..3u8).prop_map(Act::Save),
        (0..3u8).prop_map(Act::Unsave),
    ]
}

fn wrote(done: Option<(usize, Operation)>) -> bool {
    done.is_some_and(|(_, operation)| operation.id.is_some())
}

fn next_counter(cart: &mut Cart) -> u64 {
    cart.document_mut().edit().next_dot().counter
}

/// One change of so many facts that no fold reads.
fn fill(cart: &mut Cart, facts: u64) {
    let mut edit = cart.document_mut().edit();
    for _ in 0..facts {
        let dot = edit.next_dot();
        edit.put(&format!("filling/{dot}"), "");
    }
    edit.commit();
    cart.refresh();
}

fn check_units(model: &Model, cart: &Cart) -> Result<(), TestCaseError> {
    for of in 0..3 {
        let expected = model.quantity(&line(of), |hash| cart.document().contains(hash));
        prop_assert_eq!(cart.view().quantity(&line(of)), expected, "{}", line(of));
    }
    Ok(())
}

/// What `act` meant, done by a replica that knew everything up to `heads`.
fn meaning(model: &Model, act: &Act, cart: &Cart, heads: &[ChangeHash], id: ChangeHash) -> Meaning {
    let ancestors = known_at(cart.document(), heads);
    let knows = |hash: &ChangeHash| ancestors.contains(hash);
    let dot = || -> Dot { cart.dots_of(&id).remove(0) };
    match *act {
        Act::Add(of, n) => {
            let (line, dot) = (line(of), dot());
            let from = model.made(&line, &dot, knows);
            let made = Made { line, dot, units: from..from + n, typed: false };
            Meaning { made: Some(made), ..Meaning::default() }
        }
        Act::Set(of, n) => model.set(Made { line: line(of), dot: dot(), units: 0..n, typed: true }, knows),
        Act::Take(of, n) => model.take(&line(of), n, knows),
        Act::Remove(of) => model.remove(&line(of), knows),
        Act::Clear => {
            let lines = (0..3).map(|of| model.remove(&line(of), knows));
            lines.fold(Meaning::default(), Meaning::and)
        }
        ref other => unreachable!("the model speaks of quantities only, not of {other:?}"),
    }
}

fn known_at(document: &Document, heads: &[ChangeHash]) -> BTreeSet<ChangeHash> {
    let later: BTreeSet<_> = document.changes_since(heads).iter().map(Change::hash).collect();
    let all = document.changes_since(&[]).into_iter().map(|change| change.hash());
    all.filter(|hash| !later.contains(hash)).collect()
}
