//! Devices that are connected, follow a document each, and say nothing: what they take of memory.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::{Crowd, Size, Watch};
use crate::device::{Device, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;

/// Changes of each document.
const CHANGES: usize = 20;

/// Devices that bring the documents.
const BRINGERS: usize = 20;

/// Devices that connect at a time.
const JOINING_MAX: usize = 200;

pub(super) async fn play(server: &mut Server, size: Size) -> Result<Vec<Figure>> {
    let devices = size.choose(10_000, 1_000, 100);
    let history = Rc::new(History::of(CHANGES));
    super::bring_all(server, &history, devices, CHANGES, BRINGERS).await?;
    // What bringing them has left in memory is not what is measured.
    server.stop().await?;
    server.start_again()?;
    tokio::time::sleep(size.seconds(2)).await;
    let before = server.usage()?.resident_bytes;

    let watch = Watch::begin(server)?;
    let mut waiting = Vec::with_capacity(devices);
    for from in (0..devices).step_by(JOINING_MAX) {
        let mut joining = Crowd::new();
        for number in from..devices.min(from + JOINING_MAX) {
            let (target, history) = (server.target().clone(), Rc::clone(&history));
            joining.add(async move {
                let mut device = Device::join(&target, number, &history).await?;
                device.fetch(document(number), CHANGES).await?;
                Ok(device)
            });
        }
        waiting.extend(joining.all("joining to wait").await?);
    }
    let joining = watch.end(server)?;
    // Caches forget what nobody has needed for a while.
    let rest = size.choose(Duration::from_secs(20), Duration::from_secs(15), Duration::from_millis(100));
    tokio::time::sleep(rest).await;
    let after = server.usage()?.resident_bytes;
    let watch = Watch::begin(server)?;
    tokio::time::sleep(size.seconds(10)).await;
    let span = watch.end(server)?;
    drop(waiting);

    let each = after.saturating_sub(before) as f64 / 1024.0 / devices as f64;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut figures = vec![
        Figure::new("connections", devices as f64, Unit::Count),
        joining.cpu_each("server CPU, each join", devices),
        Figure::new("server memory, each connection", each, Unit::Kibibytes).at_most(12.0),
        Figure::new("server memory without them", mebibytes(before), Unit::Mebibytes),
        Figure::new("server memory with them", mebibytes(after), Unit::Mebibytes).at_most(160.0),
    ];
    figures.extend(span.loads());
    Ok(figures)
}
