//! A whole driver of a replica: one socket, the clock, randomness, and a store in memory.
//!
//! What a driver does is all here: it carries out what the replica wants, and tells it what came of that. It decides nothing.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use crdt_core::document::Document;
use crdt_core::id::DocumentId;
use crdt_core::replica::{
    ConnectionId, EditError, EndpointId, Event, Input, Intent, Output, Priority, RecordKey, Replica,
    ReplicaConfig, Role, StorageRequest, WritePart,
};
use crdt_core::time::Timestamp;
use crdt_core::wire::{DeviceId, PeerId, SessionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Bytes, Error, Message, WebSocket};

/// The one place that this device connects to.
const RELAY: EndpointId = EndpointId(0);

/// How long the socket is listened to before something else gets its turn.
const TURN: Duration = Duration::from_millis(20);

/// A device: a replica and everything around it.
pub(crate) struct Device {
    replica: Replica,
    rng: ChaCha8Rng,
    relay: String,
    socket: Option<(ConnectionId, WebSocket<MaybeTlsStream<TcpStream>>)>,
    chunks: BTreeMap<DocumentId, Vec<u8>>,
    records: BTreeMap<RecordKey, Vec<u8>>,
    events: Vec<Event>,
}

impl Device {
    /// A device that stays connected to the relay at this address, and forgets everything when it ends.
    pub(crate) fn start(relay: &str) -> Result<Self> {
        let random = RandomState::new().hash_one(SystemTime::now());
        let name = format!("terminal-{:04x}", random & 0xffff);
        let mut rng = ChaCha8Rng::seed_from_u64(random);
        let config = ReplicaConfig::new(PeerId::new(&name)?, DeviceId::new(&name)?, SessionId::new(&name)?);
        let replica = Replica::new(config, now(), &mut rng);
        let mut device = Self {
            replica,
            rng,
            relay: relay.to_owned(),
            socket: None,
            chunks: BTreeMap::new(),
            records: BTreeMap::new(),
            events: Vec::new(),
        };
        device.tell(Input::Connect { endpoint: RELAY, role: Role::Relay });
        Ok(device)
    }

    /// Opens a document that every device names by itself: there need not be anybody who has it.
    pub(crate) fn open(&mut self, document: DocumentId) {
        let (intent, priority) = (Intent::OpenOrCreate, Priority::High);
        self.tell(Input::Open { document, intent, priority });
    }

    pub(crate) fn edit<R>(
        &mut self,
        document: DocumentId,
        edit: impl FnOnce(&mut Document) -> R,
    ) -> Result<R, EditError> {
        let edited = self.replica.edit(now(), &mut self.rng, document, edit)?;
        self.carry_out();
        Ok(edited.value)
    }

    /// How many operations no relay has on its disk yet.
    pub(crate) fn pending(&self) -> usize {
        self.replica.pending_operations()
    }

    /// Listens for a while, and does what is due. Returns what the application is told.
    pub(crate) fn take_a_turn(&mut self) -> Vec<Event> {
        match self.socket.as_mut().map(|(connection, socket)| (*connection, socket.read())) {
            None => std::thread::sleep(TURN),
            Some((connection, Ok(Message::Binary(frame)))) => {
                self.tell(Input::Received { connection, frame: frame.into() });
            }
            Some((connection, Ok(_))) => self.tell(Input::Heard { connection }),
            Some((_, Err(Error::Io(error)))) if is_silence(error.kind()) => {}
            Some((connection, Err(error))) => self.lose(connection, &error),
        }
        if self.replica.next_deadline().is_some_and(|deadline| deadline <= now()) {
            self.tell(Input::Wake);
        }
        std::mem::take(&mut self.events)
    }

    fn tell(&mut self, input: Input) {
        self.replica.handle(now(), &mut self.rng, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            let answer = match output {
                Output::Dial { connection, .. } => Some(self.dial(connection)),
                Output::Close { .. } => {
                    self.socket = None;
                    None
                }
                Output::Send { frame, .. } => {
                    self.send(frame);
                    None
                }
                Output::Storage(request) => self.store(request),
                Output::Event(event) => {
                    self.events.push(event);
                    None
                }
                // Commands for a shop's own service: this program has none.
                _ => None,
            };
            if let Some(input) = answer {
                self.replica.handle(now(), &mut self.rng, input);
            }
        }
    }

    fn dial(&mut self, connection: ConnectionId) -> Input {
        match dialled(&self.relay) {
            Ok(socket) => {
                self.socket = Some((connection, socket));
                Input::Connected { connection }
            }
            Err(error) => Input::Closed { connection, why: format!("{error:#}") },
        }
    }

    fn send(&mut self, frame: Vec<u8>) {
        if let Some((connection, socket)) = &mut self.socket
            && let Err(error) = socket.send(Message::Binary(Bytes::from(frame)))
        {
            let connection = *connection;
            self.lose(connection, &error);
        }
    }

    fn lose(&mut self, connection: ConnectionId, error: &Error) {
        self.socket = None;
        self.replica.handle(now(), &mut self.rng, Input::Closed { connection, why: error.to_string() });
        self.carry_out();
    }

    fn store(&mut self, request: StorageRequest) -> Option<Input> {
        Some(match request {
            StorageRequest::LoadIndex => {
                let records = self.records.iter().filter(|(key, _)| key.is_in_index());
                let records = records.map(|(key, value)| (key.clone(), value.clone())).collect();
                Input::IndexLoaded { records }
            }
            StorageRequest::LoadDocument { document } => {
                let chunks = self.chunks.get(&document).cloned().unwrap_or_default();
                Input::DocumentLoaded { document, chunks, records: Vec::new() }
            }
            StorageRequest::Write { write, parts } => {
                for part in parts {
                    match part {
                        WritePart::Append { document, chunks } => {
                            self.chunks.entry(document).or_default().extend(chunks);
                        }
                        WritePart::Replace { document, chunks } => drop(self.chunks.insert(document, chunks)),
                        WritePart::Put { key, value } => drop(self.records.insert(key, value)),
                        WritePart::Delete { key } => drop(self.records.remove(&key)),
                        _ => {}
                    }
                }
                Input::Stored { write }
            }
            _ => return None,
        })
    }
}

/// Opens a socket that does not wait long for anything to be read.
fn dialled(relay: &str) -> Result<WebSocket<MaybeTlsStream<TcpStream>>> {
    let (socket, _) = tungstenite::connect(relay).with_context(|| format!("no relay at {relay}"))?;
    let MaybeTlsStream::Plain(stream) = socket.get_ref() else { bail!("{relay} is not a plain address") };
    stream.set_read_timeout(Some(TURN))?;
    stream.set_nodelay(true)?;
    Ok(socket)
}

/// Whether a read only found nothing to read.
fn is_silence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
