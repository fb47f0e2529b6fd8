//! Promises: changes that somebody was told are safe.

use std::collections::BTreeSet;

use crdt_core::id::{ChangeHash, DocumentId};

use super::Violation;
use crate::network::NodeId;

/// Every promise made in this world.
#[derive(Debug, Default)]
pub struct Promises {
    made: BTreeSet<(DocumentId, ChangeHash, Promise)>,
    fresh: Vec<(DocumentId, ChangeHash, Promise)>,
}

/// Who promised, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// A relay showed heads: they and all their ancestors are on its disk, whatever happens to it.
    Advertised { by: NodeId },
    /// A device told its user that an operation is confirmed: it is on the disk of some relay.
    Confirmed { on: NodeId },
    /// A device has an operation of its user on its own disk: in the end everybody has it.
    Kept { on: NodeId },
}

impl Promises {
    pub fn advertised(&mut self, by: NodeId, document: DocumentId, heads: &[ChangeHash]) {
        for head in heads {
            self.make((document, *head, Promise::Advertised { by }));
        }
    }

    pub fn confirmed(&mut self, on: NodeId, document: DocumentId, change: ChangeHash) {
        self.make((document, change, Promise::Confirmed { on }));
    }

    pub fn kept(&mut self, on: NodeId, document: DocumentId, change: ChangeHash) {
        self.make((document, change, Promise::Kept { on }));
    }

    fn make(&mut self, promise: (DocumentId, ChangeHash, Promise)) {
        if self.made.insert(promise) {
            self.fresh.push(promise);
        }
    }

    /// How many promises were made.
    pub fn count(&self) -> usize {
        self.made.len()
    }

    /// Demands of every promise made since the last call that it is true now, as told by what is on each relay's disk.
    pub fn require_fresh(
        &mut self,
        relays: &[NodeId],
        is_durable: impl Fn(NodeId, DocumentId, &ChangeHash) -> bool,
    ) -> Result<(), Violation> {
        for (document, change, promise) in self.fresh.drain(..) {
            let kept = match promise {
                Promise::Advertised { by } => is_durable(by, document, &change),
                Promise::Kept { .. } => true,
                Promise::Confirmed { .. } => relays.iter().any(|relay| is_durable(*relay, document, &change)),
            };
            if !kept {
                return Err(Violation::Premature { change, document, promise });
            }
        }
        Ok(())
    }

    /// Demands that `node`'s copy of `document`, in the end, keeps every promise that `binds`. A change is there only with
    /// all its ancestors.
    pub fn require(
        &self,
        node: NodeId,
        document: DocumentId,
        contains: impl Fn(&ChangeHash) -> bool,
        binds: impl Fn(&Promise) -> bool,
    ) -> Result<(), Violation> {
        let of_document =
            self.made.iter().filter(|(promised, _, promise)| *promised == document && binds(promise));
        for (document, change, promise) in of_document {
            if !contains(change) {
                return Err(Violation::Lost {
                    change: *change,
                    document: *document,
                    promise: *promise,
                    node,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: NodeId = NodeId::Relay(0);
    const PHONE: NodeId = NodeId::Device(0);
    const CART: DocumentId = DocumentId::from_bytes([1; 16]);
    const CHANGE: ChangeHash = ChangeHash::from_bytes([7; 32]);

    #[test]
    fn a_promise_about_one_document_binds_no_other() {
        let other = DocumentId::from_bytes([2; 16]);
        let mut promises = Promises::default();
        promises.advertised(RELAY, CART, &[CHANGE]);
        promises.advertised(RELAY, CART, &[CHANGE]);
        assert_eq!(promises.count(), 1);
        let binding = |_: &Promise| true;
        assert_eq!(promises.require(PHONE, CART, |hash| *hash == CHANGE, binding), Ok(()));
        assert_eq!(promises.require(PHONE, other, |_| false, binding), Ok(()));
        assert_eq!(promises.require(PHONE, CART, |_| false, |_| false), Ok(()));
        assert!(matches!(promises.require(PHONE, CART, |_| false, binding), Err(Violation::Lost { .. })));
    }

    #[test]
    fn a_promise_must_be_true_when_it_is_made() {
        let elsewhere = NodeId::Relay(1);
        let on_elsewhere = |relay, _, _: &ChangeHash| relay == elsewhere;
        let mut promises = Promises::default();
        promises.confirmed(PHONE, CART, CHANGE);
        assert_eq!(promises.require_fresh(&[RELAY, elsewhere], on_elsewhere), Ok(()));
        promises.advertised(RELAY, CART, &[CHANGE]);
        assert!(promises.require_fresh(&[RELAY, elsewhere], on_elsewhere).is_err());
        assert_eq!(promises.require_fresh(&[RELAY, elsewhere], on_elsewhere), Ok(()), "judged once");
    }
}
