//! What has happened lately, for whoever looks after the relay.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crdt_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::now;
use crate::hub::Note;
use crate::id::{DocumentKey, Tenant};

/// Happenings that are remembered for whoever comes back.
const RECENT_MAX: usize = 256;

/// Happenings that a slow reader may fall behind.
const BEHIND_MAX: usize = 1024;

/// The relay's memory of what has happened.
pub(super) struct Journal {
    /// Tells the numbers of this run of the relay from those of another.
    run: u64,
    recent: Mutex<Recent>,
    live: broadcast::Sender<Arc<Entry>>,
}

#[derive(Default)]
struct Recent {
    last: u64,
    all: VecDeque<Arc<Entry>>,
    /// Kept apart, so that comings and goings do not crowd them out.
    troubles: VecDeque<Arc<Entry>>,
}

/// Something that has happened.
pub(super) struct Entry {
    pub(super) number: u64,
    at: Timestamp,
    tenant: Tenant,
    happening: Happening,
}

/// What has happened.
pub(super) enum Happening {
    Noted(Note),
    StorageFailed { key: DocumentKey, why: String },
    Compacted { key: DocumentKey, bytes: u64 },
    Erased { key: DocumentKey },
}

/// Where a reader of the journal has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bookmark {
    run: u64,
    number: u64,
}

impl Journal {
    pub(super) fn new() -> Self {
        let (live, _) = broadcast::channel(BEHIND_MAX);
        Self { run: now().as_millis(), recent: Mutex::default(), live }
    }

    pub(super) fn note(&self, tenant: Tenant, happening: Happening) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.last += 1;
        let entry = Arc::new(Entry { number: recent.last, at: now(), tenant, happening });
        let Recent { all, troubles, .. } = &mut *recent;
        keep(all, &entry);
        if entry.happening.is_trouble() {
            keep(troubles, &entry);
        }
        // Nobody may be listening.
        self.live.send(entry).ok();
    }

    /// What the tenant's administrators may still hear of that happened after `since`, and what happens from now on.
    pub(super) fn follow(
        &self,
        tenant: &Tenant,
        since: Option<Bookmark>,
    ) -> (Vec<Arc<Entry>>, broadcast::Receiver<Arc<Entry>>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.subscribe();
        let missed = since.map(|since| if since.run == self.run { since.number } else { 0 });
        let missed = recent.all.iter().filter(|entry| missed.is_some_and(|after| entry.number > after));
        (missed.filter(|entry| entry.is_of(tenant)).cloned().collect(), live)
    }

    /// What has gone wrong lately, the latest first.
    pub(super) fn troubles(&self, tenant: &Tenant, limit: usize) -> Vec<Value> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let own = recent.troubles.iter().rev().filter(|entry| entry.is_of(tenant));
        own.take(limit).map(|entry| entry.told()).collect()
    }

    pub(super) fn bookmark(&self, number: u64) -> Bookmark {
        Bookmark { run: self.run, number }
    }
}

fn keep(entries: &mut VecDeque<Arc<Entry>>, entry: &Arc<Entry>) {
    if entries.len() == RECENT_MAX {
        entries.pop_front();
    }
    entries.push_back(Arc::clone(entry));
}

impl Entry {
    pub(super) fn is_of(&self, tenant: &Tenant) -> bool {
        self.tenant == *tenant
    }

    pub(super) fn kind(&self) -> &'static str {
        match &self.happening {
            Happening::Noted(Note::Joined { .. }) => "connected",
            Happening::Noted(Note::Left { .. }) => "disconnected",
            Happening::Noted(Note::Refused { .. }) => "denied",
            Happening::StorageFailed { .. } => "storage-failed",
            Happening::Compacted { .. } => "compacted",
            Happening::Erased { .. } => "erased",
        }
    }

    /// As JSON.
    pub(super) fn told(&self) -> Value {
        let mut told = match &self.happening {
            Happening::Noted(
                Note::Joined { connection, subject, peer } | Note::Left { connection, subject, peer },
            ) => {
                json!({"session": connection.0.to_string(), "subject": subject, "peer": peer.as_str()})
            }
            Happening::Noted(Note::Refused { connection, document, code, reason }) => {
                let session = connection.0.to_string();
                json!({"session": session, "document": document, "code": code.as_str(), "reason": reason})
            }
            Happening::StorageFailed { key, why } => json!({"document": key.document, "reason": why}),
            Happening::Compacted { key, bytes } => json!({"document": key.document, "bytes": bytes}),
            Happening::Erased { key } => json!({"document": key.document}),
        };
        told["kind"] = json!(self.kind());
        told["at"] = json!(self.at);
        told
    }
}

impl Happening {
    fn is_trouble(&self) -> bool {
        matches!(self, Self::Noted(Note::Refused { .. }) | Self::StorageFailed { .. })
    }
}

impl Bookmark {
    /// As it is written in a stream of events.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (run, number) = text.split_once('.')?;
        Some(Self { run: run.parse().ok()?, number: number.parse().ok()? })
    }
}

impl std::fmt::Display for Bookmark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.run, self.number)
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::id::DocumentId;

    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name).unwrap()
    }

    fn note(journal: &Journal, name: &str, number: u8) {
        let key = DocumentKey { tenant: tenant(name), document: DocumentId::from_bytes([number; 16]) };
        journal.note(tenant(name), Happening::StorageFailed { key, why: format!("failure {number}") });
    }

    #[test]
    fn who_comes_back_hears_what_they_missed_and_nothing_of_others() {
        let journal = Journal::new();
        note(&journal, "shop", 1);
        note(&journal, "school", 2);
        note(&journal, "shop", 3);
        let numbers = |since| {
            let (missed, _) = journal.follow(&tenant("shop"), since);
            missed.iter().map(|entry| entry.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(None), [] as [u64; 0], "who comes anew hears what happens from now on");
        assert_eq!(numbers(Some(journal.bookmark(1))), [3]);
        let of_another_run = Bookmark { run: 1, number: 3 };
        assert_eq!(numbers(Some(of_another_run)), [1, 3]);
        let troubles = journal.troubles(&tenant("shop"), 10);
        assert_eq!(troubles[0]["reason"], "failure 3", "the latest first");
        assert_eq!(troubles.len(), 2);
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_latest() {
        let journal = Journal::new();
        for number in 0..=255 {
            note(&journal, "shop", number);
            note(&journal, "shop", number);
        }
        let (missed, _) = journal.follow(&tenant("shop"), Some(journal.bookmark(0)));
        assert_eq!(missed.len(), RECENT_MAX);
        assert_eq!(missed.last().unwrap().number, 512);
    }

    #[test]
    fn bookmarks_read_back() {
        let bookmark = Bookmark { run: 7, number: 9 };
        assert_eq!(Bookmark::parse(&bookmark.to_string()), Some(bookmark));
        for bad in ["", "7", "7.", ".9", "7.x", "-1.2"] {
            assert_eq!(Bookmark::parse(bad), None, "{bad}");
        }
    }
}
