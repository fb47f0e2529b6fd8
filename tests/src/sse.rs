//! One peer of a running relay where web sockets are blocked: frames come as events and go as posts.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crdt_core::wire::{Capabilities, Frame, PeerId, PeerMetadata, PeerRef, Route};

use crate::http::{Answer, EventStream, ask};

/// A peer that has joined and understands every extension.
#[derive(Debug)]
pub struct SsePeer {
    address: SocketAddr,
    name: PeerId,
    token: Option<String>,
    /// What names its session.
    pub session: String,
    stream: Option<EventStream>,
    /// How many frames it has sent.
    pub sent: u64,
    /// The last event that it has seen.
    pub seen: u64,
}

/// The stream has ended: with a reason if the relay has closed the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    pub reason: Option<String>,
}

impl SsePeer {
    /// Opens a session and joins as `name`.
    ///
    /// # Panics
    /// If the relay does not let it.
    pub fn join(address: SocketAddr, name: &str, token: Option<&str>) -> Self {
        let mut peer = Self {
            address,
            name: PeerId::new(name).expect("names of tests are short"),
            token: token.map(str::to_owned),
            session: String::new(),
            stream: None,
            sent: 0,
            seen: 0,
        };
        peer.listen().expect("the relay opens a session");
        let metadata = PeerMetadata { capabilities: Capabilities::all(), ..PeerMetadata::default() };
        let sender = PeerRef::new(name).expect("checked above");
        let answer = peer.send(&Frame::Join { sender, metadata, versions: vec!["1"] });
        assert_eq!(answer.status, 200, "{answer:?}");
        let welcome = peer.receive().expect("the relay welcomes");
        assert!(matches!(Frame::decode(&welcome), Ok(Frame::Peer { .. })), "{welcome:02x?} is no welcome");
        peer
    }

    /// From this peer to the relay.
    pub fn route(&self) -> Route<'_> {
        Route { sender: self.name.borrowed(), target: PeerRef::new("relay").expect("a short name") }
    }

    /// Opens a stream, of the session if there is one, after the last event that was seen.
    pub fn listen(&mut self) -> Result<(), Answer> {
        let seen = self.seen.to_string();
        let mut headers = vec![("last-event-id", seen.as_str())];
        if !self.session.is_empty() {
            headers.push(("pannier-session", &self.session));
        }
        let bearer = self.bearer();
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let mut stream = EventStream::open(self.address, "/sync/sse", &headers)?;
        let hello = stream.next().expect("the stream begins with its session");
        assert_eq!(hello.kind, "session");
        hello.json()["session"].as_str().expect("a name").clone_into(&mut self.session);
        self.stream = Some(stream);
        Ok(())
    }

    /// The stream is cut. What the relay says meanwhile waits.
    pub fn cut(&mut self) {
        self.stream = None;
    }

    /// Gives the stream away, as if it were still open somewhere.
    pub fn take_stream(&mut self) -> Option<EventStream> {
        self.stream.take()
    }

    /// Posts a frame.
    pub fn send(&mut self, frame: &Frame<'_>) -> Answer {
        self.post(&[frame.encode()])
    }

    /// Posts frames that have not been sent before.
    pub fn post(&mut self, frames: &[Vec<u8>]) -> Answer {
        let answer = self.post_at(self.sent + 1, frames);
        if answer.status == 200 {
            self.sent += frames.len() as u64;
        }
        answer
    }

    /// Posts frames of which the first has this number.
    pub fn post_at(&self, sequence: u64, frames: &[Vec<u8>]) -> Answer {
        let (sequence, seen) = (sequence.to_string(), self.seen.to_string());
        let mut headers = vec![
            ("pannier-session", self.session.as_str()),
            ("pannier-sequence", &sequence),
            ("pannier-acknowledged", &seen),
        ];
        let bearer = self.bearer();
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        ask(self.address, "POST", "/sync/sse", &headers, &frames.concat())
    }

    /// Waits for the next frame.
    ///
    /// # Panics
    /// If events are lost, repeated or out of order.
    pub fn receive(&mut self) -> Result<Vec<u8>, StreamEnd> {
        let Some(event) = self.stream.as_mut().and_then(Iterator::next) else {
            return Err(StreamEnd { reason: None });
        };
        if event.kind == "close" {
            let reason = event.json()["reason"].as_str().map(str::to_owned);
            return Err(StreamEnd { reason });
        }
        let number = event.id.and_then(|id| id.parse().ok());
        assert_eq!(number, Some(self.seen + 1), "each event once, in order");
        self.seen += 1;
        Ok(STANDARD.decode(event.data).expect("frames are in base64"))
    }

    fn bearer(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }
}
