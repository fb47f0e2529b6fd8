//! Removing what no fold can see, now or whatever still arrives.

use std::borrow::BorrowMut;
use std::collections::BTreeMap;

use super::Cart;
use super::key::Key;
use super::ledger::LineFacts;
use super::line::Line;
use super::operation::{CartError, Operation};
use super::standing::{Standing, standings};
use super::writing::Writing;
use crate::document::Document;
use crate::id::Dot;

impl<D: BorrowMut<Document>> Cart<D> {
    /// Removes batches whose units are all gone for good (taken away, or in confirmed orders) and moves of batches that
    /// are no longer there. Nothing that anybody sees becomes different, whatever still arrives.
    ///
    /// A cap outlives its batch: the batch may be on its way to another list as a stand-in, which the cap binds.
    pub fn gc(&mut self) -> Result<Operation, CartError> {
        self.write(|writing| {
            for (line, facts) in &writing.fold.ledger.lines {
                writing.remove_garbage(line, facts);
            }
            Ok(())
        })
    }
}

impl Writing<'_> {
    fn remove_garbage(&mut self, line: &Line, facts: &LineFacts) {
        let orphans = facts.iter().filter(|(_, facts)| facts.batch.is_none() && facts.place.is_some());
        for (dot, _) in orphans {
            self.delete(&Key::Place(line.clone(), dot.clone()));
        }
        for dot in gone_for_good(facts, &self.fold.orders.spent) {
            self.delete(&Key::Batch(line.clone(), dot.clone()));
            if facts[dot].place.is_some() {
                self.delete(&Key::Place(line.clone(), dot.clone()));
            }
        }
    }
}

/// The dots that nobody can see again: caps only sink, and what is spent stays spent.
fn gone_for_good<'a>(facts: &'a LineFacts, spent: &BTreeMap<Dot, u32>) -> Vec<&'a Dot> {
    let standings = standings(facts, spent, |_| false);
    let mut gone = Vec::new();
    for standing in standings.iter().filter(|standing| standing.left == 0 && !standing.replaced) {
        if !standing.batch.is_set() {
            gone.push(standing.dot);
            continue;
        }
        // A typed quantity takes along what it replaced, or that would come back. While some of it is in another list,
        // it has to stay: were that moved back, it would be replaced again.
        let on: Vec<&Standing<'_>> =
            standings.iter().filter(|replaced| standing.batch.on.contains(replaced.dot)).collect();
        if on.iter().all(|replaced| replaced.replaced && replaced.list == standing.list) {
            gone.push(standing.dot);
            gone.extend(on.into_iter().map(|replaced| replaced.dot));
        }
    }
    gone
}
