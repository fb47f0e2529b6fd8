//! Commands: what a person wants done elsewhere, and that is no change of a document.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::queue::Priority;
use crate::id::text_id;

text_id!(
    /// A command's idempotency key: the application draws it once per intention, and it stays the same over every attempt
    /// and every restart.
    CommandId, "command id"
);

/// Something to be carried out elsewhere, at least once: a payment begun, an order placed, a mail asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub id: CommandId,
    /// What is to be done, as the application and its service call it.
    pub kind: String,
    /// With what. Opaque here; usually JSON.
    pub body: String,
    pub priority: Priority,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It was carried out, now or earlier.
    Done,
    /// It failed, and may succeed later; not before `after`, if the service said so.
    Failed { why: String, after: Option<Duration> },
    /// It will never succeed.
    Refused { why: String },
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommandStatus {
    /// Not on the disk yet.
    Unsaved,
    /// Waits for its turn, or for its next attempt.
    Waiting,
    /// Is being carried out.
    Running,
    /// Failed for good.
    Dead,
}
