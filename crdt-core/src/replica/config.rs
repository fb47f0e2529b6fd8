//! How a replica is set up.

use std::time::Duration;

use super::endpoint::DialConfig;
use super::outbox::OutboxConfig;
use super::presence::PresenceConfig;
use crate::id::ActorId;
use crate::wire::{DeviceId, PeerId, SessionId, StorageId};

/// Who a replica is and how it behaves. [`ReplicaConfig::new`] has what most applications want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// What it calls itself on the wire. A new one for every run is fine.
    pub peer: PeerId,
    /// The store it works on, if that outlives this run.
    pub storage: Option<StorageId>,
    /// The device, over all its tabs and runs.
    pub device: DeviceId,
    /// This run of this tab.
    pub session: SessionId,
    pub writer: Writer,
    pub sharing: Sharing,
    pub dial: DialConfig,
    pub liveness: LivenessConfig,
    pub outbox: OutboxConfig,
    pub presence: PresenceConfig,
    pub quotas: Quotas,
    /// How long to wait before a failed read or write of the local store is tried again.
    pub storage_retry: Duration,
}

/// As whom a replica writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// As somebody new in every run. Nothing has to be on the disk before it may be sent.
    Fresh,
    /// As the same actor in every run: for documents in which an actor holds something, such as an allotment's rights.
    /// Whatever it writes is on the disk before it is sent, since the same number must never be given twice.
    Kept(ActorId),
}

/// What other replicas, connected directly, are served. Relays are told of what the application opened, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sharing {
    /// What the application has open.
    Opened,
    /// Whatever is in the local store. For a person's own tabs and devices.
    Stored,
}

/// How a dead connection is told from a quiet one, where the other end has the heartbeat extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessConfig {
    /// So long after the last sign of life the other end is asked for one.
    pub quiet: Duration,
    /// How long it may take to answer.
    pub answer_max: Duration,
}

/// How much of everything there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Documents that the application has open.
    pub open_documents_max: usize,
    /// Operations of one document that are not confirmed. Past it edits are refused: something has been wrong for long.
    pub pending_operations_max: usize,
}

impl ReplicaConfig {
    /// The usual behaviour.
    pub fn new(peer: PeerId, device: DeviceId, session: SessionId) -> Self {
        Self {
            peer,
            storage: None,
            device,
            session,
            writer: Writer::Fresh,
            sharing: Sharing::Stored,
            dial: DialConfig::default(),
            liveness: LivenessConfig { quiet: Duration::from_secs(15), answer_max: Duration::from_secs(10) },
            outbox: OutboxConfig::default(),
            presence: PresenceConfig::default(),
            quotas: Quotas { open_documents_max: 4096, pending_operations_max: 10_000 },
            storage_retry: Duration::from_secs(2),
        }
    }
}
