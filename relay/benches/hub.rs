//! What one more change costs a relay: through the hub, and through live Automerge documents in the same run.
//!
//! `cargo xtask bench relay-hub`. An event is everything between the arrival of a frame and the last frame that follows
//! from it, without storage and sockets: decoded, verified, handed out to be stored, and once stored sent to the other
//! follower and acknowledged to the author. A relay that opens its documents does the same with each frame: decodes it, takes
//! it in, makes what is to be stored, and sends to both. First a report is printed (how much less than live documents; how the cost
//! depends on how many documents and connections there are), then criterion measures what `targets.txt` bounds.

#![expect(clippy::cast_precision_loss, reason = "counts of events are small")]

mod stage;

use std::time::{Duration, Instant};

use automerge::sync::{Message, State, SyncDoc};
use automerge::{Automerge, Change};
use crdt_core::wire::{Frame, PeerRef, Route};
use criterion::{Criterion, criterion_group, criterion_main};

use self::stage::{History, PHONE, Stage, frame_of, reader};

/// Sizes of documents, in changes: with how much less than live documents each is to be relayed, and in how many documents
/// and how many events a document it is measured.
const SIZES: [Size; 2] = [
    Size { changes: 20, times_less: 10.0, documents: 64, events: 1 },
    Size { changes: 10_000, times_less: 50.0, documents: 1, events: 64 },
];

#[derive(Clone, Copy)]
struct Size {
    changes: usize,
    times_less: f64,
    documents: usize,
    events: usize,
}

impl Size {
    fn all_events(self) -> u64 {
        (self.documents * self.events) as u64
    }
}

/// Relays each event of one round through a hub; the time of the events alone.
fn through_hub(history: &History, size: Size) -> Duration {
    let mut stage = Stage::new(1);
    for _ in 0..size.documents {
        stage.open(history, size.changes, &[PHONE, reader(0)]);
    }
    let mut time = Duration::ZERO;
    for n in size.changes..size.changes + size.events {
        for document in 0..size.documents {
            let frame = frame_of(document, PHONE, &history.news(n));
            let thanks = frame_of(document, reader(0), &history.thanks(n));
            let began = Instant::now();
            let sent = stage.give(PHONE, frame);
            time += began.elapsed();
            assert_eq!(sent, 2, "one to the author, one to the other");
            stage.give(reader(0), thanks);
        }
    }
    time
}

/// A document as a relay that opens it would keep it, and what it knows of two devices.
#[derive(Clone)]
struct Live {
    document: Automerge,
    phone: State,
    laptop: State,
}

impl Live {
    fn new(history: &History, changes: usize) -> Self {
        let parsed = history.changes[..changes].iter().map(|bytes| Change::try_from(&bytes[..]).unwrap());
        let mut document = Automerge::new();
        document.apply_changes(parsed).unwrap();
        let (phone, laptop) = (in_step(&document), in_step(&document));
        Self { document, phone, laptop }
    }

    /// Takes a device's frame in, makes what is to be stored, and then the frames that follow from it.
    fn relay(&mut self, frame: &[u8]) -> usize {
        let Frame::Sync { route, document, data } = Frame::decode(frame).unwrap() else {
            panic!("another frame")
        };
        let before = self.document.get_heads();
        self.document.receive_sync_message(&mut self.phone, Message::decode(data).unwrap()).unwrap();
        let stored = self.document.save_after(&before);
        assert!(!stored.is_empty());
        let others = [(&mut self.laptop, reader_name()), (&mut self.phone, route.sender)];
        let sent = others.into_iter().filter_map(|(state, target)| {
            let data = self.document.generate_sync_message(state)?.encode();
            let route = Route { sender: route.target, target };
            Some(Frame::Sync { route, document, data: &data }.encode())
        });
        sent.count()
    }

    fn thank(&mut self, message: &[u8]) {
        let message = Message::decode(message).unwrap();
        self.document.receive_sync_message(&mut self.laptop, message).unwrap();
    }
}

/// The state towards a device that holds what the document holds.
fn in_step(document: &Automerge) -> State {
    let (mut here, mut there) = (State::new(), State::new());
    let mut copy = document.clone();
    loop {
        let out = document.generate_sync_message(&mut here);
        if let Some(message) = out.clone() {
            copy.receive_sync_message(&mut there, message).unwrap();
        }
        let back = copy.generate_sync_message(&mut there);
        if let Some(message) = back.clone() {
            copy.receive_sync_message(&mut here, message).unwrap();
        }
        if out.is_none() && back.is_none() {
            return here;
        }
    }
}

/// As [`through_hub`], through live documents.
fn through_live_documents(history: &History, first: &Live, size: Size) -> Duration {
    let mut documents = vec![first.clone(); size.documents];
    let mut time = Duration::ZERO;
    for n in size.changes..size.changes + size.events {
        for live in &mut documents {
            let (news, thanks) = (frame_of(0, PHONE, &history.news(n)), history.thanks(n));
            let began = Instant::now();
            let sent = live.relay(&news);
            time += began.elapsed();
            assert_eq!(sent, 2, "one to the author, one to the other");
            live.thank(&thanks);
        }
    }
    time
}

fn relay_one_change(bench: &mut Criterion) {
    let history = History::of(SIZES.map(|size| size.changes + size.events)[1]);
    println!("\none change to one other follower                    hub   live document");
    for size in SIZES {
        let live = Live::new(&history, size.changes);
        // The median of many rounds: on a busy machine some are interrupted.
        let rounds = 2048 / usize::try_from(size.all_events()).unwrap();
        let median = |round: &dyn Fn() -> Duration| {
            let mut times: Vec<_> = (0..rounds).map(|_| round()).collect();
            times.sort_unstable();
            micros(times[rounds / 2]) / size.all_events() as f64
        };
        let hub = median(&|| through_hub(&history, size));
        let lives = median(&|| through_live_documents(&history, &live, size));
        let times = lives / hub;
        let verdict = if times >= size.times_less { "ok" } else { "MISSED" };
        println!(
            "{:>6} changes                            {hub:>9.2} µs    {lives:>9.2} µs   {times:.0} times less, {:.0} are due: {verdict}",
            size.changes, size.times_less
        );
    }

    for size in SIZES {
        let live = Live::new(&history, size.changes);
        let mut group = bench.benchmark_group(format!("relay one change at {}", size.changes));
        let mut measure = |name: &str, round: &dyn Fn() -> Duration| {
            group.bench_function(name, |bench| {
                bench.iter_custom(|iterations| {
                    // Whole rounds only; criterion is told the share that it asked for.
                    let rounds = iterations.div_ceil(size.all_events());
                    let time: Duration = (0..rounds).map(|_| round()).sum();
                    let share = iterations as f64 / (rounds * size.all_events()) as f64;
                    time.mul_f64(share)
                });
            });
        };
        measure("hub", &|| through_hub(&history, size));
        measure("live document", &|| through_live_documents(&history, &live, size));
        group.finish();
    }
}

/// How the cost of an event depends on what else the relay has to do with.
fn curves(_: &mut Criterion) {
    const EVENTS: usize = 4000;
    let history = History::of(20 + EVENTS);
    println!("\none change to one other follower, among     1 connection   10 connections   50 connections");
    for documents in [1, 10, 100, 1000] {
        let row = [1, 10, 50].map(|readers| {
            let mut stage = Stage::new(readers);
            for number in 0..documents {
                stage.open(&history, 20, &[PHONE, reader(number % readers)]);
            }
            let time = write_round(&mut stage, &history, documents, EVENTS, &|number| vec![number % readers]);
            format!("{:>12.2} µs", micros(time))
        });
        println!("{documents:>5} documents                            {}", row.join("  "));
    }
    println!("\nthe same, each connection following each document: for each frame sent");
    for documents in [1, 10, 100, 1000] {
        let row = [1, 10, 50].map(|readers| {
            let mut stage = Stage::new(readers);
            let followers: Vec<_> = std::iter::once(PHONE).chain((0..readers).map(reader)).collect();
            for _ in 0..documents {
                stage.open(&history, 20, &followers);
            }
            let events = EVENTS / 4;
            let time = write_round(&mut stage, &history, documents, events, &|_| (0..readers).collect());
            format!("{:>12.2} µs", micros(time) / (readers + 1) as f64)
        });
        println!("{documents:>5} documents                            {}", row.join("  "));
    }
    println!();
}

/// Writes so many changes, to one document after another; the median time of relaying one.
fn write_round(
    stage: &mut Stage,
    history: &History,
    documents: usize,
    events: usize,
    readers_of: &dyn Fn(usize) -> Vec<usize>,
) -> Duration {
    let mut times = Vec::with_capacity(events);
    for event in 0..events {
        let (number, n) = (event % documents, 20 + event / documents);
        let readers = readers_of(number);
        let frame = frame_of(number, PHONE, &history.news(n));
        let began = Instant::now();
        let sent = stage.give(PHONE, frame);
        times.push(began.elapsed());
        assert_eq!(sent, 1 + readers.len());
        for follower in readers {
            let thanks = frame_of(number, reader(follower), &history.thanks(n));
            stage.give(reader(follower), thanks);
        }
    }
    times.sort_unstable();
    times[events / 2]
}

fn reader_name() -> PeerRef<'static> {
    PeerRef::new("device-1").expect("a name")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

criterion_group!(benches, curves, relay_one_change);
criterion_main!(benches);
