//! One peer of a running relay: a blocking WebSocket that says and hears frames.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crdt_core::wire::{Capabilities, Capability, Frame, PeerId, PeerMetadata, PeerRef, Route};
use tungstenite::{Bytes, Message, WebSocket};

/// How long an answer may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A peer that has joined and understands every extension, mostly but for new tokens.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
    name: PeerId,
}

/// The connection is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// What the relay said last, if it said goodbye.
    pub goodbye: Option<String>,
}

impl Client {
    /// Connects to the relay at `address` and joins as `name`.
    pub fn join(address: SocketAddr, name: &str) -> Result<Self, Gone> {
        Self::join_at(address, "/", name)
    }

    /// As [`Client::join`], at this path, which may bear a token.
    pub fn join_at(address: SocketAddr, path: &str, name: &str) -> Result<Self, Gone> {
        let capabilities =
            Capability::ALL.into_iter().filter(|capability| *capability != Capability::Renewal);
        Self::join_as(address, path, name, capabilities.collect())
    }

    /// As [`Client::join_at`], as a peer that understands these extensions.
    pub fn join_as(
        address: SocketAddr,
        path: &str,
        name: &str,
        capabilities: Capabilities,
    ) -> Result<Self, Gone> {
        let stream = TcpStream::connect(address).map_err(|_| Gone { goodbye: None })?;
        stream.set_read_timeout(Some(PATIENCE)).expect("timeouts can be set");
        stream.set_nodelay(true).expect("a socket can be told not to wait");
        let url = format!("ws://{address}{path}");
        let (socket, _) = tungstenite::client(url, stream).map_err(|_| Gone { goodbye: None })?;
        let mut client = Self { socket, name: PeerId::new(name).expect("names of tests are short") };
        let metadata = PeerMetadata { capabilities, ..PeerMetadata::default() };
        let sender = PeerRef::new(name).expect("checked above");
        client.send(&Frame::Join { sender, metadata, versions: vec!["1"] })?;
        let welcome = client.receive()?;
        assert!(matches!(Frame::decode(&welcome), Ok(Frame::Peer { .. })), "{welcome:02x?} is no welcome");
        Ok(client)
    }

    /// From this peer to the relay.
    pub fn route(&self) -> Route<'_> {
        Route { sender: self.name.borrowed(), target: PeerRef::new("relay").expect("a short name") }
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &Frame<'_>) -> Result<(), Gone> {
        self.send_bytes(frame.encode())
    }

    /// Sends an encoded frame, or bytes that are none.
    pub fn send_bytes(&mut self, frame: Vec<u8>) -> Result<(), Gone> {
        self.socket.send(Message::Binary(Bytes::from(frame))).map_err(|_| Gone { goodbye: None })
    }

    /// Waits for the next frame.
    pub fn receive(&mut self) -> Result<Vec<u8>, Gone> {
        loop {
            match self.socket.read() {
                Ok(Message::Binary(frame)) => return Ok(frame.into()),
                Ok(Message::Close(close)) => {
                    return Err(Gone { goodbye: close.map(|close| close.reason.to_string()) });
                }
                Ok(_) => {}
                Err(_) => return Err(Gone { goodbye: None }),
            }
        }
    }
}
