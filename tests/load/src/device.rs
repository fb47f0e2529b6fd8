//! One device's connection: it says what was written beforehand, and hears how much the server has.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use crdt_core::id::DocumentId;
use crdt_core::wire::{Frame, PeerId, PeerMetadata, Route};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::history::{History, Said};
use crate::server::Target;

/// Bytes read at once. The library clears as many before each read, so more would cost the generator more.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Connections from one address of this machine: the kernel has some 28,000 ports for each.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

/// A connection that has joined.
#[derive(Debug)]
pub struct Device {
    socket: WebSocketStream<TcpStream>,
    history: Rc<History>,
    name: PeerId,
    server: PeerId,
}

/// What a server has said of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Sync {
        document: DocumentId,
        said: Said,
    },
    /// It has nothing of it.
    Unavailable {
        document: DocumentId,
    },
}

impl Device {
    /// Connects as the device of this number and joins.
    pub async fn join(target: &Target, number: usize, history: &Rc<History>) -> Result<Self> {
        let socket = connect(target.address(), number).await.context("the server lets nobody connect")?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let (socket, _) = client_async_with_config(target.url(), socket, Some(config)).await?;
        let name = PeerId::new(&format!("device-{number}"))?;
        let mut device = Self { socket, history: Rc::clone(history), server: name.clone(), name };
        let sender = device.name.borrowed();
        let join = Frame::Join { sender, metadata: PeerMetadata::default(), versions: vec!["1"] }.encode();
        device.socket.send(Message::Binary(join.into())).await?;
        let answer = device.next().await?;
        device.server = match Frame::decode(&answer)? {
            Frame::Peer { route, .. } => route.sender.to_owned(),
            other => bail!("{other:?} is no welcome"),
        };
        Ok(device)
    }

    /// Puts a sync message in the socket's queue.
    pub async fn feed(&mut self, document: DocumentId, message: &[u8]) -> Result<()> {
        let frame = Frame::Sync { route: self.route(), document, data: message }.encode();
        Ok(self.socket.feed(Message::Binary(frame.into())).await?)
    }

    pub async fn flush(&mut self) -> Result<()> {
        Ok(self.socket.flush().await?)
    }

    /// Sends a sync message.
    pub async fn tell(&mut self, document: DocumentId, message: &[u8]) -> Result<()> {
        self.feed(document, message).await?;
        self.flush().await
    }

    /// Asks for a document of which it has nothing.
    pub async fn ask(&mut self, document: DocumentId) -> Result<()> {
        let frame = Frame::Request { route: self.route(), document, data: &self.history.at(0) }.encode();
        Ok(self.socket.send(Message::Binary(frame.into())).await?)
    }

    /// Waits for the next word about a document. Can be abandoned and called again.
    pub async fn hear(&mut self) -> Result<Heard> {
        loop {
            let frame = self.next().await?;
            if let Some(heard) = self.read(&frame)? {
                return Ok(heard);
            }
        }
    }

    /// What has been heard already, without waiting.
    pub fn overhear(&mut self) -> Option<Result<Heard>> {
        self.hear().now_or_never()
    }

    /// Waits for a whole sync message, for who wants more than to know what it says.
    pub async fn hear_message(&mut self) -> Result<(DocumentId, Vec<u8>)> {
        loop {
            let frame = self.next().await?;
            if let Frame::Sync { document, data, .. } = Frame::decode(&frame)? {
                return Ok((document, data.to_vec()));
            }
        }
    }

    /// Asks for a document until the server shows the first `count` changes of it, and thanks for them.
    pub async fn fetch(&mut self, document: DocumentId, count: usize) -> Result<()> {
        self.ask(document).await?;
        let mut known = 0;
        while known < count {
            match self.hear().await? {
                Heard::Sync { document: about, said } if about == document => {
                    if said.bytes > 0 {
                        known = said.count;
                    }
                    let answer = self.history.at(known);
                    self.tell(document, &answer).await?;
                }
                Heard::Unavailable { document: about } if about == document => {
                    bail!("the server has lost {document}")
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the first `count` changes of these documents, and waits until the server has them.
    pub async fn bring(&mut self, documents: &[DocumentId], count: usize) -> Result<()> {
        /// Documents that wait for their answer at once.
        const WINDOW: usize = 64;
        let news = self.history.news(0, count);
        let mut rest = documents.iter();
        for document in rest.by_ref().take(WINDOW) {
            self.feed(*document, &news).await?;
        }
        self.flush().await?;
        let mut had = 0;
        while had < documents.len() {
            if let Heard::Sync { said, .. } = self.hear().await?
                && said.count >= count
            {
                had += 1;
                if let Some(document) = rest.next() {
                    self.tell(*document, &news).await?;
                }
            }
        }
        Ok(())
    }

    /// Says goodbye, without waiting for the answer.
    pub async fn leave(mut self) {
        self.socket.close(None).await.ok();
    }

    fn route(&self) -> Route<'_> {
        Route { sender: self.name.borrowed(), target: self.server.borrowed() }
    }

    async fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.socket.next().await.context("the server has ended the connection")?? {
                Message::Binary(frame) => return Ok(frame.into()),
                Message::Close(close) => bail!("the server has closed the connection: {close:?}"),
                _ => {}
            }
        }
    }

    fn read(&self, frame: &[u8]) -> Result<Option<Heard>> {
        Ok(match Frame::decode(frame)? {
            // Some servers ask for what they are about to be told.
            Frame::Sync { document, data, .. } | Frame::Request { document, data, .. } => {
                let said = self.history.read(data).context("a server that has changes of somebody else")?;
                Some(Heard::Sync { document, said })
            }
            Frame::Unavailable { document, .. } => Some(Heard::Unavailable { document }),
            Frame::Error { message, .. } => bail!("the server says: {message}"),
            _ => None,
        })
    }
}

async fn connect(address: SocketAddr, number: usize) -> Result<TcpStream> {
    let source = number / CONNECTIONS_PER_SOURCE;
    let stream = if source > 0 && address.ip().is_loopback() && address.is_ipv4() {
        let source = u8::try_from(source)?;
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, 1 + source), 0).into())?;
        socket.connect(address).await?
    } else {
        TcpStream::connect(address).await?
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The document of this number in a run. They are in no order, as ids are.
pub fn document(number: usize) -> DocumentId {
    let number = number as u64;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    DocumentId::from_bytes(bytes)
}
