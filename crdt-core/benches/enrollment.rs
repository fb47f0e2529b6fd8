//! What a student's document with 500 courses and 5,000 facts costs: one fact more with the view kept fresh, receiving
//! one, opening it with signatures that were checked before and with none.
//!
//! `cargo xtask bench enrollment`. What limits receiving is that Automerge looks at every operation of the document when it
//! takes in somebody else's change; several changes taken in at once cost one such look.

use std::hint::black_box;
use std::time::Duration;

use crdt_core::authority::{AuthorityKey, Role, SignatureCache, TrustSet};
use crdt_core::document::{Change, Document};
use crdt_core::enrollment::{
    Enrollments, LegacyRow, LegacyTable, Nonce, PaymentId, PaymentState, Policy, RowId,
};
use crdt_core::id::{ActorId, CourseId, StudentId};
use crdt_core::time::Timestamp;
use criterion::measurement::{Measurement as _, WallTime};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const COURSES: u32 = 500;

/// Facts written to one document before it is opened afresh.
const FACTS: u64 = 400;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn actor(n: u8) -> ActorId {
    ActorId::from_bytes([n; 16])
}

fn key(n: u8) -> AuthorityKey {
    AuthorityKey::from_seed([n; 32])
}

fn policy() -> Policy {
    let mut trust = TrustSet::default();
    for (n, role) in [(1, Role::Admin), (2, Role::Owner), (3, Role::Provider), (4, Role::System)] {
        trust.trust(key(n).public(), role);
    }
    Policy::from(trust)
}

fn student() -> StudentId {
    StudentId::new("student-7").expect("a short text")
}

fn course(n: u32) -> CourseId {
    CourseId::new(format!("course-{n:04}")).expect("a short text")
}

fn nonce(text: impl AsRef<str>) -> Nonce {
    Nonce::new(text).expect("a short text")
}

/// Ten facts about each course, eight of them signed: as much as a course sees in a long life.
fn lived_in() -> Enrollments {
    let mut phone = Enrollments::create(actor(1), student(), policy());
    for n in 0..COURSES {
        let course = course(n);
        let payment = PaymentId::new(format!("pi_{n}")).expect("a short text");
        for (table, status) in [(LegacyTable::Enrollments, "cancelled"), (LegacyTable::Payments, "failed")] {
            let row = RowId::new(n.to_string()).expect("a short text");
            let row = LegacyRow { table, row, status: Some(status.into()), updated: NOW };
            let (_, place, text) = row.to_fact(&student(), &course, &key(4)).expect("a known word");
            let row = Change::derived(ActorId::derive(&["row", &place]), &[(&place, &text)]);
            phone.document_mut().write_derived(row).expect("nobody else writes as that actor");
        }
        phone.request(&course, NOW).expect("nobody has asked");
        phone.reject(&course, &nonce("1"), &key(1), NOW).expect("it was asked for");
        phone.approve(&course, &nonce("2"), &key(1), NOW).expect("it was asked for");
        phone.approve(&course, &nonce("3"), &key(2), NOW).expect("it was asked for");
        phone.pay(&course, &payment, NOW).expect("paying never fails");
        for state in [PaymentState::Failed, PaymentState::Completed] {
            phone.payment(&course, &payment, state, &key(3), NOW).expect("the provider may");
        }
        phone.complete(&course, &key(4), NOW).expect("the system may");
    }
    let facts: usize = phone.view(NOW).courses.values().map(|shown| shown.facts).sum();
    assert_eq!(facts, 5000);
    phone
}

fn open(bytes: &[u8], device: u8, seen: &SignatureCache) -> Enrollments {
    let document = Document::load(bytes, actor(device)).expect("it was saved");
    let mut opened = Enrollments::open(document, student(), policy()).expect("it is one of enrollments");
    opened.set_signatures(seen.clone());
    opened.view(NOW);
    opened
}

/// The time that writing `iterations` facts takes, in documents opened afresh every [`FACTS`].
fn timed<T>(iterations: u64, fresh: impl Fn() -> T, mut write: impl FnMut(&mut T, u32)) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let mut subject = fresh();
        let some = left.min(FACTS);
        let began = WallTime.start();
        for n in 0..u32::try_from(some).expect("few") {
            write(&mut subject, n);
        }
        spent += WallTime.end(began);
        left -= some;
    }
    spent
}

fn enrollments(criterion: &mut Criterion) {
    let phone = lived_in();
    let bytes = phone.document().save();
    let seen = phone.signatures().clone();
    println!("500 courses, 5,000 facts: {} bytes saved", bytes.len());
    let mut group = criterion.benchmark_group("enrollment");
    group.sample_size(20);
    group.bench_function("request with 5,000 facts", |bench| {
        bench.iter_custom(|iterations| {
            timed(
                iterations,
                || open(&bytes, 9, &seen),
                |phone, n| {
                    phone.request(&course(COURSES + n), NOW).expect("nobody has asked");
                    black_box(phone.view(NOW));
                },
            )
        });
    });
    let grants = {
        let mut laptop = open(&bytes, 8, &seen);
        let heads = laptop.document().heads();
        for n in 0..u32::try_from(FACTS).expect("few") {
            laptop.grant(&course(n), None, &nonce("new"), &key(1), NOW).expect("an admin may");
        }
        laptop.document_mut().changes_for_peer(&heads)
    };
    group.bench_function("receive a grant with 5,000 facts", |bench| {
        bench.iter_custom(|iterations| {
            let fresh = || (open(&bytes, 9, &seen), grants.clone().into_iter());
            timed(iterations, fresh, |(phone, grants), _| {
                phone.document_mut().apply(grants.next()).expect("honest changes apply");
                black_box(phone.view(NOW));
            })
        });
    });
    group.bench_function("receive a grant right after opening 5,000 facts", |bench| {
        let grant = &grants[..1];
        bench.iter_batched_ref(
            || open(&bytes, 9, &seen),
            |phone| {
                phone.document_mut().apply(grant.to_vec()).expect("honest changes apply");
                black_box(phone.view(NOW).courses.len())
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("open 5,000 facts, signatures checked before", |bench| {
        bench.iter(|| black_box(open(&bytes, 9, &seen)));
    });
    group.bench_function("open 5,000 facts, none checked before", |bench| {
        bench.iter(|| black_box(open(&bytes, 9, &SignatureCache::default())));
    });
    group.finish();
}

criterion_group!(benches, enrollments);
criterion_main!(benches);
