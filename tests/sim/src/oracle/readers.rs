//! Readers: who may be sent what.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::id::DocumentId;

use super::Violation;
use crate::network::NodeId;
use crate::plan::{Order, Person, Plan, Right};

/// For every document of the plan, who may do what with it now.
#[derive(Debug)]
pub struct Readers {
    /// By the permits that people have.
    permitted: Rights,
    /// By what the documents themselves grant.
    shared: Rights,
    /// Documents that are to be erased.
    doomed: BTreeSet<DocumentId>,
    /// Documents of which nothing is left.
    erased: BTreeSet<DocumentId>,
}

type Rights = BTreeMap<DocumentId, BTreeMap<Person, Right>>;

impl Readers {
    /// What the permits of the plan say in the beginning.
    pub fn new(plan: &Plan) -> Self {
        let persons = || plan.devices.iter().map(|device| device.person);
        let readers = |document: &crate::plan::DocumentPlan| {
            persons().filter_map(|person| Some((person, document.right_of(person)?))).collect()
        };
        let permitted = plan.documents.iter().map(|document| (document.id, readers(document))).collect();
        Self { permitted, shared: Rights::new(), doomed: BTreeSet::new(), erased: BTreeSet::new() }
    }

    /// From now on `person` may do nothing with `document` by a permit.
    pub fn revoke(&mut self, document: DocumentId, person: Person) {
        if let Some(readers) = self.permitted.get_mut(&document) {
            readers.remove(&person);
        }
    }

    /// An operator is about to have this done, and will not rest until it is.
    pub fn ordered(&mut self, order: Order) {
        if let Order::Erase { document } = order {
            self.doomed.insert(document);
        }
    }

    /// A relay has done what it was ordered to, and what it serves from now on has to show it.
    pub fn done(&mut self, order: Order) {
        match order {
            Order::Share { document, person, right } => {
                self.shared.entry(document).or_default().insert(person, right);
            }
            Order::Unshare { document, person } => {
                self.shared.entry(document).or_default().remove(&person);
            }
            Order::Erase { document } => {
                self.erased.insert(document);
            }
        }
    }

    /// There was nothing to which an order could be done.
    pub fn dropped(&mut self, order: Order) {
        if let Order::Erase { document } = order
            && !self.erased.contains(&document)
        {
            self.doomed.remove(&document);
        }
    }

    /// Whether the document is erased, or about to be: nothing that is done to it counts any more.
    pub fn is_doomed(&self, document: DocumentId) -> bool {
        self.doomed.contains(&document)
    }

    /// What `person` may do with a document of the plan now.
    pub fn right_of(&self, document: DocumentId, person: Person) -> Option<Right> {
        let right = |rights: &Rights| rights.get(&document)?.get(&person).copied();
        right(&self.permitted).max(right(&self.shared))
    }

    /// The documents with which `person` may do something by a permit.
    pub fn permits_of(&self, person: Person) -> impl Iterator<Item = (DocumentId, Right)> {
        let readers = self.permitted.iter();
        readers.filter_map(move |(document, readers)| Some((*document, *readers.get(&person)?)))
    }

    /// The documents with which `person` may do something now.
    pub fn rights_of(&self, person: Person) -> impl Iterator<Item = (DocumentId, Right)> {
        let documents = self.permitted.keys();
        documents.filter_map(move |document| Some((*document, self.right_of(*document, person)?)))
    }

    /// A relay is about to send content of `document`, or what tells of it, to somebody who speaks for `person`.
    ///
    /// Documents outside the plan were brought by strangers, and are theirs to show.
    pub fn require(&self, relay: NodeId, document: DocumentId, person: Person) -> Result<(), Violation> {
        let is_planned = self.permitted.contains_key(&document);
        if self.erased.contains(&document) {
            Err(Violation::Risen { relay, document })
        } else if is_planned && self.right_of(document, person).is_none() {
            Err(Violation::Leaked { relay, document, person })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_to_readers_only_and_as_long_as_they_may_read() {
        let plan = (0..100).map(Plan::draw).find(|plan| plan.devices.len() > 3).unwrap();
        let mut readers = Readers::new(&plan);
        let own = plan.documents.iter().find(|document| document.owner != plan.service()).unwrap();
        let relay = NodeId::Relay(0);
        assert_eq!(readers.require(relay, own.id, own.owner), Ok(()));
        assert_eq!(readers.require(relay, own.id, plan.service()), Ok(()));
        assert!(readers.require(relay, own.id, Person(99)).is_err());
        assert_eq!(readers.require(relay, DocumentId::from_bytes([0; 16]), Person(99)), Ok(()));
        assert!(readers.rights_of(own.owner).any(|right| right == (own.id, Right::Write)));
        readers.revoke(own.id, plan.service());
        assert!(readers.require(relay, own.id, plan.service()).is_err());
        assert_eq!(readers.right_of(own.id, plan.service()), None);
        readers.done(Order::Share { document: own.id, person: Person(99), right: Right::Read });
        assert_eq!(readers.require(relay, own.id, Person(99)), Ok(()));
        assert_eq!(readers.permits_of(Person(99)).count(), 0);
        readers.done(Order::Unshare { document: own.id, person: Person(99) });
        assert!(readers.require(relay, own.id, Person(99)).is_err());
        readers.ordered(Order::Erase { document: own.id });
        assert_eq!(readers.require(relay, own.id, own.owner), Ok(()), "not yet");
        readers.done(Order::Erase { document: own.id });
        assert!(matches!(readers.require(relay, own.id, own.owner), Err(Violation::Risen { .. })));
    }
}
