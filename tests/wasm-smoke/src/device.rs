//! One device with one cart, on a disk that forgets.

use crdt_core::cart::{Cart, CartError, Line, Quantity, Sku};
use crdt_core::document::Document;
use crdt_core::id::DocumentId;
use crdt_core::replica::{
    ConnectionId, EndpointId, Input, Intent, Output, Priority, Replica, ReplicaConfig, Role, StorageRequest,
};
use crdt_core::time::Timestamp;
use crdt_core::wire::{DeviceId, PeerId, SessionId};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use wasm_bindgen::prelude::wasm_bindgen;

const CART: DocumentId = DocumentId::from_bytes([7; 16]);

/// The one place that a device here connects to.
const OTHER: EndpointId = EndpointId(1);

/// A replica, and the randomness that it was given.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Device {
    replica: Replica,
    rng: ChaCha8Rng,
}

/// Something for the driver to do, or to tell.
#[wasm_bindgen(getter_with_clone)]
#[derive(Clone, Debug)]
pub struct Effect {
    /// `dial`, `close`, `send` or `event`.
    pub kind: String,
    /// On which connection.
    pub connection: u64,
    /// What is to be sent.
    pub frame: Vec<u8>,
    /// What has happened, in the machine's own words.
    pub event: String,
}

#[wasm_bindgen]
impl Device {
    /// A device that was just started, `now` milliseconds after 1970, with 32 random bytes.
    ///
    /// # Panics
    /// If the name is longer than names are, or there are not 32 bytes: nobody but a test calls this.
    #[wasm_bindgen(constructor)]
    pub fn new(name: &str, now: f64, random: &[u8]) -> Self {
        let peer = PeerId::new(name).expect("a short name");
        let (device, session) = (DeviceId::new(name), SessionId::new(name));
        let config = ReplicaConfig::new(peer, device.expect("a short name"), session.expect("a short name"));
        let mut rng = ChaCha8Rng::from_seed(random.try_into().expect("32 random bytes"));
        let replica = Replica::new(config, at(now), &mut rng);
        Self { replica, rng }
    }

    /// Opens the cart.
    pub fn open(&mut self, now: f64) {
        let (intent, priority) = (Intent::OpenOrCreate, Priority::High);
        self.handle(now, Input::Open { document: CART, intent, priority });
    }

    /// Stays connected to the other device from now on.
    pub fn connect(&mut self, now: f64) {
        self.handle(now, Input::Connect { endpoint: OTHER, role: Role::Peer });
    }

    /// A connection that the other device has dialled.
    pub fn accept(&mut self) -> u64 {
        self.replica.accept().0
    }

    /// The connection is open.
    pub fn connected(&mut self, now: f64, connection: u64) {
        self.handle(now, Input::Connected { connection: ConnectionId(connection) });
    }

    /// The connection is no more, or never came to be.
    pub fn closed(&mut self, now: f64, connection: u64) {
        let why = "the pipe is cut".to_owned();
        self.handle(now, Input::Closed { connection: ConnectionId(connection), why });
    }

    /// A frame has come, or bytes that are none.
    pub fn receive(&mut self, now: f64, connection: u64, frame: &[u8]) {
        self.handle(now, Input::Received { connection: ConnectionId(connection), frame: frame.to_vec() });
    }

    /// The moment of [`Device::deadline`] has come.
    pub fn wake(&mut self, now: f64) {
        self.handle(now, Input::Wake);
    }

    /// When to wake it, in milliseconds after 1970; nothing if nothing is due.
    #[expect(clippy::cast_precision_loss, reason = "JavaScript counts milliseconds in floating point")]
    pub fn deadline(&self) -> Option<f64> {
        self.replica.next_deadline().map(|at| at.as_millis() as f64)
    }

    /// What is to be done next; nothing until something happens.
    pub fn poll(&mut self, now: f64) -> Option<Effect> {
        loop {
            let nothing =
                Effect { kind: String::new(), connection: 0, frame: Vec::new(), event: String::new() };
            let effect = match self.replica.poll_output()? {
                Output::Dial { connection, .. } => {
                    Effect { kind: "dial".into(), connection: connection.0, ..nothing }
                }
                Output::Close { connection } => {
                    Effect { kind: "close".into(), connection: connection.0, ..nothing }
                }
                Output::Send { connection, frame } => {
                    Effect { kind: "send".into(), connection: connection.0, frame, ..nothing }
                }
                Output::Event(event) => {
                    Effect { kind: "event".into(), event: format!("{event:?}"), ..nothing }
                }
                Output::Storage(request) => {
                    self.handle(now, forget(&request));
                    continue;
                }
                _ => continue,
            };
            return Some(effect);
        }
    }

    /// Puts more of something into the cart.
    pub fn add(&mut self, now: f64, sku: &str, quantity: u32) -> Result<(), String> {
        let quantity = Quantity::new(quantity).map_err(|error| error.to_string())?;
        self.shop(now, sku, |cart, line| cart.add(line, quantity).map(drop))
    }

    /// Takes all of something out of the cart.
    pub fn remove(&mut self, now: f64, sku: &str) -> Result<(), String> {
        self.shop(now, sku, |cart, line| cart.remove(line).map(drop))
    }

    /// How much of something the cart shows.
    pub fn quantity(&mut self, now: f64, sku: &str) -> Result<u64, String> {
        self.shop(now, sku, |cart, line| Ok(cart.view().quantity(line)))
    }
}

impl Device {
    fn handle(&mut self, now: f64, input: Input) {
        self.replica.handle(at(now), &mut self.rng, input);
    }

    fn shop<T>(
        &mut self,
        now: f64,
        sku: &str,
        act: impl FnOnce(&mut Cart<&mut Document>, &Line) -> Result<T, CartError>,
    ) -> Result<T, String> {
        let line = Line::of(&Sku::new(sku).map_err(|error| error.to_string())?);
        let edited = self.replica.edit(at(now), &mut self.rng, CART, |document| {
            let mut cart = Cart::open(document).map_err(|error| error.to_string())?;
            act(&mut cart, &line).map_err(|error| error.to_string())
        });
        edited.map_err(|error| error.to_string())?.value
    }
}

/// What a disk answers that has nothing and keeps nothing.
fn forget(request: &StorageRequest) -> Input {
    match request {
        StorageRequest::LoadDocument { document } => {
            Input::DocumentLoaded { document: *document, chunks: Vec::new(), records: Vec::new() }
        }
        StorageRequest::Write { write, .. } => Input::Stored { write: *write },
        _ => Input::IndexLoaded { records: Vec::new() },
    }
}

/// JavaScript counts milliseconds in floating point.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times are whole and after 1970")]
fn at(now: f64) -> Timestamp {
    Timestamp::from_millis(now as u64)
}
