//! What the parts of a running relay know about how it does.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::hub::{Counters, Shards};

/// What `/readyz` and `/v1/status` tell.
pub(super) struct Health {
    /// Why storage fails, once it does; it does not recover without a restart.
    storage: OnceLock<String>,
    /// Of each hub.
    counters: Mutex<Vec<Counters>>,
}

impl Health {
    pub(super) fn new(shards: Shards) -> Self {
        Self { storage: OnceLock::new(), counters: Mutex::new(vec![Counters::default(); shards.count()]) }
    }

    /// Notes why storage fails.
    pub(super) fn fail(&self, why: &str) {
        self.storage.get_or_init(|| why.to_owned());
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.storage.get().map(String::as_str)
    }

    /// Notes what one hub has counted so far.
    pub(super) fn report(&self, hub: usize, counters: Counters) {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)[hub] = counters;
    }

    /// What all hubs have counted.
    pub(super) fn counters(&self) -> Counters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().sum()
    }
}
