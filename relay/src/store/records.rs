//! The store over any ordered records: everything but the keeping of bytes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;

use crdt_core::id::DocumentId;
use crdt_core::time::Timestamp;

use super::record::{self, SnapshotRecord, State, Totals};
use super::{
    Append, Check, CommitError, Committed, FORMAT_VERSION, FeedEntry, Listed, LoadError, Loaded, News,
    Oddity, OpenError, ShowDocument, Snapshot, SnapshotSummary, Standing, Store, StoredDocument, Usage,
    Write, check, key,
};
use crate::access::Access;
use crate::id::{DocumentKey, Position, Sequence, Tenant};

/// Where the format version is, unsealed: every version, older or newer, can read it.
pub(super) const FORMAT: &[u8] = b"format";

/// Values to put, and keys to delete, by key.
pub(super) type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Is shown a key and its value, and says whether to go on.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Ordered keys and values, and what a backend has to provide.
pub(super) trait Records: Send {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// Visits the records at or after `from` whose keys start with `prefix`, in order.
    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), Failure>;

    /// Makes the whole batch durable, or, in a crash, none of it.
    fn commit(&mut self, batch: Batch) -> Result<(), Failure>;
}

/// The backend does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct Failure {
    pub(super) why: String,
}

/// A [`Store`] over [`Records`].
pub(super) struct RecordStore<R> {
    pub(super) records: R,
    totals: Totals,
    /// After a failed commit nobody knows what is durable, so nothing further is written: only reopening tells.
    pub(super) failed: Option<Failure>,
}

impl<R: Records> RecordStore<R> {
    /// Reads or writes the format version. `path` names the place in errors.
    pub(super) fn open(mut records: R, path: &str) -> Result<Self, OpenError> {
        let unavailable =
            |failure: Failure| OpenError::Unavailable { path: path.to_owned(), why: failure.why };
        let not_ours = |why: &str| OpenError::NotOurs { path: path.to_owned(), why: why.to_owned() };
        if let Some(version) = records.get(FORMAT).map_err(unavailable)? {
            let version = std::str::from_utf8(&version).ok().and_then(|text| text.parse().ok());
            let found: u32 = version.ok_or_else(|| not_ours("it has no readable format version"))?;
            if found > FORMAT_VERSION {
                return Err(OpenError::NewerFormat { found });
            }
        } else {
            let mut is_empty = true;
            let mut seen = |_: &[u8], _: &[u8]| {
                is_empty = false;
                ControlFlow::Break(())
            };
            records.scan(b"", b"", &mut seen).map_err(unavailable)?;
            if !is_empty {
                return Err(not_ours("it holds something else"));
            }
            let version = FORMAT_VERSION.to_string().into_bytes();
            records.commit(Batch::from([(FORMAT.to_vec(), Some(version))])).map_err(unavailable)?;
        }
        let totals = records.get(key::TOTALS).map_err(unavailable)?.map(|record| {
            let content = record::open(key::TOTALS, &record);
            content.and_then(Totals::decode).ok_or_else(|| not_ours("its totals are damaged"))
        });
        Ok(Self { records, totals: totals.transpose()?.unwrap_or_default(), failed: None })
    }

    fn try_commit(&mut self, writes: Vec<Write>) -> Result<Vec<Result<Committed, CommitError>>, Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let mut commit = Commit::new(self);
        let results = writes.into_iter().map(|write| commit.add(write)).collect();
        let (batch, totals) = commit.finish();
        if !batch.is_empty() {
            self.records.commit(batch)?;
            self.totals = totals;
        }
        Ok(results)
    }

    fn content(&self, key: &[u8], what: impl Fn() -> String) -> Result<Option<Vec<u8>>, LoadError> {
        let Some(record) = self.records.get(key)? else { return Ok(None) };
        match record::open(key, &record) {
            Some(content) => Ok(Some(content.to_vec())),
            None => Err(LoadError::Damaged { what: what() }),
        }
    }

    fn state(&self, key: &DocumentKey) -> Result<Option<State>, LoadError> {
        let what = || format!("state of {key}");
        let content = self.content(&key::state(key), what)?;
        let state = content.map(|content| State::decode(&content).ok_or(LoadError::Damaged { what: what() }));
        state.transpose()
    }

    /// The record of the document's snapshot, read by `read`.
    fn snapshot<T>(
        &self,
        key: &DocumentKey,
        through: Position,
        read: impl FnOnce(SnapshotRecord<'_>) -> T,
    ) -> Result<T, LoadError> {
        let what = || format!("snapshot of {key}");
        let content = self.content(&key::snapshot(key, through), what)?;
        let content = content.ok_or_else(|| LoadError::Missing { what: what() })?;
        let record = SnapshotRecord::decode(&content).ok_or_else(|| LoadError::Damaged { what: what() })?;
        Ok(read(record))
    }

    fn load_document(&self, key: &DocumentKey, state: &State) -> Result<StoredDocument, LoadError> {
        let what = || format!("access of {key}");
        let access = self
            .content(&key::access(key), what)?
            .map(|content| serde_json::from_slice(&content).map_err(|_| LoadError::Damaged { what: what() }));
        let mut left_out = Vec::new();
        let snapshot = if state.snapshot > Position(0) {
            Some(self.snapshot(key, state.snapshot, |record| {
                left_out = record.left_out;
                let (index, bytes) = (record.index.to_vec(), record.bytes.len() as u64);
                SnapshotSummary { through: state.snapshot, index, bytes }
            })?)
        } else {
            None
        };
        let expected = left_out.into_iter().chain((state.snapshot.0..state.next.0).map(Position));
        Ok(StoredDocument {
            access: access.transpose()?,
            snapshot,
            changes: self.load_changes(key, expected)?,
            sequence: state.sequence,
            modified: state.modified,
        })
    }

    /// The changes of the document, which have to be at exactly these positions.
    fn load_changes(
        &self,
        key: &DocumentKey,
        mut expected: impl Iterator<Item = Position>,
    ) -> Result<Vec<(Position, Vec<u8>)>, LoadError> {
        let mut changes = Vec::new();
        let mut damaged = None;
        let prefix = key::changes(key);
        self.records.scan(&prefix, &prefix, &mut |key, value| {
            let position = expected.next();
            let is_here = position.is_some_and(|position| key::number_of(key) == Some(position.0));
            let content = record::open(key, value).filter(|_| is_here);
            let Some((position, content)) = position.zip(content) else {
                damaged = Some(position);
                return ControlFlow::Break(());
            };
            changes.push((position, content.to_vec()));
            ControlFlow::Continue(())
        })?;
        let damaged = damaged.or_else(|| expected.next().map(Some));
        match damaged {
            None => Ok(changes),
            Some(None) => Err(LoadError::Damaged { what: format!("list of changes of {key}") }),
            Some(Some(position)) => {
                Err(LoadError::Damaged { what: format!("change {} of {key}", position.0) })
            }
        }
    }
}

impl<R: Records> Store for RecordStore<R> {
    fn commit(&mut self, writes: Vec<Write>) -> Vec<Result<Committed, CommitError>> {
        let count = writes.len();
        self.try_commit(writes).unwrap_or_else(|failure| {
            let error = CommitError::Unavailable { why: failure.why.clone() };
            self.failed = Some(failure);
            vec![Err(error); count]
        })
    }

    fn load(&self, key: &DocumentKey) -> Result<Loaded, LoadError> {
        match self.state(key)? {
            None => Ok(Loaded::Unknown),
            Some(state) if state.erased => Ok(Loaded::Erased { at: state.modified }),
            Some(state) => Ok(Loaded::Document(self.load_document(key, &state)?)),
        }
    }

    fn read(&self, key: &DocumentKey, positions: &[Position]) -> Result<Vec<Vec<u8>>, LoadError> {
        let read = |position: &Position| {
            let what = || format!("change {} of {key}", position.0);
            let content = self.content(&key::change(key, *position), what)?;
            content.ok_or_else(|| LoadError::Missing { what: what() })
        };
        positions.iter().map(read).collect()
    }

    fn read_snapshot(&self, key: &DocumentKey) -> Result<Vec<u8>, LoadError> {
        let state = self.state(key)?.unwrap_or_default();
        self.snapshot(key, state.snapshot, |record| record.bytes.to_vec())
    }

    fn usage(&self, tenant: &Tenant) -> Result<Usage, LoadError> {
        let what = || format!("usage of {tenant}");
        let content = self.content(&key::usage(tenant), what)?;
        let usage = content.map(|content| Usage::decode(&content).ok_or(LoadError::Damaged { what: what() }));
        Ok(usage.transpose()?.unwrap_or_default())
    }

    fn list(
        &self,
        tenant: &Tenant,
        after: Option<DocumentId>,
        limit: usize,
    ) -> Result<Vec<Listed>, LoadError> {
        let mut listed = Vec::new();
        if limit == 0 {
            return Ok(listed);
        }
        let prefix = key::states(tenant);
        let key_after = |document| key::state(&DocumentKey { tenant: tenant.clone(), document });
        let last = after.map(key_after);
        let from = last.as_deref().unwrap_or(&prefix);
        self.records.scan(&prefix, from, &mut |key, value| {
            if Some(key) == last.as_deref() {
                return ControlFlow::Continue(());
            }
            let Some(DocumentKey { document, .. }) = key::document_of(key) else {
                return ControlFlow::Continue(());
            };
            let state = record::open(key, value).and_then(State::decode);
            let standing = match &state {
                None => Standing::Damaged,
                Some(state) if state.erased => Standing::Erased,
                Some(_) => Standing::Stored,
            };
            let state = state.unwrap_or_default();
            listed.push(Listed {
                document,
                sequence: state.sequence,
                modified: state.modified,
                changes: state.next.0,
                bytes: state.bytes,
                standing,
            });
            if listed.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(listed)
    }

    fn latest(&self) -> Sequence {
        self.totals.sequence
    }

    fn feed(&self, tenant: &Tenant, after: Sequence, limit: usize) -> Result<Vec<FeedEntry>, LoadError> {
        let mut entries = Vec::new();
        let mut damaged = None;
        let from = key::news(tenant, Sequence(after.0.saturating_add(1)));
        if after.0 == u64::MAX || limit == 0 {
            return Ok(entries);
        }
        self.records.scan(&key::feed(tenant), &from, &mut |key, value| {
            let news = record::open(key, value).and_then(record::decode_news);
            let Some(((document, news), sequence)) = news.zip(key::number_of(key)) else {
                damaged = Some(LoadError::Damaged { what: format!("feed of {tenant}") });
                return ControlFlow::Break(());
            };
            entries.push(FeedEntry { sequence: Sequence(sequence), document, news });
            if entries.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        damaged.map_or(Ok(entries), Err)
    }

    fn documents(&self, visit: &mut ShowDocument<'_>) -> Result<(), LoadError> {
        self.records.scan(key::STATES, key::STATES, &mut |state_key, value| {
            // A key that names no document is the check's to report.
            if let Some(key) = key::document_of(state_key) {
                let state = record::open(state_key, value).and_then(State::decode);
                let damaged = || LoadError::Damaged { what: format!("state of {key}") };
                let summary = state.as_ref().map(State::summary).ok_or_else(damaged);
                visit(key, summary);
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn check(&self) -> Result<Check, LoadError> {
        check::check(self)
    }

    fn mend(&mut self) -> Result<Vec<Oddity>, CommitError> {
        check::mend(self)
    }
}

/// A commit in the making: what is stored, overlaid with what the writes so far add.
struct Commit<'a, R> {
    store: &'a RecordStore<R>,
    batch: Batch,
    totals: Totals,
    documents: BTreeMap<DocumentKey, Pending>,
    usages: BTreeMap<Tenant, Usage>,
}

/// A document that this commit touches.
struct Pending {
    state: Option<State>,
    /// Where the feed told of it before this commit.
    told: Sequence,
    news: Option<News>,
    /// What is stored of it is to go altogether.
    is_forgotten: bool,
}

impl<'a, R: Records> Commit<'a, R> {
    fn new(store: &'a RecordStore<R>) -> Self {
        let (batch, documents, usages) = Default::default();
        Self { totals: store.totals, store, batch, documents, usages }
    }

    /// Adds a write wholly or not at all: whatever can fail comes before the first effect.
    fn add(&mut self, write: Write) -> Result<Committed, CommitError> {
        match write {
            Write::Append(append) => self.append(append),
            Write::Access { key, access } => self.set_access(&key, &access),
            Write::Snapshot { key, snapshot } => self.snapshot(&key, snapshot),
            Write::Erase { key, at } => self.erase(&key, at),
            Write::Readmit { key } => self.readmit(&key),
        }
    }

    fn finish(mut self) -> (Batch, Totals) {
        for (key, pending) in self.documents {
            let is_retold = pending.news.is_some() || pending.state.is_none();
            if is_retold && pending.told > Sequence(0) {
                self.batch.insert(key::news(&key.tenant, pending.told), None);
            }
            let Some(state) = pending.state else {
                if pending.is_forgotten {
                    self.batch.insert(key::state(&key), None);
                }
                continue;
            };
            put(&mut self.batch, key::state(&key), &state.encode());
            if let Some(news) = pending.news {
                let entry = record::encode_news(&key.document, &news);
                put(&mut self.batch, key::news(&key.tenant, state.sequence), &entry);
            }
        }
        for (tenant, usage) in self.usages {
            put(&mut self.batch, key::usage(&tenant), &usage.encode());
        }
        if self.totals != self.store.totals {
            put(&mut self.batch, key::TOTALS.to_vec(), &self.totals.encode());
        }
        (self.batch, self.totals)
    }

    fn append(&mut self, append: Append) -> Result<Committed, CommitError> {
        let Append { key, changes, heads, access, at } = append;
        let usage = *self.usage(&key.tenant)?;
        let pending = self.document(&key)?;
        let is_new = pending.state.is_none();
        let mut state = pending.state.unwrap_or_default();
        if state.erased {
            return Err(CommitError::Erased);
        }
        let position = state.next;
        let bytes: u64 = changes.iter().map(|change| change.len() as u64).sum();
        for change in changes {
            put(&mut self.batch, key::change(&key, state.next), &change);
            state.next.0 += 1;
        }
        if let Some(access) = access {
            self.put_access(&key, &access);
        }
        state.bytes += bytes;
        state.modified = at;
        *self.usage(&key.tenant)? =
            Usage { documents: usage.documents + u64::from(is_new), bytes: usage.bytes + bytes };
        Ok(Committed { sequence: self.tell(&key, state, News::Changed { heads }), position })
    }

    fn set_access(&mut self, key: &DocumentKey, access: &Access) -> Result<Committed, CommitError> {
        let state = self.stored(key)?;
        self.put_access(key, access);
        Ok(Committed { sequence: state.sequence, position: state.next })
    }

    fn snapshot(&mut self, key: &DocumentKey, snapshot: Snapshot) -> Result<Committed, CommitError> {
        let usage = *self.usage(&key.tenant)?;
        let mut state = self.stored(key)?;
        if snapshot.through <= state.snapshot || snapshot.through > state.next {
            let stored = Position(state.snapshot.0 + 1)..state.next;
            return Err(CommitError::BadSnapshot { through: snapshot.through, stored });
        }
        let mut covered = self.records_before(key, &state, snapshot.through)?;
        for position in &snapshot.left_out {
            let left_out = covered.remove(&key::change(key, *position));
            left_out
                .ok_or_else(|| CommitError::Damaged { what: format!("change {} of {key}", position.0) })?;
        }
        let freed: u64 = covered.values().sum();
        self.batch.extend(covered.into_keys().map(|key| (key, None)));
        let Snapshot { through, left_out, index, bytes } = snapshot;
        let content = SnapshotRecord { left_out, index: &index, bytes: &bytes }.encode();
        put(&mut self.batch, key::snapshot(key, through), &content);
        state.snapshot = through;
        state.bytes = state.bytes + content.len() as u64 - freed;
        let bytes = usage.bytes + content.len() as u64 - freed;
        *self.usage(&key.tenant)? = Usage { bytes, ..usage };
        self.document(key)?.state = Some(state);
        Ok(Committed { sequence: state.sequence, position: state.next })
    }

    /// Whatever lies under the document's keys goes, read or not: what is damaged can be erased like anything else.
    fn erase(&mut self, key: &DocumentKey, at: Timestamp) -> Result<Committed, CommitError> {
        let usage = *self.usage(&key.tenant)?;
        let known = self.document_or_damaged(key)?;
        if known.is_some_and(|state| state.erased) {
            return Err(CommitError::Erased);
        }
        for prefix in [key::snapshots(key), key::changes(key)] {
            self.remove_all(&prefix)?;
        }
        self.batch.insert(key::access(key), None);
        if let Some(state) = known {
            *self.usage(&key.tenant)? = Usage {
                documents: usage.documents.saturating_sub(1),
                bytes: usage.bytes.saturating_sub(state.bytes),
            };
        }
        let state = known.unwrap_or_default();
        let erased = State { snapshot: state.next, bytes: 0, modified: at, erased: true, ..state };
        Ok(Committed { sequence: self.tell(key, erased, News::Erased), position: state.next })
    }

    /// Removes all records under a prefix, those of this commit among them.
    fn remove_all(&mut self, prefix: &[u8]) -> Result<(), CommitError> {
        let batch = &mut self.batch;
        let added: Vec<_> = batch
            .range(prefix.to_vec()..)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect();
        batch.extend(added.into_iter().map(|key| (key, None)));
        self.store.records.scan(prefix, prefix, &mut |key, _| {
            batch.insert(key.to_vec(), None);
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn readmit(&mut self, key: &DocumentKey) -> Result<Committed, CommitError> {
        let pending = self.document(key)?;
        let Some(state) = pending.state.filter(|state| state.erased) else {
            return Err(CommitError::NotErased);
        };
        pending.state = None;
        pending.news = None;
        pending.is_forgotten = true;
        Ok(Committed { sequence: state.sequence, position: Position(0) })
    }

    /// The keys of the document's snapshot and of its changes before `end`, each with how many bytes it holds.
    fn records_before(
        &self,
        key: &DocumentKey,
        state: &State,
        end: Position,
    ) -> Result<BTreeMap<Vec<u8>, u64>, CommitError> {
        let mut keys: Vec<_> = (state.snapshot.0..end.0).map(Position).collect();
        let mut found = BTreeMap::new();
        if state.snapshot > Position(0) {
            let key = key::snapshot(key, state.snapshot);
            let content = self.pending_content(&key)?;
            keys.extend(SnapshotRecord::decode(&content).ok_or_else(damaged)?.left_out);
            found.insert(key, content.len() as u64);
        }
        for position in keys {
            let key = key::change(key, position);
            let length = self.pending_content(&key)?.len() as u64;
            found.insert(key, length);
        }
        Ok(found)
    }

    /// What the record holds once the writes so far are done.
    fn pending_content(&self, key: &[u8]) -> Result<Vec<u8>, CommitError> {
        let content = |record: &[u8]| record::open(key, record).map(<[u8]>::to_vec);
        let found = match self.batch.get(key) {
            Some(record) => record.as_deref().and_then(content),
            None => self.store.records.get(key)?.as_deref().and_then(content),
        };
        found.ok_or_else(damaged)
    }

    /// Gives the commit of this document its place in the feed.
    fn tell(&mut self, key: &DocumentKey, mut state: State, news: News) -> Sequence {
        self.totals.sequence.0 += 1;
        state.sequence = self.totals.sequence;
        let pending = self.documents.get_mut(key).expect("its state was read");
        pending.state = Some(state);
        pending.news = Some(news);
        state.sequence
    }

    fn document(&mut self, key: &DocumentKey) -> Result<&mut Pending, CommitError> {
        match self.documents.entry(key.clone()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let state = self.store.state(key)?;
                let told = state.map(|state| state.sequence).unwrap_or_default();
                Ok(entry.insert(Pending { state, told, news: None, is_forgotten: false }))
            }
        }
    }

    /// As [`Commit::document`], taking a state that nobody can read for none.
    fn document_or_damaged(&mut self, key: &DocumentKey) -> Result<Option<State>, CommitError> {
        match self.document(key) {
            Ok(pending) => Ok(pending.state),
            Err(CommitError::Damaged { .. }) => {
                let pending = Pending { state: None, told: Sequence(0), news: None, is_forgotten: false };
                self.documents.insert(key.clone(), pending);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The state of a document that is stored and not erased.
    fn stored(&mut self, key: &DocumentKey) -> Result<State, CommitError> {
        match self.document(key)?.state {
            None => Err(CommitError::Unknown),
            Some(state) if state.erased => Err(CommitError::Erased),
            Some(state) => Ok(state),
        }
    }

    fn usage(&mut self, tenant: &Tenant) -> Result<&mut Usage, CommitError> {
        match self.usages.entry(tenant.clone()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(self.store.usage(tenant)?)),
        }
    }

    fn put_access(&mut self, key: &DocumentKey, access: &Access) {
        let json = serde_json::to_vec(access).expect("access serialises to JSON");
        put(&mut self.batch, key::access(key), &json);
    }
}

fn damaged() -> CommitError {
    CommitError::Damaged { what: "change or snapshot to replace".to_owned() }
}

fn put(batch: &mut Batch, key: Vec<u8>, content: &[u8]) {
    let record = record::seal(&key, content);
    batch.insert(key, Some(record));
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { why: failure.why }
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { why: failure.why }
    }
}

impl From<LoadError> for CommitError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Damaged { what } | LoadError::Missing { what } => Self::Damaged { what },
            LoadError::Unavailable { why } => Self::Unavailable { why },
        }
    }
}
