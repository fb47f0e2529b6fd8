//! Enrollments, with the student's progress beside them.
//!
//! The story is about the course `c` unless a word `@other` says otherwise; the course `open` is open to everybody, and
//! every course has the lessons `l1` to `l4`. People are called by what they are: `ins..`, `ad..`, `own..`, `sys..` and
//! `pro..` are trusted as instructor, admin, owner, system and provider; `dean` is trusted as an instructor of the course
//! `d` alone; anybody else is trusted by nobody.
//!
//! | verb | does |
//! |---|---|
//! | `request`, `cancel`, `withdraw`, `enter` | what students do |
//! | `pay P STATE [AMOUNT]` | the student says `pending`; the provider says anything else, and an amount such as `4900EUR` |
//! | `approve WHO [NONCE]`, `reject WHO [NONCE]` | decides |
//! | `grant WHO [NONCE] [until=T]`, `default WHO [until=T]`, `admit WHO [until=T]` | grants of admin, default, open |
//! | `unenroll WHO [NONCE]`, `expire WHO [GRANT]` | ends all, or one |
//! | `complete WHO` | the course is completed |
//! | `legacy TABLE ROW STATUS UPDATED` | imports a row, as the system |
//! | `done L`, `pos L N`, `floor N` | progress |
//! | `heal` | puts back what was taken away |
//! | `who WHO =name` | names the public key |
//! | `sign WHO STUDENT KEY BODY` | writes a body, signed for that student and key, whatever it says |
//!
//! Operations name the root key of the fact they wrote. Without a nonce, each is a command of its own.
//!
//! The view is as of time 0; `later` is the same at time 1000, when everything that ends has ended.

use std::collections::BTreeMap;

use crdt_core::authority::{AuthorityKey, Role, Statement, TrustSet};
use crdt_core::document::{Change, Document};
use crdt_core::enrollment::{
    CourseView, EnrollmentError, Enrollments, GrantId, LegacyRow, LegacyTable, Nonce, Operation, PaymentId,
    PaymentState, PaymentTold, Policy, RevokeReason, RowId,
};
use crdt_core::id::{ActorId, CourseId, StudentId};
use crdt_core::progress::{Progress, ProgressState};
use crdt_core::time::Timestamp;
use serde_json::{Value, json};

use crate::progress;
use crate::world::{Replica, Replicas, StepError, money, unknown_step, word};

const NOW: Timestamp = Timestamp::ZERO;
const LATER: Timestamp = Timestamp::from_millis(1_000);
const STUDENT: &str = "me";

/// The roles by what people in a story are called.
const ROLES: [(&str, Role); 5] = [
    ("ins", Role::Instructor),
    ("ad", Role::Admin),
    ("own", Role::Owner),
    ("sys", Role::System),
    ("pro", Role::Provider),
];

/// The people that an application of a story trusts.
const PEOPLE: [&str; 8] = ["ins1", "ins2", "ad1", "ad2", "own", "own2", "sys", "pro"];

/// A replica that holds a student's enrollments and progress.
pub(crate) struct EnrollmentReplica {
    name: String,
    enrollments: Enrollments,
    progress: ProgressState,
}

impl Replica for EnrollmentReplica {
    fn open(name: &str, document: Document) -> Self {
        let enrollments = Enrollments::open(document, student(STUDENT), policy());
        Self {
            name: name.to_owned(),
            enrollments: enrollments.expect("a vector's document is one of enrollments"),
            progress: ProgressState::default(),
        }
    }

    fn document(&mut self) -> &mut Document {
        self.enrollments.document_mut()
    }

    fn refresh(&mut self) {
        self.enrollments.view(NOW);
    }

    fn act(&mut self, verb: &str, words: &[String], _: &mut Replicas<Self>) -> Result<String, StepError> {
        let (courses, words): (Vec<_>, Vec<_>) =
            words.iter().cloned().partition(|word| word.starts_with('@'));
        let name = courses.first().map_or("c", |word| &word[1..]);
        let course = CourseId::new(name).map_err(|_| unknown_step())?;
        let words = Words::new(words, &self.name, &self.enrollments);
        match verb {
            "done" | "pos" | "floor" => self.advance(&course, verb, &words.plain)?,
            "heal" => {
                self.enrollments.heal();
            }
            "who" => return Ok(key(words.word(0)?).public().to_string()),
            "sign" => return self.sign(&words),
            "legacy" => return self.import(&course, &words),
            _ => {
                let done = match words.plain.first().and_then(|_| self.decree(&course, verb, &words)) {
                    Some(done) => done,
                    None => self.student(&course, verb).ok_or_else(unknown_step)?,
                };
                let operation = done?.map_err(|error| error.code().to_owned())?;
                return Ok(operation.facts.first().map(|fact| fact.root_key(&course)).unwrap_or_default());
            }
        }
        Ok(String::new())
    }

    fn view(&mut self) -> Value {
        let mut view = shown(&mut self.enrollments, NOW);
        view["later"] = shown(&mut self.enrollments, LATER);
        let mut reasons: Vec<_> =
            self.enrollments.inert(NOW).facts().iter().map(|fact| fact.reason.code()).collect();
        reasons.sort_unstable();
        view["inert"] = json!(reasons);
        let progress = self.with_progress(|progress| progress::shown(progress, &course("c")));
        let (Value::Object(view), Value::Object(progress)) = (&mut view, progress) else { unreachable!() };
        view.extend(progress);
        Value::Object(std::mem::take(view))
    }
}

type Done = Result<Result<Operation, EnrollmentError>, StepError>;

impl EnrollmentReplica {
    /// What students do. `None` for other verbs.
    fn student(&mut self, course: &CourseId, verb: &str) -> Option<Done> {
        Some(Ok(match verb {
            "request" => self.enrollments.request(course, NOW),
            "cancel" => self.enrollments.cancel(course, NOW),
            "withdraw" => self.enrollments.withdraw(course, NOW),
            "enter" => self.enrollments.enter(course, NOW),
            _ => return None,
        }))
    }

    /// What somebody named by the first word does. `None` for other verbs.
    fn decree(&mut self, course: &CourseId, verb: &str, words: &Words) -> Option<Done> {
        let all = &mut self.enrollments;
        let who = key(words.word(0).ok()?);
        let nonce = &words.nonce;
        Some(Ok(match verb {
            "approve" => all.approve(course, nonce, &who, NOW),
            "reject" => all.reject(course, nonce, &who, NOW),
            "grant" => all.grant(course, words.until, nonce, &who, NOW),
            "default" => all.grant_default(course, words.until, &who, NOW),
            "admit" => all.grant_open(course, words.until, &who, NOW),
            "unenroll" => all.revoke(course, RevokeReason::Unenroll, nonce, &who, NOW),
            "expire" => match words.plain.get(1).map(|grant| grant.parse::<GrantId>()) {
                Some(Ok(grant)) => {
                    all.revoke_grants(course, &[grant], RevokeReason::Expired, nonce, &who, NOW)
                }
                Some(Err(_)) => return Some(Err(unknown_step())),
                None => all.revoke(course, RevokeReason::Expired, nonce, &who, NOW),
            },
            "complete" => all.complete(course, &who, NOW),
            "pay" => return Some(self.pay(course, words)),
            _ => return None,
        }))
    }

    fn pay(&mut self, course: &CourseId, words: &Words) -> Done {
        let payment = PaymentId::new(words.word(0)?).map_err(|_| unknown_step())?;
        let state: PaymentState = words.word(1)?.parse().map_err(|_| unknown_step())?;
        if state == PaymentState::Pending {
            return Ok(self.enrollments.pay(course, &payment, NOW));
        }
        let amount = words.word(2).ok().map(money).transpose()?;
        let told = PaymentTold { state, amount };
        Ok(self.enrollments.payment(course, &payment, told, &key("pro"), NOW))
    }

    fn advance(&mut self, course: &CourseId, verb: &str, words: &[String]) -> Result<(), StepError> {
        self.with_progress(|on| progress::advance(on, course, verb, words))
    }

    fn with_progress<T>(&mut self, act: impl FnOnce(&mut Progress<&mut Document>) -> T) -> T {
        let state = std::mem::take(&mut self.progress);
        let mut progress = Progress::resume(self.enrollments.document_mut(), state);
        let done = act(&mut progress);
        self.progress = progress.suspend().1;
        done
    }

    fn import(&mut self, course: &CourseId, words: &Words) -> Result<String, StepError> {
        let row = LegacyRow {
            table: words.word(0)?.parse::<LegacyTable>().map_err(|_| unknown_step())?,
            row: RowId::new(words.word(1)?).map_err(|_| unknown_step())?,
            status: Some(words.word(2)?.to_owned()),
            updated: Timestamp::from_millis(words.word(3)?.parse().map_err(|_| unknown_step())?),
        };
        let fact = row.to_fact(&student(STUDENT), course, &key("sys"));
        let (_, place, text) = fact.map_err(|_| "unknownStatus".to_owned())?;
        let change = Change::derived(ActorId::derive(&["row", &place]), &[(&place, &text)]);
        self.document().write_derived(change).map_err(|error| error.to_string())?;
        Ok(place)
    }

    fn sign(&mut self, words: &Words) -> Result<String, StepError> {
        let (who, subject, place) = (key(words.word(0)?), words.word(1)?, words.word(2)?);
        let body: Value = serde_json::from_str(words.word(3)?).map_err(|_| unknown_step())?;
        let text = who.sign(&Statement { kind: "enrollment", subject, key: place }, &body);
        let mut edit = self.document().edit();
        edit.put(place, &text);
        edit.commit();
        Ok(place.to_owned())
    }
}

/// The words of a step, sorted.
struct Words {
    plain: Vec<String>,
    nonce: Nonce,
    until: Option<Timestamp>,
}

impl Words {
    fn new(words: Vec<String>, replica: &str, enrollments: &Enrollments) -> Self {
        let until = words.iter().find_map(|word| word.strip_prefix("until=")?.parse().ok());
        let plain: Vec<_> = words.into_iter().filter(|word| !word.starts_with("until=")).collect();
        // A command of its own: this replica was never in this state before.
        let state = enrollments.document().heads().iter().map(ToString::to_string).collect::<String>();
        let unique = format!("{:?}", ActorId::derive(&[replica, &state]));
        let nonce = Nonce::new(plain.get(1).map_or(unique.as_str(), String::as_str));
        Self { nonce: nonce.expect("short words"), plain, until: until.map(Timestamp::from_millis) }
    }

    fn word(&self, index: usize) -> Result<&str, StepError> {
        word(&self.plain, index)
    }
}

fn shown(enrollments: &mut Enrollments, now: Timestamp) -> Value {
    let courses = enrollments.view(now).courses.clone();
    let none = CourseView::default();
    let view = courses.get(&course("c")).unwrap_or(&none);
    let statuses: BTreeMap<_, _> = courses.iter().map(|(id, view)| (id.as_str(), view.status)).collect();
    let payments: BTreeMap<_, _> =
        view.payments.iter().map(|(id, payment)| (id.as_str(), payment.state)).collect();
    let amounts = view.payments.iter().filter_map(|(id, payment)| Some((id.as_str(), payment.amount?)));
    let amounts: BTreeMap<_, _> = amounts.collect();
    let mut shown = json!({
        "status": view.status,
        "epoch": view.epoch,
        "verdict": view.decision.as_ref().map(|decision| decision.verdict),
        "standing": view.decision.as_ref().map_or(0, |decision| decision.standing.len()),
        "grants": view.grants.iter().map(|grant| grant.source).collect::<Vec<_>>(),
        "payments": payments,
        "amounts": amounts,
        "flags": view.flags.iter().map(|flag| flag.kind).collect::<Vec<_>>(),
        "completed": view.completed_at.is_some(),
        "facts": view.facts,
        "courses": statuses,
    });
    // As in every view, what is absent is left out.
    shown.as_object_mut().expect("made as one").retain(|_, field| !field.is_null());
    shown
}

pub(crate) fn key(name: &str) -> AuthorityKey {
    let actor = ActorId::derive(&["conformance-key", name]);
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(actor.as_bytes());
    AuthorityKey::from_seed(seed)
}

pub(crate) fn trust() -> TrustSet {
    let mut trust = TrustSet::default();
    for name in PEOPLE {
        let (_, role) =
            ROLES.into_iter().find(|(called, _)| name.starts_with(called)).expect("all have a role");
        trust.trust(key(name).public(), role);
    }
    trust.trust_in(&course("d"), key("dean").public(), Role::Instructor);
    trust
}

pub(crate) fn student(name: &str) -> StudentId {
    StudentId::new(name).expect("a short text")
}

fn policy() -> Policy {
    Policy { trust: trust(), open_courses: [course("open")].into() }
}

fn course(name: &str) -> CourseId {
    CourseId::new(name).expect("a short text")
}
