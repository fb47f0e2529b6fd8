//! The network: connections as ordered streams of frames that are late, cut, swallowed or repeated.
//!
//! A connection behaves like a socket: what arrives, arrives in order. Everything else may go wrong. Connections overtake
//! one another; a partition swallows what is sent and each end learns of it when it gives up; a cut loses what was under
//! way; a transport that retries delivers a frame twice, the second time late.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crdt_core::time::Timestamp;

use crate::agenda::Agenda;
use crate::chance::Chance;

/// Who takes part in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeId {
    /// Runs a `Replica`.
    Device(usize),
    /// Runs a `Hub`.
    Relay(usize),
    /// Follows no protocol.
    Stranger(usize),
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(n) => write!(f, "device-{n}"),
            Self::Relay(n) => write!(f, "relay-{n}"),
            Self::Stranger(n) => write!(f, "stranger-{n}"),
        }
    }
}

/// One connection: an attempt to connect, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(u64);

impl LinkId {
    /// The number that machines know the connection by; never used twice.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link-{}", self.0)
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that dialed.
    Dialer,
    /// The one that was dialed.
    Listener,
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Dialer => 0,
            Self::Listener => 1,
        }
    }
}

/// Something under way to one end of a connection.
#[derive(Clone, Debug)]
pub struct Packet {
    pub link: LinkId,
    to: End,
    arrival: Arrival,
}

/// What reaches an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// To a dialer: the other end accepted.
    Opened,
    /// To a listener: somebody dialed.
    Accepted,
    Frame(Vec<u8>),
    /// The connection is over, or never came to be.
    Closed,
}

/// A packet that reached a node that is still there to receive it.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub to: NodeId,
    pub from: NodeId,
    pub link: LinkId,
    pub arrival: Arrival,
}

/// How the network behaves.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Time under way, in milliseconds.
    pub latency: RangeInclusive<u64>,
    /// In a thousand frames, how many hold up their direction of the connection.
    pub stall_permille: u64,
    /// How long, in milliseconds.
    pub stall: RangeInclusive<u64>,
    /// In a thousand frames, how many are delivered a second time, later.
    pub repeat_permille: u64,
    /// How long an end waits in silence before it gives a swallowed connection up, in milliseconds.
    pub give_up: RangeInclusive<u64>,
}

impl Weather {
    /// A network on which nothing goes wrong.
    pub fn calm() -> Self {
        Self { latency: 5..=60, stall_permille: 0, stall: 0..=0, repeat_permille: 0, give_up: 1_000..=5_000 }
    }
}

struct Link {
    nodes: [NodeId; 2],
    /// Whether an end is gone: it closed, was told, or crashed. Nothing reaches it any more.
    gone: [bool; 2],
    /// The latest arrival under way to each end: later ones come after it.
    latest: [Timestamp; 2],
    /// Nothing gets through any more, though the ends may not know.
    swallowed: bool,
}

/// All connections of the world.
pub struct Network {
    chance: Chance,
    weather: Weather,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    /// Pairs that can't reach each other, each named both ways.
    apart: BTreeSet<(NodeId, NodeId)>,
}

impl Network {
    pub fn new(seed: u64, weather: Weather) -> Self {
        let chance = Chance::new(seed, "network");
        Self { chance, weather, links: BTreeMap::new(), next_link: 1, apart: BTreeSet::new() }
    }

    /// From now on the network behaves like this.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// The connections that at least one end believes in.
    pub fn links(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// Begins a connection. The dialer is answered by `Opened` or `Closed`.
    pub fn dial<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, from: NodeId, to: NodeId) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let swallowed = self.apart.contains(&(from, to));
        self.links
            .insert(link, Link { nodes: [from, to], gone: [false; 2], latest: [agenda.now(); 2], swallowed });
        if swallowed {
            self.give_up(agenda, link, End::Dialer);
        } else {
            self.carry(agenda, link, End::Listener, Arrival::Accepted);
            self.carry(agenda, link, End::Dialer, Arrival::Opened);
        }
        link
    }

    /// Sends one frame from `node`'s end. Lost without notice if the connection is not what the sender believes.
    pub fn send<E: From<Packet>>(
        &mut self,
        agenda: &mut Agenda<E>,
        node: NodeId,
        link: LinkId,
        frame: Vec<u8>,
    ) {
        let Some(end) = self.end_of(link, node) else { return };
        if self.chance.permille(self.weather.repeat_permille) {
            let again = self.chance.millis(1..=2_000);
            let at = self.links[&link].latest[end.other().index()] + again;
            let packet = Packet { link, to: end.other(), arrival: Arrival::Frame(frame.clone()) };
            agenda.schedule(at, packet);
        }
        self.carry(agenda, link, end.other(), Arrival::Frame(frame));
    }

    /// `node` closes its end. What is under way to the other end arrives before it learns.
    pub fn close<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, node: NodeId, link: LinkId) {
        let Some(end) = self.end_of(link, node) else { return };
        self.carry(agenda, link, end.other(), Arrival::Closed);
        self.leave(link, end);
    }

    /// `node` is gone without a word. The others learn when they give up.
    pub fn vanish<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, node: NodeId) {
        for link in self.links() {
            let Some(end) = self.end_of(link, node) else { continue };
            self.links.get_mut(&link).expect("just found").swallowed = true;
            self.give_up(agenda, link, end.other());
            self.leave(link, end);
        }
    }

    /// Breaks one connection: what is under way is lost, and each end learns of it in its own time.
    pub fn cut<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, link: LinkId) {
        let Some(cut) = self.links.get_mut(&link) else { return };
        cut.swallowed = true;
        for end in [End::Dialer, End::Listener] {
            let at = agenda.now() + self.chance.millis(0..=500);
            agenda.schedule(at, Packet { link, to: end, arrival: Arrival::Closed });
        }
    }

    /// Sets the nodes of one side apart from all others. Connections across are swallowed.
    pub fn part<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, side: &[NodeId], rest: &[NodeId]) {
        for &one in side {
            for &other in rest {
                self.apart.insert((one, other));
                self.apart.insert((other, one));
            }
        }
        for link in self.links() {
            let broken = &self.links[&link];
            if !broken.swallowed && self.apart.contains(&(broken.nodes[0], broken.nodes[1])) {
                self.swallow(agenda, link);
            }
        }
    }

    /// Everybody can reach everybody again. What was swallowed stays lost.
    pub fn join(&mut self) {
        self.apart.clear();
    }

    /// To whom a packet is under way.
    pub fn destination(&self, packet: &Packet) -> Option<NodeId> {
        Some(self.links.get(&packet.link)?.nodes[packet.to.index()])
    }

    /// What a packet comes to on arrival. `None` when nobody is there to receive it.
    pub fn arrive(&mut self, packet: Packet) -> Option<Delivery> {
        let link = self.links.get(&packet.link)?;
        if link.gone[packet.to.index()] || (link.swallowed && packet.arrival != Arrival::Closed) {
            return None;
        }
        let (to, from) = (link.nodes[packet.to.index()], link.nodes[packet.to.other().index()]);
        if packet.arrival == Arrival::Closed {
            self.leave(packet.link, packet.to);
        }
        Some(Delivery { to, from, link: packet.link, arrival: packet.arrival })
    }

    /// Refuses a connection that just arrived: nobody listens there.
    pub fn refuse<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, link: LinkId) {
        self.carry(agenda, link, End::Dialer, Arrival::Closed);
        self.leave(link, End::Listener);
    }

    fn end_of(&self, link: LinkId, node: NodeId) -> Option<End> {
        let nodes = self.links.get(&link)?;
        let end = if nodes.nodes[0] == node { End::Dialer } else { End::Listener };
        (nodes.nodes[end.index()] == node && !nodes.gone[end.index()]).then_some(end)
    }

    fn carry<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, link: LinkId, to: End, arrival: Arrival) {
        let mut under_way = self.chance.millis(self.weather.latency.clone());
        if self.chance.permille(self.weather.stall_permille) {
            under_way += self.chance.millis(self.weather.stall.clone());
        }
        let latest =
            &mut self.links.get_mut(&link).expect("both ends know the connection").latest[to.index()];
        *latest = (agenda.now() + under_way).max(*latest);
        agenda.schedule(*latest, Packet { link, to, arrival });
    }

    fn swallow<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, link: LinkId) {
        self.links.get_mut(&link).expect("listed above").swallowed = true;
        self.give_up(agenda, link, End::Dialer);
        self.give_up(agenda, link, End::Listener);
    }

    fn give_up<E: From<Packet>>(&mut self, agenda: &mut Agenda<E>, link: LinkId, end: End) {
        let patience: Duration = self.chance.millis(self.weather.give_up.clone());
        agenda.schedule(agenda.now() + patience, Packet { link, to: end, arrival: Arrival::Closed });
    }

    fn leave(&mut self, link: LinkId, end: End) {
        let left = self.links.get_mut(&link).expect("the end was there");
        left.gone[end.index()] = true;
        if left.gone == [true; 2] {
            self.links.remove(&link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: NodeId = NodeId::Device(0);
    const RELAY: NodeId = NodeId::Relay(0);

    struct Scene {
        network: Network,
        agenda: Agenda<Packet>,
    }

    impl Scene {
        fn new(weather: Weather) -> Self {
            Self { network: Network::new(1, weather), agenda: Agenda::new(Timestamp::ZERO) }
        }

        /// Everything that arrives until nothing is under way, as who got what.
        fn settle(&mut self) -> Vec<(NodeId, Arrival)> {
            let mut arrived = Vec::new();
            while !self.agenda.is_empty() {
                let packet = self.agenda.next_until(Timestamp::MAX).expect("something is scheduled");
                arrived.extend(self.network.arrive(packet).map(|delivery| (delivery.to, delivery.arrival)));
            }
            arrived
        }

        fn connect(&mut self) -> LinkId {
            let link = self.network.dial(&mut self.agenda, PHONE, RELAY);
            let mut arrived = self.settle();
            arrived.sort_by_key(|(node, _)| *node);
            assert_eq!(arrived, [(PHONE, Arrival::Opened), (RELAY, Arrival::Accepted)]);
            link
        }

        fn send(&mut self, from: NodeId, link: LinkId, byte: u8) {
            self.network.send(&mut self.agenda, from, link, vec![byte]);
        }
    }

    fn stormy() -> Weather {
        Weather { stall_permille: 200, stall: 100..=9_000, give_up: 500..=60_000, ..Weather::calm() }
    }

    #[test]
    fn frames_of_one_connection_arrive_in_order_and_connections_overtake() {
        let mut scene = Scene::new(stormy());
        let (first, second) = (scene.connect(), scene.connect());
        for n in 0..50 {
            scene.send(PHONE, first, n);
            scene.send(PHONE, second, 100 + n);
        }
        let arrived = scene.settle();
        let bytes: Vec<u8> = arrived
            .iter()
            .map(|(_, arrival)| match arrival {
                Arrival::Frame(frame) => frame[0],
                other => panic!("{other:?}"),
            })
            .collect();
        let of = |range: std::ops::Range<u8>| {
            bytes.iter().copied().filter(|n| range.contains(n)).collect::<Vec<_>>()
        };
        assert_eq!(of(0..50), (0..50).collect::<Vec<_>>());
        assert_eq!(of(100..150), (100..150).collect::<Vec<_>>());
        let alternating: Vec<u8> = (0..50).flat_map(|n| [n, 100 + n]).collect();
        assert_ne!(bytes, alternating);
    }

    #[test]
    fn closing_delivers_what_is_under_way_first() {
        let mut scene = Scene::new(Weather::calm());
        let link = scene.connect();
        scene.send(PHONE, link, 1);
        scene.send(RELAY, link, 2);
        scene.network.close(&mut scene.agenda, PHONE, link);
        scene.send(PHONE, link, 3);
        assert_eq!(scene.settle(), [(RELAY, Arrival::Frame(vec![1])), (RELAY, Arrival::Closed)]);
        assert_eq!(scene.network.links(), []);
    }

    #[test]
    fn a_cut_loses_what_is_under_way_and_both_ends_learn() {
        let mut scene = Scene::new(Weather::calm());
        let link = scene.connect();
        scene.send(PHONE, link, 1);
        scene.network.cut(&mut scene.agenda, link);
        let mut arrived = scene.settle();
        arrived.sort_by_key(|(node, _)| *node);
        assert_eq!(arrived, [(PHONE, Arrival::Closed), (RELAY, Arrival::Closed)]);
        assert_eq!(scene.network.links(), []);
    }

    #[test]
    fn a_partition_swallows_and_refuses_until_joined() {
        let mut scene = Scene::new(Weather::calm());
        let link = scene.connect();
        scene.network.part(&mut scene.agenda, &[PHONE], &[RELAY]);
        scene.send(RELAY, link, 1);
        let dialed = scene.network.dial(&mut scene.agenda, PHONE, RELAY);
        let arrived = scene.settle();
        assert_eq!(arrived.len(), 3, "{arrived:?}");
        assert!(arrived.iter().all(|(_, arrival)| *arrival == Arrival::Closed));
        assert!(scene.network.end_of(dialed, PHONE).is_none());
        scene.network.join();
        scene.connect();
    }

    #[test]
    fn the_other_end_of_a_vanished_node_learns_late() {
        let mut scene = Scene::new(stormy());
        let link = scene.connect();
        scene.send(PHONE, link, 1);
        let before = scene.agenda.now();
        scene.network.vanish(&mut scene.agenda, PHONE);
        scene.send(RELAY, link, 2);
        assert_eq!(scene.settle(), [(RELAY, Arrival::Closed)]);
        assert!(scene.agenda.now() >= before);
        assert_eq!(scene.network.links(), []);
    }

    #[test]
    fn a_transport_that_retries_repeats_frames() {
        let mut scene = Scene::new(Weather { repeat_permille: 1000, ..Weather::calm() });
        let link = scene.connect();
        scene.send(PHONE, link, 1);
        assert_eq!(scene.settle().len(), 2);
    }
}
