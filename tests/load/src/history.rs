//! What devices say, written before anything is measured: the changes of one cart, and the messages about them.
//!
//! Every document of a run has the same changes, in the same order: a server that does not compare documents can't tell, and
//! the generator has no document open.

use std::collections::HashMap;

use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash};
use crdt_core::sync::{Flags, Have, Message};

/// The changes of a cart, each made on top of the one before.
#[derive(Debug)]
pub struct History {
    changes: Vec<Vec<u8>>,
    hashes: Vec<ChangeHash>,
    numbers: HashMap<ChangeHash, usize>,
}

/// What one sync message says about a document that has this history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// How many changes its sender has.
    pub count: usize,
    /// Bytes of changes in it.
    pub bytes: usize,
}

impl History {
    /// The first changes of the cart.
    pub fn of(changes: usize) -> Self {
        let mut cart = Document::new(ActorId::from_bytes([1; 16]));
        for n in 0..changes {
            let key = format!("q/sku-{}/{n}.0123456789abcdef0123456789abcdef", n % 50);
            let mut edit = cart.edit();
            edit.put(&key, r#"{"k":"add","l":"cart","n":2,"p":{"amount":1999,"currency":"EUR"}}"#);
            edit.commit();
        }
        let changes = cart.changes_for_peer(&[]);
        let hashes: Vec<_> = changes.iter().map(crdt_core::document::Change::hash).collect();
        let numbers = hashes.iter().enumerate().map(|(n, hash)| (*hash, n)).collect();
        let changes = changes.iter().map(|change| change.bytes().to_vec()).collect();
        Self { changes, hashes, numbers }
    }

    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The heads of a document with the first `count` changes.
    fn heads(&self, count: usize) -> Vec<ChangeHash> {
        self.hashes[..count].last().copied().into_iter().collect()
    }

    /// Whether these are the heads of a document with all the changes.
    pub fn is_whole(&self, heads: &[ChangeHash]) -> bool {
        heads == self.heads(self.len())
    }

    /// What a device says that has the first `count` changes, and shares them with the server as far as it knows.
    pub fn at(&self, count: usize) -> Vec<u8> {
        self.message(count, count, &[])
    }

    /// What a device says that has the first `count` changes, of which the server has the first `shared`.
    pub fn news(&self, shared: usize, count: usize) -> Vec<u8> {
        self.message(count, shared, &self.changes[shared..count])
    }

    fn message(&self, count: usize, shared: usize, chunks: &[Vec<u8>]) -> Vec<u8> {
        let have = Have { last_sync: self.heads(shared), ..Have::default() };
        let chunks = chunks.iter().map(Vec::as_slice).collect();
        let flags = Some(Flags { understands_reset: true, ..Flags::default() });
        Message { heads: self.heads(count), have: vec![have], chunks, flags, ..Message::default() }.encode()
    }

    /// What a message says; `None` for one about another history.
    pub fn read(&self, message: &[u8]) -> Option<Said> {
        let message = Message::decode(message).ok()?;
        let count = match message.heads.as_slice() {
            [] => 0,
            [head] => self.numbers.get(head)? + 1,
            _ => return None,
        };
        Some(Said { count, bytes: message.chunks.iter().map(|chunk| chunk.len()).sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_how_much_their_sender_has() {
        let history = History::of(30);
        let said = |message: &[u8]| history.read(message).map(|said| (said.count, said.bytes > 0));
        assert_eq!(said(&history.at(0)), Some((0, false)));
        assert_eq!(said(&history.at(20)), Some((20, false)));
        assert_eq!(said(&history.news(20, 21)), Some((21, true)));
        assert_eq!(said(&History::of(31).at(31)), None);
    }

    #[test]
    fn news_are_a_document() {
        use crdt_core::sync::{Manner, State};
        let history = History::of(30);
        let (mut relay, mut state) = (Document::new(ActorId::from_bytes([2; 16])), State::new(Manner::OPEN));
        state.receive_into(&mut relay, &history.news(0, 20)).unwrap();
        state.receive_into(&mut relay, &history.news(20, 30)).unwrap();
        assert_eq!(relay.heads(), history.heads(30));
        let answer = state.generate_for(&mut relay).expect("news are acknowledged");
        assert_eq!(history.read(&answer), Some(Said { count: 30, bytes: 0 }));
    }
}
