//! Coupons and notes.

use std::borrow::BorrowMut;

use super::Cart;
use super::key::Key;
use super::name::{CouponCode, NoteScope};
use super::operation::{CartError, Operation};
use crate::canonical;
use crate::document::Document;
use crate::limits::NOTE_BYTES_MAX;

impl<D: BorrowMut<Document>> Cart<D> {
    /// Applies a coupon. Applying it again says that it is meant, against whoever takes it off meanwhile.
    pub fn coupon(&mut self, code: &CouponCode) -> Result<Operation, CartError> {
        self.write(|writing| {
            let dots = writing.fold.ledger.coupons.get(code).into_iter().flatten();
            if dots.clone().any(|dot| writing.is_unshared(dot)) {
                return Ok(());
            }
            for dot in dots {
                writing.delete(&Key::Coupon(code.clone(), dot.clone()));
            }
            let dot = writing.next_dot();
            writing.put(&Key::Coupon(code.clone(), dot), "{}");
            Ok(())
        })
    }

    /// Takes a coupon off, as far as its applications are seen here.
    pub fn uncoupon(&mut self, code: &CouponCode) -> Result<Operation, CartError> {
        self.write(|writing| {
            for dot in writing.fold.ledger.coupons.get(code).into_iter().flatten() {
                writing.delete(&Key::Coupon(code.clone(), dot.clone()));
            }
            Ok(())
        })
    }

    /// Writes a note over whatever notes of this scope are seen here. An empty one leaves none.
    pub fn note(&mut self, scope: &NoteScope, text: &str) -> Result<Operation, CartError> {
        check_length(text)?;
        self.write(|writing| {
            let key = Key::Note(scope.clone());
            if text.is_empty() {
                writing.delete(&key);
            } else {
                writing.put(&key, &canonical::to_text(&text));
            }
            Ok(())
        })
    }
}

/// Refuses a text that a fold would not read.
pub(super) fn check_length(text: &str) -> Result<(), CartError> {
    if text.len() > NOTE_BYTES_MAX {
        return Err(CartError::TextTooLong { bytes: text.len() });
    }
    Ok(())
}
