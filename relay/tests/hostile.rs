//! Whatever strangers do over a real socket, they are told or dropped, and two others go on as if nothing had happened.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::limits::EPHEMERAL_BYTES_MAX;
use crdt_core::wire::{DenialCode, Ephemeral, Frame, PeerRef, Route, SessionRef};
use pannier_forge::chunk::{Header, inflating_chunk};
use pannier_forge::message::{SyncMessage, bloom};
use pannier_tests::client::Client;
use pannier_tests::device::Device;
use pannier_tests::process::RelayProcess;
use tempfile::TempDir;

const CART: DocumentId = DocumentId::from_bytes([7; 16]);

/// How long the others may take for what takes them milliseconds, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a relay may bear with somebody who does not get to the point.
const FORBEARANCE: Duration = Duration::from_mins(1);

/// A relay, and two devices that share a cart through it.
struct Scene {
    relay: RelayProcess,
    phone: (Device, Client),
    laptop: (Device, Client),
    written: usize,
    _folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let relay = RelayProcess::start(folder.path());
        let join = |name: &str| (Device::new(name, CART), Client::join(relay.address(), name).unwrap());
        let (phone, laptop) = (join("phone"), join("laptop"));
        let mut scene = Self { relay, phone, laptop, written: 0, _folder: folder };
        scene.others_go_on("nobody");
        scene
    }

    fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    fn stranger(&self) -> Client {
        Client::join(self.address(), "tablet").unwrap()
    }

    /// The phone writes, and the laptop reads it, over connections that were there before.
    fn others_go_on(&mut self, after: &str) {
        let began = Instant::now();
        self.written += 1;
        let (phone, client) = &mut self.phone;
        phone.put(&format!("n/{}", self.written), after);
        phone.bring(client).unwrap();
        let (laptop, client) = &mut self.laptop;
        laptop.fetch(client).unwrap();
        assert!(laptop.document.changes_since(&[]).len() >= self.written, "after {after}");
        assert!(began.elapsed() < PATIENCE, "{:?} after {after}", began.elapsed());
    }

    /// A change that somebody could write next.
    fn header(&self) -> Header {
        let deps = self.phone.0.document.heads();
        Header { deps, actor: ActorId::from_bytes([9; 16]), seq: 1, start_op: 1000 }
    }
}

fn bringing(change: Vec<u8>) -> SyncMessage {
    let heads = vec![ChangeHash::from_bytes([1; 32])];
    SyncMessage { heads, changes: vec![change], ..SyncMessage::default() }
}

fn with_filter(filter: Vec<u8>) -> SyncMessage {
    SyncMessage { have: vec![(Vec::new(), filter)], ..SyncMessage::default() }
}

/// The next refusal, over whatever else is said.
fn denial(client: &mut Client) -> Option<(Option<DocumentId>, DenialCode)> {
    loop {
        let frame = client.receive().ok()?;
        if let Ok(Frame::Denied { denial, .. }) = Frame::decode(&frame) {
            assert!(!denial.reason.is_empty());
            return Some((denial.document, denial.code));
        }
    }
}

/// Whether the relay has closed, or reset, a connection on which nothing more is sent, within `time`.
fn is_closed(stream: &mut TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).unwrap();
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

#[test]
fn sync_messages_that_no_honest_peer_sends_are_refused() {
    let mut scene = Scene::new();
    let mut wrong = scene.header().put("n/cart", "forged");
    *wrong.last_mut().unwrap() ^= 1;
    let messages = [
        ("a filter of no bits", with_filter(bloom(1, 0, 7, &[]))),
        ("a filter of millions of probes", with_filter(bloom(1, 10, 1 << 26, &[0xff, 0x03]))),
        ("a change that inflates too far", bringing(inflating_chunk(256 << 20))),
        ("a wrong checksum", bringing(wrong)),
        ("garbage under a checksum", bringing(scene.header().noise(&[0x05, 0xff, 0x13]))),
        ("a sequence number out of order", bringing(Header { seq: 5, ..scene.header() }.put("n/cart", "x"))),
        ("a whole document", bringing(scene.phone.0.document.save())),
    ];
    for (what, message) in messages {
        let mut tablet = scene.stranger();
        let data = message.encode();
        let frame = Frame::Sync { route: tablet.route(), document: CART, data: &data }.encode();
        tablet.send_bytes(frame).unwrap();
        assert_eq!(denial(&mut tablet), Some((Some(CART), DenialCode::Invalid)), "{what}");
        scene.others_go_on(what);
    }
}

#[test]
fn what_is_no_frame_ends_the_connection_and_says_why() {
    let mut scene = Scene::new();
    let route = |sender| Route { sender, target: PeerRef::new("relay").unwrap() };
    let in_anothers_name = Frame::Ping { route: route(PeerRef::new("phone").unwrap()), count: 1 }.encode();
    let mut cut = in_anothers_name.clone();
    cut.pop();
    for (what, bytes) in [
        ("noise", vec![0xff; 300]),
        ("nothing at all", Vec::new()),
        ("half a frame", cut),
        ("nests without end", vec![0x81; 100_000]),
        ("a list that claims to be endless", vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a frame in somebody else's name", in_anothers_name),
    ] {
        let mut tablet = scene.stranger();
        tablet.send_bytes(bytes).unwrap();
        assert_eq!(denial(&mut tablet), Some((None, DenialCode::Invalid)), "{what}");
        assert!(tablet.receive().is_err(), "{what}: the connection goes on");
        scene.others_go_on(what);
    }
}

#[test]
fn thousands_of_unknown_documents_take_nothing() {
    let mut scene = Scene::new();
    let mut tablet = scene.stranger();
    let data = SyncMessage::default().encode();
    for number in 0..3_000_u32 {
        let mut bytes = [8; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let document = DocumentId::from_bytes(bytes);
        let frame = Frame::Request { route: tablet.route(), document, data: &data }.encode();
        tablet.send_bytes(frame).unwrap();
    }
    scene.others_go_on("many questions");
}

/// A WebSocket without the library that keeps its rules.
fn raw_socket(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"));
    stream
}

#[test]
fn a_message_that_never_ends_is_cut_off() {
    let mut scene = Scene::new();
    let mut stream = raw_socket(scene.address());
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // A fragment of a megabyte of zeros under a mask of zeros, and never the last one.
    let mut fragment = vec![0x00, 0xff];
    fragment.extend_from_slice(&(1_u64 << 20).to_be_bytes());
    fragment.extend_from_slice(&[0; 4]);
    fragment.resize(fragment.len() + (1 << 20), 0);
    let mut first = fragment.clone();
    first[0] = 0x02;
    let mut sent = stream.write_all(&first).map(|()| 1);
    while let Ok(count) = sent
        && count < 200
    {
        sent = stream.write_all(&fragment).map(|()| count + 1);
    }
    assert!(sent.is_err(), "200 MiB of one message were taken");
    scene.others_go_on("an endless message");
}

#[test]
fn a_frame_that_claims_to_be_huge_is_cut_off() {
    let mut scene = Scene::new();
    let mut stream = raw_socket(scene.address());
    let mut head = vec![0x82, 0xff];
    head.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    stream.write_all(&head).unwrap();
    assert!(is_closed(&mut stream, PATIENCE));
    scene.others_go_on("a huge claim");
}

#[test]
fn who_never_gets_to_the_point_is_dropped() {
    let mut scene = Scene::new();
    let half = |text: &str| {
        let mut stream = TcpStream::connect(scene.relay.address()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut slow: Vec<_> = (0..50).map(|_| half("GET / HTTP/1.1\r\nhost: relay\r\nx-slow: ")).collect();
    let mut silent: Vec<_> = (0..50).map(|_| half("")).collect();
    silent.extend((0..5).map(|_| raw_socket(scene.relay.address())));
    scene.others_go_on("a hundred who say nothing");
    let began = Instant::now();
    while began.elapsed() < FORBEARANCE {
        // One more letter now and then, so that nobody is merely idle.
        for stream in &mut slow {
            stream.write_all(b"a").ok();
        }
        std::thread::sleep(Duration::from_secs(1));
        for streams in [&mut slow, &mut silent] {
            streams.retain_mut(|stream| !is_closed(stream, Duration::from_millis(1)));
        }
        if slow.is_empty() && silent.is_empty() {
            break;
        }
    }
    let left = (slow.len(), silent.len());
    assert_eq!(left, (0, 0), "they are still borne with after {FORBEARANCE:?}");
    scene.others_go_on("a hundred who said nothing");
}

#[test]
fn a_crowd_that_comes_and_goes_disturbs_nobody() {
    let mut scene = Scene::new();
    let began = Instant::now();
    for round in 0..10_000 {
        drop(TcpStream::connect(scene.address()).unwrap());
        if round % 2_500 == 0 {
            scene.others_go_on("some of a crowd");
        }
    }
    assert!(began.elapsed() < FORBEARANCE, "{:?}", began.elapsed());
    scene.others_go_on("a crowd");
}

#[test]
fn a_reader_that_never_reads_costs_its_queue_and_no_more() {
    const LOUD: usize = 200;
    let mut scene = Scene::new();
    let mut loud = scene.stranger();
    let mut note = Device::new("tablet", DocumentId::from_bytes([8; 16]));
    note.put("n/cart", "loud");
    note.bring(&mut loud).unwrap();
    let mut deaf = Client::join(scene.address(), "watch").unwrap();
    let data = SyncMessage::default().encode();
    let frame = Frame::Request { route: deaf.route(), document: note.id, data: &data }.encode();
    deaf.send_bytes(frame).unwrap();
    scene.others_go_on("a request");

    let before = scene.relay.memory_bytes();
    let (session, data) = (SessionRef::new("run").unwrap(), vec![7; EPHEMERAL_BYTES_MAX]);
    for count in 1..=LOUD as u64 {
        let (route, document) = (loud.route(), note.id);
        let shout = Frame::Ephemeral(Ephemeral { route, document, session, count, data: &data });
        let shout = shout.encode();
        loud.send_bytes(shout).unwrap();
    }
    scene.others_go_on("shouts that nobody reads");
    // The relay has taken them all once it answers.
    let ping = Frame::Ping { route: loud.route(), count: 1 }.encode();
    loud.send_bytes(ping).unwrap();
    while !matches!(Frame::decode(&loud.receive().unwrap()), Ok(Frame::Pong { .. })) {}
    let grown = scene.relay.memory_bytes().saturating_sub(before);
    let shouted = LOUD * EPHEMERAL_BYTES_MAX;
    assert!(grown < shouted / 3, "{} KiB more for {} KiB of shouts", grown >> 10, shouted >> 10);
}
