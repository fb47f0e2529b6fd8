//! Commands: requests to services that are not document changes, such as "charge this card once".

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::network::NodeId;

/// What devices took, what they gave up with notice, and what reached the service.
#[derive(Debug, Default)]
pub struct Commands {
    submitted: BTreeSet<String>,
    taken: BTreeMap<String, NodeId>,
    buried: BTreeSet<String>,
    delivered: BTreeMap<String, Vec<u8>>,
}

impl Commands {
    /// Somebody wants the command carried out, under this key and no other.
    pub fn submitted(&mut self, key: &str) {
        self.submitted.insert(key.to_owned());
    }

    /// A device stored the command: from now on it must be delivered.
    pub fn taken(&mut self, device: NodeId, key: &str) {
        self.taken.insert(key.to_owned(), device);
    }

    /// A device told its user that it will not try any more, or the user took the command back.
    pub fn buried(&mut self, key: &str) {
        self.buried.insert(key.to_owned());
    }

    /// The command reached the service, perhaps again.
    pub fn delivered(&mut self, key: &str, content: &[u8]) -> Result<(), Violation> {
        if !self.submitted.contains(key) {
            return Err(Violation::CommandUnknown { key: key.to_owned() });
        }
        let first = self.delivered.entry(key.to_owned()).or_insert_with(|| content.to_owned());
        if first == content { Ok(()) } else { Err(Violation::CommandChanged { key: key.to_owned() }) }
    }

    /// How many different commands reached the service.
    pub fn delivered_count(&self) -> usize {
        self.delivered.len()
    }

    /// Demands that everything taken was delivered, or buried with notice.
    pub fn require(&self) -> Result<(), Violation> {
        let lost = self
            .taken
            .iter()
            .find(|(key, _)| !self.delivered.contains_key(*key) && !self.buried.contains(*key));
        lost.map_or(Ok(()), |(key, device)| Err(Violation::CommandLost { device: *device, key: key.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_delivered_again_but_never_differently() {
        let mut commands = Commands::default();
        commands.submitted("pay-1");
        commands.taken(NodeId::Device(0), "pay-1");
        assert!(matches!(commands.require(), Err(Violation::CommandLost { .. })));
        commands.delivered("pay-1", b"10 EUR").unwrap();
        commands.delivered("pay-1", b"10 EUR").unwrap();
        assert_eq!(commands.require(), Ok(()));
        assert!(commands.delivered("pay-1", b"20 EUR").is_err());
        commands.taken(NodeId::Device(0), "pay-2");
        commands.buried("pay-2");
        assert_eq!(commands.require(), Ok(()));
        assert!(matches!(commands.delivered("pay-3", b""), Err(Violation::CommandUnknown { .. })));
    }
}
