//! What an operation tells whoever asked for it.

use serde::Serialize;

use super::name::CheckoutId;
use super::view::{LineChange, OrderStatus};
use crate::authority::PublicKey;
use crate::document::ApplyError;
use crate::id::ChangeHash;
use crate::kind::WrongKind;
use crate::limits::{NOTE_BYTES_MAX, VALUE_BYTES_MAX};
use crate::money::Currency;

/// What an operation did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its name, for following it until it is confirmed and for undoing it. None when nothing needed doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ChangeHash>,
    /// Every quantity that is another now.
    pub changes: Vec<LineChange>,
}

/// Why an operation can't be done. The cart is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CartError {
    #[error("there is nothing in the cart to check out")]
    Empty,
    #[error("the order would be {bytes} bytes long; at most {VALUE_BYTES_MAX} are stored")]
    OrderTooLarge { bytes: usize },
    #[error("the total in {currency} is past counting")]
    TotalTooLarge { currency: Currency },
    #[error("no checkout {id} is known here")]
    UnknownCheckout { id: CheckoutId },
    #[error("the order {id} is {status:?} already")]
    Decided { id: CheckoutId, status: OrderStatus },
    #[error("{by} may not decide here: the application's trust set does not say so")]
    NotEntitled { by: PublicKey },
    #[error("the text is {bytes} bytes long; at most {NOTE_BYTES_MAX} are stored")]
    TextTooLong { bytes: usize },
    #[error("no operation {operation} is known here")]
    UnknownOperation { operation: ChangeHash },
    #[error("operation {operation} did nothing that can be undone")]
    NotUndoable { operation: ChangeHash },
    #[error("operation {operation} wrote nothing that can be refused")]
    NotRefusable { operation: ChangeHash },
    #[error(transparent)]
    WrongKind(#[from] WrongKind),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl CartError {
    /// A word for programs: the same in every language and version.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::OrderTooLarge { .. } => "orderTooLarge",
            Self::TotalTooLarge { .. } => "totalTooLarge",
            Self::UnknownCheckout { .. } => "unknownCheckout",
            Self::Decided { .. } => "decided",
            Self::NotEntitled { .. } => "notEntitled",
            Self::TextTooLong { .. } => "textTooLong",
            Self::UnknownOperation { .. } => "unknownOperation",
            Self::NotUndoable { .. } => "notUndoable",
            Self::NotRefusable { .. } => "notRefusable",
            Self::WrongKind(_) => "wrongKind",
            Self::Apply(_) => "apply",
        }
    }
}
