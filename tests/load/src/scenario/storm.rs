//! The server is killed and started again while all are connected, and all come back at once with what they have.

use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;

use super::{Crowd, Size, Watch};
use crate::device::{Device, Heard, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;
use crate::spread::Spread;

/// Changes of each document.
const CHANGES: usize = 20;

/// Documents of each device.
const DOCUMENTS: usize = 5;

pub(super) async fn play(server: &mut Server, size: Size) -> Result<Vec<Figure>> {
    let devices = size.choose(1_000, 1_000, 20);
    let history = Rc::new(History::of(CHANGES));
    let mut joining = Crowd::new();
    for number in 0..devices {
        let (target, history) = (server.target().clone(), Rc::clone(&history));
        joining.add(async move {
            let mut device = Device::join(&target, number, &history).await?;
            device.bring(&documents_of(number), CHANGES).await?;
            Ok(device)
        });
    }
    let connected = joining.all("bringing documents").await?;
    server.kill()?;
    let starting = server.start_again()?;
    drop(connected);

    let watch = Watch::begin(server)?;
    let mut coming = Crowd::new();
    for number in 0..devices {
        let (target, history) = (server.target().clone(), Rc::clone(&history));
        coming.add(async move {
            let began = Instant::now();
            let mut device = Device::join(&target, number, &history).await?;
            let lost = come_back(&mut device, &history, number).await?;
            Ok((began.elapsed(), lost, device))
        });
    }
    let back = coming.all("coming back").await?;
    let span = watch.end(server)?;

    let (mut spread, mut lost) = (Spread::default(), 0);
    for (time, of_device, _) in &back {
        spread.add(*time);
        lost += of_device;
    }
    let mut figures = vec![
        Figure::time("start", starting, Unit::Millis),
        Figure::time("all are back after", span.time, Unit::Millis),
        Figure::time("server CPU, together", span.server_cpu, Unit::Millis),
        Figure::new("acknowledged changes lost", lost as f64, Unit::Count).at_most(0.0),
    ];
    figures.extend(Figure::spread("connection to all documents", &spread));
    figures.extend(span.loads());
    Ok(figures)
}

fn documents_of(device: usize) -> Vec<crdt_core::id::DocumentId> {
    (device * DOCUMENTS..(device + 1) * DOCUMENTS).map(document).collect()
}

/// Says what it has of its documents until the server has the same; returns how many acknowledged changes had to be sent again.
async fn come_back(device: &mut Device, history: &History, number: usize) -> Result<usize> {
    let own = documents_of(number);
    for document in &own {
        device.feed(*document, &history.at(CHANGES)).await?;
    }
    device.flush().await?;
    let (mut waiting, mut lost) = (own.len(), 0);
    while waiting > 0 {
        let (document, count) = match device.hear().await? {
            Heard::Sync { document, said } => (document, said.count),
            Heard::Unavailable { document } => (document, 0),
        };
        if count < CHANGES {
            lost += CHANGES - count;
            device.tell(document, &history.news(count, CHANGES)).await?;
        } else {
            waiting -= 1;
        }
    }
    Ok(lost)
}
