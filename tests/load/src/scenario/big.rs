//! A document with a long history: what an edit of it takes, and how a device gets it that has nothing.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use crdt_core::document::Document;
use crdt_core::id::ActorId;
use crdt_core::sync::{Manner, State};

use super::{Size, Watch};
use crate::device::{Device, Heard, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;
use crate::spread::Spread;

/// Changes that are brought in one message.
const BATCH: usize = 500;

/// How often a device comes that has nothing.
const FETCHES: usize = 5;

pub(super) async fn play(server: &mut Server, size: Size) -> Result<Vec<Figure>> {
    let changes = size.choose(10_000, 10_000, 600);
    let edits = size.choose(200, 50, 5);
    let history = Rc::new(History::of(changes + edits));
    let mut phone = Device::join(server.target(), 0, &history).await?;
    let watch = Watch::begin(server)?;
    for from in (0..changes).step_by(BATCH) {
        let to = changes.min(from + BATCH);
        phone.tell(document(0), &history.news(from, to)).await?;
        hear_of(&mut phone, to).await?;
    }
    let bringing = watch.end(server)?;
    // A relay packs long documents where nobody waits.
    tokio::time::sleep(size.seconds(5)).await;

    let mut laptop = Device::join(server.target(), 1, &history).await?;
    laptop.tell(document(0), &history.at(changes)).await?;
    hear_of(&mut laptop, changes).await?;
    let mut delivered = Spread::default();
    let watch = Watch::begin(server)?;
    for count in changes + 1..=changes + edits {
        let began = Instant::now();
        phone.tell(document(0), &history.news(count - 1, count)).await?;
        hear_of(&mut laptop, count).await?;
        delivered.add(began.elapsed());
        laptop.tell(document(0), &history.at(count)).await?;
        hear_of(&mut phone, count).await?;
    }
    let editing = watch.end(server)?;

    let (mut fetched, mut bytes) = (Spread::default(), 0);
    let watch = Watch::begin(server)?;
    for number in 0..FETCHES {
        let began = Instant::now();
        bytes = fetch(server, number + 2, &history).await?;
        fetched.add(began.elapsed());
    }
    let fetching = watch.end(server)?;

    let mut figures = vec![
        Figure::time("bringing it", bringing.time, Unit::Millis),
        Figure::time("server CPU, bringing it", bringing.server_cpu, Unit::Millis),
    ];
    figures.extend(Figure::spread("edit to other device", &delivered));
    figures.push(editing.cpu_each("server CPU, each edit", edits));
    figures.push(Figure::time("to a device that has nothing, p50", fetched.within(0.5), Unit::Millis));
    figures.push(Figure::new("bytes on the way", bytes as f64 / 1024.0, Unit::Kibibytes));
    let each = Duration::div_f64(fetching.server_cpu, FETCHES as f64);
    figures.push(Figure::time("server CPU, each such device", each, Unit::Millis));
    figures.push(Figure::new(
        "server memory",
        server.usage()?.resident_bytes as f64 / f64::from(1 << 20),
        Unit::Mebibytes,
    ));
    Ok(figures)
}

async fn hear_of(device: &mut Device, count: usize) -> Result<()> {
    while !matches!(device.hear().await?, Heard::Sync { said, .. } if said.count >= count) {}
    Ok(())
}

/// Gets the document as a device does that opens it; returns how many bytes came.
async fn fetch(server: &Server, number: usize, history: &Rc<History>) -> Result<usize> {
    let mut device = Device::join(server.target(), number, history).await?;
    let mut copy = Document::new(ActorId::from_bytes([2; 16]));
    let mut state = State::new(Manner::OPEN);
    device.ask(document(0)).await?;
    let mut bytes = 0;
    while !history.is_whole(&copy.heads()) {
        let (about, message) = device.hear_message().await?;
        bytes += message.len();
        state.receive_into(&mut copy, &message)?;
        if let Some(answer) = state.generate_for(&mut copy) {
            device.tell(about, &answer).await?;
        }
    }
    device.leave().await;
    Ok(bytes)
}
