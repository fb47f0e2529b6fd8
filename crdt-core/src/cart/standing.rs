//! Where every batch of a line stands: which list it is in, how many of its units remain, and which are replaced.
//!
//! This is the whole rule of quantities. [`crate::cart`] tells it in words.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, Returned};
use super::ledger::{DotFacts, LineFacts};
use super::name::ListName;
use crate::id::Dot;

/// One batch that counts, or would if nothing had replaced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing<'a> {
    pub(super) dot: &'a Dot,
    pub(super) batch: &'a Batch,
    pub(super) list: &'a ListName,
    /// Units that the caps leave of the batch.
    pub(super) capped: u32,
    /// Those of them that count, held by orders or not: all, but for units given back more than once.
    pub(super) counted: u32,
    /// Units that are in the list.
    pub(super) left: u32,
    /// Replaced in its list by a typed quantity that is there.
    pub(super) replaced: bool,
}

impl Standing<'_> {
    /// Whether it counts in `list`.
    pub(super) fn counts_in(&self, list: &ListName) -> bool {
        self.list == list && !self.replaced && self.left > 0
    }

    /// Whether an order holds some of its units: they come back when it falls through.
    pub(super) fn is_partly_bought(&self) -> bool {
        self.left < self.counted
    }
}

/// Judges every batch of a line, in the order of their dots: oldest first.
///
/// `held` are the units held by orders, `refused` the dots that the authority refused.
pub(super) fn standings<'a>(
    line: &'a LineFacts,
    held: &BTreeMap<Dot, u32>,
    refused: impl Fn(&Dot) -> bool,
) -> Vec<Standing<'a>> {
    let mut standings = present(line, refused);
    mark_replaced(&mut standings);
    cover_returned(&mut standings);
    for standing in &mut standings {
        standing.left = standing.counted;
    }
    if !held.is_empty() {
        give_to_orders(&mut standings, held);
    }
    standings
}

/// Batches that nobody refused and no other stands for, as capped.
fn present(line: &LineFacts, refused: impl Fn(&Dot) -> bool) -> Vec<Standing<'_>> {
    let batches = line.iter().filter_map(|(dot, facts)| Some((dot, facts, facts.batch.as_ref()?)));
    let batches: Vec<(&Dot, &DotFacts, &Batch)> =
        batches.filter(|(dot, _, batch)| !refused(dot) && !batch.of.iter().any(&refused)).collect();
    let stood_for: BTreeSet<&Dot> = batches.iter().flat_map(|(_, _, batch)| &batch.of).collect();
    let standing = batches.iter().filter(|(dot, ..)| !stood_for.contains(dot)).map(|&(dot, facts, batch)| {
        let bound = batch.of.iter().filter_map(|origin| line.get(origin)?.cap).chain(facts.cap);
        let capped = bound.fold(batch.quantity.get(), u32::min);
        // Rivals never leave their list: a typed quantity is settled before it moves.
        let place = if batch.is_set() { None } else { facts.place.as_ref() };
        Standing {
            dot,
            batch,
            list: place.unwrap_or(&batch.list),
            capped,
            counted: capped,
            left: 0,
            replaced: false,
        }
    });
    standing.collect()
}

/// A typed quantity replaces, in its own list, the older dots it names: also when its own units are all gone since.
fn mark_replaced(standings: &mut [Standing<'_>]) {
    let sets = standings.iter().filter(|standing| standing.batch.is_set());
    let replaced: BTreeSet<(&Dot, &ListName)> = sets
        .flat_map(|set| set.batch.on.iter().filter(|dot| *dot < set.dot).map(|dot| (dot, set.list)))
        .collect();
    if replaced.is_empty() {
        return;
    }
    let found: Vec<bool> =
        standings.iter().map(|standing| replaced.contains(&(standing.dot, standing.list))).collect();
    for (standing, replaced) in standings.iter_mut().zip(found) {
        standing.replaced = replaced;
    }
}

/// Units of one dot that were given back count once, however many undos gave them back, and only beyond what remains
/// of the dot itself.
fn cover_returned(standings: &mut [Standing<'_>]) {
    let mut given_back: Vec<(&Returned, usize)> = Vec::new();
    for (index, standing) in standings.iter().enumerate() {
        given_back.extend(standing.batch.returned.as_ref().map(|returned| (returned, index)));
    }
    given_back.sort_by_key(|(returned, index)| (&returned.dot, returned.from, *index));
    let mut covered: Option<(&Dot, u32)> = None;
    for (returned, index) in given_back {
        let until = match covered {
            Some((dot, until)) if *dot == returned.dot => until,
            _ => {
                let origin = standings.iter().find(|standing| *standing.dot == returned.dot);
                origin.map_or(0, |standing| standing.capped)
            }
        };
        let end = returned.from.saturating_add(standings[index].capped);
        standings[index].counted = end.saturating_sub(until.max(returned.from));
        covered = Some((&returned.dot, until.max(end)));
    }
}

/// Takes out what orders hold: of the dot itself, or of those that stand for it. A typed quantity was meant to include
/// what it replaced, so units of those that went into an order are deducted from it.
fn give_to_orders(standings: &mut [Standing<'_>], held: &BTreeMap<Dot, u32>) {
    let mut owed: BTreeMap<&Dot, u32> = BTreeMap::new();
    for standing in standings {
        let returned = standing.batch.returned.as_ref().map(|returned| &returned.dot);
        for dot in [standing.dot].into_iter().chain(&standing.batch.of).chain(returned) {
            let Some(units) = held.get(dot) else { continue };
            let owed = owed.entry(dot).or_insert(*units);
            let given = standing.left.min(*owed);
            *owed -= given;
            standing.left -= given;
        }
        let bought: BTreeSet<&Dot> = standing.batch.on.iter().collect();
        for units in bought.into_iter().filter_map(|dot| held.get(dot)) {
            standing.left = standing.left.saturating_sub(*units);
        }
    }
}
