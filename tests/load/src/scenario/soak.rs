//! A day like any other, for as long as you like: pairs of devices that edit, leave and come back, passers-by that fetch and go,
//! documents that grow until nobody touches them again. Each minute one line; nothing may grow but what is stored.
//!
//! At the end everything that was ever acknowledged is asked for once more.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::time::{sleep, sleep_until};

use super::{Crowd, Watch};
use crate::device::{Device, Heard, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::{Server, Target};
use crate::spread::Spread;

/// Pairs of devices, each with a writer and a follower.
const PAIRS: usize = 25;

/// Documents that a pair has open at a time.
const DOCUMENTS_OPEN: usize = 8;

/// Changes after which a document is left for a new one: enough to be packed on the way.
const CHANGES: usize = 400;

/// From one edit of a pair to its next.
const EDIT_INTERVAL: Duration = Duration::from_millis(500);

/// How long a pair stays at least, and how much longer at most.
const STAY: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(40));

/// How long it is away.
const AWAY: Duration = Duration::from_secs(2);

/// From one passer-by to the next.
const VISIT_INTERVAL: Duration = Duration::from_millis(250);

/// Documents that a passer-by fetches.
const VISITED: usize = 4;

/// Minutes in which caches fill: what is taken after them is what growth is judged by.
const WARM_UP_MINUTES: u64 = 10;

/// What everybody shares.
struct World {
    target: Target,
    history: Rc<History>,
    /// How many changes of each document were acknowledged.
    documents: RefCell<Vec<usize>>,
    is_over: Cell<bool>,
    /// Since the last line.
    recent: Recent,
    joined: Cell<usize>,
    changes: Cell<usize>,
}

#[derive(Default)]
struct Recent {
    delivered: RefCell<Spread>,
    changes: Cell<usize>,
    joins: Cell<usize>,
}

/// A document of a pair: its number, and how many changes it has.
#[derive(Clone, Copy)]
struct Page {
    number: usize,
    count: usize,
}

/// Runs for so long, and prints a line at each `sample`.
pub async fn play(server: &mut Server, time: Duration, sample: Duration) -> Result<Vec<Figure>> {
    let world = Rc::new(World {
        target: server.target().clone(),
        history: Rc::new(History::of(CHANGES)),
        documents: RefCell::default(),
        is_over: Cell::new(false),
        recent: Recent::default(),
        joined: Cell::new(0),
        changes: Cell::new(0),
    });
    let mut crowd = Crowd::new();
    for pair in 0..PAIRS {
        crowd.add(live(pair, Rc::clone(&world)));
    }
    crowd.add(visit(Rc::clone(&world)));

    println!(
        "{:>7} {:>11} {:>11} {:>9} {:>8} {:>9} {:>9} {:>9} {:>8} {:>9}",
        "minute", "memory", "stored", "changes", "joins", "p50", "p99", "max", "server", "generator"
    );
    let watch = Watch::begin(server)?;
    let began = Instant::now();
    let mut memory = Vec::new();
    while began.elapsed() < time {
        let minute = Watch::begin(server)?;
        sleep(sample.min(time.saturating_sub(began.elapsed()))).await;
        if let Some(error) = crowd.first_failure() {
            return Err(error);
        }
        let span = minute.end(server)?;
        let resident = server.usage()?.resident_bytes;
        memory.push((began.elapsed(), resident));
        print_line(server, &world.recent, resident, began.elapsed(), &span.loads());
    }
    let span = watch.end(server)?;
    world.is_over.set(true);
    crowd.all("going home").await?;
    let lost = look_again(&world).await?;
    if lost > 0 {
        bail!("{lost} documents have lost what was acknowledged");
    }

    let documents = world.documents.borrow().len();
    let warm = memory.iter().filter(|(at, _)| at.as_secs() >= 60 * WARM_UP_MINUTES).map(|(_, bytes)| *bytes);
    let warm: Vec<u64> = warm.collect();
    let mut figures = vec![
        Figure::time("time", span.time, Unit::Seconds),
        Figure::new("changes acknowledged, all found again", world.changes.get() as f64, Unit::Count),
        Figure::new("documents", documents as f64, Unit::Count),
        Figure::new("connections made", world.joined.get() as f64, Unit::Count),
        Figure::new("stored", mebibytes(server.stored_bytes()), Unit::Mebibytes),
    ];
    if let [first, .., last] = warm[..] {
        let most = warm.iter().max().copied().unwrap_or(last);
        figures.push(Figure::new("server memory after warming up", mebibytes(first), Unit::Mebibytes));
        figures.push(Figure::new("server memory at the end", mebibytes(last), Unit::Mebibytes));
        figures.push(Figure::new("server memory at most", mebibytes(most), Unit::Mebibytes));
    }
    figures.extend(span.loads());
    Ok(figures)
}

fn print_line(server: &Server, recent: &Recent, resident: u64, at: Duration, loads: &[Figure; 2]) {
    let delivered = recent.delivered.take();
    let millis = |share| format!("{:.2} ms", delivered.within(share).as_secs_f64() * 1e3);
    println!(
        "{:>7.1} {:>7.1} MiB {:>7.1} MiB {:>9} {:>8} {:>9} {:>9} {:>9} {:>6.1} % {:>7.1} %",
        at.as_secs_f64() / 60.0,
        mebibytes(resident),
        mebibytes(server.stored_bytes()),
        recent.changes.take(),
        recent.joins.take(),
        millis(0.5),
        millis(0.99),
        millis(1.0),
        loads[0].value,
        loads[1].value,
    );
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl World {
    async fn join(&self, number: usize) -> Result<Device> {
        self.joined.set(self.joined.get() + 1);
        self.recent.joins.set(self.recent.joins.get() + 1);
        Device::join(&self.target, number, &self.history).await
    }

    fn begin_document(&self) -> Page {
        let mut documents = self.documents.borrow_mut();
        documents.push(0);
        Page { number: documents.len() - 1, count: 0 }
    }

    /// The server has shown so many changes of this document.
    fn acknowledge(&self, number: usize, count: usize) {
        let known = &mut self.documents.borrow_mut()[number];
        let more = count.saturating_sub(*known);
        *known += more;
        self.changes.set(self.changes.get() + more);
        self.recent.changes.set(self.recent.changes.get() + more);
    }
}

/// A pair of devices: one writes, the other follows; both leave now and then, and come back.
async fn live(pair: usize, world: Rc<World>) -> Result<()> {
    let mut chance = ChaCha8Rng::seed_from_u64(pair as u64);
    let mut pages: Vec<_> = (0..DOCUMENTS_OPEN).map(|_| world.begin_document()).collect();
    // Not all at once.
    sleep(EDIT_INTERVAL * u32::try_from(pair)? / u32::try_from(PAIRS)?).await;
    while !world.is_over.get() {
        let mut phone = world.join(2 * pair).await?;
        let mut laptop = world.join(2 * pair + 1).await?;
        for page in &mut pages {
            open(&mut phone, &mut laptop, page, &world).await?;
        }
        let extra = Duration::from_millis(u64::from(chance.next_u32()) % u64::try_from(STAY.1.as_millis())?);
        let until = Instant::now() + STAY.0 + extra;
        let mut due = tokio::time::Instant::now();
        while Instant::now() < until && !world.is_over.get() {
            due += EDIT_INTERVAL;
            sleep_until(due).await;
            let page = &mut pages[chance.next_u32() as usize % DOCUMENTS_OPEN];
            if page.count == CHANGES {
                *page = world.begin_document();
                open(&mut phone, &mut laptop, page, &world).await?;
            }
            edit(&mut phone, &mut laptop, page, &world).await?;
        }
        phone.leave().await;
        laptop.leave().await;
        if !world.is_over.get() {
            sleep(AWAY).await;
        }
    }
    Ok(())
}

/// Both devices open a document as they have it, or as it begins.
async fn open(phone: &mut Device, laptop: &mut Device, page: &mut Page, world: &World) -> Result<()> {
    let document = document(page.number);
    if page.count == 0 {
        phone.bring(&[document], 1).await?;
        world.acknowledge(page.number, 1);
        page.count = 1;
        return laptop.fetch(document, 1).await;
    }
    for device in [phone, laptop] {
        device.tell(document, &world.history.at(page.count)).await?;
        loop {
            match device.hear().await? {
                Heard::Sync { document: about, said } if about == document => {
                    if said.count < page.count {
                        bail!("the server has {} of {} changes of {document}", said.count, page.count);
                    }
                    break;
                }
                Heard::Unavailable { document: about } if about == document => {
                    bail!("the server has lost {document}")
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The phone writes a change; the laptop hears of it, and the phone that it is stored.
async fn edit(phone: &mut Device, laptop: &mut Device, page: &mut Page, world: &World) -> Result<()> {
    let document = document(page.number);
    let count = page.count + 1;
    let began = Instant::now();
    phone.tell(document, &world.history.news(page.count, count)).await?;
    hear_of(laptop, page.number, count).await?;
    world.recent.delivered.borrow_mut().add(began.elapsed());
    laptop.tell(document, &world.history.at(count)).await?;
    hear_of(phone, page.number, count).await?;
    world.acknowledge(page.number, count);
    page.count = count;
    Ok(())
}

async fn hear_of(device: &mut Device, number: usize, count: usize) -> Result<()> {
    loop {
        if let Heard::Sync { document: about, said } = device.hear().await?
            && about == document(number)
            && said.count >= count
        {
            return Ok(());
        }
    }
}

/// Devices that come for a few documents and go.
async fn visit(world: Rc<World>) -> Result<()> {
    let mut chance = ChaCha8Rng::seed_from_u64(u64::MAX);
    let mut due = tokio::time::Instant::now();
    for visitor in 2 * PAIRS.. {
        due += VISIT_INTERVAL;
        sleep_until(due).await;
        if world.is_over.get() {
            break;
        }
        let mut device = world.join(visitor % 1000 + 2 * PAIRS).await?;
        for _ in 0..VISITED {
            let (number, count) = {
                let documents = world.documents.borrow();
                let number = chance.next_u32() as usize % documents.len();
                (number, documents[number])
            };
            if count > 0 {
                device.fetch(document(number), count).await?;
            }
        }
        device.leave().await;
    }
    Ok(())
}

/// How many documents have lost something that was acknowledged.
async fn look_again(world: &World) -> Result<usize> {
    let mut device = world.join(0).await?;
    let mut lost = 0;
    let documents = world.documents.borrow().clone();
    for (number, count) in documents.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        lost += usize::from(device.fetch(document(number), count).await.is_err());
    }
    device.leave().await;
    Ok(lost)
}
