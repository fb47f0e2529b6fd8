//! A device that holds one document, and brings it to a relay or fetches it from there.

use crdt_core::document::Document;
use crdt_core::id::{ActorId, DocumentId};
use crdt_core::sync::{Manner, State};
use crdt_core::wire::{Denial, Frame};

use crate::client::{Client, Gone};

/// A document on a device.
pub struct Device {
    pub id: DocumentId,
    pub document: Document,
}

/// Why a document was not brought, or not fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Gone(Gone),
    /// The relay has said no, and why.
    Denied(String),
    /// The relay has nothing of it.
    Unavailable,
}

impl From<Gone> for Refused {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl Device {
    /// A device that writes as `name`, with nothing of the document yet.
    pub fn new(name: &str, id: DocumentId) -> Self {
        Self { id, document: Document::new(ActorId::derive(&[name])) }
    }

    /// Writes one fact, as a change of its own.
    pub fn put(&mut self, key: &str, text: &str) {
        let mut edit = self.document.edit();
        edit.put(key, text);
        edit.commit();
    }

    /// Brings everything that the relay lacks, and returns when it is on the relay's disk.
    pub fn bring(&mut self, client: &mut Client) -> Result<(), Refused> {
        let mut state = State::new(Manner::OPEN);
        self.speak(client, &mut state, false)?;
        loop {
            let durable = self.hear(client, &mut state)?;
            let theirs = state.their_heads() == Some(&self.document.heads());
            if theirs || durable.is_some_and(|heads| heads == self.document.heads()) {
                return Ok(());
            }
            self.speak(client, &mut state, false)?;
        }
    }

    /// Fetches what the relay has of it.
    pub fn fetch(&mut self, client: &mut Client) -> Result<(), Refused> {
        let mut state = State::new(Manner::OPEN);
        self.speak(client, &mut state, true)?;
        loop {
            self.hear(client, &mut state)?;
            if state.their_heads() == Some(&self.document.heads()) {
                return Ok(());
            }
            self.speak(client, &mut state, false)?;
        }
    }

    fn speak(&mut self, client: &mut Client, state: &mut State, asks: bool) -> Result<(), Gone> {
        let Some(data) = state.generate_for(&mut self.document) else { return Ok(()) };
        let (route, document) = (client.route(), self.id);
        let frame = if asks {
            Frame::Request { route, document, data: &data }
        } else {
            Frame::Sync { route, document, data: &data }
        };
        let frame = frame.encode();
        client.send_bytes(frame)
    }

    /// Takes in the next frame; the durable heads, if it tells of them.
    fn hear(
        &mut self,
        client: &mut Client,
        state: &mut State,
    ) -> Result<Option<Vec<crdt_core::id::ChangeHash>>, Refused> {
        let frame = client.receive()?;
        match Frame::decode(&frame).expect("relays send frames") {
            Frame::Sync { data, .. } => {
                state.receive_into(&mut self.document, data).expect("relays send messages");
                Ok(None)
            }
            Frame::Durable { documents, .. } => {
                Ok(documents.into_iter().find(|it| it.document == self.id).map(|it| it.heads))
            }
            Frame::Denied { denial: Denial { reason, .. }, .. } => Err(Refused::Denied(reason.to_owned())),
            Frame::GoingAway { .. } => Ok(None),
            Frame::Unavailable { .. } => Err(Refused::Unavailable),
            other => panic!("a device hears {other:?}"),
        }
    }
}
