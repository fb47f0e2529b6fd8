//! Laws of enrollments, over random histories of students and authorities on several devices, with a hostile writer among
//! them who forges, lifts, deletes and overwrites.
//!
//! * **Convergence**: whoever has the same changes shows the same view, in whatever order and however often they came.
//! * **Incremental is from scratch**: a view refreshed by what changed is the view that opening the document gives, at
//!   whatever time it was last looked at.
//! * **Pending while enrolled can't be said**: access means a live grant, a live grant means access, and asking for what
//!   one has is refused.
//! * **Only what was done counts**: no forged fact counts, and after healing every fact that was ever done does.
//! * **Who has seen everything and ranks highest decides**.
//! * **A premature epoch counts for nothing**.
//! * **Progress never goes back**, and ends as the union and the maximum of what was done.
//! * **Strategies agree**: all replicas show the same profile, whatever the strategy: the newest of those who win.
//! * **Revoking ends only what it saw**, equals that disagree deny, and what has expired opens nothing.
//!
//! Mutations of the code that were applied, and what caught them: a law here, or vectors of `tests/vectors`.
//!
//! | mutation | caught by |
//! |---|---|
//! | `authority.rs`: signatures are not checked | only what was done counts; H01, H02, H03, H05, H21 |
//! | `authority.rs`: everybody is trusted | only what was done counts; E16, H03 |
//! | `ledger.rs`: a refresh misses a touched key | incremental is from scratch; E08, E12 and others |
//! | `fold.rs`: an epoch counts while the one before is open | a premature epoch counts for nothing; P01, P02, P05 |
//! | `fold.rs`: a revoke ends whatever there is | revoking ends only what it saw; G01, R01, R03 |
//! | `fold.rs`: a tie admits | equals that disagree deny; E02, D05, D07, D15 |
//! | `fold.rs`: expired grants live | what has expired opens nothing; G02 |
//! | `fold.rs`: lower ranks overrule | D03, D21 |
//! | `fold.rs`: having been seen supersedes nothing | who has seen everything decides; E03, D09, D18 |
//! | `fold.rs`: of a payment's states the first counts | E05, E07, E13, E15 |
//! | `fold.rs`: of a legacy row's states the earliest counts | L06 |
//! | `student.rs`: leaving forgets the request that waits | revoking ends what it saw; R04, R05 |
//! | `heal.rs`: everyone heals in their own name | all healers heal alike |
//! | `progress/key.rs`: of two positions the smaller counts | progress never goes back; E18, P02, P04, P08 |
//! | `progress.rs`: healing puts nothing back | progress never goes back; P08 |
//! | `profile.rs`: what a replica saw first stays | strategies agree; U01, U05, U11 |
//! | `strategy.rs`: the server's strategy shows the clients' | the newest of those who win; U03 |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crdt_core::authority::{AuthorityKey, Role, Statement, TrustSet};
use crdt_core::document::{Change, Document};
use crdt_core::enrollment::{
    CourseView, EnrollmentError, EnrollmentView, Enrollments, Epoch, FactId, FlagKind, GrantId, Nonce,
    Operation, PaymentId, PaymentState, Policy, RevokeReason, Status, Verdict,
};
use crdt_core::id::{ActorId, CourseId, LessonId, StudentId};
use crdt_core::profile::{Candidate, Field, FieldRole, FieldValue, Profile, Strategy as Winner};
use crdt_core::progress::{Percent, Position, Progress};
use crdt_core::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;

/// Most devices of a history; each has two at least.
const DEVICES: usize = 5;
const NOW: Timestamp = Timestamp::from_millis(1_000);
const LATER: Timestamp = Timestamp::from_millis(9_000);

#[derive(Clone, Debug)]
enum Action {
    Request,
    Cancel,
    Withdraw,
    Enter,
    Pay {
        payment: u8,
        state: u8,
    },
    Decide {
        who: usize,
        approve: bool,
        nonce: u8,
    },
    Grant {
        expires: bool,
        nonce: u8,
    },
    GrantDefault,
    Revoke {
        nonce: u8,
    },
    Complete,
    /// A fact of authority by somebody who may not, or lifted from another student.
    Forge {
        fact: u8,
        how: u8,
    },
    /// Somebody deletes a fact, or writes nonsense over it.
    Damage {
        which: Index,
        delete: bool,
    },
    /// A request of an epoch whose turn has not come: far away, or the very next.
    Jump {
        next: bool,
    },
    Look,
    Reload,
    /// Receives some of the changes that it lacks and `from` has, in an order of their own, some of them twice.
    Receive {
        from: usize,
        part: Index,
        order: Vec<Index>,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let nonce = 0..3_u8;
    prop_oneof![
        4 => Just(Action::Request),
        2 => Just(Action::Cancel),
        2 => Just(Action::Withdraw),
        1 => Just(Action::Enter),
        3 => (0..2_u8, 0..4_u8).prop_map(|(payment, state)| Action::Pay { payment, state }),
        5 => (0..4_usize, any::<bool>(), nonce.clone())
            .prop_map(|(who, approve, nonce)| Action::Decide { who, approve, nonce }),
        2 => (any::<bool>(), nonce.clone()).prop_map(|(expires, nonce)| Action::Grant { expires, nonce }),
        1 => Just(Action::GrantDefault),
        2 => nonce.prop_map(|nonce| Action::Revoke { nonce }),
        1 => Just(Action::Complete),
        2 => (0..5_u8, 0..4_u8).prop_map(|(fact, how)| Action::Forge { fact, how }),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(which, delete)| Action::Damage { which, delete }),
        2 => any::<bool>().prop_map(|next| Action::Jump { next }),
        1 => Just(Action::Look),
        1 => Just(Action::Reload),
        8 => (0..DEVICES, any::<Index>(), prop::collection::vec(any::<Index>(), 1..4))
            .prop_map(|(from, part, order)| Action::Receive { from, part, order }),
    ]
}

fn key(n: u8) -> AuthorityKey {
    AuthorityKey::from_seed([n; 32])
}

/// Two admins, an owner and an instructor.
fn decider(who: usize) -> AuthorityKey {
    key([1, 2, 3, 4][who])
}

fn trust() -> TrustSet {
    let mut trust = TrustSet::default();
    let roles = [Role::Admin, Role::Admin, Role::Owner, Role::Instructor, Role::System, Role::Provider];
    for (n, role) in (1..).zip(roles) {
        trust.trust(key(n).public(), role);
    }
    trust
}

fn course() -> CourseId {
    CourseId::new("open-101").unwrap()
}

fn student() -> StudentId {
    StudentId::new("student-7").unwrap()
}

fn policy() -> Policy {
    Policy { trust: trust(), open_courses: [course()].into() }
}

fn actor(n: usize) -> ActorId {
    ActorId::from_bytes([u8::try_from(n).unwrap() + 1; 16])
}

fn nonce(n: u8) -> Nonce {
    Nonce::new(n.to_string()).unwrap()
}

fn open(document: Document) -> Enrollments {
    Enrollments::open(document, student(), policy()).unwrap()
}

struct World {
    devices: Vec<Enrollments>,
    /// Every fact that an operation has written.
    done: BTreeSet<FactId>,
    /// Requests that somebody wrote before their time, past all rules.
    jumped: BTreeSet<FactId>,
    /// The decisions among them, and whether they admit.
    decided: BTreeMap<FactId, bool>,
    /// Grants that somebody saw and ended.
    ended: BTreeSet<GrantId>,
}

impl World {
    fn new(devices: usize) -> Self {
        let create = |n| Enrollments::create(actor(n), student(), policy());
        Self {
            devices: (0..devices).map(create).collect(),
            done: BTreeSet::new(),
            jumped: BTreeSet::new(),
            decided: BTreeMap::new(),
            ended: BTreeSet::new(),
        }
    }

    fn act(&mut self, at: usize, action: &Action) {
        let on = &mut self.devices[at];
        let course = course();
        let before = on.course(&course, NOW).clone();
        let had_access = before.status.has_access();
        let outcome = match *action {
            Action::Request => {
                let asked = on.request(&course, NOW);
                let refused = matches!(asked, Err(EnrollmentError::AlreadyEnrolled { .. }));
                assert_eq!(refused, had_access, "asking for what one has is refused, and only that");
                asked
            }
            Action::Cancel => on.cancel(&course, NOW),
            Action::Withdraw => on.withdraw(&course, NOW),
            Action::Enter => on.enter(&course, NOW),
            Action::Pay { payment, state } => pay(on, payment, state),
            Action::Decide { who, approve: true, nonce: n } => {
                on.approve(&course, &nonce(n), &decider(who), NOW)
            }
            Action::Decide { who, nonce: n, .. } => on.reject(&course, &nonce(n), &decider(who), NOW),
            Action::Grant { expires, nonce: n } => {
                let expires = expires.then_some(NOW + Duration::from_secs(1));
                on.grant(&course, expires, &nonce(n), &key(1), NOW)
            }
            Action::GrantDefault => on.grant_default(&course, None, &key(5), NOW),
            Action::Revoke { nonce: n } => {
                on.revoke(&course, RevokeReason::Unenroll, &nonce(n), &key(2), NOW)
            }
            Action::Complete => on.complete(&course, &key(4), NOW),
            Action::Forge { fact, how } => return forge(on, fact, how),
            Action::Damage { which, delete } => return damage(on, &self.done, which, delete),
            Action::Jump { next } => {
                self.jumped.insert(jump(on, next));
                return;
            }
            Action::Look => {
                on.view(LATER);
                return;
            }
            Action::Reload => {
                let seen = on.signatures().clone();
                *on = open(Document::load(&on.document().save(), actor(at)).unwrap());
                on.set_signatures(seen);
                return;
            }
            Action::Receive { from, part, ref order } => return self.receive(at, from, part, order),
        };
        let Ok(Operation { facts, .. }) = outcome else { return };
        if let (Action::Decide { approve, .. }, [decision]) = (action, facts.as_slice()) {
            self.decided.insert(decision.clone(), *approve);
        }
        if matches!(action, Action::Withdraw | Action::Revoke { .. }) && !facts.is_empty() {
            self.ended.extend(before.grants.into_iter().map(|grant| grant.grant));
        }
        self.done.extend(facts);
    }

    /// What was given and nobody ended after having seen it.
    fn still_given(&self) -> BTreeSet<GrantId> {
        let refunded = |payment: &PaymentId| {
            let state = PaymentState::Refunded;
            self.done.contains(&FactId::Payment { payment: payment.clone(), state })
        };
        let given = self.done.iter().filter_map(|id| match id {
            FactId::AdminGrant { by, nonce } => Some(GrantId::Admin { by: *by, nonce: nonce.clone() }),
            FactId::DefaultGrant => Some(GrantId::Default),
            FactId::Payment { payment, state: PaymentState::Completed } if !refunded(payment) => {
                Some(GrantId::Payment(payment.clone()))
            }
            _ => None,
        });
        given.filter(|grant| !self.ended.contains(grant)).collect()
    }

    /// Equals that disagree deny, and say so.
    fn check_decision(&self, shown: &CourseView) {
        let Some(decision) = &shown.decision else { return };
        let verdicts: BTreeSet<_> = decision.standing.iter().map(|id| self.decided[id]).collect();
        let expected = if verdicts.contains(&false) { Verdict::Reject } else { Verdict::Approve };
        assert_eq!(decision.verdict, expected, "{shown:?}");
        let flagged = shown.flags.iter().any(|flag| flag.kind == FlagKind::DecisionConflict);
        assert!(verdicts.len() == 2 || !flagged, "{shown:?}");
    }

    fn receive(&mut self, at: usize, from: usize, part: Index, order: &[Index]) {
        let from = from % self.devices.len();
        if at == from {
            return;
        }
        let heads = self.devices[at].document().heads();
        let lacking = self.devices[from].document_mut().changes_for_peer(&heads);
        let mut some = shuffled(&lacking, order);
        some.truncate(part.index(some.len() + 1));
        let applied = self.devices[at].document_mut().apply(some).unwrap();
        assert_eq!(applied.refused, []);
    }

    fn exchange_all(&mut self) {
        for _ in 0..2 {
            for other in 1..self.devices.len() {
                let (first, rest) = self.devices.split_at_mut(1);
                first[0].document_mut().merge(rest[other - 1].document_mut()).unwrap();
                rest[other - 1].document_mut().merge(first[0].document_mut()).unwrap();
            }
        }
    }
}

fn pay(on: &mut Enrollments, payment: u8, state: u8) -> Result<Operation, EnrollmentError> {
    let payment = PaymentId::new(payment.to_string()).unwrap();
    let state = match state {
        0 => return on.pay(&course(), &payment, NOW),
        1 => PaymentState::Failed,
        2 => PaymentState::Completed,
        _ => PaymentState::Refunded,
    };
    on.payment(&course(), &payment, state, &key(6), NOW)
}

/// Writes a request before its time. While another waits, that changes nothing.
fn jump(on: &mut Enrollments, next: bool) -> FactId {
    let before = on.course(&course(), NOW).clone();
    let epoch = before.epoch.filter(|_| next).and_then(Epoch::next).or(Epoch::new(4_000_000_000)).unwrap();
    let id = FactId::Request(epoch);
    put(on, &id.root_key(&course()), "{}");
    let after = on.course(&course(), NOW);
    if before.status == Status::Pending {
        assert_eq!((after.status, after.epoch), (before.status, before.epoch), "before its time");
    }
    id
}

/// Writes a fact of authority that nobody entitled has signed for this place.
fn forge(on: &mut Enrollments, fact: u8, how: u8) {
    let (signer, subject) = match how {
        0 => (key(66), "student-7"),
        1 => (key(6), "student-7"),
        2 => (key(1), "student-8"),
        _ => (key(3), "student-8"),
    };
    let by = signer.public();
    let stamp = Nonce::new("forged").unwrap();
    let (id, body) = match fact {
        0 => (
            FactId::Decision { epoch: Epoch::FIRST, by, nonce: stamp },
            serde_json::json!({"verdict": "approve"}),
        ),
        1 => (FactId::AdminGrant { by, nonce: stamp }, serde_json::json!({})),
        2 => (FactId::DefaultGrant, serde_json::json!({})),
        3 => (FactId::Completed, serde_json::json!({})),
        _ => (
            FactId::Revoke { by: crdt_core::enrollment::Author::Key(by), nonce: stamp },
            serde_json::json!({"grants": ["dc.1", "gr.default"], "why": "unenroll"}),
        ),
    };
    let place = id.root_key(&course());
    let text = signer.sign(&Statement { kind: "enrollment", subject, key: &place }, &body);
    put(on, &place, &text);
}

fn damage(on: &mut Enrollments, done: &BTreeSet<FactId>, which: Index, delete: bool) {
    if done.is_empty() {
        return;
    }
    let place = which.get(&done.iter().collect::<Vec<_>>()).root_key(&course());
    let mut edit = on.document_mut().edit();
    if delete {
        edit.delete(&place);
    } else {
        edit.put(&place, "nonsense");
    }
    edit.commit();
}

fn put(on: &mut Enrollments, place: &str, text: &str) {
    let mut edit = on.document_mut().edit();
    edit.put(place, text);
    edit.commit();
}

fn check(view: &EnrollmentView, now: Timestamp) {
    for shown in view.courses.values() {
        let over = shown.grants.iter().filter_map(|grant| grant.expires).any(|expires| expires <= now);
        assert!(!over, "what has expired opens nothing: {shown:?}");
        assert_eq!(shown.status.has_access(), !shown.grants.is_empty(), "{shown:?}");
        if shown.status == Status::Pending {
            assert!(shown.grants.is_empty() && shown.decision.is_none(), "{shown:?}");
        }
    }
}

fn from_scratch(device: &Enrollments, now: Timestamp) -> EnrollmentView {
    let mut opened = open(Document::load(&device.document().save(), actor(9)).unwrap());
    opened.set_signatures(device.signatures().clone());
    opened.view(now).clone()
}

fn shuffled(changes: &[Change], order: &[Index]) -> Vec<Change> {
    let mut left: Vec<_> = changes.iter().chain(changes).cloned().collect();
    let mut picks = order.iter().cycle();
    let mut taken = Vec::new();
    while !left.is_empty() {
        let at = picks.next().expect("cycles").index(left.len());
        taken.push(left.swap_remove(at));
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn enrollments_keep_their_laws(
        history in prop::collection::vec((0..DEVICES, action()), 1..40),
        order in prop::collection::vec(any::<Index>(), 16),
        approve in any::<bool>(),
        devices in 2..=DEVICES,
    ) {
        let mut world = World::new(devices);
        for (at, action) in &history {
            world.act(at % devices, action);
            let device = &mut world.devices[at % devices];
            check(device.view(NOW), NOW);
        }
        for device in &mut world.devices {
            prop_assert_eq!(&from_scratch(device, NOW), device.view(NOW));
            prop_assert_eq!(&from_scratch(device, LATER), device.view(LATER));
            check(device.view(LATER), LATER);
        }

        world.exchange_all();
        let expected = world.devices[0].view(NOW).clone();
        check(&expected, NOW);
        for device in &mut world.devices {
            prop_assert_eq!(device.view(NOW), &expected);
        }
        let mut fresh = Enrollments::create(actor(8), student(), policy());
        fresh.set_signatures(world.devices[0].signatures().clone());
        for change in shuffled(&world.devices[0].document().changes_since(&[]), &order) {
            fresh.document_mut().apply([change]).unwrap();
        }
        prop_assert_eq!(fresh.view(NOW), &expected);

        let healed: Vec<_> = world.devices.iter_mut().map(Enrollments::heal).collect();
        for other in &healed {
            prop_assert_eq!(other, &healed[0], "all healers heal alike");
        }
        world.exchange_all();
        let shown = world.devices[0].course(&course(), NOW).clone();
        world.check_decision(&shown);
        let live: BTreeSet<_> = shown.grants.iter().map(|grant| grant.grant.clone()).collect();
        prop_assert!(world.still_given().is_subset(&live), "nobody had seen and ended it: {:?}", shown);
        let said: BTreeSet<_> = world.done.union(&world.jumped).collect();
        prop_assert_eq!(shown.facts, said.len(), "what was done counts, and nothing else");
        let far = FactId::Request(Epoch::new(4_000_000_000).unwrap());
        let honest = said.into_iter().filter(|id| **id != far).filter_map(|id| match id {
            FactId::Request(epoch)
            | FactId::OpenGrant(epoch)
            | FactId::Cancel(epoch)
            | FactId::Decision { epoch, .. } => Some(*epoch),
            _ => None,
        });
        prop_assert!(shown.epoch <= honest.max(), "an epoch before its time counts for nothing");

        let device = &mut world.devices[0];
        // Refusing a request can bring the next one to its turn, which wants a decision of its own.
        for again in 100.. {
            let epoch = device.course(&course(), NOW).epoch;
            let decided = if approve {
                device.approve(&course(), &nonce(again), &key(3), NOW)
            } else {
                device.reject(&course(), &nonce(again), &key(3), NOW)
            };
            let shown = device.course(&course(), NOW);
            if decided.is_err() || shown.epoch == epoch {
                let verdict = shown.decision.as_ref().map(|decision| decision.verdict);
                let meant = if approve { Verdict::Approve } else { Verdict::Reject };
                prop_assert!(decided.is_err() || verdict == Some(meant), "{:?}", shown);
                break;
            }
            prop_assert!(!approve && shown.epoch > epoch);
        }
    }

    #[test]
    fn progress_never_goes_back(
        marks in prop::collection::vec((0..3_usize, 0..5_usize, 0..4_u8, 0..100_u8), 1..40),
    ) {
        let lessons: Vec<_> = (0..4).map(|n| LessonId::new(format!("l{n}")).unwrap()).collect();
        let mut devices: Vec<_> = (0..3).map(|n| Progress::create(actor(n))).collect();
        let (mut done, mut furthest, mut floor) = (BTreeSet::new(), BTreeMap::new(), 0);
        for (at, kind, lesson, n) in marks {
            let on = &mut devices[at];
            let lesson = &lessons[usize::from(lesson)];
            let before = on.view().courses.get(&course()).cloned().unwrap_or_default();
            match kind {
                0 => {
                    on.complete(&course(), lesson, NOW);
                    done.insert(lesson);
                }
                1 => {
                    on.reach(&course(), lesson, Position::new(n.into()), NOW);
                    let furthest = furthest.entry(lesson.clone()).or_insert(0);
                    *furthest = n.max(*furthest);
                }
                2 => {
                    on.raise_floor(&course(), Percent::new(n).unwrap(), NOW);
                    floor = n.max(floor);
                }
                3 => {
                    *on = Progress::open(Document::load(&on.document().save(), actor(at)).unwrap()).unwrap();
                }
                _ => {
                    // Somebody takes progress back, past all rules; whoever sees it heals.
                    let mut edit = on.document_mut().edit();
                    edit.put(&format!("p/open-101/pos/{lesson}"), r#"{"at":0,"n":0}"#);
                    edit.delete(&format!("p/open-101/done/{lesson}"));
                    edit.commit();
                    on.heal();
                    furthest.entry(lesson.clone()).or_insert(0);
                }
            }
            let after = on.view().courses.get(&course()).cloned().unwrap_or_default();
            prop_assert!(after.percent(&lessons) >= before.percent(&lessons));
            prop_assert!(before.positions.iter().all(|(lesson, position)| after.positions[lesson] >= *position));
            if n % 3 == 0 {
                let (first, rest) = devices.split_at_mut(1);
                first[0].document_mut().merge(rest[usize::from(n) % 2].document_mut()).unwrap();
            }
        }
        for _ in 0..2 {
            for other in 1..3 {
                let (first, rest) = devices.split_at_mut(1);
                first[0].document_mut().merge(rest[other - 1].document_mut()).unwrap();
                rest[other - 1].document_mut().merge(first[0].document_mut()).unwrap();
            }
        }
        for device in &mut devices {
            prop_assert!(device.heal().is_empty(), "whatever was taken back, one of them has healed");
            let seen = device.view().courses.get(&course()).cloned().unwrap_or_default();
            prop_assert_eq!(seen.done.keys().collect::<BTreeSet<_>>(), done.clone());
            let positions: BTreeMap<_, _> =
                furthest.iter().map(|(lesson, n)| (lesson.clone(), Position::new((*n).into()))).collect();
            prop_assert_eq!(seen.positions, positions);
            prop_assert_eq!(seen.floor.get(), floor);
        }
    }

    #[test]
    fn strategies_agree(
        writes in prop::collection::vec((0..3_usize, any::<bool>(), 0..4_u8, 0..4_u64, any::<bool>()), 1..24),
        strategy in 0..5_u8,
    ) {
        let field = Field::new("name").unwrap();
        let strategy = match strategy {
            0 => Winner::ClientWins,
            1 => Winner::ServerWins,
            2 => Winner::LastModifiedWins,
            3 => Winner::PromptUser,
            _ => Winner::merge(|all: &[Candidate]| {
                let texts: Vec<_> = all.iter().filter_map(|one| one.value.as_text()).collect();
                FieldValue::text(texts.concat()).unwrap()
            }),
        };
        let mut devices: Vec<_> = (0..3).map(|n| Profile::create(actor(n), student(), trust())).collect();
        for device in &mut devices {
            device.set_strategy(&field, strategy.clone());
        }
        for (at, server, value, time, meet) in writes {
            let on = &mut devices[at];
            let value = FieldValue::text(value.to_string()).unwrap();
            let at = Timestamp::from_millis(time);
            if server {
                on.set_as_server(&field, &value, &key(5), at).unwrap();
            } else {
                on.set(&field, &value, at).unwrap();
            }
            prop_assert_eq!(&on.view().fields[&field].value, &value, "who has just written sees it");
            if meet {
                let (first, rest) = devices.split_at_mut(1);
                first[0].document_mut().merge(rest[1].document_mut()).unwrap();
                first[0].view();
            }
        }
        for _ in 0..2 {
            for other in 1..3 {
                let (first, rest) = devices.split_at_mut(1);
                first[0].document_mut().merge(rest[other - 1].document_mut()).unwrap();
                rest[other - 1].document_mut().merge(first[0].document_mut()).unwrap();
            }
        }
        let expected = devices[0].view().clone();
        for device in &mut devices {
            prop_assert_eq!(device.view(), &expected);
        }
        let shown = &expected.fields[&field];
        let newest = |role: Option<FieldRole>| {
            let of_role = shown.candidates.iter().filter(|one| role.is_none_or(|role| one.role == role));
            of_role.map(|one| one.at).max()
        };
        if !shown.candidates.is_empty() {
            let winner = match strategy {
                Winner::ClientWins => newest(Some(FieldRole::Client)),
                Winner::ServerWins => newest(Some(FieldRole::Server)),
                _ => None,
            };
            prop_assert_eq!(Some(shown.at), winner.or(newest(None)), "the newest of those who win");
        }
        let loaded = Document::load(&devices[0].document().save(), actor(9)).unwrap();
        let mut loaded = Profile::open(loaded, student(), trust()).unwrap();
        loaded.set_strategy(&field, strategy);
        prop_assert_eq!(loaded.view(), &expected);
    }
}
