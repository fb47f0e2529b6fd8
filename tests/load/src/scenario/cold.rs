//! A server has just been started again, and all its devices come at once, each for a document.

use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;

use super::{Crowd, Size, Watch};
use crate::device::{Device, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;
use crate::spread::Spread;

/// Changes of each document.
const CHANGES: usize = 50;

/// Devices that bring the documents.
const BRINGERS: usize = 20;

pub(super) async fn play(server: &mut Server, size: Size) -> Result<Vec<Figure>> {
    let devices = size.choose(1_000, 1_000, 40);
    let history = Rc::new(History::of(CHANGES));
    super::bring_all(server, &history, devices, CHANGES, BRINGERS).await?;
    server.stop().await?;
    let starting = server.start_again()?;

    let watch = Watch::begin(server)?;
    let mut coming = Crowd::new();
    for number in 0..devices {
        let (target, history) = (server.target().clone(), Rc::clone(&history));
        coming.add(async move {
            let began = Instant::now();
            let mut device = Device::join(&target, number, &history).await?;
            device.fetch(document(number), CHANGES).await?;
            Ok((began.elapsed(), device))
        });
    }
    let come = coming.all("coming after the start").await?;
    let span = watch.end(server)?;

    let mut spread = Spread::default();
    for (time, _) in &come {
        spread.add(*time);
    }
    let mut figures = vec![
        Figure::time("start", starting, Unit::Millis),
        Figure::time("all have their document after", span.time, Unit::Millis),
        Figure::time("server CPU, together", span.server_cpu, Unit::Millis).at_most(250.0),
    ];
    figures.extend(Figure::spread("connection to document", &spread));
    figures.extend(span.loads());
    Ok(figures)
}
