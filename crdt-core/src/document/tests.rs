use std::collections::BTreeSet;

use super::*;

fn actor(n: u8) -> ActorId {
    ActorId::from_bytes([n; 16])
}

fn put(document: &mut Document, key: &str, text: &str) -> Committed {
    let mut edit = document.edit();
    edit.put(key, text);
    edit.commit().expect("something was written")
}

#[test]
fn an_edit_dropped_leaves_no_trace() {
    let mut phone = Document::new(actor(1));
    let version = phone.version();
    let mut edit = phone.edit();
    edit.put("a", "1");
    drop(edit);
    assert!(phone.is_empty());
    assert_eq!(phone.touched_since(version), Touched::Keys(BTreeSet::new()));
}

#[test]
fn writing_what_is_there_writes_nothing() {
    let mut phone = Document::new(actor(1));
    put(&mut phone, "a", "1");
    let mut edit = phone.edit();
    edit.put("a", "1");
    edit.delete("absent");
    assert_eq!(edit.commit(), None);
}

#[test]
fn changes_arriving_backwards_are_held_then_applied() {
    let mut phone = Document::new(actor(1));
    for n in 0..10 {
        put(&mut phone, &format!("k{n}"), "v");
    }
    let mut laptop = Document::new(actor(2));
    let mut changes = phone.changes_for_peer(&[]);
    changes.reverse();
    let last = changes.pop().unwrap();
    let applied = laptop.apply(changes).unwrap();
    assert_eq!((applied.changes.len(), applied.held), (0, 9));
    let version = laptop.version();
    let applied = laptop.apply([last.clone(), last]).unwrap();
    assert_eq!((applied.changes.len(), applied.held), (10, 0));
    assert_eq!(laptop.heads(), phone.heads());
    let Touched::Keys(keys) = laptop.touched_since(version) else { panic!("the journal reaches back") };
    assert_eq!(keys.len(), 10);
}

#[test]
fn a_losing_value_that_arrives_or_leaves_touches_its_key() {
    let mut phone = Document::new(actor(1));
    let mut laptop = Document::new(actor(2));
    put(&mut phone, "n", "from the phone");
    put(&mut laptop, "n", "from the laptop");
    let version = laptop.version();
    laptop.merge(&mut phone).unwrap();
    assert_eq!(laptop.touched_since(version), Touched::Keys([Box::from("n")].into()));
    assert_eq!(laptop.values("n").len(), 2);
    let scanned: Vec<_> = laptop.scan("n").collect();
    assert_eq!(scanned, [("n".to_owned(), laptop.values("n"))]);
}

#[test]
fn two_writers_sharing_an_actor_are_told() {
    let mut phone = Document::new(actor(1));
    let mut copy = Document::new(actor(1));
    put(&mut phone, "a", "1");
    put(&mut copy, "a", "2");
    put(&mut copy, "b", "2");
    let applied = phone.apply(copy.changes_for_peer(&[])).unwrap();
    assert_eq!(applied.changes, []);
    assert!(matches!(applied.refused.as_slice(), [(_, Refusal::SequenceTaken { seq: 1, .. })]));
    assert_eq!(phone.values("a"), [Stored::Text("1".into())]);
}

#[test]
fn dots_are_newer_than_everything_seen() {
    let mut phone = Document::new(actor(2));
    let mut laptop = Document::new(actor(1));
    put(&mut phone, "a", "1");
    let theirs = phone.edit().next_dot();
    put(&mut phone, "b", "1");
    laptop.merge(&mut phone).unwrap();
    let mut edit = laptop.edit();
    let first = edit.next_dot();
    edit.put("c", "1");
    let second = edit.next_dot();
    assert!(theirs < first && first < second);
    edit.put("d", "1");
    edit.commit();
    assert!(laptop.edit().next_dot() > second);
    assert!(laptop.is_unshared(&second));
    laptop.mark_shared();
    assert!(!laptop.is_unshared(&second));
    let reopened = Document::load(&laptop.save(), actor(1)).unwrap();
    assert_eq!(reopened.heads(), laptop.heads());
    assert!(!reopened.is_unshared(&second));
}

#[test]
fn an_old_version_means_everything() {
    let mut phone = Document::new(actor(1));
    let version = phone.version();
    for n in 0..=crate::limits::JOURNAL_ENTRIES_MAX {
        put(&mut phone, "k", &n.to_string());
    }
    assert_eq!(phone.touched_since(version), Touched::Everything);
}

#[test]
fn edits_after_applying_keep_the_sequence_dense() {
    let mut phone = Document::new(actor(1));
    let mut laptop = Document::new(actor(2));
    put(&mut laptop, "l", "1");
    phone.merge(&mut laptop).unwrap();
    put(&mut phone, "p", "1");
    put(&mut phone, "p", "2");
    let mut reader = Document::new(actor(3));
    assert_eq!(reader.merge(&mut phone).unwrap().refused, []);
    assert_eq!(phone.apply(reader.changes_since(&[])).unwrap(), Applied::default());
    assert_eq!(reader.heads(), phone.heads());
}

#[test]
fn a_long_chain_backwards_one_at_a_time_is_held_within_bounds() {
    let mut phone = Document::new(actor(1));
    for n in 0..crate::limits::HELD_CHANGES_MAX + 10 {
        put(&mut phone, "k", &n.to_string());
    }
    let mut laptop = Document::new(actor(2));
    let mut changes = phone.changes_for_peer(&[]);
    changes.reverse();
    for change in changes.clone() {
        let applied = laptop.apply([change]).unwrap();
        assert!(applied.held <= crate::limits::HELD_CHANGES_MAX);
    }
    // The newest, which came first, were shed; they are asked for again.
    assert_eq!(laptop.apply(changes).unwrap().held, 0);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn a_change_missing_two_branches_waits_for_both() {
    let mut phone = Document::new(actor(1));
    let mut laptop = Document::new(actor(2));
    put(&mut phone, "a", "1");
    put(&mut laptop, "b", "1");
    phone.merge(&mut laptop).unwrap();
    put(&mut phone, "joined", "1");
    let [first, second, joined] = phone.changes_for_peer(&[]).try_into().unwrap();
    for order in [[&joined, &first, &second], [&joined, &second, &first]] {
        let mut tablet = Document::new(actor(3));
        let held: Vec<_> =
            order.iter().map(|change| tablet.apply([(*change).clone()]).unwrap().held).collect();
        assert_eq!(held, [1, 1, 0]);
        assert_eq!(tablet.heads(), phone.heads());
    }
}

#[test]
fn a_derived_change_is_the_same_everywhere_and_replaces_nothing() {
    let derived = || Change::derived(ActorId::derive(&["row", "7"]), &[("a", "imported"), ("b", "too")]);
    let mut phone = Document::new(actor(1));
    let mut laptop = Document::new(actor(2));
    put(&mut phone, "a", "typed");
    assert_eq!(phone.write_derived(derived()), Ok(true));
    assert_eq!(phone.write_derived(derived()), Ok(false));
    assert_eq!(phone.values("a").len(), 2);
    laptop.write_derived(derived()).unwrap();
    let applied = laptop.merge(&mut phone).unwrap();
    assert_eq!(applied.changes.len(), 1);
    assert_eq!(laptop.heads(), phone.heads());
    let texts = derived().texts();
    assert_eq!(texts, [("a".into(), "imported".into()), ("b".into(), "too".into())]);

    let squat = Change::derived(ActorId::derive(&["row", "7"]), &[("a", "squat")]);
    assert!(matches!(phone.write_derived(squat), Err(Refusal::SequenceTaken { .. })));
}

#[test]
fn thousands_of_heads_are_tied_alike_before_an_edit() {
    let fact = |n: usize| Change::derived(ActorId::derive(&[&n.to_string()]), &[(&format!("k{n}"), "v")]);
    let mut phone = Document::new(actor(1));
    let mut laptop = Document::new(actor(2));
    let count = crate::limits::CHANGE_DEPS_MAX + 1;
    phone.apply((0..count).map(fact)).unwrap();
    laptop.apply((0..count).rev().map(fact)).unwrap();
    assert_eq!(phone.heads().len(), count);
    put(&mut phone, "a", "1");
    put(&mut laptop, "b", "1");
    for change in phone.changes_for_peer(&[]) {
        Change::parse(change.bytes()).unwrap();
    }
    assert_eq!(laptop.merge(&mut phone).unwrap().changes.len(), 1, "both tied alike");
    phone.merge(&mut laptop).unwrap();
    assert_eq!(phone.heads(), laptop.heads());
    let mut reopened = Document::load(&phone.save(), actor(1)).unwrap();
    assert_eq!(reopened.heads(), phone.heads());
    assert_eq!(reopened.edit().next_dot(), phone.edit().next_dot());
}

#[test]
fn the_past_is_what_its_heads_say() {
    let mut phone = Document::new(actor(1));
    let first = put(&mut phone, "a/1", "then");
    let mut laptop = phone.fork(actor(2));
    put(&mut laptop, "a/1", "elsewhere");
    put(&mut phone, "a/1", "now");
    put(&mut phone, "a/2", "now");
    phone.merge(&mut laptop).unwrap();
    let past = phone.at(&[first.hash]);
    assert_eq!(past.values("a/1"), [Stored::Text("then".into())]);
    assert_eq!(past.scan("a/").collect::<Vec<_>>(), [("a/1".to_owned(), past.values("a/1"))]);
    let both = phone.at(&phone.heads());
    assert_eq!(both.scan("").collect::<Vec<_>>(), phone.scan("").collect::<Vec<_>>());
    assert_eq!(phone.at(&[]).scan("").count() + phone.at(&[]).values("a/1").len(), 0);
}

#[test]
fn a_version_of_another_replica_means_everything() {
    let mut phone = Document::new(actor(1));
    put(&mut phone, "a", "1");
    let saved = phone.save();
    let version = phone.version();
    put(&mut phone, "a", "2");
    assert_eq!(phone.touched_since(version), Touched::Keys([Box::from("a")].into()));
    let mut reloaded = Document::load(&saved, actor(1)).unwrap();
    put(&mut reloaded, "b", "1");
    put(&mut reloaded, "b", "2");
    assert_eq!(reloaded.touched_since(version), Touched::Everything);
    let mut laptop = Document::new(actor(2));
    put(&mut laptop, "a", "1");
    assert_eq!(laptop.touched_since(version), Touched::Everything);
    assert_eq!(laptop.touched_since(Version::default()), Touched::Everything);
}
