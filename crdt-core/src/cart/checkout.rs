//! Checkouts, and what the authority decides about them and about single operations.

use std::borrow::BorrowMut;
use std::collections::BTreeMap;

use serde_json::json;

use super::Cart;
use super::key::Key;
use super::name::{CheckoutId, ListName};
use super::operation::{CartError, Operation};
use super::order::{Frozen, FrozenLine, FrozenTotal, Verdict, check_entitled, sign_verdict, statement};
use super::remarks::check_length;
use super::view::OrderStatus;
use super::writing::Writing;
use crate::authority::AuthorityKey;
use crate::canonical;
use crate::document::Document;
use crate::id::{ChangeHash, Dot};
use crate::limits::VALUE_BYTES_MAX;

impl<D: BorrowMut<Document>> Cart<D> {
    /// Asks for everything in the list `cart`, as it is here and now. What others add meanwhile is the next cart.
    ///
    /// The same `id` is the same checkout: trying it again does nothing.
    pub fn checkout(&mut self, id: &CheckoutId) -> Result<Operation, CartError> {
        self.write(|writing| {
            if writing.fold.ledger.orders.contains_key(id) {
                return Ok(());
            }
            let text = canonical::to_text(&writing.freeze()?);
            if text.len() > VALUE_BYTES_MAX {
                return Err(CartError::OrderTooLarge { bytes: text.len() });
            }
            writing.put(&Key::Checkout(id.clone()), &text);
            Ok(())
        })
    }

    /// Calls an order off that nothing has been decided about. Its units are back, as reduced since.
    pub fn cancel(&mut self, id: &CheckoutId) -> Result<Operation, CartError> {
        self.write(|writing| {
            let (status, _) = writing.order(id)?;
            match status {
                OrderStatus::Cancelled => {}
                OrderStatus::Confirmed | OrderStatus::Rejected => return Err(decided(id, status)),
                OrderStatus::Pending | OrderStatus::Superseded => {
                    writing.put(&Key::Verdict(id.clone(), Verdict::Cancelled), "{}");
                }
            }
            Ok(())
        })
    }

    /// The authority takes an order, exactly as it was frozen. Wins over every other decision.
    pub fn confirm(&mut self, id: &CheckoutId, key: &AuthorityKey) -> Result<Operation, CartError> {
        self.check_authority(key)?;
        self.write(|writing| {
            let (status, content) = writing.order(id)?;
            if status != OrderStatus::Confirmed {
                writing.put_verdict(id, Verdict::Confirmed, content, "", key);
            }
            Ok(())
        })
    }

    /// The authority refuses an order. Its units are back, as reduced since.
    pub fn reject(
        &mut self,
        id: &CheckoutId,
        reason: &str,
        key: &AuthorityKey,
    ) -> Result<Operation, CartError> {
        self.check_authority(key)?;
        check_length(reason)?;
        self.write(|writing| {
            let (status, content) = writing.order(id)?;
            match status {
                OrderStatus::Rejected => {}
                OrderStatus::Confirmed => return Err(decided(id, status)),
                _ => writing.put_verdict(id, Verdict::Rejected, content, reason, key),
            }
            Ok(())
        })
    }

    /// The authority refuses what an operation added: it counts no more, and everyone sees why. What a refused typed
    /// quantity had replaced is back. Units that an order holds are left to the decision about the order.
    pub fn refuse(
        &mut self,
        operation: &ChangeHash,
        reason: &str,
        key: &AuthorityKey,
    ) -> Result<Operation, CartError> {
        self.check_authority(key)?;
        check_length(reason)?;
        let change = self.document.borrow().change(operation);
        let change = change.ok_or(CartError::UnknownOperation { operation: *operation })?;
        let written = change.texts().into_iter().filter_map(|(key, _)| Key::parse(&key).ok());
        let refusable: Vec<Key> = written.filter(|key| key.refusable_dot().is_some()).collect();
        if refusable.is_empty() {
            return Err(CartError::NotRefusable { operation: *operation });
        }
        self.write(|writing| {
            for fact in &refusable {
                writing.refuse(fact, reason, key);
            }
            Ok(())
        })
    }

    /// The dots of what an operation added, under which a refusal of it is found in the view.
    pub fn dots_of(&self, operation: &ChangeHash) -> Vec<Dot> {
        let change = self.document.borrow().change(operation);
        let texts = change.map(|change| change.texts()).unwrap_or_default();
        let keys = texts.into_iter().filter_map(|(key, _)| Key::parse(&key).ok());
        keys.filter_map(|key| key.refusable_dot().cloned()).collect()
    }

    /// The hash of an order's content, which decisions about it are signed over: for an authority whose key is kept
    /// elsewhere.
    pub fn order_hash(&self, id: &CheckoutId) -> Option<&str> {
        self.state.fold.order_hash(id)
    }

    /// A decision that nobody here would believe is not written.
    fn check_authority(&self, key: &AuthorityKey) -> Result<(), CartError> {
        let by = key.public();
        check_entitled(&by, &self.state.trust).map_err(|_| CartError::NotEntitled { by })
    }
}

fn decided(id: &CheckoutId, status: OrderStatus) -> CartError {
    CartError::Decided { id: id.clone(), status }
}

impl<'a> Writing<'a> {
    fn order(&self, id: &CheckoutId) -> Result<(OrderStatus, &'a str), CartError> {
        let hash = self.fold.order_hash(id).ok_or_else(|| CartError::UnknownCheckout { id: id.clone() })?;
        Ok((self.fold.view.orders[id].status, hash))
    }

    fn put_verdict(
        &mut self,
        id: &CheckoutId,
        verdict: Verdict,
        content: &str,
        reason: &str,
        key: &AuthorityKey,
    ) {
        let text = sign_verdict(id, verdict, content, reason, key);
        self.put(&Key::Verdict(id.clone(), verdict), &text);
    }

    /// The list `cart` as it is.
    fn freeze(&self) -> Result<Frozen, CartError> {
        let list = ListName::cart();
        let shown = self.fold.view.lists.get(&list).ok_or(CartError::Empty)?;
        let freeze =
            |total| FrozenTotal::freeze(total).map_err(|currency| CartError::TotalTooLarge { currency });
        let mut lines = BTreeMap::new();
        for (line, shown) in &shown.lines {
            let standings = self.standings(line);
            let counting = standings.into_iter().filter(|standing| standing.counts_in(&list));
            let frozen = FrozenLine {
                quantity: shown.quantity,
                units: counting.map(|standing| (standing.dot.clone(), standing.left)).collect(),
                price: shown.price,
                total: freeze(&shown.total)?,
            };
            lines.insert(line.clone(), frozen);
        }
        Ok(Frozen { coupons: self.fold.view.coupons.clone(), lines, total: freeze(&shown.total)? })
    }

    fn refuse(&mut self, fact: &Key, reason: &str, key: &AuthorityKey) {
        let dot = fact.refusable_dot().expect("only refusable facts are refused");
        if self.is_held(dot) || self.fold.view.refusals.contains_key(dot) {
            return;
        }
        match fact {
            Key::Batch(line, dot) => self.delete_with_stand_ins(line, dot),
            other => self.delete(other),
        }
        let place = Key::Refusal(dot.clone());
        let body = json!({"fact": fact.to_string(), "reason": reason});
        let text = key.sign(&statement(&dot.to_string(), &place.to_string()), &body);
        self.put(&place, &text);
    }
}
