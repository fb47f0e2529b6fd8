//! One cart in many terminals. Start a relay, then this program in two terminals, and type in both.
//!
//! Stop the relay and go on: what you type waits, and both agree again when the relay is back.

mod driver;

use std::io::{BufRead, IsTerminal};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crdt_core::cart::{Cart, CartError, Line, ListName, Quantity, Sku};
use crdt_core::document::Document;
use crdt_core::id::{DocumentId, DocumentName};
use crdt_core::replica::{ConnectionStatus, Event};

use self::driver::Device;

/// Where `cargo run --release -p relay` serves.
const RELAY: &str = "ws://127.0.0.1:3030";

/// How long typed changes may take to reach the relay once nothing more is typed.
const PATIENCE: Duration = Duration::from_secs(10);

const HELP: &str = "\
add SKU [N]     puts N more into the cart
take SKU [N]    takes N out again
set SKU N       wants exactly N
remove SKU      wants none
quit";

const USAGE: &str = "usage: shared-cart [URL of a relay]   (without one: ws://127.0.0.1:3030)";

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let relay = words.next().unwrap_or_else(|| RELAY.to_owned());
    if relay == "--help" || relay == "-h" || words.next().is_some() {
        println!("One cart in many terminals.\n\n{USAGE}\n\nThen type:\n{HELP}");
        return Ok(());
    }
    if !relay.starts_with("ws://") {
        bail!("`{relay}` is no address of a relay: they begin with ws://\n{USAGE}");
    }
    if std::io::stdin().is_terminal() {
        println!("{HELP}\n");
    }
    run(&relay)
}

fn run(relay: &str) -> Result<()> {
    let cart = DocumentId::derive(&DocumentName {
        tenant: "public",
        kind: "cart",
        owner: "everyone",
        name: "shared",
    });
    let mut device = Device::start(relay)?;
    device.open(cart);
    let lines = typed();
    let (mut shown, mut ended) = (String::new(), None);
    let mut is_open = false;
    loop {
        let events = device.take_a_turn();
        let mut is_news = !events.is_empty();
        for event in events {
            is_open |= matches!(event, Event::Opened { .. });
            if let Some(news) = told(&event) {
                println!("{news}");
            }
        }
        if !is_open {
            continue;
        }
        match lines.try_recv() {
            Ok(line) if line.trim() == "quit" => ended = Some(Instant::now()),
            Ok(line) => {
                is_news = true;
                if let Err(error) = obey(&mut device, cart, &line) {
                    println!("{error:#}");
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => drop(ended.get_or_insert_with(Instant::now)),
        }
        if is_news {
            let screen = screen(&mut device, cart)?;
            if screen != shown {
                println!("{screen}");
                shown = screen;
            }
        }
        match (ended, device.pending()) {
            (Some(_), 0) => return Ok(()),
            (Some(since), pending) if since.elapsed() > PATIENCE => {
                bail!("{pending} changes did not reach {relay}, and are lost: is the relay running?");
            }
            _ => {}
        }
    }
}

/// The lines that are typed, as they come.
fn typed() -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Does what a line says.
fn obey(device: &mut Device, cart: DocumentId, line: &str) -> Result<()> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (verb, sku, count) = match words[..] {
        [] => return Ok(()),
        [verb, sku] => (verb, sku, None),
        [verb, sku, count] => (verb, sku, Some(count)),
        _ => bail!("one of:\n{HELP}"),
    };
    let line = Line::of(&Sku::new(sku)?);
    let count = count.map_or(Ok(1), str::parse).context("N is a number")?;
    let quantity = Quantity::new(count)?;
    let done = device.edit(cart, |document| -> Result<bool, CartError> {
        let mut cart = opened(document);
        match verb {
            "add" => cart.add(&line, quantity).map(|_| true),
            "take" => cart.take(&line, quantity).map(|_| true),
            "set" => cart.set(&line, quantity).map(|_| true),
            "remove" => cart.remove(&line).map(|_| true),
            _ => Ok(false),
        }
    })??;
    if done { Ok(()) } else { bail!("`{verb}` is none of:\n{HELP}") }
}

/// The cart as one line of text.
fn screen(device: &mut Device, cart: DocumentId) -> Result<String> {
    let lines = device.edit(cart, |document| {
        let cart = opened(document);
        let list = cart.view().lists.get(&ListName::cart());
        let lines = list.into_iter().flat_map(|list| &list.lines);
        lines.map(|(line, shown)| format!("{} {line}", shown.quantity)).collect::<Vec<_>>()
    })?;
    let cart = if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") };
    let waiting = match device.pending() {
        0 => String::new(),
        pending => format!("   ({pending} not at the relay yet)"),
    };
    Ok(format!("cart: {cart}{waiting}"))
}

fn opened(document: &mut Document) -> Cart<&mut Document> {
    Cart::open(document).expect("everybody who names this document makes it a cart")
}

/// What a person wants to know of an event.
fn told(event: &Event) -> Option<String> {
    match event {
        Event::NetworkChanged { status: ConnectionStatus::Connected, .. } => Some("connected".to_owned()),
        Event::NetworkChanged { status: ConnectionStatus::Reconnecting, .. } => {
            Some("no relay: go on, it is tried again and again".to_owned())
        }
        Event::OperationRejected { failure, .. } => Some(format!("refused: {}", failure.message)),
        _ => None,
    }
}
