//! Very many documents that nobody uses: how long a server takes to start over them, and what they take of its memory.

use std::rc::Rc;

use anyhow::Result;

use super::{Size, bring_all};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;

/// Changes of each document.
const CHANGES: usize = 3;

/// Devices that bring the documents.
const BRINGERS: usize = 50;

pub(super) async fn play(server: &mut Server, size: Size) -> Result<Vec<Figure>> {
    let documents = size.choose(100_000, 20_000, 200);
    let history = Rc::new(History::of(CHANGES));
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let before = server.usage()?.resident_bytes;
    bring_all(server, &history, documents, CHANGES, BRINGERS).await?;
    server.stop().await?;
    let starting = server.start_again()?;
    tokio::time::sleep(size.seconds(2)).await;
    let usage = server.usage()?;
    Ok(vec![
        Figure::new("documents", documents as f64, Unit::Count),
        Figure::time("start", starting, Unit::Millis).at_most(1000.0),
        Figure::time("server CPU of the start", usage.cpu, Unit::Millis),
        Figure::new("server memory over nothing", mebibytes(before), Unit::Mebibytes),
        Figure::new("server memory over them", mebibytes(usage.resident_bytes), Unit::Mebibytes),
        Figure::new("stored", mebibytes(server.stored_bytes()), Unit::Mebibytes),
    ])
}
