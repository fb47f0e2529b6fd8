//! Which changes are ancestors of which, for many questions at once.

use std::ops::Range;

use super::history::History;

/// Targets looked for in one sweep.
const LANES: usize = 256;

/// Most steps that all sweeps over one document take. Histories of people meet again and again, which answers nearly all
/// questions without a sweep; ten thousand changes in two branches that never meet take a fiftieth.
const STEPS_MAX: usize = 1 << 28;

/// Questions whether one change is an ancestor of another, put off until there are many.
#[derive(Debug)]
pub(super) struct Ancestry {
    /// Of each change, a number of changes that are all among itself and its ancestors: every one before that position.
    joined: Vec<u32>,
    /// Ancestor to be, and descendant to be.
    questions: Vec<(u32, u32)>,
}

impl Ancestry {
    pub(super) fn of(history: &History<'_>) -> Self {
        let mut joined: Vec<u32> = Vec::with_capacity(history.entries.len());
        let mut is_head = vec![false; history.entries.len()];
        let mut heads = 0;
        for index in 0..history.entries.len() {
            let deps = history.deps_of(index);
            for dep in deps {
                heads -= usize::from(std::mem::take(&mut is_head[*dep as usize]));
            }
            let inherited = deps.iter().map(|dep| joined[*dep as usize]).max().unwrap_or(0);
            let all = u32::try_from(index + 1).expect("changes are bounded");
            joined.push(if heads == 0 { all } else { inherited });
            is_head[index] = true;
            heads += 1;
        }
        Self { joined, questions: Vec::new() }
    }

    /// Asks whether `older` is `newer`, or an ancestor of it.
    pub(super) fn ask(&mut self, older: u32, newer: u32) {
        let is_answered = older == newer || older < self.joined[newer as usize];
        if !is_answered && self.questions.last() != Some(&(older, newer)) {
            self.questions.push((older, newer));
        }
    }

    /// Whether all questions are answered with yes. `None`: that would take too long to find out.
    pub(super) fn answer(mut self, history: &History<'_>) -> Option<bool> {
        self.questions.sort_unstable();
        self.questions.dedup();
        if self.questions.iter().any(|(older, newer)| older > newer) {
            return Some(false);
        }
        let mut steps = 0;
        let mut rest = self.questions.as_slice();
        let mut reached: Vec<[u64; LANES / 64]> = Vec::new();
        while let Some((first, _)) = rest.first() {
            let mut targets = 0;
            let mut last_target = u32::MAX;
            let batch = rest.iter().take_while(|(older, _)| {
                targets += usize::from(*older != last_target);
                last_target = *older;
                targets <= LANES
            });
            let (batch, later) = rest.split_at(batch.count());
            rest = later;
            let start = *first as usize;
            let end = batch.iter().map(|(_, newer)| *newer as usize).max().unwrap_or(start) + 1;
            steps += (start..end).map(|index| 1 + history.deps_of(index).len()).sum::<usize>();
            if steps > STEPS_MAX {
                return None;
            }
            sweep(history, start..end, batch, &mut reached);
            let mut lane = 0;
            let mut target = *first;
            for (older, newer) in batch {
                lane += usize::from(*older != target);
                target = *older;
                if reached[*newer as usize - start][lane / 64] & 1 << (lane % 64) == 0 {
                    return Some(false);
                }
            }
        }
        Some(true)
    }
}

/// Finds, for each change in the range, which of the targets in `batch` it is or descends from: a lane for each target.
fn sweep(
    history: &History<'_>,
    range: Range<usize>,
    batch: &[(u32, u32)],
    reached: &mut Vec<[u64; LANES / 64]>,
) {
    reached.clear();
    reached.resize(range.len(), [0; LANES / 64]);
    let mut lane = 0;
    let mut target = batch[0].0;
    for (older, _) in batch {
        lane += usize::from(*older != target);
        target = *older;
        reached[target as usize - range.start][lane / 64] |= 1 << (lane % 64);
    }
    for index in range.clone() {
        let mut lanes = reached[index - range.start];
        for dep in history.deps_of(index) {
            let Some(dep) = (*dep as usize).checked_sub(range.start) else { continue };
            for (lane, from) in lanes.iter_mut().zip(reached[dep]) {
                *lane |= from;
            }
        }
        reached[index - range.start] = lanes;
    }
}
