//! A new configuration for a relay that goes on running.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Shared;
use crate::config::Config;

/// Whatever tells a running relay of a new configuration.
pub struct Reloader {
    // It does not keep alive what is stopping.
    shared: Weak<Shared>,
    /// What the relay does.
    current: Mutex<Config>,
}

impl Reloader {
    pub(super) fn new(shared: &Arc<Shared>, current: Config) -> Self {
        Self { shared: Arc::downgrade(shared), current: Mutex::new(current) }
    }

    /// Reads all keys, lists and certificates again, and takes over what can change while the relay runs: which pages may connect,
    /// and how many connections there may be. Says what would need a restart.
    pub fn reload(&self, config: &Config) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.look_again(true);
        shared.door.allow_pages(config.origins.clone());
        shared.connections_max.store(config.connections_max, Ordering::Relaxed);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let needs_restart = differences(&current, config);
        if needs_restart.is_empty() {
            tracing::info!("the configuration has been read again");
        } else {
            let settings = needs_restart.join(", ");
            tracing::warn!(settings, "the configuration has been read again; some of it needs a restart");
        }
        current.origins = config.origins.clone();
        current.connections_max = config.connections_max;
        current.log = config.log;
    }
}

/// The settings in which two configurations differ, and which a running relay keeps.
fn differences(before: &Config, after: &Config) -> Vec<&'static str> {
    let compared = [
        ("listen", before.listen != after.listen),
        ("data", before.data != after.data),
        ("cache-mib", before.cache_bytes != after.cache_bytes),
        ("shards", before.shards != after.shards),
        ("token-*", before.admission != after.admission),
        ("tls-*", before.tls != after.tls),
        ("trusted-proxy", before.trusted_proxies != after.trusted_proxies),
        ("limits", before.limits != after.limits),
        ("address-requests", before.requests_per_address != after.requests_per_address),
        ("subject-requests", before.requests_per_subject != after.requests_per_subject),
        ("tenant-requests", before.requests_per_tenant != after.requests_per_tenant),
        ("pack-memory-mib", before.pack_memory_max != after.pack_memory_max),
        ("log-format", before.log_format != after.log_format),
    ];
    compared.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origins, Settings};

    #[test]
    fn what_needs_a_restart_is_named() {
        let before = Config::resolve(Settings::default()).unwrap();
        let after = Config { connections_max: 7, origins: Origins::Any, ..before.clone() };
        assert!(differences(&before, &after).is_empty());
        let after = Config { data: None, pack_memory_max: 7, ..before.clone() };
        assert_eq!(differences(&before, &after), ["data", "pack-memory-mib"]);
    }
}
