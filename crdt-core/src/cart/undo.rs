//! Undo: the inverse of one operation, read from the document's own history.
//!
//! What an operation did is what its change made different. The inverse is written under ids derived from what it gives
//! back, so two devices that undo the same operation write the same facts, and a mark under `un/{operation}` keeps a
//! later device from undoing it once more. An undo is an operation like any other and can itself be undone.

use std::borrow::BorrowMut;
use std::collections::{BTreeMap, BTreeSet};

use super::Cart;
use super::batch::{Batch, returned_dot, stand_in_dot};
use super::fold::past_line;
use super::key::Key;
use super::ledger::LineFacts;
use super::line::Line;
use super::name::{CheckoutId, CouponCode, ListName};
use super::operation::{CartError, Operation};
use super::order::Verdict;
use super::quantity::Quantity;
use super::standing::{Standing, standings};
use super::view::OrderStatus;
use super::writing::Writing;
use crate::document::{Document, Past, Stored};
use crate::id::{ChangeHash, Dot};

/// One part of an inverse.
#[derive(Debug)]
enum Step {
    /// Delete a batch that was made.
    Unmake {
        line: Line,
        dot: Dot,
    },
    /// Put a deleted batch back, as its stand-in.
    Restore {
        line: Line,
        dot: Dot,
        batch: Batch,
        quantity: Quantity,
        list: ListName,
    },
    /// Give back units that were taken away.
    GiveBack {
        line: Line,
        dot: Dot,
        from: u32,
        to: u32,
    },
    /// Move a batch back, if it is still where it was moved to.
    MoveBack {
        line: Line,
        dot: Dot,
        moved_to: ListName,
        back_to: ListName,
    },
    UnmakeCoupon {
        code: CouponCode,
        dot: Dot,
    },
    RestoreCoupon {
        code: CouponCode,
        dot: Dot,
    },
    /// Put the earlier text of a note back, if nobody has changed it since.
    RestoreNote {
        key: Key,
        written: Vec<Stored>,
        earlier: Vec<Stored>,
    },
    CancelCheckout {
        id: CheckoutId,
    },
    Uncancel {
        id: CheckoutId,
    },
    /// Allow an operation to be undone again whose undo is undone.
    Unmark {
        operation: ChangeHash,
    },
}

impl<D: BorrowMut<Document>> Cart<D> {
    /// Undoes one operation, whoever did it, as far as its effect is still there.
    ///
    /// What an order holds is not undone: call the order off first. Decisions of the authority can't be undone.
    pub fn undo(&mut self, operation: &ChangeHash) -> Result<Operation, CartError> {
        self.refresh();
        if self.state.fold.ledger.undone.contains(operation) {
            return Ok(Operation::default());
        }
        let steps = inverse(self.document.borrow(), operation)?;
        self.write(|writing| {
            for step in &steps {
                writing.undo_step(step)?;
            }
            if !writing.is_empty() {
                writing.put(&Key::Undone(*operation), "{}");
            }
            Ok(())
        })
    }
}

fn inverse(document: &Document, operation: &ChangeHash) -> Result<Vec<Step>, CartError> {
    let change = document.change(operation).ok_or(CartError::UnknownOperation { operation: *operation })?;
    let (before, after) = (document.at(change.deps()), document.at(&[*operation]));
    let keys: BTreeSet<Key> = change.touched_keys().iter().filter_map(|key| Key::parse(key).ok()).collect();
    let lines: BTreeSet<&Line> = keys
        .iter()
        .filter_map(|key| match key {
            Key::Batch(line, _) | Key::Cap(line, _) | Key::Place(line, _) => Some(line),
            _ => None,
        })
        .collect();
    let mut steps = Vec::new();
    for line in lines {
        line_steps(line, &past_line(&before, line), &past_line(&after, line), &mut steps);
    }
    steps.extend(keys.into_iter().filter_map(|key| key_step(key, &before, &after)));
    if steps.is_empty() {
        return Err(CartError::NotUndoable { operation: *operation });
    }
    Ok(steps)
}

/// The inverse of what happened to one line, from the facts before and after.
fn line_steps(line: &Line, before: &LineFacts, after: &LineFacts, steps: &mut Vec<Step>) {
    let stood = |facts| standings(facts, &BTreeMap::new(), |_| false);
    let (stood_before, stood_after) = (stood(before), stood(after));
    let find =
        |standings: &[Standing<'_>], dot: &Dot| standings.iter().position(|standing| standing.dot == dot);
    let is_gone = |dot: &Dot| after.get(dot).is_none_or(|facts| facts.batch.is_none());
    // What took over from a batch in the same operation is overwritten when the batch is put back.
    let taken_over: BTreeSet<Dot> = before.keys().filter(|dot| is_gone(dot)).map(stand_in_dot).collect();
    let is_new = |dot: &Dot| before.get(dot).is_none_or(|facts| facts.batch.is_none());
    let made =
        after.iter().filter(|(dot, facts)| facts.batch.is_some() && is_new(dot) && !taken_over.contains(dot));
    steps.extend(made.map(|(dot, _)| Step::Unmake { line: line.clone(), dot: dot.clone() }));
    for standing in stood_before.iter().filter(|standing| !standing.replaced && standing.capped > 0) {
        let (line, dot) = (line.clone(), standing.dot.clone());
        let Some(now) = after.get(&dot).filter(|facts| facts.batch.is_some()) else {
            let quantity = Quantity::new(standing.capped).expect("capped above zero");
            let (batch, list) = (standing.batch.clone(), standing.list.clone());
            steps.push(Step::Restore { line, dot, batch, quantity, list });
            continue;
        };
        let Some(now_standing) = find(&stood_after, &dot).map(|index| &stood_after[index]) else { continue };
        if now_standing.list != standing.list {
            let (moved_to, back_to) = (now_standing.list.clone(), standing.list.clone());
            steps.push(Step::MoveBack { line: line.clone(), dot: dot.clone(), moved_to, back_to });
        }
        let lowered = now.batch == before[&dot].batch && now_standing.capped < standing.capped;
        if lowered && (!standing.batch.is_set() || is_largest_set(standing, &stood_before)) {
            steps.push(Step::GiveBack { line, dot, from: now_standing.capped, to: standing.capped });
        }
    }
}

/// Of typed quantities that are rivals only the largest counts, so only its units are missed.
fn is_largest_set(set: &Standing<'_>, standings: &[Standing<'_>]) -> bool {
    let rivals = standings.iter().filter(|rival| rival.batch.is_set() && rival.counts_in(set.list));
    rivals.max_by_key(|rival| (rival.left, rival.dot)).is_none_or(|largest| largest.dot == set.dot)
}

fn key_step(key: Key, before: &Past<'_>, after: &Past<'_>) -> Option<Step> {
    let (earlier, written) = (before.values(&key.to_string()), after.values(&key.to_string()));
    let made = earlier.is_empty() && !written.is_empty();
    match key {
        Key::Coupon(code, dot) if made => Some(Step::UnmakeCoupon { code, dot }),
        Key::Coupon(code, dot) if written.is_empty() => Some(Step::RestoreCoupon { code, dot }),
        Key::Note(_) => Some(Step::RestoreNote { key, written, earlier }),
        Key::Checkout(id) if made => Some(Step::CancelCheckout { id }),
        Key::Verdict(id, Verdict::Cancelled) if made => Some(Step::Uncancel { id }),
        Key::Undone(operation) if made => Some(Step::Unmark { operation }),
        _ => None,
    }
}

impl Writing<'_> {
    fn undo_step(&mut self, step: &Step) -> Result<(), CartError> {
        match step {
            Step::Unmake { line, dot } if !self.is_held(dot) => self.delete_with_stand_ins(line, dot),
            Step::Unmake { .. } => {}
            Step::Restore { line, dot, batch, quantity, list } => {
                let (stand_in, batch) = batch.stand_in(dot, batch.kind, *quantity, list.clone());
                self.put_batch(line, &stand_in, &batch);
                self.delete(&Key::Place(line.clone(), stand_in));
            }
            Step::GiveBack { line, dot, from, to } => {
                let standing = self.standing(line, dot).filter(|standing| !standing.replaced);
                if let (Some(standing), Ok(quantity)) = (standing, Quantity::new(to - from)) {
                    let (list, price) = (standing.list.clone(), standing.batch.price);
                    let batch = Batch::returned(quantity, list, price, dot.clone(), *from);
                    self.put_batch(line, &returned_dot(dot, *from, *to), &batch);
                }
            }
            Step::MoveBack { line, dot, moved_to, back_to } => {
                let standings = self.standings(line);
                let standing = standings.iter().find(|standing| standing.dot == dot);
                if let Some(standing) = standing.filter(|standing| standing.list == moved_to) {
                    self.move_standing(line, standing, &standings, back_to);
                }
            }
            Step::UnmakeCoupon { code, dot } => self.delete(&Key::Coupon(code.clone(), dot.clone())),
            Step::RestoreCoupon { code, dot } => {
                self.put(&Key::Coupon(code.clone(), stand_in_dot(dot)), "{}");
            }
            Step::RestoreNote { key, written, earlier } => self.restore_note(key, written, earlier),
            Step::CancelCheckout { id } => return self.undo_checkout(id),
            Step::Uncancel { id } => {
                if self.fold.view.orders.get(id).is_some_and(|order| order.status == OrderStatus::Cancelled) {
                    self.delete(&Key::Verdict(id.clone(), Verdict::Cancelled));
                }
            }
            Step::Unmark { operation } => self.delete(&Key::Undone(*operation)),
        }
        Ok(())
    }

    fn standing(&self, line: &Line, dot: &Dot) -> Option<Standing<'_>> {
        self.standings(line).into_iter().find(|standing| standing.dot == dot)
    }

    fn restore_note(&mut self, key: &Key, written: &[Stored], earlier: &[Stored]) {
        if self.values(key) != written {
            return;
        }
        match earlier.iter().find_map(Stored::as_text) {
            Some(text) => self.put(key, text),
            None => self.delete(key),
        }
    }

    fn undo_checkout(&mut self, id: &CheckoutId) -> Result<(), CartError> {
        match self.fold.view.orders.get(id).map(|order| order.status) {
            Some(status @ (OrderStatus::Confirmed | OrderStatus::Rejected)) => {
                Err(CartError::Decided { id: id.clone(), status })
            }
            Some(OrderStatus::Pending | OrderStatus::Superseded) => {
                self.put(&Key::Verdict(id.clone(), Verdict::Cancelled), "{}");
                Ok(())
            }
            Some(OrderStatus::Cancelled) | None => Ok(()),
        }
    }
}
