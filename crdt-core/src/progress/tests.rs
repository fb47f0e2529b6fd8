use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn device(n: u8) -> Progress {
    Progress::create(ActorId::from_bytes([n; 16]))
}

fn course() -> CourseId {
    CourseId::new("rust-101").unwrap()
}

fn lesson(text: &str) -> LessonId {
    LessonId::new(text).unwrap()
}

fn lessons() -> [LessonId; 3] {
    ["l1", "l2", "l3"].map(lesson)
}

fn sync(one: &mut Progress, other: &mut Progress) {
    one.document_mut().merge(other.document_mut()).unwrap();
    other.document_mut().merge(one.document_mut()).unwrap();
    assert_eq!(one.view(), other.view());
}

fn put(device: &mut Progress, key: &str, text: &str) {
    let mut edit = device.document_mut().edit();
    edit.put(key, text);
    edit.commit().unwrap();
}

#[test]
fn percent_counts_known_lessons_once_and_rounds_down() {
    let mut phone = device(1);
    for done in ["l1", "l2", "forgotten"] {
        phone.complete(&course(), &lesson(done), NOW);
    }
    assert_eq!(phone.complete(&course(), &lesson("l1"), NOW).id, None);
    let seen = phone.view().courses[&course()].clone();
    assert_eq!(seen.percent(&lessons()).get(), 66);
    assert_eq!(seen.percent([&lesson("l1"), &lesson("l1")]).get(), 100);
    assert_eq!(seen.percent([]).get(), 0);
    phone.raise_floor(&course(), Percent::new(80).unwrap(), NOW);
    assert_eq!(phone.raise_floor(&course(), Percent::new(70).unwrap(), NOW).id, None);
    assert_eq!(phone.view().courses[&course()].percent(&lessons()).get(), 80);
}

#[test]
fn the_furthest_position_stands() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.reach(&course(), &lesson("l1"), Position::new(50), NOW);
    laptop.reach(&course(), &lesson("l1"), Position::new(90), NOW);
    sync(&mut phone, &mut laptop);
    assert_eq!(phone.reach(&course(), &lesson("l1"), Position::new(70), NOW).id, None);
    assert_eq!(phone.view().courses[&course()].positions[&lesson("l1")], Position::new(90));
}

#[test]
fn nothing_hostile_takes_progress_back_for_good() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.complete(&course(), &lesson("l1"), NOW);
    phone.reach(&course(), &lesson("l1"), Position::new(50), NOW);
    phone.reach(&course(), &lesson("l1"), Position::new(90), NOW);
    phone.raise_floor(&course(), Percent::new(10).unwrap(), NOW);
    let before = phone.view().clone();
    sync(&mut phone, &mut laptop);
    put(&mut laptop, "p/rust-101/pos/l1", r#"{"at":0,"n":3}"#);
    put(&mut laptop, "p/rust-101/floor", r#"{"at":0,"n":101}"#);
    let mut edit = laptop.document_mut().edit();
    edit.delete("p/rust-101/done/l1");
    edit.commit().unwrap();
    sync(&mut phone, &mut laptop);
    assert_ne!(phone.view(), &before);
    assert!(phone.is_damaged());
    let healed = phone.heal();
    assert_eq!((healed.len(), &healed), (3, &laptop.heal()));
    sync(&mut phone, &mut laptop);
    assert_eq!(laptop.view(), &before);
    assert!(!phone.is_damaged() && phone.heal().is_empty());
}

#[test]
fn absurd_marks_are_inert_and_told() {
    let mut phone = device(1);
    for (key, text) in [
        ("p/rust-101/floor", r#"{"n":101}"#),
        ("p/rust-101/floor", r#"{"n":-1}"#),
        ("p/rust-101/pos/l1", r#"{"n":4294967296}"#),
        ("p/rust-101/pos/l1", r#"{"n":1.5}"#),
        ("p/rust-101/pos/l1", "{}"),
        ("p/rust-101/done/l1", "yes"),
        ("p/rust-101/undone/l1", "{}"),
        ("p/rust-101", "{}"),
        ("p/rust-101/done/", "{}"),
    ] {
        put(&mut phone, key, text);
        assert_eq!(phone.view(), &ProgressView::default(), "{key}: {text}");
        assert!(phone.inert().facts().iter().any(|fact| *fact.key == *key), "{key}: {text}");
    }
}

#[test]
fn what_others_did_is_told_once() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.complete(&course(), &lesson("l1"), NOW);
    assert_eq!(phone.refresh(), [], "whoever did it knows");
    laptop.reach(&course(), &lesson("l2"), Position::new(9), NOW);
    let told = phone.merge(&mut laptop).unwrap();
    assert_eq!((told.len(), told[0].before.positions.len(), told[0].after.positions.len()), (1, 0, 1));
    assert_eq!(phone.refresh(), []);
    assert_eq!(laptop.apply(phone.document().changes_since(&[])).unwrap()[0].after, told[0].after);
}
