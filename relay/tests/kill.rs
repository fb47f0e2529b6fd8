//! The binary, killed again and again while everybody writes: whatever it acknowledged is there afterwards.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::sync::{Manner, State};
use crdt_core::wire::Frame;
use pannier_tests::client::{Client, Gone};
use pannier_tests::process::RelayProcess;

/// Enough for kills to meet appends, flushes and the making of snapshots, which begins at 256 changes.
const KILLS: u64 = 50;

/// Writers, each with a document of its own.
const WRITERS: u8 = 4;

/// Changes that a writer has on their way before it waits for the relay to acknowledge them.
const CHANGES_IN_FLIGHT: usize = 4;

/// A device that writes as fast as the relay acknowledges.
struct Writer {
    name: String,
    id: DocumentId,
    document: Document,
    written: usize,
    acknowledged: BTreeSet<ChangeHash>,
}

impl Writer {
    fn new(number: u8) -> Self {
        let name = format!("phone-{number}");
        let document = Document::new(ActorId::derive(&[&name]));
        let id = DocumentId::from_bytes([number; 16]);
        Self { name, id, document, written: 0, acknowledged: BTreeSet::new() }
    }

    /// Writes until the relay is gone.
    fn write_until_gone(&mut self, address: SocketAddr) -> Gone {
        let mut client = match Client::join(address, &self.name) {
            Ok(client) => client,
            Err(gone) => return gone,
        };
        let mut state = State::new(Manner::OPEN);
        loop {
            for _ in 0..CHANGES_IN_FLIGHT {
                self.written += 1;
                let mut edit = self.document.edit();
                edit.put(&format!("n/{}", self.written), &"x".repeat(self.written % 200));
                edit.commit();
                if let Err(gone) = self.speak(&mut client, &mut state) {
                    return gone;
                }
            }
            let heads = self.document.heads();
            while !heads.iter().all(|head| self.acknowledged.contains(head)) {
                let answered = client.receive().and_then(|frame| {
                    self.hear(&frame, &mut state);
                    self.speak(&mut client, &mut state)
                });
                if let Err(gone) = answered {
                    return gone;
                }
            }
        }
    }

    fn speak(&mut self, client: &mut Client, state: &mut State) -> Result<(), Gone> {
        let Some(data) = state.generate_for(&mut self.document) else { return Ok(()) };
        let frame = Frame::Sync { route: client.route(), document: self.id, data: &data }.encode();
        client.send_bytes(frame)
    }

    fn hear(&mut self, frame: &[u8], state: &mut State) {
        let heads = match Frame::decode(frame).unwrap() {
            Frame::Sync { data, .. } => {
                state.receive_into(&mut self.document, data).unwrap();
                state.their_heads().unwrap().to_vec()
            }
            Frame::Durable { documents, .. } => {
                documents.into_iter().flat_map(|document| document.heads).collect()
            }
            other => panic!("an honest writer hears {other:?}"),
        };
        // Whoever has a change has everything before it.
        let mut stack = heads;
        while let Some(hash) = stack.pop() {
            if self.acknowledged.insert(hash) {
                stack.extend(self.document.deps(&hash));
            }
        }
    }
}

/// What a device that has nothing gets of a document.
fn read_anew(address: SocketAddr, writer: &Writer) -> Document {
    let mut client = Client::join(address, "auditor").unwrap();
    let mut document = Document::new(ActorId::derive(&["auditor"]));
    let mut state = State::new(Manner::OPEN);
    let data = state.generate_for(&mut document).unwrap();
    let frame = Frame::Request { route: client.route(), document: writer.id, data: &data }.encode();
    client.send_bytes(frame).unwrap();
    loop {
        let frame = client.receive().unwrap();
        match Frame::decode(&frame).unwrap() {
            Frame::Sync { data, .. } => {
                state.receive_into(&mut document, data).unwrap();
                if state.their_heads() == Some(&document.heads()) {
                    return document;
                }
            }
            Frame::Unavailable { .. } => return document,
            other => panic!("an honest reader hears {other:?}"),
        }
        if let Some(data) = state.generate_for(&mut document) {
            let frame = Frame::Sync { route: client.route(), document: writer.id, data: &data }.encode();
            client.send_bytes(frame).unwrap();
        }
    }
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let data = tempfile::tempdir().unwrap();
    let mut writers: Vec<_> = (0..WRITERS).map(Writer::new).collect();
    for kill in 0..=KILLS {
        let mut relay = RelayProcess::start(data.path());
        let address = relay.address();
        for writer in &writers {
            // Before the writer is back: only the relay's disk can have it.
            let document = read_anew(address, writer);
            let lost = writer.acknowledged.iter().filter(|hash| !document.contains(hash)).count();
            assert_eq!(lost, 0, "kill {kill}: {} lost of {}", writer.name, writer.acknowledged.len());
        }
        if kill == KILLS {
            break;
        }
        thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(move || writer.write_until_gone(address));
            }
            // At another point of the work each time.
            thread::sleep(Duration::from_millis(20 + kill * 37 % 130));
            relay.kill();
        });
    }
    for writer in &writers {
        // Four changes or more for each kill: the relay was killed at work.
        assert!(
            writer.acknowledged.len() as u64 > 4 * KILLS,
            "{}: {}",
            writer.name,
            writer.acknowledged.len()
        );
    }
}
