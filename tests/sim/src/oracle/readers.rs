//! Readers: who may be sent what.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::id::DocumentId;

use super::Violation;
use crate::network::NodeId;
use crate::plan::{Person, Plan};

/// For every document of the plan, who may read it.
#[derive(Debug)]
pub struct Readers(BTreeMap<DocumentId, BTreeSet<Person>>);

impl Readers {
    /// What the permits of the plan say.
    pub fn new(plan: &Plan) -> Self {
        let persons: BTreeSet<Person> = plan.devices.iter().map(|device| device.person).collect();
        let readers = |document: &crate::plan::DocumentPlan| {
            persons.iter().copied().filter(|person| document.right_of(*person).is_some()).collect()
        };
        Self(plan.documents.iter().map(|document| (document.id, readers(document))).collect())
    }

    /// A relay is about to send content of `document`, or what tells of it, to somebody who speaks for `person`.
    ///
    /// Documents outside the plan were brought by strangers, and are theirs to show.
    pub fn require(&self, relay: NodeId, document: DocumentId, person: Person) -> Result<(), Violation> {
        match self.0.get(&document) {
            Some(readers) if !readers.contains(&person) => Err(Violation::Leaked { relay, document, person }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_to_readers_only() {
        let plan = (0..100).map(Plan::draw).find(|plan| plan.devices.len() > 3).unwrap();
        let readers = Readers::new(&plan);
        let own = plan.documents.iter().find(|document| document.owner != plan.service()).unwrap();
        let relay = NodeId::Relay(0);
        assert_eq!(readers.require(relay, own.id, own.owner), Ok(()));
        assert_eq!(readers.require(relay, own.id, plan.service()), Ok(()));
        assert!(readers.require(relay, own.id, Person(99)).is_err());
        assert_eq!(readers.require(relay, DocumentId::from_bytes([0; 16]), Person(99)), Ok(()));
    }
}
