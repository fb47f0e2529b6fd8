//! Whatever hostile clients write into a student's document, honest devices fold enrollments, progress and profile alike:
//! no panic, the view that was kept fresh is the view read from scratch, what counts for nothing is told, access means a
//! live grant, and healing ends.

#![no_main]

use std::cell::RefCell;
use std::time::Duration;

use crdt_core::authority::{AuthorityKey, PublicKey, Role, SignatureCache, Statement, TrustSet};
use crdt_core::document::Document;
use crdt_core::enrollment::{
    EnrollmentError, EnrollmentState, Enrollments, Nonce, Operation, PaymentId, PaymentState, Policy,
    RevokeReason, Status,
};
use crdt_core::id::{ActorId, CourseId, LessonId, StudentId};
use crdt_core::kind::Kind;
use crdt_core::profile::{Field, FieldValue, Profile, ProfileState};
use crdt_core::progress::{Percent, Position, Progress, ProgressState};
use crdt_core::time::Timestamp;
use crdt_core::validate::{self, Known};
use fuzz::bytes::Bytes;
use fuzz::client::{Client, some_key, some_text};
use libfuzzer_sys::fuzz_target;

const STEPS_MAX: usize = 96;
const NOW: Timestamp = Timestamp::from_millis(1_000);
const LATER: Timestamp = Timestamp::from_millis(9_000);
const COURSES: [&str; 3] = ["c", "d", "open"];
const PEOPLE: u8 = 7;

thread_local! {
    /// Signatures that earlier inputs had checked already: the same few hundred come again and again.
    static SEEN: RefCell<SignatureCache> = RefCell::new(SignatureCache::default());
    static KEYS: Vec<AuthorityKey> = (1..=PEOPLE).map(|n| AuthorityKey::from_seed([n; 32])).collect();
}

/// A device that keeps three views of one document fresh.
struct Device {
    number: u8,
    document: Document,
    enrollments: Option<EnrollmentState>,
    progress: Option<ProgressState>,
    profile: Option<ProfileState>,
}

fuzz_target!(|input: &[u8]| {
    let mut bytes = Bytes::new(input);
    let mut devices = [1, 2].map(|n| Device::open(n, declared(n)));
    let mut clients = [11, 12].map(Client::new);
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        step(&mut bytes, &mut devices, &mut clients);
    }
    let [phone, laptop] = &mut devices;
    for client in &mut clients {
        client.give_to(&mut phone.document);
    }
    exchange(phone, laptop);
    assert_eq!(phone.shown(), laptop.shown());
    for device in [&mut *phone, &mut *laptop] {
        check(device);
        heal(device);
    }
    exchange(phone, laptop);
    assert_eq!(phone.shown(), laptop.shown());
    assert_eq!((heal(phone), heal(laptop)), (0, 0), "what has been healed is healed");
});

fn step(bytes: &mut Bytes<'_>, devices: &mut [Device; 2], clients: &mut [Client; 2]) {
    let (at, of) = (bytes.below(2), bytes.below(2));
    let client = &mut clients[of];
    match bytes.below(12) {
        0..=4 => {
            let key = key(bytes, &devices[at].document);
            match bytes.below(12) {
                0 => client.delete(&key),
                1 => client.put_odd(&key, bytes),
                _ => client.put(&key, &value(bytes, &key, &devices[at].document)),
            }
        }
        5 => client.give_to(&mut devices[at].document),
        6 => client.take_from(&mut devices[at].document),
        7 => {
            let [phone, laptop] = devices;
            let (one, other) = if at == 0 { (phone, laptop) } else { (laptop, phone) };
            one.document.merge(&mut other.document).expect("honest devices merge");
        }
        8 => {
            let saved = devices[at].document.save();
            let number = devices[at].number;
            let document = Document::load(&saved, actor(number)).expect("we saved it");
            devices[at] = Device::open(number, document);
        }
        9 => drop(devices[at].shown()),
        _ => devices[at].act(bytes),
    }
}

impl Device {
    fn open(number: u8, document: Document) -> Self {
        Self { number, document, enrollments: None, progress: None, profile: None }
    }

    fn enrollments<T>(&mut self, with: impl FnOnce(&mut Enrollments<&mut Document>) -> T) -> T {
        let mut enrollments = match self.enrollments.take() {
            Some(state) => Enrollments::resume(&mut self.document, state),
            None => {
                let mut opened =
                    Enrollments::open(&mut self.document, student(), policy()).expect("it is declared");
                SEEN.with_borrow(|seen| opened.set_signatures(seen.clone()));
                opened
            }
        };
        let done = with(&mut enrollments);
        let (_, state) = enrollments.suspend();
        self.enrollments = Some(state);
        done
    }

    fn progress<T>(&mut self, with: impl FnOnce(&mut Progress<&mut Document>) -> T) -> T {
        let mut progress = Progress::resume(&mut self.document, self.progress.take().unwrap_or_default());
        let done = with(&mut progress);
        self.progress = Some(progress.suspend().1);
        done
    }

    fn profile<T>(&mut self, with: impl FnOnce(&mut Profile<&mut Document>) -> T) -> T {
        let mut profile = match self.profile.take() {
            Some(state) => Profile::resume(&mut self.document, state),
            None => Profile::open(&mut self.document, student(), trust()).expect("it is declared"),
        };
        let done = with(&mut profile);
        self.profile = Some(profile.suspend().1);
        done
    }

    /// Everything that a person sees.
    fn shown(&mut self) -> [String; 4] {
        let json = |view: &dyn Fn() -> serde_json::Result<String>| view().expect("views are JSON");
        let now = self.enrollments(|on| {
            let view = on.view(NOW).clone();
            for course in view.courses.values() {
                assert_eq!(course.status.has_access(), !course.grants.is_empty(), "{course:?}");
                assert!(course.status != Status::Pending || course.decision.is_none(), "{course:?}");
            }
            json(&|| serde_json::to_string(&view))
        });
        let later = self.enrollments(|on| serde_json::to_string(on.view(LATER)).expect("views are JSON"));
        let progress = self.progress(|on| serde_json::to_string(on.view()).expect("views are JSON"));
        let profile = self.profile(|on| serde_json::to_string(on.view()).expect("views are JSON"));
        [now, later, progress, profile]
    }

    /// What counts for nothing.
    fn inert(&mut self) -> Vec<crdt_core::inert::InertList> {
        vec![
            self.enrollments(|on| on.inert(NOW)),
            self.progress(|on| on.inert()),
            self.profile(|on| on.inert()),
        ]
    }

    /// What somebody honest does; a refusal is an answer like any other.
    fn act(&mut self, bytes: &mut Bytes<'_>) {
        let course = CourseId::new(COURSES[bytes.below(3)]).expect("a course");
        let lesson = LessonId::new(["l1", "l2"][bytes.below(2)]).expect("a lesson");
        let nonce = Nonce::new(["a", "b"][bytes.below(2)]).expect("a nonce");
        let who = person(bytes);
        let payment = PaymentId::new(["p1", "p2"][bytes.below(2)]).expect("a payment");
        let choice = bytes.below(18);
        let n = bytes.byte();
        let field = Field::new(["name", "city"][usize::from(n % 2)]).expect("a field");
        let value = FieldValue::new(serde_json::json!(n)).expect("a number");
        match choice {
            13 => drop(self.progress(|on| on.complete(&course, &lesson, NOW))),
            14 => drop(self.progress(|on| on.reach(&course, &lesson, Position::new(n.into()), NOW))),
            15 => drop(
                self.progress(|on| on.raise_floor(&course, Percent::new(n % 101).expect("a share"), NOW)),
            ),
            16 => drop(self.profile(|on| on.set(&field, &value, NOW))),
            17 => drop(self.profile(|on| on.set_as_server(&field, &value, &who, NOW))),
            _ => drop(self.enrollments(|on| decree(on, choice, &course, &nonce, &payment, &who))),
        }
    }
}

fn decree(
    on: &mut Enrollments<&mut Document>,
    choice: usize,
    course: &CourseId,
    nonce: &Nonce,
    payment: &PaymentId,
    who: &AuthorityKey,
) -> Result<Operation, EnrollmentError> {
    match choice {
        0 | 1 => on.request(course, NOW),
        2 => on.cancel(course, NOW),
        3 => on.withdraw(course, NOW),
        4 => on.enter(course, NOW),
        5 => on.pay(course, payment, NOW),
        6 => on.payment(course, payment, PaymentState::Completed, who, NOW),
        7 => on.payment(course, payment, PaymentState::Refunded, who, NOW),
        8 => on.approve(course, nonce, who, NOW),
        9 => on.reject(course, nonce, who, NOW),
        10 => on.grant(course, Some(NOW + Duration::from_secs(1)), nonce, who, NOW),
        11 => on.revoke(course, RevokeReason::Unenroll, nonce, who, NOW),
        _ => on.complete(course, who, NOW),
    }
}

fn person(bytes: &mut Bytes<'_>) -> AuthorityKey {
    let who = bytes.below(usize::from(PEOPLE));
    KEYS.with(|keys| keys[who].clone())
}

fn public(bytes: &mut Bytes<'_>) -> PublicKey {
    person(bytes).public()
}

/// A key of ours with something odd in it, one that is there, or anything.
fn key(bytes: &mut Bytes<'_>, document: &Document) -> String {
    let course = bytes.one_of(&["c", "d", "open", "a%2fb", "a%2Fb", ""]);
    let epoch = match bytes.byte() {
        255 => "4294967295",
        254 => "01",
        other => ["1", "2", "3"][usize::from(other % 3)],
    };
    let nonce = bytes.one_of(&["a", "b", "%2e", "."]);
    let lesson = bytes.one_of(&["l1", "l2", "%"]);
    match bytes.below(20) {
        0 => format!("f/{course}/rq.{epoch}"),
        1 => format!("f/{course}/cx.{epoch}"),
        2 | 3 => format!("f/{course}/dc.{epoch}.{}.{nonce}", public(bytes)),
        4 => format!("f/{course}/gr.admin.{}.{nonce}", public(bytes)),
        5 => format!("f/{course}/gr.default"),
        6 => format!("f/{course}/gr.open.{epoch}"),
        7 => format!("f/{course}/rv.{}.{nonce}", public(bytes)),
        8 => format!("f/{course}/rv.student.{nonce}"),
        9 => {
            format!("f/{course}/pm.p1.{}", bytes.one_of(&["pending", "failed", "completed", "refunded", "x"]))
        }
        10 => format!("f/{course}/cp"),
        11 => format!(
            "f/{course}/lg.{}.1.{}",
            bytes.one_of(&["enrollments", "accessRequests", "payments", "studentProgress", "x"]),
            bytes.one_of(&["00", "0f", "x"])
        ),
        12 => format!("p/{course}/done/{lesson}"),
        13 => format!("p/{course}/pos/{lesson}"),
        14 => format!("p/{course}/floor"),
        15 => format!("u/{}", bytes.one_of(&["name", "city", "%"])),
        16..=18 => some_key(document, bytes).unwrap_or_default(),
        _ => bytes.junk(),
    }
}

/// What might stand under such a key, mostly.
fn value(bytes: &mut Bytes<'_>, key: &str, document: &Document) -> String {
    match bytes.below(12) {
        0 => return bytes.junk(),
        1 => return some_text(document, bytes).unwrap_or_default(),
        2 => return format!("{{\"at\":{},\"n\":{}}}", bytes.number(), bytes.number()),
        3 => return format!("{{\"expires\":{},\"grants\":[\"dc.1\"],\"why\":\"withdraw\"}}", bytes.number()),
        4 => {
            let by = public(bytes);
            return format!(
                "{{\"at\":1,\"by\":\"{by}\",\"role\":\"server\",\"verdict\":\"approve\",\"value\":1}}"
            );
        }
        5 => return format!("{{\"at\":1,\"by\":\"0101\",\"role\":\"client\",\"value\":{}}}", bytes.number()),
        _ => {}
    }
    let who = person(bytes);
    let (kind, subject) = match bytes.below(8) {
        0 => ("profile", "student-7"),
        1 => ("enrollment", "student-8"),
        _ if key.starts_with("u/") => ("profile", "student-7"),
        _ => ("enrollment", "student-7"),
    };
    let mut body = serde_json::json!({"at": bytes.below(3)});
    let mut field = |name: &str, value: serde_json::Value| {
        drop(body.as_object_mut().expect("made as one").insert(name.into(), value))
    };
    if bytes.rarely(2) {
        field("verdict", bytes.one_of(&["approve", "reject", "x"]).into());
    }
    if bytes.rarely(2) {
        let over: Vec<_> = (0..bytes.below(3)).filter_map(|_| some_key(document, bytes)).collect();
        let over: Vec<_> = over.iter().filter_map(|key| key.rsplit_once('/').map(|(_, id)| id)).collect();
        field("over", over.into());
    }
    if bytes.rarely(3) {
        field(
            "grants",
            vec![bytes.one_of(&["dc.1", "dc.2", "gr.default", "gr.open.1", "pm.p1", "x"])].into(),
        );
        field("why", bytes.one_of(&["withdraw", "unenroll", "expired", "x"]).into());
    }
    if bytes.rarely(4) {
        field("expires", bytes.below(4).saturating_mul(1000).into());
    }
    if bytes.rarely(4) {
        field("amount", serde_json::json!({"currency": "EUR", "minor": bytes.below(200) as i64 - 1}));
    }
    if bytes.rarely(3) {
        field("status", bytes.one_of(&["enrolled", "Pending", "cancelled", "paid", "40", "?"]).into());
    }
    if key.starts_with("u/") {
        field("role", bytes.one_of(&["server", "client"]).into());
        field("value", bytes.below(3).into());
    }
    who.sign(&Statement { kind, subject, key }, &body)
}

fn exchange(one: &mut Device, other: &mut Device) {
    one.document.merge(&mut other.document).expect("honest devices merge");
    other.document.merge(&mut one.document).expect("honest devices merge");
}

fn check(device: &mut Device) {
    let saved = device.document.save();
    let mut scratch = Device::open(9, Document::load(&saved, actor(9)).expect("we saved it"));
    let seen = device.enrollments(|on| on.signatures().clone());
    scratch.enrollments(|on| on.set_signatures(seen.clone()));
    // A cache that has grown large costs more to copy than it spares.
    let few = seen.to_bytes().len() < 32 * 2048;
    SEEN.with_borrow_mut(|all| *all = if few { seen } else { SignatureCache::default() });
    assert_eq!(device.shown(), scratch.shown(), "kept fresh is read from scratch");
    let inert = device.inert();
    assert_eq!(inert, scratch.inert());
    for (key, values) in device.document.scan("") {
        let ours = ["f/", "p/", "u/"].iter().position(|prefix| key.starts_with(prefix));
        let Some(list) = ours.map(|ours| &inert[ours]) else { continue };
        let foreign = values.iter().all(|value| value.as_text().is_none());
        let told = list.facts().iter().any(|fact| key.starts_with(&*fact.key)) || list.more() > 0;
        assert!(told || !foreign, "{key} is not told of");
    }
    let known = Known::default();
    device.enrollments(|on| {
        let found = validate::enrollments(on, &known, NOW);
        drop(validate::fix::plan(&found, on.view(NOW)));
    });
}

/// How many changes healing took.
fn heal(device: &mut Device) -> usize {
    device.enrollments(|on| on.heal()).changes.len() + device.progress(|on| on.heal()).len()
}

fn declared(n: u8) -> Document {
    let mut document = Document::new(actor(n));
    for kind in [Kind::Enrollment, Kind::Progress, Kind::Profile] {
        kind.declare(&mut document);
    }
    document
}

/// Two admins, an owner, an instructor, the system and a provider; the last is nobody.
fn trust() -> TrustSet {
    let mut trust = TrustSet::default();
    let roles = [Role::Admin, Role::Admin, Role::Owner, Role::Instructor, Role::System, Role::Provider];
    KEYS.with(|keys| {
        for (key, role) in keys.iter().zip(roles) {
            trust.trust(key.public(), role);
        }
    });
    trust
}

fn policy() -> Policy {
    Policy { trust: trust(), open_courses: [CourseId::new("open").expect("a course")].into() }
}

fn student() -> StudentId {
    StudentId::new("student-7").expect("a student")
}

fn actor(n: u8) -> ActorId {
    ActorId::from_bytes([n; 16])
}
