//! Looks whether everything that is stored belongs together.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::key::{self, Place};
use super::record::{self, State};
use super::records::{Batch, FORMAT, RecordStore, Records};
use super::{Check, CommitError, LoadError, Loaded, Oddity, Store, Usage};
use crate::id::{DocumentKey, Tenant};

/// Reads everything twice: each document as it would be served, then every record.
pub(super) fn check<R: Records>(store: &RecordStore<R>) -> Result<Check, LoadError> {
    let mut check = Check::default();
    let mut keys = Vec::new();
    store.documents(&mut |key, _| keys.push(key))?;
    for key in keys {
        match store.load(&key) {
            Ok(Loaded::Document(document)) => {
                let snapshot = document.snapshot.as_ref();
                let bytes = document.changes.iter().map(|(_, change)| change.len() as u64).sum::<u64>();
                check.documents += 1;
                check.changes += document.changes.len() as u64;
                check.bytes += bytes + snapshot.map_or(0, |snapshot| snapshot.bytes);
            }
            Ok(Loaded::Erased { .. }) => check.erased += 1,
            Ok(Loaded::Unknown) => {}
            Err(error @ LoadError::Unavailable { .. }) => return Err(error),
            Err(error) => check.damaged.push((key, error)),
        }
    }
    check.odd = Survey::of(store)?.odd.into_iter().map(|(oddity, _)| oddity).collect();
    Ok(check)
}

/// Mends what can be mended without losing anything.
pub(super) fn mend<R: Records>(store: &mut RecordStore<R>) -> Result<Vec<Oddity>, CommitError> {
    if let Some(failure) = &store.failed {
        return Err(failure.clone().into());
    }
    let mut mended = Vec::new();
    let mut batch = Batch::new();
    for (oddity, cure) in Survey::of(store)?.odd {
        if let Some((key, value)) = cure {
            batch.insert(key, value);
            mended.push(oddity);
        }
    }
    if !batch.is_empty()
        && let Err(failure) = store.records.commit(batch)
    {
        store.failed = Some(failure.clone());
        return Err(failure.into());
    }
    Ok(mended)
}

/// A record to put, or to remove, so that something is as it should be.
type Cure = (Vec<u8>, Option<Vec<u8>>);

/// What every record says, compared.
struct Survey {
    /// The states of all documents; `None` for those that can't be read.
    states: BTreeMap<DocumentKey, Option<State>>,
    /// Documents of which the feed tells.
    told: BTreeSet<DocumentKey>,
    /// What is said of tenants; `None` where it can't be read.
    usages: BTreeMap<Tenant, Option<Usage>>,
    odd: Vec<(Oddity, Option<Cure>)>,
}

impl Survey {
    fn of<R: Records>(store: &RecordStore<R>) -> Result<Self, LoadError> {
        let mut states = BTreeMap::new();
        store.records.scan(key::STATES, key::STATES, &mut |state_key, value| {
            if let Some(key) = key::document_of(state_key) {
                states.insert(key, record::open(state_key, value).and_then(State::decode));
            }
            ControlFlow::Continue(())
        })?;
        let mut survey = Self { states, told: BTreeSet::new(), usages: BTreeMap::new(), odd: Vec::new() };
        store.records.scan(b"", b"", &mut |key, value| {
            survey.see(key, value);
            ControlFlow::Continue(())
        })?;
        survey.compare();
        Ok(survey)
    }

    fn see(&mut self, key: &[u8], value: &[u8]) {
        if key == FORMAT {
            return;
        }
        let Some(place) = Place::of(key) else {
            // Nobody knows what it is, so nobody takes it away.
            let what = format!("its key is {}", key.escape_ascii());
            return self.odd.push((Oddity::Unreadable { what }, None));
        };
        let content = record::open(key, value);
        let orphan = match place {
            Place::Totals | Place::State(_) => None,
            Place::Usage(tenant) => {
                self.usages.insert(tenant, content.and_then(Usage::decode));
                None
            }
            Place::Access(document) => {
                (!self.has(&document, |_| true)).then(|| format!("access of {document}"))
            }
            Place::Snapshot(document, through) => {
                let is_current = self.has(&document, |state| state.snapshot == through);
                (!is_current).then(|| format!("snapshot of {document} through {}", through.0))
            }
            // Which changes before a snapshot are still needed, its record knows; the check of the document compares.
            Place::Change(document, position) => {
                let is_within = self.has(&document, |state| position < state.next);
                (!is_within).then(|| format!("change {} of {document}", position.0))
            }
            Place::News(tenant, sequence) => {
                let document = content.and_then(record::decode_news).map(|(document, _)| document);
                let document = document.map(|document| DocumentKey { tenant: tenant.clone(), document });
                let state = document.as_ref().and_then(|document| self.states.get(document));
                let is_current =
                    state.is_some_and(|state| state.is_none_or(|state| state.sequence == sequence));
                match document.filter(|_| is_current) {
                    Some(document) => {
                        self.told.insert(document);
                        None
                    }
                    None => Some(format!("entry {} in the change feed of {tenant}", sequence.0)),
                }
            }
        };
        if let Some(what) = orphan {
            self.odd.push((Oddity::Orphan { what }, Some((key.to_vec(), None))));
        }
    }

    /// Whether the document is stored and this holds of it. What can't be read may be anything.
    fn has(&self, key: &DocumentKey, holds: impl Fn(&State) -> bool) -> bool {
        self.states
            .get(key)
            .is_some_and(|state| state.as_ref().is_none_or(|state| !state.erased && holds(state)))
    }

    /// Compares what is told of documents together with the documents.
    fn compare(&mut self) {
        let mut found: BTreeMap<Tenant, Usage> = BTreeMap::new();
        let mut uncertain = BTreeSet::new();
        for (key, state) in &self.states {
            let Some(state) = state else {
                uncertain.insert(key.tenant.clone());
                continue;
            };
            let usage = found.entry(key.tenant.clone()).or_default();
            usage.documents += u64::from(!state.erased);
            usage.bytes += state.bytes;
            if !self.told.contains(key) {
                self.odd.push((Oddity::Untold { key: key.clone() }, None));
            }
        }
        for tenant in self.usages.keys() {
            found.entry(tenant.clone()).or_default();
        }
        for (tenant, found) in found {
            let told = self.usages.get(&tenant).copied().unwrap_or(Some(Usage::default()));
            if told == Some(found) || uncertain.contains(&tenant) {
                continue;
            }
            let key = key::usage(&tenant);
            let record = record::seal(&key, &found.encode());
            let oddity = match told {
                Some(told) => Oddity::Miscounted { tenant, told, found },
                None => Oddity::Unreadable { what: format!("what tenant {tenant} has") },
            };
            self.odd.push((oddity, Some((key, Some(record)))));
        }
    }
}
