//! Where a student stands with a course, and the words that older systems said it in.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::PaymentState;
use crate::id::InvalidId;

/// Where a student stands with a course. Never stored: folded from facts.
///
/// Ordered by what a view prefers: the first that the facts give is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Status {
    /// Has access, and has completed the course.
    Completed,
    /// Has access.
    Active,
    /// The student took the request back.
    Cancelled,
    /// The request was refused, or those who decide do not agree.
    Rejected,
    /// Waiting for a decision.
    Pending,
    /// Had access and left, or was taken out.
    Unenrolled,
    /// Had access until its time was over.
    Expired,
    /// Had paid and got the money back.
    Refunded,
    /// Nothing that counts has happened.
    #[default]
    None,
}

impl Status {
    /// The status as one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Active => "active",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Pending => "pending",
            Self::Unenrolled => "unenrolled",
            Self::Expired => "expired",
            Self::Refunded => "refunded",
            Self::None => "none",
        }
    }

    /// Whether the student may enter the course.
    pub const fn has_access(self) -> bool {
        matches!(self, Self::Active | Self::Completed)
    }

    /// Reads a status word of an older system, whatever its case, spaces and separators. A word that is not known is
    /// an error, never a guess.
    ///
    /// ```
    /// use crdt_core::enrollment::Status;
    /// for word in ["In Progress", "in-progress", "IN_PROGRESS", " inprogress "] {
    ///     assert_eq!(Status::from_legacy(word)?, Status::Active);
    /// }
    /// assert!(Status::from_legacy("enroled?").is_err());
    /// # Ok::<(), crdt_core::id::InvalidId>(())
    /// ```
    pub fn from_legacy(word: &str) -> Result<Self, InvalidId> {
        Ok(match plain(word).as_str() {
            "active" | "enrolled" | "approved" | "accepted" | "granted" | "inprogress" | "started"
            | "ongoing" => Self::Active,
            "completed" | "complete" | "finished" | "done" | "passed" | "graduated" => Self::Completed,
            "cancelled" | "canceled" => Self::Cancelled,
            "rejected" | "denied" | "declined" | "refused" => Self::Rejected,
            "pending" | "pendingapproval" | "awaitingapproval" | "requested" | "waiting" | "submitted" => {
                Self::Pending
            }
            "unenrolled" | "withdrawn" | "dropped" | "removed" | "revoked" | "left" => Self::Unenrolled,
            "expired" | "lapsed" | "ended" => Self::Expired,
            "refunded" => Self::Refunded,
            "none" | "notenrolled" | "notstarted" => Self::None,
            _ => return Err(InvalidId::new("status", word, "is not a known word")),
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PaymentState {
    /// Reads a payment status word of an older system, as [`Status::from_legacy`] does.
    pub fn from_legacy(word: &str) -> Result<Self, InvalidId> {
        Ok(match plain(word).as_str() {
            "pending" | "processing" | "created" | "open" | "requiresaction" | "unpaid" => Self::Pending,
            "failed" | "failure" | "declined" | "error" | "cancelled" | "canceled" | "expired" => {
                Self::Failed
            }
            "completed" | "complete" | "paid" | "succeeded" | "success" | "captured" => Self::Completed,
            "refunded" | "reversed" | "chargedback" => Self::Refunded,
            _ => return Err(InvalidId::new("payment status", word, "is not a known word")),
        })
    }
}

/// The word without case, white space and separators.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(|letter| !letter.is_whitespace() && !"-_./:".contains(*letter));
    letters.take(64).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_its_own_word() {
        use Status::{Active, Cancelled, Completed, Expired, None, Pending, Refunded, Rejected, Unenrolled};
        for status in [Completed, Active, Cancelled, Rejected, Pending, Unenrolled, Expired, Refunded, None] {
            assert_eq!(Status::from_legacy(status.as_str()), Ok(status));
            assert_eq!(Status::from_legacy(&status.as_str().to_uppercase()), Ok(status));
        }
        assert_eq!(Status::from_legacy("Pending  Approval"), Ok(Pending));
        assert_eq!(PaymentState::from_legacy("CHARGED-BACK"), Ok(PaymentState::Refunded));
    }

    #[test]
    fn an_unknown_word_is_never_enrolled() {
        for word in ["", "  ", "enroled", "active2", "?", "actives", "актив"] {
            assert!(Status::from_legacy(word).is_err(), "{word}");
            assert!(PaymentState::from_legacy(word).is_err(), "{word}");
        }
    }
}
