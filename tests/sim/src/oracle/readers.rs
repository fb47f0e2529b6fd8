//! Readers: who may be sent what.

use std::collections::BTreeMap;

use crdt_core::id::DocumentId;

use super::Violation;
use crate::network::NodeId;
use crate::plan::{Person, Plan, Right};

/// For every document of the plan, who may do what with it now.
#[derive(Debug)]
pub struct Readers(BTreeMap<DocumentId, BTreeMap<Person, Right>>);

impl Readers {
    /// What the permits of the plan say in the beginning.
    pub fn new(plan: &Plan) -> Self {
        let persons = || plan.devices.iter().map(|device| device.person);
        let readers = |document: &crate::plan::DocumentPlan| {
            persons().filter_map(|person| Some((person, document.right_of(person)?))).collect()
        };
        Self(plan.documents.iter().map(|document| (document.id, readers(document))).collect())
    }

    /// From now on `person` may do nothing with `document`.
    pub fn revoke(&mut self, document: DocumentId, person: Person) {
        if let Some(readers) = self.0.get_mut(&document) {
            readers.remove(&person);
        }
    }

    /// What `person` may do with a document of the plan now.
    pub fn right_of(&self, document: DocumentId, person: Person) -> Option<Right> {
        self.0.get(&document)?.get(&person).copied()
    }

    /// The documents with which `person` may do something now.
    pub fn rights_of(&self, person: Person) -> impl Iterator<Item = (DocumentId, Right)> {
        self.0.iter().filter_map(move |(document, readers)| Some((*document, *readers.get(&person)?)))
    }

    /// A relay is about to send content of `document`, or what tells of it, to somebody who speaks for `person`.
    ///
    /// Documents outside the plan were brought by strangers, and are theirs to show.
    pub fn require(&self, relay: NodeId, document: DocumentId, person: Person) -> Result<(), Violation> {
        match self.0.get(&document) {
            Some(readers) if !readers.contains_key(&person) => {
                Err(Violation::Leaked { relay, document, person })
            }
            _ => Ok(()),
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
    }
}
