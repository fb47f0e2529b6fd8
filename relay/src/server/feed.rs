//! Lets those who follow a change feed know that it has gone on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::id::{Sequence, Tenant};

/// Who waits for which feed. Feeds that nobody waits for are not here.
#[derive(Default)]
pub(super) struct Feeds {
    tenants: Mutex<BTreeMap<Tenant, watch::Sender<Sequence>>>,
}

impl Feeds {
    /// Something that changes whenever the feed has gone on. Ask for it before the feed is read: then nothing is missed.
    pub(super) fn follow(&self, tenant: &Tenant) -> watch::Receiver<Sequence> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(tenant.clone()).or_insert_with(|| watch::Sender::new(Sequence::default())).subscribe()
    }

    /// Says that the feed has gone on.
    pub(super) fn advance(&self, tenant: &Tenant, sequence: Sequence) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = tenants.get(tenant)
            && sender.send(sequence).is_err()
        {
            tenants.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_hear_of_their_own_feed_and_are_forgotten() {
        let (shop, school) = (Tenant::new("shop").unwrap(), Tenant::new("school").unwrap());
        let feeds = Feeds::default();
        feeds.advance(&shop, Sequence(1));
        let follower = feeds.follow(&shop);
        feeds.advance(&school, Sequence(2));
        assert!(!follower.has_changed().unwrap());
        feeds.advance(&shop, Sequence(3));
        assert!(follower.has_changed().unwrap());
        drop(follower);
        feeds.advance(&shop, Sequence(4));
        assert!(feeds.tenants.lock().unwrap().is_empty());
    }
}
