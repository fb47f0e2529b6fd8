//! What the parts of a running relay know about how it does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::hub::{Counters, Shards};
use crate::id::DocumentKey;

/// What `/readyz` and `/v1/status` tell.
pub(super) struct Health {
    /// Why storage fails, once it does; it does not recover without a restart.
    storage: OnceLock<String>,
    /// Documents that could not be served, since what is stored of them is damaged: some of them, if there are many.
    damaged: Mutex<BTreeSet<DocumentKey>>,
    /// Of each hub.
    counters: Mutex<Vec<Counters>>,
    /// How many changes had become durable, at the moments of the last reports.
    stored: Mutex<VecDeque<(Instant, u64)>>,
}

/// Damaged documents that are remembered. A disk that has so many is beyond counting.
const DAMAGED_MAX: usize = 1000;

/// Over which time a rate is told.
const RATE_TIME: Duration = Duration::from_secs(5);

impl Health {
    pub(super) fn new(shards: Shards) -> Self {
        Self {
            storage: OnceLock::new(),
            damaged: Mutex::default(),
            counters: Mutex::new(vec![Counters::default(); shards.count()]),
            stored: Mutex::default(),
        }
    }

    /// Notes why storage fails.
    pub(super) fn fail(&self, why: &str) {
        self.storage.get_or_init(|| why.to_owned());
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.storage.get().map(String::as_str)
    }

    /// Notes a document that can't be served.
    pub(super) fn note_damaged(&self, key: &DocumentKey) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() < DAMAGED_MAX && damaged.insert(key.clone()) {
            tracing::error!(%key, "what is stored of it is damaged: see `relay store check`");
        }
    }

    /// How many documents could not be served.
    pub(super) fn damaged(&self) -> usize {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Notes what one hub has counted so far.
    pub(super) fn report(&self, hub: usize, counters: Counters) {
        let stored: u64 = {
            let mut all = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
            all[hub] = counters;
            all.iter().map(|hub| hub.changes_stored).sum()
        };
        let (now, mut reports) = (Instant::now(), self.stored.lock().unwrap_or_else(PoisonError::into_inner));
        reports.push_back((now, stored));
        while reports.len() > 2 && now.saturating_duration_since(reports[1].0) >= RATE_TIME {
            reports.pop_front();
        }
    }

    /// Changes that became durable in a second, lately.
    pub(super) fn changes_per_second(&self) -> f64 {
        let reports = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((from, before)), Some((to, after))) = (reports.front(), reports.back()) else { return 0.0 };
        let seconds = to.saturating_duration_since(*from).as_secs_f64();
        let changes = u32::try_from(after.saturating_sub(*before)).unwrap_or(u32::MAX);
        if seconds > 0.0 { (f64::from(changes) / seconds * 10.0).round() / 10.0 } else { 0.0 }
    }

    /// What all hubs have counted.
    pub(super) fn counters(&self) -> Counters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().sum()
    }
}
