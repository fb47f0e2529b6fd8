//! Many documents that change at once: how many changes become durable, and what each costs.
//!
//! Each document has one change on its way at a time, so that no server is helped by a client that sends ahead. A change
//! counts when the server's heads cover it: with a relay it is on disk then, with others it has been received.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;
use crdt_core::id::DocumentId;

use super::{Crowd, Size, Watch};
use crate::device::{Device, Heard, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;
use crate::spread::Spread;

/// Changes of each document before anything is measured.
const BEFORE: usize = 20;

/// Changes that a document can have: more than the fastest server takes.
const CHANGES_MAX: usize = 2000;

struct Tally {
    is_counting: Cell<bool>,
    is_over: Cell<bool>,
    changes: Cell<usize>,
    waits: RefCell<Spread>,
}

pub(super) async fn play(server: &mut Server, size: Size) -> Result<Vec<Figure>> {
    let (connections, documents) = size.choose((50, 100), (50, 20), (5, 10));
    let history = Rc::new(History::of(size.choose(CHANGES_MAX, CHANGES_MAX, 300)));

    let mut joining = Crowd::new();
    for number in 0..connections {
        let (target, history) = (server.target().clone(), Rc::clone(&history));
        joining.add(async move {
            let own: Vec<_> = (number * documents..(number + 1) * documents).map(document).collect();
            let mut device = Device::join(&target, number, &history).await?;
            device.bring(&own, BEFORE).await?;
            Ok((device, own))
        });
    }
    let joined = joining.all("bringing the documents").await?;

    let tally = Rc::new(Tally {
        is_counting: Cell::new(false),
        is_over: Cell::new(false),
        changes: Cell::new(0),
        waits: RefCell::default(),
    });
    let mut writing = Crowd::new();
    for (device, own) in joined {
        writing.add(write(device, own, Rc::clone(&history), Rc::clone(&tally)));
    }
    // What comes first meets empty queues.
    tokio::time::sleep(size.seconds(2)).await;
    let before = server.usage()?.resident_bytes;
    tally.is_counting.set(true);
    let watch = Watch::begin(server)?;
    tokio::time::sleep(size.seconds(10)).await;
    let changes = tally.changes.get();
    let span = watch.end(server)?;
    tally.is_over.set(true);
    writing.all("writing to many documents").await?;

    let waits = tally.waits.borrow();
    let mut figures = vec![
        Figure::new("changes acknowledged", changes as f64 / span.time.as_secs_f64(), Unit::PerSecond),
        span.cpu_each("server CPU, each change", changes).at_most(10.0),
    ];
    figures.extend(Figure::spread("change to acknowledgement", &waits));
    figures.push(Figure::new("server memory", before as f64 / f64::from(1 << 20), Unit::Mebibytes));
    figures.extend(span.loads());
    Ok(figures)
}

/// Keeps one change of each document on its way until the time is over.
async fn write(
    mut device: Device,
    own: Vec<DocumentId>,
    history: Rc<History>,
    tally: Rc<Tally>,
) -> Result<()> {
    /// Where a document is: changes written, and when the last was.
    type Place = (usize, Instant);
    let mut places: BTreeMap<_, Place> =
        own.iter().map(|document| (*document, (BEFORE + 1, Instant::now()))).collect();
    for document in &own {
        device.feed(*document, &history.news(BEFORE, BEFORE + 1)).await?;
    }
    device.flush().await?;
    let mut waiting = own.len();
    while waiting > 0 {
        let mut next = Some(device.hear().await?);
        // What has come together is answered together.
        while let Some(heard) = next {
            if let Heard::Sync { document, said } = heard
                && let Some((written, began)) = places.get_mut(&document)
                && said.count >= *written
            {
                if tally.is_counting.get() && !tally.is_over.get() {
                    tally.changes.set(tally.changes.get() + 1);
                    tally.waits.borrow_mut().add(began.elapsed());
                }
                if tally.is_over.get() || *written == history.len() {
                    waiting -= 1;
                } else {
                    device.feed(document, &history.news(*written, *written + 1)).await?;
                    (*written, *began) = (*written + 1, Instant::now());
                }
            }
            next = device.overhear().transpose()?;
        }
        device.flush().await?;
    }
    Ok(())
}
