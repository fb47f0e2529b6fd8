//! One device writes, many follow: what each delivery costs, and how late the last one is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;
use tokio::sync::Notify;

use super::{Crowd, Size, Watch};
use crate::device::{Device, Heard, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;
use crate::spread::Spread;

/// Changes of the document before anything is measured.
const BEFORE: usize = 20;

/// What the writer and the followers share.
struct Round {
    /// When the last change was written.
    written: Cell<Instant>,
    /// Followers that have it.
    had: Cell<usize>,
    all_had: Notify,
    delivered: RefCell<Spread>,
    followers: usize,
    last: usize,
}

pub(super) async fn play(server: &mut Server, size: Size, followers: usize) -> Result<Vec<Figure>> {
    let followers = size.choose(followers, followers, followers / 10);
    let changes = size.choose(20_000, 4_000, 100) / followers;
    let history = Rc::new(History::of(BEFORE + changes));
    let mut phone = Device::join(server.target(), 0, &history).await?;
    phone.bring(&[document(0)], BEFORE).await?;

    let mut joining = Crowd::new();
    for number in 1..=followers {
        let (target, history) = (server.target().clone(), Rc::clone(&history));
        joining.add(async move {
            let mut laptop = Device::join(&target, number, &history).await?;
            laptop.fetch(document(0), BEFORE).await?;
            Ok(laptop)
        });
    }
    let joined = joining.all("following one document").await?;

    let round = Rc::new(Round {
        written: Cell::new(Instant::now()),
        had: Cell::new(0),
        all_had: Notify::new(),
        delivered: RefCell::default(),
        followers,
        last: BEFORE + changes,
    });
    let mut following = Crowd::new();
    for laptop in joined {
        following.add(follow(laptop, Rc::clone(&history), Rc::clone(&round)));
    }
    let mut last_had = Spread::default();
    let watch = Watch::begin(server)?;
    for count in BEFORE + 1..=round.last {
        round.had.set(0);
        let began = Instant::now();
        round.written.set(began);
        phone.tell(document(0), &history.news(count - 1, count)).await?;
        // The next change waits for all to have this one, and for the writer to hear that it is stored.
        round.all_had.notified().await;
        last_had.add(began.elapsed());
        while !matches!(phone.hear().await?, Heard::Sync { said, .. } if said.count >= count) {}
    }
    let span = watch.end(server)?;
    following.all("hearing of every change").await?;

    let deliveries = changes * followers;
    let mut figures = Figure::spread("edit to each other device", &round.delivered.borrow());
    figures.push(Figure::time("edit to last other device, p50", last_had.within(0.5), Unit::Millis));
    figures.push(span.cpu_each("server CPU, each delivery", deliveries).at_most(4.0));
    let per_second = deliveries as f64 / span.time.as_secs_f64();
    figures.push(Figure::new("deliveries", per_second, Unit::PerSecond));
    figures.extend(span.loads());
    Ok(figures)
}

async fn follow(mut laptop: Device, history: Rc<History>, round: Rc<Round>) -> Result<Device> {
    let mut known = BEFORE;
    while known < round.last {
        let Heard::Sync { document, said } = laptop.hear().await? else { continue };
        if said.bytes == 0 || said.count <= known {
            continue;
        }
        known = said.count;
        round.delivered.borrow_mut().add(round.written.get().elapsed());
        round.had.set(round.had.get() + 1);
        let is_last = round.had.get() == round.followers;
        laptop.tell(document, &history.at(known)).await?;
        if is_last {
            round.all_had.notify_one();
        }
    }
    // Whoever has all stays until the others do: leaving is work as well.
    Ok(laptop)
}
