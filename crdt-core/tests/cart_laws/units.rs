//! The model that carts are held against: single units, each with an identity, and nothing else.
//!
//! It knows no encoding, no caps and no documents. An operation makes units, removes units that its replica saw, or
//! declares batches that its replica saw replaced. What a replica shows follows from the operations it knows of, whatever
//! order they came in.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::cart::Line;
use crdt_core::id::{ChangeHash, Dot};

/// One unit of one batch.
pub(crate) type Unit = (Dot, u32);

/// What one operation meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meaning {
    /// The batch it made or enlarged: which of its units are new, and whether their number was typed.
    pub(crate) made: Option<Made>,
    pub(crate) removed: BTreeSet<Unit>,
    /// Batches that are gone whole, so that what they replaced is not replaced by them any more.
    pub(crate) deleted: BTreeSet<Dot>,
    pub(crate) replaced: BTreeSet<Dot>,
}

impl Meaning {
    /// Both at once.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.made = self.made.or(other.made);
        self.removed.extend(other.removed);
        self.deleted.extend(other.deleted);
        self.replaced.extend(other.replaced);
        self
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) line: Line,
    pub(crate) dot: Dot,
    pub(crate) units: std::ops::Range<u32>,
    pub(crate) typed: bool,
}

/// Every operation ever done, by its id.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) meanings: BTreeMap<ChangeHash, Meaning>,
}

/// One batch, as far as a replica knows.
#[derive(Clone, Debug)]
struct Batch {
    dot: Dot,
    typed: bool,
    /// Units that nobody removed.
    units: BTreeSet<u32>,
    made: u32,
    replaced: bool,
}

impl Model {
    /// What a replica knows of a line: its batches, oldest first.
    fn batches(&self, line: &Line, knows: impl Fn(&ChangeHash) -> bool) -> Vec<Batch> {
        let meanings: Vec<&Meaning> =
            self.meanings.iter().filter(|(hash, _)| knows(hash)).map(|(_, meaning)| meaning).collect();
        let mut batches: BTreeMap<Dot, Batch> = BTreeMap::new();
        for made in
            meanings.iter().filter_map(|meaning| meaning.made.as_ref()).filter(|made| made.line == *line)
        {
            let batch = batches.entry(made.dot.clone()).or_insert_with(|| Batch {
                dot: made.dot.clone(),
                typed: made.typed,
                units: BTreeSet::new(),
                made: 0,
                replaced: false,
            });
            batch.units.extend(made.units.clone());
            batch.made = batch.made.max(made.units.end);
        }
        let deleted: BTreeSet<&Dot> = meanings.iter().flat_map(|meaning| &meaning.deleted).collect();
        batches.retain(|dot, _| !deleted.contains(dot));
        for (dot, unit) in meanings.iter().flat_map(|meaning| &meaning.removed) {
            if let Some(batch) = batches.get_mut(dot) {
                batch.units.remove(unit);
            }
        }
        for meaning in &meanings {
            if meaning.made.as_ref().is_some_and(|made| batches.contains_key(&made.dot)) {
                for dot in &meaning.replaced {
                    if let Some(batch) = batches.get_mut(dot) {
                        batch.replaced = true;
                    }
                }
            }
        }
        batches.into_values().collect()
    }

    /// How many units of a line a replica shows.
    pub(crate) fn quantity(&self, line: &Line, knows: impl Fn(&ChangeHash) -> bool) -> u64 {
        let batches = self.batches(line, knows);
        let counting = || batches.iter().filter(|batch| !batch.replaced);
        let added: usize = counting().filter(|batch| !batch.typed).map(|batch| batch.units.len()).sum();
        let typed = counting().filter(|batch| batch.typed).map(|batch| batch.units.len()).max().unwrap_or(0);
        u64::try_from(added + typed).unwrap()
    }

    /// How many units of a batch have ever been made, as far as a replica knows.
    pub(crate) fn made(&self, line: &Line, dot: &Dot, knows: impl Fn(&ChangeHash) -> bool) -> u32 {
        let batches = self.batches(line, knows);
        batches.iter().find(|batch| batch.dot == *dot).map_or(0, |batch| batch.made)
    }

    /// Takes `quantity` units, the newest first. Of typed quantities every one that is larger gives way, as one batch as
    /// new as the newest of them.
    pub(crate) fn take(&self, line: &Line, quantity: u32, knows: impl Fn(&ChangeHash) -> bool) -> Meaning {
        let mut meaning = Meaning::default();
        let batches = self.batches(line, knows);
        let counting: Vec<&Batch> =
            batches.iter().filter(|batch| !batch.replaced && !batch.units.is_empty()).collect();
        let typed: Vec<&Batch> = counting.iter().copied().filter(|batch| batch.typed).collect();
        let largest = typed.iter().map(|batch| batch.units.len()).max().unwrap_or(0);
        let (mut missing, mut typed_done) = (usize::try_from(quantity).unwrap(), false);
        for batch in counting.iter().rev() {
            let taken;
            if !batch.typed {
                taken = batch.units.len().min(missing);
                take_newest(batch, taken, &mut meaning);
            } else if typed_done {
                continue;
            } else {
                typed_done = true;
                taken = largest.min(missing);
                for rival in &typed {
                    take_newest(rival, rival.units.len().saturating_sub(largest - taken), &mut meaning);
                }
            }
            missing -= taken;
        }
        meaning
    }

    /// Removes everything of the line that the replica knows of.
    pub(crate) fn remove(&self, line: &Line, knows: impl Fn(&ChangeHash) -> bool) -> Meaning {
        let batches = self.batches(line, knows);
        let shows = batches.iter().any(|batch| !batch.replaced && !batch.units.is_empty());
        let deleted =
            if shows { batches.into_iter().map(|batch| batch.dot).collect() } else { BTreeSet::new() };
        Meaning { deleted, ..Meaning::default() }
    }

    /// What typing a quantity under `dot` does to the rest of the line.
    pub(crate) fn set(&self, made: Made, knows: impl Fn(&ChangeHash) -> bool) -> Meaning {
        let batches = self.batches(&made.line, knows);
        let (counting, rest): (Vec<Batch>, Vec<Batch>) =
            batches.into_iter().partition(|batch| !batch.replaced && !batch.units.is_empty());
        let dots = |batches: Vec<Batch>| batches.into_iter().map(|batch| batch.dot).collect();
        Meaning { made: Some(made), replaced: dots(counting), deleted: dots(rest), ..Meaning::default() }
    }
}

fn take_newest(batch: &Batch, count: usize, meaning: &mut Meaning) {
    let newest = batch.units.iter().rev().take(count);
    meaning.removed.extend(newest.map(|unit| (batch.dot.clone(), *unit)));
    if count == batch.units.len() && !batch.typed {
        meaning.deleted.insert(batch.dot.clone());
    }
}
