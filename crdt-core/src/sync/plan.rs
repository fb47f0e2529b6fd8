//! What to tell a peer that has told its heads.

use std::collections::BTreeSet;

use super::bloom::Bloom;
use super::history::History;
use super::message::Have;
use crate::id::ChangeHash;
use crate::limits::{SYNC_BATCH_BYTES, SYNC_BATCH_CHANGES, SYNC_NEED_MAX, SYNC_SHARED_MAX};

/// What is known of the peer.
pub(super) struct View<'a> {
    /// Its heads, what it asks for, and what it says it holds, as last told.
    pub(super) heads: &'a [ChangeHash],
    pub(super) need: &'a [ChangeHash],
    pub(super) have: &'a [Have],
    /// Changes held by both, and changes it was sent, with all their ancestors.
    pub(super) shared: &'a [ChangeHash],
    pub(super) sent: &'a [ChangeHash],
    pub(super) takes_changes: bool,
    pub(super) reads_documents: bool,
    /// Whether anything may be asked of it.
    pub(super) asks: bool,
}

/// The message to be, and what will be known of the peer once it has read it.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) need: Vec<ChangeHash>,
    pub(super) have: Vec<Have>,
    pub(super) snapshot: bool,
    pub(super) changes: Vec<ChangeHash>,
    /// Whether nothing is left to be sent after this.
    pub(super) is_complete: bool,
    /// Whether the peer holds exactly what its heads tell, so that its summaries are of no more use.
    pub(super) is_exact: bool,
    pub(super) shared: Vec<ChangeHash>,
    pub(super) sent: Vec<ChangeHash>,
}

impl Plan {
    pub(super) fn new(view: &View<'_>, history: &impl History, our_heads: &[ChangeHash]) -> Self {
        let known: Vec<_> = view.heads.iter().filter(|head| history.contains(head)).copied().collect();
        // A peer whose heads are all known holds exactly their ancestors: no filter could say more.
        let is_known = known.len() == view.heads.len();
        let mut plan = Self {
            need: if view.asks { history.missing(view.heads, SYNC_NEED_MAX) } else { Vec::new() },
            shared: if is_known { known.clone() } else { view.shared_with(history, &known) },
            is_complete: true,
            is_exact: is_known,
            ..Self::default()
        };
        if view.takes_changes {
            plan.fill(view, history, &known, our_heads);
        } else {
            plan.sent = view.sent.to_vec();
        }
        let asks_for_gaps = plan.need.iter().any(|hash| !view.heads.contains(hash));
        if !asks_for_gaps {
            plan.have.push(if is_known {
                plan.declare_exactly(view, known)
            } else {
                plan.summarise(history)
            });
        }
        plan
    }

    /// Whether the message would carry changes.
    pub(super) fn sends(&self) -> bool {
        self.snapshot || !self.changes.is_empty()
    }

    /// Chooses what to send: what is asked for, then what is lacking, as far as one batch goes.
    fn fill(
        &mut self,
        view: &View<'_>,
        history: &impl History,
        known: &[ChangeHash],
        our_heads: &[ChangeHash],
    ) {
        let is_known = known.len() == view.heads.len();
        let withholds = view.have.is_empty() && !is_known;
        let mut base: Vec<_> = known.iter().chain(view.sent).copied().collect();
        let mut filters = Vec::new();
        let mut last_syncs = view.have.iter().flat_map(|have| &have.last_sync);
        if !is_known && last_syncs.all(|hash| history.contains(hash)) {
            base.extend(view.have.iter().flat_map(|have| &have.last_sync));
            filters.extend(view.have.iter().map(|have| &have.bloom));
        }
        base.sort_unstable();
        base.dedup();
        let newer = if withholds { Vec::new() } else { history.since(&base) };
        // Mostly a peer asks for nothing, and lacks whatever is newer.
        let (mut asked, mut queue) = if filters.is_empty() && view.need.is_empty() {
            (Vec::new(), newer.clone())
        } else {
            let lacking = lacking(history, &newer, &filters);
            let asked = view.need.iter().filter(|hash| history.contains(hash) && !lacking.contains(hash));
            let queue = newer.iter().filter(|hash| lacking.contains(hash));
            (asked.copied().collect(), queue.copied().collect())
        };
        if view.reads_documents {
            let sent_alone = |hash: &ChangeHash| !history.is_packed(hash, view.heads.is_empty());
            let before = asked.len() + queue.len();
            asked.retain(sent_alone);
            queue.retain(sent_alone);
            self.snapshot = asked.len() + queue.len() < before;
        }
        let asked_count = asked.len();
        asked.append(&mut queue);
        let fits = how_many_fit(history, &asked);
        let cut = asked.get(fits).copied();
        asked.truncate(fits);
        self.changes = asked;
        self.is_complete = cut.is_none();
        if withholds {
            self.sent = view.sent.to_vec();
            return;
        }
        self.sent = match cut {
            None => our_heads.to_vec(),
            Some(_) if fits < asked_count => base,
            Some(cut) => {
                let end = newer.iter().position(|hash| *hash == cut).expect("cut from these");
                frontier(history, base, &newer[..end])
            }
        };
    }

    /// What the peer and we will both hold: as its heads are known, that is all it holds.
    fn declare_exactly(&self, view: &View<'_>, known: Vec<ChangeHash>) -> Have {
        let last_sync = if view.takes_changes { self.sent.clone() } else { known };
        Have { last_sync, bloom: Bloom::default() }
    }

    /// What we hold, for a peer that holds something else.
    fn summarise(&self, history: &impl History) -> Have {
        let last_sync = self.shared.clone();
        let bloom = Bloom::of(&history.since(&last_sync));
        Have { last_sync, bloom }
    }
}

impl View<'_> {
    /// What both sides hold, when the peer holds something else besides.
    fn shared_with(&self, history: &impl History, known: &[ChangeHash]) -> Vec<ChangeHash> {
        let earlier = self.shared.iter().filter(|hash| history.contains(hash));
        let shared: BTreeSet<_> = earlier.chain(known).copied().collect();
        // Ancestors of others among them do no harm but for their number.
        if shared.len() > SYNC_SHARED_MAX.max(known.len()) {
            known.to_vec()
        } else {
            shared.into_iter().collect()
        }
    }
}

/// Those of `newer`, which is in causal order, that the filters don't all contain, and whatever is built on them.
fn lacking(history: &impl History, newer: &[ChangeHash], filters: &[&Bloom]) -> BTreeSet<ChangeHash> {
    if filters.is_empty() {
        return newer.iter().copied().collect();
    }
    let mut lacking = BTreeSet::new();
    for hash in newer {
        let is_new = filters.iter().all(|filter| !filter.contains(hash));
        if is_new || history.deps(hash).iter().any(|dep| lacking.contains(dep)) {
            lacking.insert(*hash);
        }
    }
    lacking
}

/// How many of `hashes` go into one batch: at least one.
fn how_many_fit(history: &impl History, hashes: &[ChangeHash]) -> usize {
    let candidates = &hashes[..hashes.len().min(SYNC_BATCH_CHANGES)];
    let mut total = 0;
    let sizes = history.sizes(candidates);
    let fits = sizes.iter().take_while(|size| {
        total += **size;
        total <= SYNC_BATCH_BYTES
    });
    fits.count().max(usize::from(!hashes.is_empty()))
}

/// The changes of which all of `base` and `added` are ancestors, where `added` is in causal order.
fn frontier(history: &impl History, base: Vec<ChangeHash>, added: &[ChangeHash]) -> Vec<ChangeHash> {
    let mut frontier: BTreeSet<_> = base.into_iter().collect();
    for hash in added {
        for dep in history.deps(hash) {
            frontier.remove(&dep);
        }
        frontier.insert(*hash);
    }
    frontier.into_iter().collect()
}
