//! Laws of allotments, over random histories of a laptop that mints, devices that spend, leases that are closed, and
//! backups that are restored and spent again.
//!
//! * **Never oversold**: on no replica, at no moment, count more uses than were ever minted.
//! * **Honest holders are never short**: as long as nobody restores a backup, nothing is ever struck, nowhere, and no
//!   right is lost: what is used and what is left is what was minted.
//! * **A yes is kept**: a reservation that a device was granted counts in the end, unless it was released or cancelled; or
//!   its lease was closed first, and then its author is told.
//! * **Cheats hurt whom they gave to, nobody else**.
//! * **Convergence**: whoever has the same changes shows the same view, in whatever order and however often they came.
//! * **Incremental is from scratch**: a view refreshed by what changed is the view that opening the document gives.
//!
//! Mutations of the code that were applied, and what caught them:
//!
//! | mutation | caught by |
//! |---|---|
//! | `settle.rs`: strike nothing | never oversold, with restored backups; vectors H08, S15, S17, S18 |
//! | `operation.rs`: `reserve` asks for no rights | honest holders are never short; vector S21 |
//! | `settle.rs`: gifts of a closed lease count beside what it returns | no right is lost; vector S09 |
//! | `operation.rs`: a close keeps nothing | exactly what the authority has seen is kept; vectors S08, S11 |
//! | `settle.rs`: strikes are not settled from scratch | incremental is from scratch, with gifts made good |
//! | `settle.rs`: a struck gift counts for its receiver | vector S18 |

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::allotment::{
    Allotment, AllotmentError, HolderId, MintId, PoolId, ReservationId, Spender, Units,
};
use crdt_core::authority::{AuthorityKey, Role, TrustSet};
use crdt_core::document::{Change, Document};
use crdt_core::id::ActorId;
use proptest::prelude::*;
use proptest::sample::Index;

const DEVICES: usize = 4;

/// What happens next. `at` is a device; device 0 is the laptop, which alone has the authority's key.
#[derive(Clone, Debug)]
enum Action {
    Mint {
        to: usize,
        lease: bool,
        units: u32,
    },
    Reserve {
        at: usize,
        lease: bool,
        order: u8,
        units: u32,
    },
    Release {
        at: usize,
        order: u8,
    },
    Cancel {
        of: usize,
        lease: bool,
        order: u8,
    },
    Give {
        at: usize,
        to: usize,
        units: u32,
    },
    GiveOut {
        to: usize,
        lease: bool,
        units: u32,
    },
    GiveBack {
        at: usize,
        units: u32,
    },
    Answer {
        at: usize,
    },
    Close {
        of: usize,
    },
    /// A lease is given rights, spends some while the laptop looks, and some while it does not; then it is closed.
    LeaseOut {
        to: usize,
        order: u8,
        units: u32,
    },
    /// `to` receives the first so many of the changes that it lacks and `from` has.
    Deliver {
        from: usize,
        to: usize,
        part: Index,
    },
    Reload {
        at: usize,
    },
    Backup {
        at: usize,
    },
    Restore {
        at: usize,
    },
    /// Gives all it has away, before a witness, then again to somebody else from a backup; and the laptop, which learns of
    /// both, makes it good.
    GiveTwice {
        at: usize,
        witness: usize,
        units: u32,
    },
    /// The laptop learns what `of` spent, and mints what is missing.
    MakeGood {
        of: usize,
        lease: bool,
        units: u32,
    },
    /// Spends or gives, before a witness, then spends or gives the same again from a backup.
    SpendTwice {
        at: usize,
        witness: usize,
        lease: bool,
        gift: bool,
        order: u8,
        units: u32,
    },
}

impl Action {
    /// Where it happens.
    fn at(&self) -> usize {
        match *self {
            Self::Reserve { at, .. }
            | Self::Release { at, .. }
            | Self::Give { at, .. }
            | Self::GiveBack { at, .. }
            | Self::Answer { at }
            | Self::Deliver { to: at, .. }
            | Self::Reload { at }
            | Self::Backup { at }
            | Self::Restore { at }
            | Self::SpendTwice { at, .. }
            | Self::GiveTwice { at, .. } => at,
            Self::Mint { .. }
            | Self::Cancel { .. }
            | Self::GiveOut { .. }
            | Self::Close { .. }
            | Self::LeaseOut { .. }
            | Self::MakeGood { .. } => 0,
        }
    }
}

fn honest() -> impl Strategy<Value = Action> {
    let at = 0..DEVICES;
    let lease = any::<bool>();
    let order = 0..6_u8;
    let units = 1..4_u32;
    prop_oneof![
        3 => (at.clone(), lease, 1..6_u32).prop_map(|(to, lease, units)| Action::Mint { to, lease, units }),
        8 => (at.clone(), lease, order.clone(), units.clone())
            .prop_map(|(at, lease, order, units)| Action::Reserve { at, lease, order, units }),
        2 => (at.clone(), order.clone()).prop_map(|(at, order)| Action::Release { at, order }),
        1 => (at.clone(), lease, order).prop_map(|(of, lease, order)| Action::Cancel { of, lease, order }),
        4 => (at.clone(), at.clone(), units.clone()).prop_map(|(at, to, units)| Action::Give { at, to, units }),
        2 => (at.clone(), lease, units.clone())
            .prop_map(|(to, lease, units)| Action::GiveOut { to, lease, units }),
        2 => (at.clone(), units).prop_map(|(at, units)| Action::GiveBack { at, units }),
        1 => at.clone().prop_map(|at| Action::Answer { at }),
        1 => at.clone().prop_map(|of| Action::Close { of }),
        1 => (at.clone(), 0..6_u8, 1..4_u32).prop_map(|(to, order, units)| Action::LeaseOut { to, order, units }),
        12 => (at.clone(), at.clone(), any::<Index>())
            .prop_map(|(from, to, part)| Action::Deliver { from, to, part }),
        1 => at.prop_map(|at| Action::Reload { at }),
    ]
}

fn careless() -> impl Strategy<Value = Action> {
    prop_oneof![
        20 => honest(),
        1 => (0..DEVICES).prop_map(|at| Action::Backup { at }),
        1 => (0..DEVICES).prop_map(|at| Action::Restore { at }),
        3 => (0..DEVICES, 0..DEVICES, 1..4_u32)
            .prop_map(|(at, witness, units)| Action::GiveTwice { at, witness, units }),
        3 => (0..DEVICES, any::<bool>(), 1..6_u32)
            .prop_map(|(of, lease, units)| Action::MakeGood { of, lease, units }),
        4 => (0..DEVICES, 0..DEVICES, any::<bool>(), any::<bool>(), 0..6_u8, 1..4_u32)
            .prop_map(|(at, witness, lease, gift, order, units)| {
                Action::SpendTwice { at, witness, lease, gift, order, units }
            }),
    ]
}

struct Device {
    allotment: Allotment,
    name: Spender,
    lease: Spender,
    backup: Option<Backup>,
}

struct Backup {
    bytes: Vec<u8>,
    taken: usize,
}

/// Rights that went from one holder to another, and when.
struct Moved {
    when: usize,
    from: HolderId,
    to: HolderId,
}

struct World {
    devices: Vec<Device>,
    trust: TrustSet,
    pool: PoolId,
    /// What the laptop minted: the truth that no view may exceed.
    minted: u64,
    mints: usize,
    granted: BTreeSet<(HolderId, ReservationId)>,
    given_up: BTreeSet<(HolderId, ReservationId)>,
    clock: usize,
    moves: Vec<Moved>,
    /// Who was restored from a backup, and when that had been taken.
    restored: BTreeMap<HolderId, usize>,
    restores: u8,
}

fn shop_key() -> AuthorityKey {
    AuthorityKey::from_seed([100; 32])
}

fn units(n: u32) -> Units {
    Units::new(n).unwrap()
}

impl World {
    fn new() -> Self {
        let mut trust = TrustSet::default();
        trust.trust(shop_key().public(), Role::System);
        let pool = PoolId::new("seats").unwrap();
        let device = |n: usize| {
            let n = u8::try_from(n).unwrap();
            let key = AuthorityKey::from_seed([n; 32]);
            let actor = ActorId::from_bytes([n; 16]);
            Device {
                allotment: Allotment::create(actor, pool.clone(), trust.clone()),
                name: Spender::keyed(key.clone()),
                lease: Spender::leasing(key),
                backup: None,
            }
        };
        Self {
            devices: (0..DEVICES).map(device).collect(),
            trust: trust.clone(),
            pool: pool.clone(),
            minted: 0,
            mints: 0,
            granted: BTreeSet::new(),
            given_up: BTreeSet::new(),
            clock: 0,
            moves: Vec::new(),
            restored: BTreeMap::new(),
            restores: 0,
        }
    }

    fn holder(&self, device: usize, lease: bool) -> HolderId {
        self.spender(device, lease).holder().clone()
    }

    fn spender(&self, device: usize, lease: bool) -> Spender {
        let device = &self.devices[device];
        if lease { device.lease.clone() } else { device.name.clone() }
    }

    fn take(&mut self, action: &Action) {
        self.clock += 1;
        match action {
            Action::Mint { to, lease, units: n } => {
                let id = MintId::new(self.mints.to_string()).unwrap();
                let to = self.holder(*to, *lease);
                if self.devices[0].allotment.mint(&shop_key(), id, to, units(*n)).is_ok() {
                    self.mints += 1;
                    self.minted += u64::from(*n);
                }
            }
            Action::Reserve { at, lease, order, units: n } => {
                let by = self.spender(*at, *lease);
                let order = ReservationId::new(format!("order-{order}")).unwrap();
                if self.devices[*at].allotment.reserve(&by, order.clone(), units(*n)).is_ok() {
                    self.granted.insert((by.holder().clone(), order));
                }
            }
            Action::Release { at, order } => {
                let by = self.spender(*at, false);
                let order = ReservationId::new(format!("order-{order}")).unwrap();
                if self.devices[*at].allotment.release(&by, order.clone()).is_ok() {
                    self.given_up.insert((by.holder().clone(), order));
                }
            }
            Action::Cancel { of, lease, order } => {
                let of = self.holder(*of, *lease);
                let order = ReservationId::new(format!("order-{order}")).unwrap();
                if self.devices[0].allotment.cancel(&shop_key(), &of, order.clone()).is_ok() {
                    self.given_up.insert((of, order));
                }
            }
            Action::Give { at, to, units } => {
                let (by, to) = (self.spender(*at, false), self.holder(*to, false));
                self.give(*at, &by, &to, *units);
            }
            Action::GiveOut { to, lease, units } => {
                let to = self.holder(*to, *lease);
                self.give(0, &Spender::authority(shop_key()), &to, *units);
            }
            Action::GiveBack { at, units } => {
                let by = self.spender(*at, true);
                self.give(*at, &by, &HolderId::authority(), *units);
            }
            Action::Answer { at } => {
                let by = self.spender(*at, false);
                let allotment = &mut self.devices[*at].allotment;
                allotment.refresh();
                let wanting: Vec<_> = allotment.view().queue().into_iter().map(|want| want.holder).collect();
                allotment.answer_wants(&by).unwrap();
                for to in wanting {
                    self.moves.push(Moved { when: self.clock, from: by.holder().clone(), to });
                }
            }
            Action::Close { of } => self.close(*of),
            Action::Deliver { from, to, part } if from != to => self.deliver(*from, *to, Some(part)),
            Action::Deliver { .. } => {}
            Action::Reload { at } => {
                let device = &mut self.devices[*at];
                let document = device.allotment.document();
                let loaded = Document::load(&document.save(), document.actor().clone()).unwrap();
                device.allotment = Allotment::open(loaded, self.pool.clone(), self.trust.clone()).unwrap();
            }
            Action::Backup { at } => {
                let device = &mut self.devices[*at];
                device.backup = Some(Backup { bytes: device.allotment.document().save(), taken: self.clock });
            }
            Action::Restore { at } => self.restore(*at),
            composed => self.take_steps(composed),
        }
    }

    /// What consists of other actions.
    fn take_steps(&mut self, action: &Action) {
        match *action {
            Action::LeaseOut { to, order, units } => {
                self.take(&Action::Mint { to, lease: true, units: units + 1 });
                if to != 0 {
                    self.deliver(0, to, None);
                }
                self.take(&Action::Reserve { at: to, lease: true, order, units });
                if to != 0 {
                    self.deliver(to, 0, None);
                }
                self.take(&Action::Reserve { at: to, lease: true, order: order + 20, units: 1 });
                self.close(to);
            }
            Action::GiveTwice { at, witness, units } => {
                self.take(&Action::Mint { to: at, lease: false, units });
                if at != 0 {
                    self.deliver(0, at, None);
                }
                self.take(&Action::SpendTwice { at, witness, lease: false, gift: true, order: 0, units });
                if witness != 0 {
                    self.deliver(witness, 0, None);
                }
                self.take(&Action::MakeGood { of: at, lease: false, units: units * 3 });
            }
            Action::MakeGood { of, lease, units } => {
                if of != 0 {
                    self.deliver(of, 0, None);
                }
                self.check(0);
                self.take(&Action::Mint { to: of, lease, units });
            }
            Action::SpendTwice { at, witness, lease, gift, order, units } => {
                // It spends what it has, so that there is not enough for both.
                let rights = self.devices[at].allotment.view().rights(self.spender(at, lease).holder()).get();
                let all = u32::try_from(rights).unwrap().max(units);
                let spend = |order, to| {
                    if gift && !lease {
                        Action::Give { at, to, units: all }
                    } else {
                        Action::Reserve { at, lease, order, units: all }
                    }
                };
                self.take(&Action::Backup { at });
                self.take(&spend(order, witness));
                if at != witness {
                    self.deliver(at, witness, None);
                    self.check(witness);
                }
                self.restore(at);
                self.take(&spend(order + 10, (witness + 1) % DEVICES));
            }
            _ => unreachable!("all other actions are taken one by one"),
        }
    }

    fn give(&mut self, at: usize, by: &Spender, to: &HolderId, n: u32) {
        if self.devices[at].allotment.give(by, to, units(n)).is_ok() {
            self.moves.push(Moved { when: self.clock, from: by.holder().clone(), to: to.clone() });
        }
    }

    fn close(&mut self, of: usize) {
        let lease = self.holder(of, true);
        let laptop = &mut self.devices[0].allotment;
        laptop.refresh();
        let before = laptop.view().holder(&lease).cloned().unwrap_or_default();
        match laptop.close_lease(&shop_key(), &lease) {
            Ok(closed) => {
                assert_eq!(closed.id, before.rights);
                let after = laptop.view().holder(&lease).cloned().unwrap_or_default();
                assert_eq!(after.uses, before.uses, "exactly what the authority has seen");
                self.moves.push(Moved { when: self.clock, from: lease, to: HolderId::authority() });
            }
            Err(error) => assert!(matches!(error, AllotmentError::LeaseClosed { .. }), "{error}"),
        }
    }

    /// The device comes back as it was when last backed up, as a new writer that speaks for the same holders.
    fn restore(&mut self, at: usize) {
        let device = &mut self.devices[at];
        let Some(backup) = &device.backup else { return };
        self.restores += 1;
        let document = Document::load(&backup.bytes, ActorId::from_bytes([100 + self.restores; 16])).unwrap();
        device.allotment = Allotment::open(document, self.pool.clone(), self.trust.clone()).unwrap();
        let mut holders = vec![device.name.holder().clone(), device.lease.holder().clone()];
        if at == 0 {
            holders.push(HolderId::authority());
        }
        for holder in holders {
            let since = self.restored.entry(holder).or_insert(backup.taken);
            *since = backup.taken.min(*since);
        }
    }

    /// Who was restored, and whoever took rights from those since the backup was taken, and so on.
    fn tainted(&self) -> BTreeMap<HolderId, usize> {
        let mut tainted = self.restored.clone();
        loop {
            let before = tainted.clone();
            for Moved { when, from, to } in &self.moves {
                if tainted.get(from).is_some_and(|since| since <= when) {
                    let since = tainted.entry(to.clone()).or_insert(*when);
                    *since = (*when).min(*since);
                }
            }
            if tainted == before {
                return tainted;
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, part: Option<&Index>) {
        let heads = self.devices[to].allotment.document().heads();
        let mut changes = self.devices[from].allotment.document_mut().changes_for_peer(&heads);
        if let Some(part) = part {
            changes.truncate(part.index(changes.len() + 1));
        }
        let applied = self.devices[to].allotment.document_mut().apply(changes).unwrap();
        assert_eq!(applied.refused, []);
    }
    /// What must hold on a replica whenever something happened there.
    fn check(&mut self, at: usize) {
        let tainted = self.tainted();
        let allotment = &mut self.devices[at].allotment;
        allotment.refresh();
        let view = allotment.view().clone();
        assert!(view.used() <= view.minted() && view.minted().get() <= self.minted, "oversold: {view:?}");
        let counted: u64 = view.holders().values().map(|holder| holder.used().get()).sum();
        assert_eq!(counted, view.used().get());
        for (holder, shown) in view.holders() {
            let short = !shown.struck.is_empty() || !shown.struck_gifts.is_empty();
            assert!(!short || tainted.contains_key(holder), "{holder} is short: {shown:?}");
        }
        if tainted.is_empty() {
            let left: u64 = view.holders().values().map(|holder| holder.rights.get()).sum();
            assert_eq!(left + counted, view.minted().get(), "a right was lost: {view:?}");
        }
        let (document, seen) = (allotment.document(), allotment.signatures().clone());
        let scratch = Allotment::open_with(document, self.pool.clone(), self.trust.clone(), seen).unwrap();
        assert_eq!(scratch.view(), &view, "from scratch");
    }

    /// Everyone receives everything; a newcomer receives it change by change, in an order of its own, twice.
    fn heal(&mut self, order: &[Index]) {
        for _ in 0..2 {
            for device in 1..DEVICES {
                self.deliver(device, 0, None);
                self.deliver(0, device, None);
            }
        }
        (0..DEVICES).for_each(|at| self.check(at));
        let view = self.devices[0].allotment.view().clone();
        for device in &self.devices {
            assert_eq!(device.allotment.view(), &view);
        }
        let mut changes: Vec<Change> = self.devices[0].allotment.document().changes_since(&[]);
        changes.extend(changes.clone());
        let mut newcomer = Allotment::open(
            Document::new(ActorId::from_bytes([99; 16])),
            self.pool.clone(),
            self.trust.clone(),
        )
        .unwrap();
        for pick in order.iter().cycle() {
            if changes.is_empty() {
                break;
            }
            let change = changes.swap_remove(pick.index(changes.len()));
            newcomer.document_mut().apply([change]).unwrap();
            newcomer.refresh();
        }
        assert_eq!(newcomer.view(), &view);
    }

    /// What was granted counts, or its holder is told why not.
    fn every_yes_is_kept(&self) {
        let tainted = self.tainted();
        let view = self.devices[0].allotment.view();
        for (holder, order) in &self.granted {
            let shown = view.holder(holder).cloned().unwrap_or_default();
            let counts = shown.uses.contains_key(order);
            let void = holder.is_lease() && shown.closed && shown.voids.contains_key(order);
            let given_up = self.given_up.contains(&(holder.clone(), order.clone()));
            assert!(
                counts || void || given_up || tainted.contains_key(holder),
                "{holder} was granted {order}, and it is gone: {shown:?}"
            );
        }
    }
}

fn live(actions: &[Action], order: &[Index]) -> World {
    let mut world = World::new();
    for action in actions {
        world.take(action);
        world.check(action.at());
    }
    world.heal(order);
    world.every_yes_is_kept();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn honest_devices_never_oversell_and_are_never_short(
        actions in proptest::collection::vec(honest(), 1..60),
        order in proptest::collection::vec(any::<Index>(), 1..20),
    ) {
        live(&actions, &order);
    }

    #[test]
    fn restored_backups_never_oversell_and_hurt_only_whom_they_gave_to(
        actions in proptest::collection::vec(careless(), 1..60),
        order in proptest::collection::vec(any::<Index>(), 1..20),
    ) {
        live(&actions, &order);
    }
}
