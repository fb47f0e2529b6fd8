//! Operations on quantities: add, take, set, remove, clear, and moves between lists.

use std::borrow::BorrowMut;
use std::collections::BTreeSet;

use super::Cart;
use super::batch::{Batch, BatchKind};
use super::line::Line;
use super::name::ListName;
use super::operation::{CartError, Operation};
use super::quantity::{Quantity, Units};
use super::standing::Standing;
use super::writing::Writing;
use crate::document::Document;
use crate::id::Dot;
use crate::limits::{INHERITED_DOTS_MAX, REPLACED_DOTS_MAX};

/// Operations on the list `cart`, which checkouts buy.
impl<D: BorrowMut<Document>> Cart<D> {
    /// Puts more of `line` into the cart: `quantity`, or `quantity.at(price)` to remember what one cost.
    pub fn add(&mut self, line: &Line, units: impl Into<Units>) -> Result<Operation, CartError> {
        self.list(ListName::cart()).add(line, units)
    }

    /// Takes some of `line` away, the newest first, as far as there are any.
    pub fn take(&mut self, line: &Line, quantity: Quantity) -> Result<Operation, CartError> {
        self.list(ListName::cart()).take(line, quantity)
    }

    /// So many of `line` altogether: what a person types into a field.
    pub fn set(&mut self, line: &Line, units: impl Into<Units>) -> Result<Operation, CartError> {
        self.list(ListName::cart()).set(line, units)
    }

    /// Takes all of `line` away that is seen here.
    pub fn remove(&mut self, line: &Line) -> Result<Operation, CartError> {
        self.list(ListName::cart()).remove(line)
    }

    /// Takes everything away that is seen here.
    pub fn clear(&mut self) -> Result<Operation, CartError> {
        self.list(ListName::cart()).clear()
    }

    /// Moves all of `line` from the cart to the list `saved`.
    pub fn save(&mut self, line: &Line) -> Result<Operation, CartError> {
        self.list(ListName::cart()).move_to(line, &ListName::saved())
    }

    /// Moves all of `line` from the list `saved` back into the cart.
    pub fn unsave(&mut self, line: &Line) -> Result<Operation, CartError> {
        self.list(ListName::saved()).move_to(line, &ListName::cart())
    }

    /// The operations on another list.
    pub fn list(&mut self, name: ListName) -> CartList<'_, D> {
        CartList { cart: self, name }
    }
}

/// One list of a cart, to be changed.
///
/// ```
/// # use crdt_core::cart::{Cart, Line, ListName, Quantity, Sku};
/// # use crdt_core::id::ActorId;
/// let mut cart = Cart::create(ActorId::from_bytes([1; 16]));
/// let tea = Line::of(&Sku::new("tea")?);
/// cart.list(ListName::new("birthday")?).add(&tea, Quantity::ONE)?;
/// cart.list(ListName::new("birthday")?).move_to(&tea, &ListName::cart())?;
/// assert_eq!(cart.view().quantity(&tea), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CartList<'a, D> {
    cart: &'a mut Cart<D>,
    name: ListName,
}

impl<D: BorrowMut<Document>> CartList<'_, D> {
    /// As [`Cart::add`].
    pub fn add(self, line: &Line, units: impl Into<Units>) -> Result<Operation, CartError> {
        let units = units.into();
        self.cart.write(|writing| {
            writing.add(line, &self.name, units);
            Ok(())
        })
    }

    /// As [`Cart::take`].
    pub fn take(self, line: &Line, quantity: Quantity) -> Result<Operation, CartError> {
        self.cart.write(|writing| {
            writing.take(line, &self.name, quantity.get());
            Ok(())
        })
    }

    /// As [`Cart::set`].
    pub fn set(self, line: &Line, units: impl Into<Units>) -> Result<Operation, CartError> {
        let units = units.into();
        self.cart.write(|writing| {
            writing.set(line, &self.name, units);
            Ok(())
        })
    }

    /// As [`Cart::remove`].
    pub fn remove(self, line: &Line) -> Result<Operation, CartError> {
        self.cart.write(|writing| {
            writing.remove(line, &self.name);
            Ok(())
        })
    }

    /// As [`Cart::clear`].
    pub fn clear(self) -> Result<Operation, CartError> {
        self.cart.write(|writing| {
            for line in writing.lines_of(&self.name) {
                writing.remove(line, &self.name);
            }
            Ok(())
        })
    }

    /// Moves all of `line` to the list `to`.
    pub fn move_to(self, line: &Line, to: &ListName) -> Result<Operation, CartError> {
        self.cart.write(|writing| {
            if self.name != *to {
                writing.move_line(line, &self.name, to);
            }
            Ok(())
        })
    }
}

impl Writing<'_> {
    /// Always a batch of its own, even where nobody has been handed the last one yet: when it is handed over, a peer may
    /// receive the first changes without the later ones, and remove what it sees. Had the batch grown meanwhile, the
    /// units it removed would come back with the growth.
    fn add(&mut self, line: &Line, list: &ListName, units: Units) {
        let dot = self.next_dot();
        self.put_batch(line, &dot, &Batch::add(units.quantity, list.clone(), units.price));
    }

    /// Takes units away, from the newest batch first. Typed quantities that are rivals count as one, as old as the newest
    /// of them.
    pub(super) fn take(&mut self, line: &Line, list: &ListName, quantity: u32) {
        let standings = self.standings(line);
        let counting: Vec<_> = standings.iter().filter(|standing| standing.counts_in(list)).collect();
        let sets: Vec<_> = counting.iter().copied().filter(|standing| standing.batch.is_set()).collect();
        let mut missing = quantity;
        let mut sets_done = false;
        for standing in counting.into_iter().rev() {
            if !standing.batch.is_set() {
                let taken = standing.left.min(missing);
                missing -= taken;
                self.take_from_add(line, standing, taken);
            } else if !std::mem::replace(&mut sets_done, true) {
                let largest = sets.iter().map(|set| set.left).max().expect("this one at least");
                let taken = largest.min(missing);
                missing -= taken;
                for set in &sets {
                    let over = set.left.saturating_sub(largest - taken);
                    self.take_from_set(line, set, over);
                }
            }
        }
    }

    fn take_from_add(&mut self, line: &Line, standing: &Standing<'_>, units: u32) {
        if units == standing.left && !standing.is_partly_bought() {
            self.delete_dot(line, standing.dot);
        } else if units > 0 {
            self.put_cap(line, standing.dot, standing.capped - units);
        }
    }

    /// A typed quantity is only ever capped: it may be on its way to another list as a stand-in, which the cap binds.
    fn take_from_set(&mut self, line: &Line, set: &Standing<'_>, units: u32) {
        if units > 0 {
            self.put_cap(line, set.dot, set.capped - units);
        }
    }

    /// One typed quantity in the place of all that counts in the list.
    fn set(&mut self, line: &Line, list: &ListName, units: Units) {
        let standings = self.standings(line);
        let counting: Vec<_> = standings.iter().filter(|standing| standing.counts_in(list)).collect();
        let price = units.price.or_else(|| counting.iter().rev().find_map(|standing| standing.batch.price));
        if let [only] = counting.as_slice()
            && only.batch.is_set()
            && only.left == units.quantity.get()
            && only.batch.price == price
        {
            return;
        }
        self.tidy(line, list, &standings);
        let dot = self.next_dot();
        let mut replaced = BTreeSet::new();
        let mut inherited = BTreeSet::new();
        for standing in counting {
            if *standing.dot >= dot {
                // A dot from the far future, which nothing can replace.
                self.delete_dot(line, standing.dot);
            } else if standing.is_partly_bought() {
                // What an order holds of it is no part of what is typed now.
                self.put_cap(line, standing.dot, standing.capped - standing.left);
            } else {
                replaced.insert(standing.dot.clone());
            }
            inherited.extend(standing.batch.on.iter().chain(&standing.batch.of).cloned());
        }
        inherited.retain(|inherited| !self.is_held(inherited) && !replaced.contains(inherited));
        let newest = |dots: BTreeSet<Dot>, most: usize| dots.into_iter().rev().take(most);
        let on = newest(inherited, INHERITED_DOTS_MAX).chain(newest(replaced, REPLACED_DOTS_MAX));
        let batch = Batch::set(units.quantity, list.clone(), price, on.collect());
        // Whatever was tidied away was written in this edit, so ask again for a dot that is still free.
        let dot = self.next_dot();
        self.put_batch(line, &dot, &batch);
    }

    /// Removes what counts in the list, and what it had replaced.
    pub(super) fn remove(&mut self, line: &Line, list: &ListName) {
        let standings = self.standings(line);
        let mut counting = standings.iter().filter(|standing| standing.counts_in(list)).peekable();
        if counting.peek().is_none() {
            return;
        }
        for standing in counting {
            if standing.is_partly_bought() {
                self.put_cap(line, standing.dot, standing.capped - standing.left);
            } else {
                self.delete_dot(line, standing.dot);
            }
        }
        self.tidy(line, list, &standings);
    }

    /// Removes what no longer counts in the list: what a typed quantity had replaced, and what has been taken away whole.
    fn tidy(&mut self, line: &Line, list: &ListName, standings: &[Standing<'_>]) {
        for standing in standings.iter().filter(|standing| standing.list == list) {
            if standing.replaced || standing.capped == 0 {
                self.delete_dot(line, standing.dot);
            }
        }
    }

    /// Moves what counts in `from`. An add keeps its dot; of typed quantities the largest is settled: it becomes an add
    /// under a dot that everyone derives alike, and what disagreed with it goes.
    fn move_line(&mut self, line: &Line, from: &ListName, to: &ListName) {
        let standings = self.standings(line);
        let counting: Vec<_> = standings.iter().filter(|standing| standing.counts_in(from)).collect();
        if counting.is_empty() {
            return;
        }
        let sets = counting.iter().copied().filter(|standing| standing.batch.is_set());
        let largest = sets.max_by_key(|set| (set.left, set.dot)).map(|set| set.dot);
        for standing in counting {
            if standing.batch.is_set() && largest != Some(standing.dot) {
                self.delete_dot(line, standing.dot);
            } else {
                self.move_standing(line, standing, &standings, to);
            }
        }
        if largest.is_some() {
            self.tidy(line, from, &standings);
        }
    }

    /// Moves one batch: under its own dot, if it can count in `to` under that.
    pub(super) fn move_standing(
        &mut self,
        line: &Line,
        standing: &Standing<'_>,
        standings: &[Standing<'_>],
        to: &ListName,
    ) {
        if !standing.batch.is_set() && !is_replaced_in(standings, standing.dot, to) {
            self.put_place(line, standing.dot, to);
        } else if let Ok(quantity) = Quantity::new(standing.capped) {
            let (dot, batch) = standing.batch.stand_in(standing.dot, BatchKind::Add, quantity, to.clone());
            self.delete_dot(line, standing.dot);
            self.put_batch(line, &dot, &batch);
        }
    }
}

/// Whether `dot` would be replaced if it were in `list`.
fn is_replaced_in(standings: &[Standing<'_>], dot: &Dot, list: &ListName) -> bool {
    let mut sets = standings.iter().filter(|standing| standing.batch.is_set() && standing.list == list);
    sets.any(|set| dot < set.dot && set.batch.on.contains(dot))
}
