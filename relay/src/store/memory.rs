//! Documents in memory: for tests, for the simulator, and for relays that may forget.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use super::records::{Batch, Failure, RecordStore, Records, Visit};
use super::{OpenError, Store};

/// A disk that is memory. Clones are the same disk, so a store opened on it anew finds what was committed.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    records: Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>,
}

impl Memory {
    /// A store on this disk.
    pub fn open(&self) -> Result<Box<dyn Store>, OpenError> {
        Ok(Box::new(RecordStore::open(self.clone(), "memory")?))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>) -> T) -> T {
        act(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Records for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.with(|records| records.get(key).cloned()))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), Failure> {
        self.with(|records| {
            let range = records.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
            for (key, value) in range.take_while(|(key, _)| key.starts_with(prefix)) {
                if visit(key, value).is_break() {
                    break;
                }
            }
        });
        Ok(())
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Failure> {
        self.with(|records| {
            for (key, value) in batch {
                match value {
                    Some(value) => records.insert(key, value),
                    None => records.remove(&key),
                };
            }
        });
        Ok(())
    }
}
