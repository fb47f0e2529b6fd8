//! From one device's edit to another device, at a gentle rate: what a person waits for.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Crowd, Size, Watch};
use crate::device::{Device, Heard, document};
use crate::figure::{Figure, Unit};
use crate::history::History;
use crate::server::Server;
use crate::spread::Spread;

/// Changes of each document before anything is measured.
const BEFORE: usize = 20;

/// A document that one device writes and another follows.
struct Pair {
    number: usize,
    /// When each change was written.
    written: RefCell<Vec<Instant>>,
    delivered: RefCell<Spread>,
    acknowledged: RefCell<Spread>,
}

pub(super) async fn play(server: &mut Server, size: Size) -> Result<Vec<Figure>> {
    let pairs = size.choose(50, 20, 3);
    let edits_per_second = size.choose(200, 100, 30);
    let time = size.seconds(20);
    let interval = Duration::from_secs(1) * u32::try_from(pairs)? / edits_per_second;
    let edits = usize::try_from(time.as_millis() / interval.as_millis())?.max(2);
    let history = Rc::new(History::of(BEFORE + edits));

    let mut joining = Crowd::new();
    for number in 0..pairs {
        let (target, history) = (server.target().clone(), Rc::clone(&history));
        joining.add(async move {
            let mut phone = Device::join(&target, 2 * number, &history).await?;
            phone.bring(&[document(number)], BEFORE).await?;
            let mut laptop = Device::join(&target, 2 * number + 1, &history).await?;
            laptop.fetch(document(number), BEFORE).await?;
            Ok((number, phone, laptop))
        });
    }
    let joined = joining.all("joining in pairs").await?;

    let watch = Watch::begin(server)?;
    let (mut talking, mut all) = (Crowd::new(), Vec::new());
    for (number, phone, laptop) in joined {
        let pair = Rc::new(Pair {
            number,
            written: RefCell::default(),
            delivered: RefCell::default(),
            acknowledged: RefCell::default(),
        });
        // The pairs take turns.
        let offset = interval * u32::try_from(number)? / u32::try_from(pairs)?;
        talking.add(write(phone, Rc::clone(&pair), Rc::clone(&history), offset, interval));
        talking.add(follow(laptop, Rc::clone(&pair), Rc::clone(&history)));
        all.push(pair);
    }
    // Whoever has all that it waits for stays until the others do: leaving is work as well.
    let devices = talking.all("editing in pairs").await?;
    let span = watch.end(server)?;
    drop(devices);

    let (mut delivered, mut acknowledged) = (Spread::default(), Spread::default());
    for pair in all {
        delivered.absorb(&pair.delivered.borrow());
        acknowledged.absorb(&pair.acknowledged.borrow());
    }
    let changes = acknowledged.len();
    let mut figures = Figure::spread("edit to other device", &delivered);
    figures[2].due = Some(crate::figure::Due::AtMost(5.0));
    figures.extend(Figure::spread("edit to acknowledgement", &acknowledged));
    figures.push(Figure::new("changes", changes as f64, Unit::Count));
    figures.push(span.cpu_each("server CPU, each change", changes));
    figures.extend(span.loads());
    if let Some(folder) = server.folder() {
        let flushes = flush_often(folder, size.choose(500, 100, 5))?;
        figures.push(Figure::time("flush of this disk, p50", flushes.within(0.5), Unit::Millis));
        figures.push(Figure::time("flush of this disk, p99", flushes.within(0.99), Unit::Millis));
    }
    Ok(figures)
}

/// What the disk takes by itself to make a little durable: nobody who waits for it can be faster.
fn flush_often(folder: &Path, times: usize) -> Result<Spread> {
    let mut file = File::create(folder.join("flushed"))?;
    let mut spread = Spread::default();
    for _ in 0..times {
        let began = Instant::now();
        file.write_all(&[0; 512])?;
        file.sync_data()?;
        spread.add(began.elapsed());
    }
    Ok(spread)
}

async fn write(
    mut phone: Device,
    pair: Rc<Pair>,
    history: Rc<History>,
    offset: Duration,
    interval: Duration,
) -> Result<Device> {
    let mut due = tokio::time::Instant::now() + offset;
    let (mut written, mut shared) = (BEFORE, BEFORE);
    while shared < history.len() {
        tokio::select! {
            heard = phone.hear() => {
                let Heard::Sync { said, .. } = heard? else { continue };
                for number in shared..said.count {
                    let began = pair.written.borrow()[number - BEFORE];
                    pair.acknowledged.borrow_mut().add(began.elapsed());
                }
                shared = shared.max(said.count);
            }
            () = tokio::time::sleep_until(due), if written < history.len() => {
                pair.written.borrow_mut().push(Instant::now());
                phone.tell(document(pair.number), &history.news(written, written + 1)).await?;
                written += 1;
                due += interval;
            }
        }
    }
    Ok(phone)
}

async fn follow(mut laptop: Device, pair: Rc<Pair>, history: Rc<History>) -> Result<Device> {
    let mut known = BEFORE;
    while known < history.len() {
        let Heard::Sync { document, said } = laptop.hear().await? else { continue };
        if said.bytes == 0 {
            continue;
        }
        for number in known..said.count {
            let began = pair.written.borrow()[number - BEFORE];
            pair.delivered.borrow_mut().add(began.elapsed());
        }
        known = known.max(said.count);
        laptop.tell(document, &history.at(known)).await?;
    }
    Ok(laptop)
}
