//! Drawing a plan from a seed.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use crdt_core::id::{DocumentId, DocumentName};
use crdt_core::kind::Kind;
use crdt_core::time::Timestamp;

use super::{
    BEGINNING, DevicePlan, DocumentPlan, Habits, Happening, Order, Person, Plan, RelayWays, Right,
    StrangerPlan, TENANT,
};
use crate::chance::Chance;
use crate::disk::Health;
use crate::network::{NodeId, Weather};

/// How many devices a world has. Most worlds are small: they are quick, and few bugs need a crowd.
const CROWDS: [(u64, RangeInclusive<u64>); 3] = [(75, 2..=4), (20, 5..=8), (5, 9..=20)];

/// How many relays, out of six worlds.
const RELAYS: [usize; 6] = [1, 1, 1, 1, 2, 3];

/// How many milliseconds lie between two troubles of a kind, about, and what happens.
type Trouble<'a> = (u64, &'a dyn Fn(&mut Chance) -> Happening);

pub(super) fn plan(seed: u64) -> Plan {
    let mut draw = Draw { chance: Chance::new(seed, "plan") };
    let relays = RELAYS[draw.chance.index(RELAYS.len())];
    let devices = draw.devices(relays);
    let documents = draw.documents(&devices);
    let strangers = draw.strangers(&devices, relays);
    let mut plan = Plan {
        seed,
        relays,
        relay_ways: draw.relay_ways(&devices, relays, &strangers, &documents),
        strangers,
        weather: draw.weather(),
        device_disk: draw.disk(),
        relay_disk: draw.disk(),
        torment: draw.chance.millis(10_000..=45_000),
        devices,
        documents,
        happenings: Vec::new(),
    };
    draw.happenings(&mut plan);
    plan
}

struct Draw {
    chance: Chance,
}

impl Draw {
    /// The first device belongs to the service and connects to every relay, so that no two relays are worlds apart.
    fn devices(&mut self, relays: usize) -> Vec<DevicePlan> {
        let crowd = self.chance.within(0..=99);
        let mut below = 0;
        let of_crowd = CROWDS.iter().find(|(percent, _)| {
            below += percent;
            crowd < below
        });
        let count = self.chance.within(of_crowd.expect("the percentages add up").1.clone());
        let persons = 1 + self.chance.within(1..=count.min(5));
        let clocks_off = self.chance.percent(50);
        let direct = self.chance.percent(30);
        let mut devices = Vec::new();
        for n in 0..usize::try_from(count).expect("a crowd fits") {
            let person = if n == 0 { 0 } else { self.chance.within(1..=persons - 1) };
            devices.push(DevicePlan {
                person: Person(usize::try_from(person).expect("a crowd fits")),
                relays: if n == 0 { (0..relays).collect() } else { self.some_relays(relays) },
                peers: if n > 0 && direct && self.chance.percent(40) {
                    vec![self.chance.index(n)]
                } else {
                    Vec::new()
                },
                clock_off: if clocks_off { self.signed(3_600_000) } else { 0 },
                habits: Habits {
                    keeps_actor: self.chance.percent(30),
                    keeps_name: self.chance.percent(50),
                    names_store: self.chance.percent(70),
                },
            });
        }
        devices
    }

    fn some_relays(&mut self, relays: usize) -> Vec<usize> {
        let one = self.chance.index(relays);
        (0..relays).filter(|relay| *relay == one || self.chance.percent(30)).collect()
    }

    /// Everyone's own cart, and a few documents that some of the others may read or write.
    fn documents(&mut self, devices: &[DevicePlan]) -> Vec<DocumentPlan> {
        let mut persons: Vec<Person> = devices.iter().map(|device| device.person).collect();
        persons.sort_unstable();
        persons.dedup();
        let mut documents: Vec<DocumentPlan> = persons
            .iter()
            .map(|owner| DocumentPlan {
                id: cart_of(*owner),
                kind: Kind::Cart,
                owner: *owner,
                rights: BTreeMap::new(),
            })
            .collect();
        for _ in 0..self.chance.within(0..=3) {
            let bytes = self.chance.bytes(16).try_into().expect("sixteen were drawn");
            let owner = *self.chance.pick(&persons).expect("somebody is there");
            let rights = persons
                .iter()
                .filter(|person| **person != owner)
                .filter_map(|person| {
                    let right = *self.chance.pick(&[None, Some(Right::Read), Some(Right::Write)])?;
                    Some((*person, right?))
                })
                .collect();
            let kind = *self.chance.pick(&Kind::ALL).expect("there are kinds");
            documents.push(DocumentPlan { id: DocumentId::from_bytes(bytes), kind, owner, rights });
        }
        for document in &mut documents {
            let service = Person(0);
            if document.owner != service {
                document.rights.insert(service, Right::Write);
            }
        }
        documents
    }

    fn strangers(&mut self, devices: &[DevicePlan], relays: usize) -> Vec<StrangerPlan> {
        if self.chance.percent(50) {
            return Vec::new();
        }
        let draw = |_| StrangerPlan {
            target: if self.chance.percent(80) {
                NodeId::Relay(self.chance.index(relays))
            } else {
                NodeId::Device(self.chance.index(devices.len()))
            },
            // Somebody with a person's credentials, who is none of that person's devices.
            person: devices[self.chance.index(devices.len())].person,
        };
        (0..2).map(draw).collect()
    }

    fn weather(&mut self) -> Weather {
        let mut weather = Weather::calm();
        if self.chance.percent(50) {
            weather.latency = 1..=self.chance.within(50..=3_000);
        }
        if self.chance.percent(40) {
            weather.stall_permille = self.chance.within(1..=50);
            weather.stall = 500..=20_000;
        }
        if self.chance.percent(30) {
            weather.repeat_permille = self.chance.within(1..=100);
        }
        weather.give_up = 500..=self.chance.within(1_000..=60_000);
        weather
    }

    fn disk(&mut self) -> Health {
        let slow = self.chance.percent(30);
        Health { flush: if slow { 5..=1_500 } else { 0..=15 }, ..Health::good() }
    }

    /// A document belongs to whoever first brings it only where nobody else is first.
    fn relay_ways(
        &mut self,
        devices: &[DevicePlan],
        relays: usize,
        strangers: &[StrangerPlan],
        documents: &[DocumentPlan],
    ) -> RelayWays {
        let writes_for_others =
            |person: Person| documents.iter().any(|plan| plan.rights.get(&person) == Some(&Right::Write));
        let is_simple = owner_is_first(devices, relays)
            && strangers.iter().all(|stranger| {
                matches!(stranger.target, NodeId::Relay(_)) && !writes_for_others(stranger.person)
            });
        RelayWays {
            permits_name_documents: self.chance.percent(50) || !is_simple,
            is_tight: self.chance.percent(40),
            permit_millis: self.chance.percent(20).then(|| self.chance.within(5_000..=60_000)),
            hubs: NonZeroU16::new([1, 1, 2, 3][self.chance.index(4)]).expect("some are there"),
            socket_millis: if self.chance.percent(20) { self.chance.within(100..=5_000) } else { 20 },
        }
    }

    fn happenings(&mut self, plan: &mut Plan) {
        let nodes: Vec<NodeId> =
            (0..plan.devices.len()).map(NodeId::Device).chain((0..plan.relays).map(NodeId::Relay)).collect();
        let devices = plan.devices.len();
        let mut all = Vec::new();
        let pause = self.chance.within(200..=4_000);
        for device in 0..devices {
            let node = NodeId::Device(device);
            self.repeat(plan.torment, pause, &mut all, |chance| Happening::Act { node, seed: chance.seed() });
        }
        for stranger in 0..plan.strangers.len() {
            let node = NodeId::Stranger(stranger);
            self.repeat(plan.torment, 800, &mut all, |chance| Happening::Act { node, seed: chance.seed() });
        }
        let node = |chance: &mut Chance| nodes[chance.index(nodes.len())];
        let shared = revocable(plan);
        let guests: Vec<_> = shareable(plan)
            .into_iter()
            .map(|(document, person)| {
                // Always the same: what somebody wrote who may only read by now is theirs alone, and no two would agree.
                let right = if self.chance.percent(50) { Right::Read } else { Right::Write };
                (document, person, right)
            })
            .collect();
        let relays = plan.relays;
        let troubles: [Trouble<'_>; 13] = [
            (4_000, &|chance| Happening::Cut { seed: chance.seed() }),
            (15_000, &|chance| {
                let side = nodes.iter().filter(|_| chance.percent(40)).copied().collect();
                Happening::Part { side, lasting: chance.millis(500..=20_000) }
            }),
            (10_000, &|chance| Happening::PowerLoss { node: node(chance), lasting: outage(chance) }),
            (8_000, &|chance| Happening::PowerLossAmidOutputs {
                node: node(chance),
                outputs: chance.within(0..=30),
                lasting: outage(chance),
            }),
            (12_000, &|chance| Happening::Sleep {
                node: NodeId::Device(chance.index(devices)),
                lasting: chance.millis(1_000..=40_000),
            }),
            (20_000, &|chance| {
                let by = i64::try_from(chance.within(0..=7_200_000)).expect("hours fit");
                Happening::ClockJump { node: node(chance), by: by - 3_600_000 }
            }),
            (12_000, &|chance| Happening::DiskFails {
                node: node(chance),
                percent: chance.within(5..=100),
                lasting: chance.millis(500..=8_000),
            }),
            (25_000, &|chance| Happening::DiskFull {
                node: node(chance),
                lasting: chance.millis(500..=8_000),
            }),
            (25_000, &|chance| Happening::Restart { relay: chance.index(relays), lasting: outage(chance) }),
            (20_000, &|chance| match chance.pick(&shared) {
                Some((document, person)) => Happening::Revoke { document: *document, person: *person },
                None => Happening::Cut { seed: chance.seed() },
            }),
            (10_000, &|chance| match chance.pick(&guests).copied() {
                Some((document, person, right)) => Happening::Order(Order::Share { document, person, right }),
                None => Happening::Cut { seed: chance.seed() },
            }),
            (15_000, &|chance| match chance.pick(&guests).copied() {
                Some((document, person, _)) => Happening::Order(Order::Unshare { document, person }),
                None => Happening::Cut { seed: chance.seed() },
            }),
            (60_000, &|chance| match chance.pick(&guests).copied() {
                Some((document, ..)) => Happening::Order(Order::Erase { document }),
                None => Happening::Cut { seed: chance.seed() },
            }),
        ];
        for (pause, trouble) in troubles {
            if self.chance.percent(50) {
                let pause = self.chance.within(pause / 2..=pause * 2);
                self.repeat(plan.torment, pause, &mut all, trouble);
            }
        }
        all.sort_by_key(|(at, _)| *at);
        plan.happenings = all;
    }

    /// Lets something happen again and again, `pause` milliseconds apart on average.
    fn repeat(
        &mut self,
        torment: Duration,
        pause: u64,
        all: &mut Vec<(Timestamp, Happening)>,
        mut happening: impl FnMut(&mut Chance) -> Happening,
    ) {
        let end = BEGINNING + torment;
        let mut at = BEGINNING;
        loop {
            at = at + self.chance.millis(0..=2 * pause);
            if at >= end {
                return;
            }
            all.push((at, happening(&mut self.chance)));
        }
    }

    fn signed(&mut self, size: u64) -> i64 {
        let size = i64::try_from(size).expect("a clock is off by hours at most");
        i64::try_from(self.chance.within(0..=2 * size.unsigned_abs())).expect("as above") - size
    }
}

/// Whether a document's owner brings it to a relay before others can: it is not copied by other ways.
fn owner_is_first(devices: &[DevicePlan], relays: usize) -> bool {
    relays == 1 && devices.iter().all(|device| device.peers.is_empty())
}

/// The rights that may be taken back. A writer who may be the first to bring a document to a relay owns it there, and an
/// owner stays the owner.
fn revocable(plan: &Plan) -> Vec<(DocumentId, Person)> {
    let owner_is_first = owner_is_first(&plan.devices, plan.relays);
    let may_come_first =
        |person: &Person| !owner_is_first || plan.strangers.iter().any(|stranger| stranger.person == *person);
    let rights = plan
        .documents
        .iter()
        .flat_map(|document| document.rights.iter().map(|(person, right)| (document.id, *person, *right)));
    rights
        .filter(|(_, person, right)| {
            *person != Person(0) && (*right == Right::Read || !may_come_first(person))
        })
        .map(|(document, person, _)| (document, person))
        .collect()
}

/// Whom the documents themselves can let in: those to whom their permits give nothing. Only where there is one relay, since
/// each relay has its own answer to who may use a document.
fn shareable(plan: &Plan) -> Vec<(DocumentId, Person)> {
    let mut persons: Vec<Person> = plan.devices.iter().map(|device| device.person).collect();
    persons.sort_unstable();
    persons.dedup();
    let documents = plan.documents.iter().filter(|_| plan.relays == 1);
    let pairs = documents.flat_map(|document| persons.iter().map(move |person| (document, *person)));
    pairs
        .filter(|(document, person)| document.right_of(*person).is_none())
        .map(|(document, person)| (document.id, person))
        .collect()
}

fn outage(chance: &mut Chance) -> Duration {
    chance.millis(50..=10_000)
}

fn cart_of(person: Person) -> DocumentId {
    let owner = person.to_string();
    DocumentId::derive(&DocumentName { tenant: TENANT, kind: "cart", owner: &owner, name: "main" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_plan() {
        assert_eq!(format!("{:?}", Plan::draw(7)), format!("{:?}", Plan::draw(7)));
        assert_ne!(format!("{:?}", Plan::draw(7)), format!("{:?}", Plan::draw(8)));
    }

    #[test]
    fn plans_are_as_different_as_worlds_should_be() {
        let plans: Vec<Plan> = (0..300).map(Plan::draw).collect();
        let seen = |of: &dyn Fn(&Plan) -> usize| -> std::collections::BTreeSet<usize> {
            plans.iter().map(of).collect()
        };
        let crowds = seen(&|plan| plan.devices.len());
        assert_eq!(crowds.first(), Some(&2));
        assert!(crowds.last() > Some(&12) && crowds.last() <= Some(&20), "{crowds:?}");
        assert_eq!(seen(&|plan| plan.relays), [1, 2, 3].into());
        let kinds = seen(&|plan| {
            let kinds = plan.happenings.iter().map(|(_, happening)| std::mem::discriminant(happening));
            kinds.collect::<std::collections::HashSet<_>>().len()
        });
        assert!(kinds.first() <= Some(&2) && kinds.last() >= Some(&7), "{kinds:?}");
    }

    #[test]
    fn everyone_reads_their_own_and_the_service_everything() {
        for plan in (0..100).map(Plan::draw) {
            assert_eq!(plan.readable(plan.service()).count(), plan.documents.len());
            assert_eq!(plan.devices[0].relays, (0..plan.relays).collect::<Vec<_>>());
            for device in &plan.devices {
                assert!(!device.relays.is_empty());
                assert!(plan.readable(device.person).any(|document| document.id == cart_of(device.person)));
            }
        }
    }
}
