//! The stage: what every node of the world acts upon.

use std::fmt;

use crdt_core::sync::Message;
use crdt_core::time::Timestamp;
use crdt_core::wire::Frame;

use crate::agenda::Agenda;
use crate::disk::Flush;
use crate::network::{LinkId, Network, NodeId, Packet};
use crate::oracle::{Commands, Promises, Readers, Violation};
use crate::plan::{BEGINNING, Happening, Plan};
use crate::trace::Trace;

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Event {
    Packet(Packet),
    Flushed(NodeId, Flush),
    /// A node asked to be woken. Void if its power went since.
    Wake {
        node: NodeId,
        power: u32,
    },
    Happening(Happening),
    /// A trouble of the plan ends.
    Relief(Relief),
}

/// The end of a trouble.
#[derive(Clone, Copy, Debug)]
pub enum Relief {
    Power(NodeId),
    Awake(NodeId),
    Joined,
    Disk(NodeId),
}

impl From<Packet> for Event {
    fn from(packet: Packet) -> Self {
        Self::Packet(packet)
    }
}

/// What peers send for ever, just to show that they are there.
const SIGNS_OF_LIFE: [&str; 3] = ["ping", "pong", "presence"];

/// Time, network, trace and oracles of one world.
pub struct Stage {
    pub agenda: Agenda<Event>,
    pub network: Network,
    pub trace: Trace,
    pub promises: Promises,
    pub commands: Commands,
    pub readers: Readers,
    violation: Option<Violation>,
    /// When somebody last sent something that was not a sign of life, and who.
    last_business: (Timestamp, NodeId),
}

impl Stage {
    pub fn new(plan: &Plan, aloud: bool) -> Self {
        Self {
            agenda: Agenda::new(BEGINNING),
            network: Network::new(plan.seed, plan.weather.clone()),
            trace: Trace::new(BEGINNING, aloud),
            promises: Promises::default(),
            commands: Commands::default(),
            readers: Readers::new(plan),
            violation: None,
            last_business: (BEGINNING, NodeId::Device(0)),
        }
    }

    /// The world's own time. Nodes have clocks of their own.
    pub fn now(&self) -> Timestamp {
        self.agenda.now()
    }

    /// Notes something in the trace.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.note(self.agenda.now(), what);
    }

    /// Sends a frame from `node`'s end of a connection.
    pub fn send(&mut self, node: NodeId, link: LinkId, frame: Vec<u8>) {
        let kind = kind_of(&frame);
        if !SIGNS_OF_LIFE.contains(&kind) {
            self.note_business(node);
        }
        let content = content_of(&frame);
        self.note(format_args!("{node} sends {kind}{content}, {} bytes, on {link}", frame.len()));
        self.trace.mix(&frame);
        self.network.send(&mut self.agenda, node, link, frame);
    }

    /// Notes that `node` does something that others wait for.
    pub fn note_business(&mut self, node: NodeId) {
        self.last_business = (self.now(), node);
    }

    /// When somebody last sent something that was not a sign of life, and who.
    pub fn last_business(&self) -> (Timestamp, NodeId) {
        self.last_business
    }

    /// Takes an oracle's verdict. The first violation ends the world.
    pub fn require(&mut self, verdict: Result<(), Violation>) {
        if let Err(violation) = verdict {
            self.note(format_args!("VIOLATION: {violation}"));
            self.violation.get_or_insert(violation);
        }
    }

    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }
}

/// What a sync message says, for the trace.
fn content_of(frame: &[u8]) -> String {
    let Ok(Frame::Sync { document, data, .. } | Frame::Request { document, data, .. }) = Frame::decode(frame)
    else {
        return String::new();
    };
    match Message::decode(data) {
        Ok(message) => {
            let (heads, need, chunks) = (message.heads, message.need, message.chunks.len());
            format!(" of {document}, heads {heads:?}, need {need:?}, {chunks} chunks")
        }
        Err(error) => format!(" of {document}, which is none: {error}"),
    }
}

/// What people call a frame, for the trace.
fn kind_of(frame: &[u8]) -> &'static str {
    match Frame::decode(frame) {
        Ok(Frame::Join { .. }) => "join",
        Ok(Frame::Peer { .. }) => "peer",
        Ok(Frame::Leave { .. }) => "leave",
        Ok(Frame::Error { .. }) => "error",
        Ok(Frame::Request { .. }) => "request",
        Ok(Frame::Sync { .. }) => "sync",
        Ok(Frame::Unavailable { .. }) => "unavailable",
        Ok(Frame::Ephemeral(_)) => "ephemeral",
        Ok(Frame::Durable { .. }) => "durable",
        Ok(Frame::Denied { .. }) => "denied",
        Ok(Frame::Open { .. }) => "open",
        Ok(Frame::Presence { .. }) => "presence",
        Ok(Frame::GoingAway { .. }) => "going-away",
        Ok(Frame::Ping { .. }) => "ping",
        Ok(Frame::Pong { .. }) => "pong",
        Ok(Frame::Permitted { .. }) => "permitted",
        Ok(Frame::Renew { .. }) => "renew",
        Ok(_) => "another frame",
        Err(_) => "noise",
    }
}
