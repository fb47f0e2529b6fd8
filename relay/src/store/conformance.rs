//! What every backend has to do, asked of each of them.

use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::time::Timestamp;

use super::records::{Batch, Failure, RecordStore, Records, Visit};
use super::sled::tests::Directory;
use super::*;
use crate::id::Subject;

/// A place that outlives the stores opened on it.
trait Disk {
    fn open(&self) -> Result<Box<dyn Store>, OpenError>;

    /// Reaches beneath the store, as damage does.
    fn rewrite(&self, key: &[u8], rewrite: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>);
}

impl Disk for Memory {
    fn open(&self) -> Result<Box<dyn Store>, OpenError> {
        Memory::open(self)
    }

    fn rewrite(&self, key: &[u8], rewrite: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>) {
        rewrite_record(&mut self.clone(), key, rewrite);
    }
}

impl Disk for Directory {
    fn open(&self) -> Result<Box<dyn Store>, OpenError> {
        self.options().open()
    }

    fn rewrite(&self, key: &[u8], rewrite: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>) {
        rewrite_record(&mut self.records(), key, rewrite);
    }
}

fn rewrite_record(records: &mut impl Records, key: &[u8], rewrite: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let record = records.get(key).unwrap().unwrap_or_default();
    records.commit(Batch::from([(key.to_vec(), rewrite(record))])).unwrap();
}

fn flip(record: Vec<u8>) -> Option<Vec<u8>> {
    let mut rest = record;
    let last = rest.pop()?;
    rest.push(last ^ 1);
    Some(rest)
}

fn shop() -> Tenant {
    Tenant::new("shop").unwrap()
}

fn document(number: u8) -> DocumentKey {
    DocumentKey { tenant: shop(), document: DocumentId::from_bytes([number; 16]) }
}

fn change(number: u8) -> Vec<u8> {
    vec![number; 100]
}

fn head(number: u8) -> ChangeHash {
    ChangeHash::from_bytes([number; 32])
}

fn append(key: &DocumentKey, numbers: &[u8]) -> Write {
    Write::Append(Append {
        key: key.clone(),
        changes: numbers.iter().copied().map(change).collect(),
        heads: numbers.last().copied().map(head).into_iter().collect(),
        access: None,
        at: Timestamp::from_millis(5),
    })
}

fn commit(store: &mut dyn Store, write: Write) -> Committed {
    store.commit(vec![write]).remove(0).unwrap()
}

fn load(store: &dyn Store, key: &DocumentKey) -> StoredDocument {
    match store.load(key).unwrap() {
        Loaded::Document(document) => document,
        other => panic!("{other:?}"),
    }
}

fn what_was_committed_is_there_after_reopening(disk: &dyn Disk) {
    let (cart, other) = (document(1), document(2));
    let access = Access::owned_by(Subject::new("student-7").unwrap());
    let first = {
        let mut store = disk.open().unwrap();
        let Write::Append(mut created) = append(&cart, &[1, 2]) else { unreachable!() };
        created.access = Some(access.clone());
        commit(&mut *store, Write::Append(created))
    };
    assert_eq!(first.position, Position(0));
    let mut store = disk.open().unwrap();
    let second = commit(&mut *store, append(&cart, &[3]));
    assert_eq!(second.position, Position(2));
    assert!(second.sequence > first.sequence);
    drop(store);

    let store = disk.open().unwrap();
    let stored = load(&*store, &cart);
    assert_eq!(stored.access, Some(access));
    assert_eq!(stored.snapshot, None);
    assert_eq!(stored.sequence, second.sequence);
    assert_eq!(stored.modified, Timestamp::from_millis(5));
    let numbered = |number: u8| (Position(u64::from(number) - 1), change(number));
    assert_eq!(stored.changes, [1, 2, 3].map(numbered));
    assert_eq!(store.read(&cart, &[Position(2), Position(0)]).unwrap(), [change(3), change(1)]);
    assert_eq!(store.load(&other).unwrap(), Loaded::Unknown);
    assert_eq!(store.usage(&shop()).unwrap(), Usage { documents: 1, bytes: 300 });
}

fn one_commit_takes_many_writes_and_a_bad_one_fails_alone(disk: &dyn Disk) {
    let (cart, other) = (document(1), document(2));
    let mut store = disk.open().unwrap();
    let access = Access::owned_by(Subject::new("student-7").unwrap());
    let results = store.commit(vec![
        append(&cart, &[1]),
        Write::Access { key: other.clone(), access: access.clone() },
        append(&cart, &[2]),
        append(&other, &[3]),
        Write::Access { key: other.clone(), access: access.clone() },
    ]);
    assert_eq!(results[1], Err(CommitError::Unknown));
    let sequences: Vec<_> =
        [0, 2, 3].iter().map(|index: &usize| results[*index].clone().unwrap().sequence).collect();
    assert!(sequences.is_sorted_by(|one, next| one < next), "{sequences:?}");
    assert_eq!(load(&*store, &cart).changes.len(), 2);
    assert_eq!(load(&*store, &other).access, Some(access));
    assert!(store.commit(Vec::new()).is_empty());
}

fn the_feed_tells_of_each_document_once_and_skips_nothing(disk: &dyn Disk) {
    let (cart, other) = (document(1), document(2));
    let mut store = disk.open().unwrap();
    let first = commit(&mut *store, append(&cart, &[1])).sequence;
    let second = commit(&mut *store, append(&other, &[2])).sequence;
    let both = store.feed(&shop(), Sequence(0), 10).unwrap();
    let entry = |sequence, key: &DocumentKey, number| {
        let news = News::Changed { heads: vec![head(number)] };
        FeedEntry { sequence, document: key.document, news }
    };
    assert_eq!(both, [entry(first, &cart, 1), entry(second, &other, 2)]);
    assert_eq!(store.feed(&shop(), Sequence(0), 1).unwrap().len(), 1);
    assert_eq!(store.feed(&shop(), first, 10).unwrap(), [entry(second, &other, 2)]);

    drop(store);
    let mut store = disk.open().unwrap();
    let third = store.commit(vec![append(&cart, &[3]), append(&cart, &[4])]).remove(1).unwrap().sequence;
    assert_eq!(
        store.feed(&shop(), Sequence(0), 10).unwrap(),
        [entry(second, &other, 2), entry(third, &cart, 4)],
        "a document moves to its latest place"
    );
    assert_eq!(store.feed(&Tenant::new("school").unwrap(), Sequence(0), 10).unwrap(), []);
    assert_eq!(store.feed(&shop(), Sequence(u64::MAX), 10).unwrap(), []);
}

fn documents_are_listed_in_pages_whatever_became_of_them(disk: &dyn Disk) {
    let mut store = disk.open().unwrap();
    for number in 1..=5 {
        commit(&mut *store, append(&document(number), &[number]));
    }
    commit(&mut *store, append(&document(2), &[6]));
    commit(&mut *store, Write::Erase { key: document(4), at: Timestamp::from_millis(9) });
    let elsewhere = DocumentKey { tenant: Tenant::new("shop2").unwrap(), ..document(1) };
    let last = commit(&mut *store, append(&elsewhere, &[1]));
    assert_eq!(store.latest(), last.sequence);
    drop(store);
    disk.rewrite(&key::state(&document(5)), &flip);

    let store = disk.open().unwrap();
    assert_eq!(store.latest(), last.sequence);
    let first = store.list(&shop(), None, 3).unwrap();
    let rest = store.list(&shop(), first.last().map(|listed| listed.document), 3).unwrap();
    let seen: Vec<_> =
        first.iter().chain(&rest).map(|it| (it.document.as_bytes()[0], it.changes, it.standing)).collect();
    let (stored, erased, damaged) = (Standing::Stored, Standing::Erased, Standing::Damaged);
    assert_eq!(seen, [(1, 1, stored), (2, 2, stored), (3, 1, stored), (4, 1, erased), (5, 0, damaged)]);
    assert_eq!((first[1].bytes, first[1].modified), (200, Timestamp::from_millis(5)));
    assert!(store.list(&shop(), Some(document(5).document), 3).unwrap().is_empty());
    assert!(store.list(&shop(), None, 0).unwrap().is_empty());
}

fn tenants_share_nothing_even_under_equal_ids(disk: &dyn Disk) {
    let cart = document(1);
    let theirs = DocumentKey { tenant: Tenant::new("sho").unwrap(), ..cart.clone() };
    let mut store = disk.open().unwrap();
    commit(&mut *store, append(&cart, &[1]));
    assert_eq!(store.load(&theirs).unwrap(), Loaded::Unknown);
    commit(&mut *store, append(&theirs, &[2]));
    assert_eq!(load(&*store, &cart).changes, [(Position(0), change(1))]);
    assert_eq!(load(&*store, &theirs).changes, [(Position(0), change(2))]);
    assert_eq!(store.usage(&theirs.tenant).unwrap(), Usage { documents: 1, bytes: 100 });
}

fn a_snapshot_stands_for_the_changes_before_it(disk: &dyn Disk) {
    let cart = document(1);
    let mut store = disk.open().unwrap();
    commit(&mut *store, append(&cart, &[1, 2, 3]));
    let snapshot = |through, left_out: &[u64], bytes: &[u8]| {
        let left_out = left_out.iter().copied().map(Position).collect();
        let through = Position(through);
        let snapshot = Snapshot { through, left_out, index: b"index".to_vec(), bytes: bytes.to_vec() };
        Write::Snapshot { key: cart.clone(), snapshot }
    };
    commit(&mut *store, snapshot(2, &[0], b"packed"));
    let summary =
        |through, bytes| SnapshotSummary { through: Position(through), index: b"index".to_vec(), bytes };
    let stored = load(&*store, &cart);
    assert_eq!(stored.snapshot, Some(summary(2, 6)));
    assert_eq!(stored.changes, [(Position(0), change(1)), (Position(2), change(3))]);
    assert_eq!(store.read_snapshot(&cart).unwrap(), b"packed");
    let usage = store.usage(&shop()).unwrap();
    assert!((211..=250).contains(&usage.bytes), "{usage:?}");
    let gone = store.read(&cart, &[Position(1)]).unwrap_err();
    assert!(matches!(gone, LoadError::Missing { .. }), "{gone:?}");

    for through in [0, 1, 2, 4] {
        let error = store.commit(vec![snapshot(through, &[], b"x")]).remove(0).unwrap_err();
        assert!(matches!(error, CommitError::BadSnapshot { .. }), "{through}: {error:?}");
    }
    assert!(
        store.commit(vec![snapshot(3, &[1], b"x")])[0].is_err(),
        "what an earlier snapshot covers is not there"
    );
    let results = store.commit(vec![append(&cart, &[4]), snapshot(4, &[], &[9; 100_000])]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    drop(store);
    let store = disk.open().unwrap();
    assert_eq!(load(&*store, &cart).snapshot, Some(summary(4, 100_000)));
    assert_eq!(load(&*store, &cart).changes, []);
    assert_eq!(store.read_snapshot(&cart).unwrap(), vec![9; 100_000]);
    let usage = store.usage(&shop()).unwrap();
    assert!((100_005..=100_050).contains(&usage.bytes), "{usage:?}");
}

fn large_changes_are_kept_as_faithfully_as_small_ones(disk: &dyn Disk) {
    let cart = document(1);
    let sizes = [0, 1, 4_090, 4_091, 4_092, 100_000, 2_000_000];
    let changes: Vec<_> = sizes.iter().map(|size| vec![7; *size]).collect();
    let Write::Append(mut write) = append(&cart, &[]) else { unreachable!() };
    write.changes.clone_from(&changes);
    commit(&mut *disk.open().unwrap(), Write::Append(write));
    let stored: Vec<_> =
        load(&*disk.open().unwrap(), &cart).changes.into_iter().map(|(_, bytes)| bytes).collect();
    assert!(stored == changes);
    assert_eq!(disk.open().unwrap().check().unwrap().odd, [], "a backend's own bookkeeping is no record");
}

fn an_erased_document_stays_erased(disk: &dyn Disk) {
    let (cart, other) = (document(1), document(2));
    let mut store = disk.open().unwrap();
    commit(&mut *store, append(&other, &[9]));
    commit(&mut *store, append(&cart, &[1, 2, 3]));
    let index = b"index".to_vec();
    let snapshot =
        Snapshot { through: Position(2), left_out: vec![Position(0)], index, bytes: vec![9; 100_000] };
    commit(&mut *store, Write::Snapshot { key: cart.clone(), snapshot });
    let erase = Write::Erase { key: cart.clone(), at: Timestamp::from_millis(8) };
    let erased = commit(&mut *store, erase.clone());
    drop(store);

    let mut store = disk.open().unwrap();
    assert_eq!(store.load(&cart).unwrap(), Loaded::Erased { at: Timestamp::from_millis(8) });
    let results = store.commit(vec![append(&cart, &[4]), erase]);
    assert_eq!(results, [Err(CommitError::Erased), Err(CommitError::Erased)]);
    let feed = store.feed(&shop(), Sequence(0), 10).unwrap();
    assert_eq!(feed.last().unwrap().news, News::Erased);
    assert_eq!(feed.last().unwrap().sequence, erased.sequence);
    assert_eq!(feed.len(), 2);
    assert_eq!(store.usage(&shop()).unwrap(), Usage { documents: 1, bytes: 100 });
    assert!(store.read(&cart, &[Position(0)]).is_err());
    assert!(store.read(&cart, &[Position(2)]).is_err());
    assert!(store.read_snapshot(&cart).is_err());
    let check = store.check().unwrap();
    assert_eq!((check.documents, check.erased, check.changes, check.bytes), (1, 1, 1, 100));
}

fn damage_is_the_trouble_of_one_document(disk: &dyn Disk) {
    let keys = [document(1), document(2), document(3), document(4), document(5)];
    let mut store = disk.open().unwrap();
    for key in &keys {
        commit(&mut *store, append(key, &[1, 2]));
        let access = Access::owned_by(Subject::new("student-7").unwrap());
        commit(&mut *store, Write::Access { key: key.clone(), access });
    }
    drop(store);
    disk.rewrite(&key::change(&keys[0], Position(1)), &flip);
    disk.rewrite(&key::change(&keys[1], Position(0)), &|_| None);
    disk.rewrite(&key::state(&keys[2]), &flip);
    disk.rewrite(&key::access(&keys[3]), &flip);

    let mut store = disk.open().unwrap();
    for key in &keys[..4] {
        let error = store.load(key).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{key}: {error:?}");
    }
    assert_eq!(load(&*store, &keys[4]).changes.len(), 2);
    let results = store.commit(vec![append(&keys[2], &[3]), append(&keys[4], &[3])]);
    assert!(matches!(results[0], Err(CommitError::Damaged { .. })), "{results:?}");
    assert!(results[1].is_ok(), "{results:?}");
    let check = store.check().unwrap();
    assert_eq!(check.documents, 1);
    let damaged: Vec<_> = check.damaged.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(damaged, keys[..4]);
}

fn what_is_damaged_can_be_erased_and_come_anew(disk: &dyn Disk) {
    let (cart, other, never) = (document(1), document(2), document(3));
    let mut store = disk.open().unwrap();
    for key in [&cart, &other] {
        commit(&mut *store, append(key, &[1, 2]));
    }
    drop(store);
    disk.rewrite(&key::change(&cart, Position(0)), &flip);
    disk.rewrite(&key::state(&other), &flip);

    let mut store = disk.open().unwrap();
    let at = Timestamp::from_millis(8);
    for key in [&cart, &other, &never] {
        commit(&mut *store, Write::Erase { key: key.clone(), at });
        assert_eq!(store.load(key).unwrap(), Loaded::Erased { at });
        assert_eq!(store.commit(vec![append(key, &[3])]), [Err(CommitError::Erased)]);
    }
    let erased = store.feed(&shop(), Sequence(0), 10).unwrap();
    assert_eq!(erased.iter().filter(|entry| entry.news == News::Erased).count(), 3);

    let readmit = Write::Readmit { key: cart.clone() };
    let results = store.commit(vec![readmit.clone(), append(&cart, &[4])]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(load(&*store, &cart).changes, [(Position(0), change(4))]);
    assert_eq!(store.commit(vec![readmit]), [Err(CommitError::NotErased)]);
    commit(&mut *store, Write::Readmit { key: never.clone() });
    assert_eq!(store.load(&never).unwrap(), Loaded::Unknown);
    drop(store);

    let mut store = disk.open().unwrap();
    // What the damaged state had said of its size and its place in the feed was lost with it.
    assert_eq!(store.mend().unwrap().len(), 2);
    let check = store.check().unwrap();
    assert_eq!((check.documents, check.erased, check.changes), (1, 1, 1));
    assert_eq!((check.damaged, check.odd), (Vec::new(), Vec::new()));
    let feed = store.feed(&shop(), Sequence(0), 10).unwrap();
    let told: Vec<_> = feed.iter().map(|entry| entry.document).collect();
    assert_eq!(told, [other.document, cart.document]);
    assert_eq!(store.usage(&shop()).unwrap(), Usage { documents: 1, bytes: 100 });
}

fn what_belongs_to_nothing_is_found_and_mended(disk: &dyn Disk) {
    let (cart, other) = (document(1), document(2));
    let mut store = disk.open().unwrap();
    commit(&mut *store, append(&cart, &[1, 2]));
    drop(store);
    let put =
        |key: Vec<u8>, content: &[u8]| disk.rewrite(&key, &|_| Some(super::record::seal(&key, content)));
    put(key::change(&other, Position(0)), b"a change of nothing");
    put(key::snapshot(&cart, Position(1)), b"a snapshot that was replaced");
    put(key::access(&other), b"{}");
    put(key::news(&shop(), Sequence(9)), &super::record::encode_news(&other.document, &News::Erased));
    put(key::usage(&shop()), &Usage { documents: 7, bytes: 7 }.encode());
    disk.rewrite(b"x", &|_| Some(b"written by something else".to_vec()));

    let mut store = disk.open().unwrap();
    let check = store.check().unwrap();
    assert_eq!((check.documents, check.damaged), (1, Vec::new()), "no document suffers");
    let odd: Vec<_> = check.odd.iter().map(ToString::to_string).collect();
    for expected in ["change 0 of", "snapshot of", "access of", "entry 9", "said to have 7", "its key is x"] {
        assert!(odd.iter().any(|oddity| oddity.contains(expected)), "{expected}: {odd:?}");
    }
    assert_eq!(odd.len(), 6, "{odd:?}");
    assert_eq!(store.mend().unwrap().len(), 5);
    let left = store.check().unwrap().odd;
    assert!(matches!(&left[..], [Oddity::Unreadable { .. }]), "what nobody knows stays: {left:?}");
    assert_eq!(store.usage(&shop()).unwrap(), Usage { documents: 1, bytes: 200 });
    assert_eq!(load(&*store, &cart).changes.len(), 2);
}

fn documents_are_listed_with_what_they_take(disk: &dyn Disk) {
    let (cart, other) = (document(1), document(2));
    let mut store = disk.open().unwrap();
    commit(&mut *store, append(&cart, &[1, 2, 3]));
    let snapshot =
        Snapshot { through: Position(2), left_out: Vec::new(), index: vec![1; 4], bytes: vec![2; 30] };
    commit(&mut *store, Write::Snapshot { key: cart.clone(), snapshot });
    commit(&mut *store, append(&other, &[1]));
    commit(&mut *store, Write::Erase { key: other.clone(), at: Timestamp::from_millis(8) });
    let mut seen = Vec::new();
    store.documents(&mut |key, summary| seen.push((key, summary.unwrap()))).unwrap();
    let [(first, kept), (second, erased)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((first, kept.changes, kept.unpacked, kept.erased), (&cart, 3, 1, false));
    assert_eq!(kept.bytes, store.usage(&shop()).unwrap().bytes);
    assert_eq!((second, erased.bytes, erased.erased), (&other, 0, true));
    drop(store);
    disk.rewrite(&key::state(&cart), &flip);
    let mut damaged = Vec::new();
    disk.open().unwrap().documents(&mut |_, summary| damaged.push(summary.is_err())).unwrap();
    assert_eq!(damaged, [true, false]);
}

fn a_newer_format_is_refused(disk: &dyn Disk) {
    commit(&mut *disk.open().unwrap(), append(&document(1), &[1]));
    disk.rewrite(b"format", &|_| Some(b"2".to_vec()));
    assert!(matches!(disk.open(), Err(OpenError::NewerFormat { found: 2 })));
    disk.rewrite(b"format", &|_| Some(b"?".to_vec()));
    assert!(matches!(disk.open(), Err(OpenError::NotOurs { .. })));
    disk.rewrite(b"format", &|_| None);
    assert!(
        matches!(disk.open(), Err(OpenError::NotOurs { .. })),
        "data without a version is not taken over"
    );
}

/// Runs every question against one backend.
macro_rules! conforms {
    ($backend:ident, $disk:expr, $($question:ident),+ $(,)?) => {
        mod $backend {
            $(#[test]
            fn $question() {
                super::$question(&$disk);
            })+
        }
    };
    ($($backend:ident: $disk:expr;)+) => {
        $(conforms!(
            $backend, $disk,
            what_was_committed_is_there_after_reopening,
            one_commit_takes_many_writes_and_a_bad_one_fails_alone,
            the_feed_tells_of_each_document_once_and_skips_nothing,
            documents_are_listed_in_pages_whatever_became_of_them,
            tenants_share_nothing_even_under_equal_ids,
            a_snapshot_stands_for_the_changes_before_it,
            large_changes_are_kept_as_faithfully_as_small_ones,
            an_erased_document_stays_erased,
            damage_is_the_trouble_of_one_document,
            what_is_damaged_can_be_erased_and_come_anew,
            what_belongs_to_nothing_is_found_and_mended,
            documents_are_listed_with_what_they_take,
            a_newer_format_is_refused,
        );)+
    };
}

conforms! {
    memory: super::super::Memory::default();
    sled: super::super::sled::tests::Directory::new();
}

/// A backend whose next commit fails.
struct Full(Memory);

impl Records for Full {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.0.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), Failure> {
        self.0.scan(prefix, from, visit)
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Failure> {
        if batch.len() > 1 {
            return Err(Failure { why: "no space left".to_owned() });
        }
        self.0.commit(batch)
    }
}

#[test]
fn after_a_failed_commit_nothing_is_pretended() {
    let disk = Memory::default();
    commit(&mut *disk.open().unwrap(), append(&document(1), &[1]));
    let mut store = RecordStore::open(Full(disk), "memory").unwrap();
    let unavailable = Err(CommitError::Unavailable { why: "no space left".to_owned() });
    let results = store.commit(vec![append(&document(1), &[2]), append(&document(2), &[3])]);
    assert_eq!(results, [unavailable.clone(), unavailable.clone()]);
    assert_eq!(store.commit(Vec::new()), []);
    let access = Access::owned_by(Subject::new("student-7").unwrap());
    let small = Write::Access { key: document(1), access };
    assert_eq!(store.commit(vec![small]), [unavailable], "not even what might fit is written");
    assert_eq!(load(&store, &document(1)).changes.len(), 1, "what was there can be read");
}
