//! What parts of a cart are called.

use crate::id::text_id;

text_id!(
    /// One of the lists that a cart keeps: what will be bought, what is saved for later, or any other.
    ///
    /// ```
    /// use crdt_core::cart::ListName;
    /// assert_eq!(ListName::cart().as_str(), "cart");
    /// assert_eq!(ListName::saved(), ListName::new("saved")?);
    /// # Ok::<(), crdt_core::id::InvalidId>(())
    /// ```
    ListName, "list name"
);

impl ListName {
    /// What the next checkout buys.
    pub fn cart() -> Self {
        Self("cart".into())
    }

    /// What is saved for later.
    pub fn saved() -> Self {
        Self("saved".into())
    }

    /// How this list ranks where concurrent moves disagree: the cart first, then by name.
    pub(super) fn rank(&self) -> (bool, &str) {
        (self.as_str() != "cart", self.as_str())
    }
}

text_id!(
    /// A coupon's code. Spaces around it and the case of its letters make no difference.
    ///
    /// ```
    /// use crdt_core::cart::CouponCode;
    /// assert_eq!(CouponCode::new(" save10 ")?, CouponCode::new("SAVE10")?);
    /// # Ok::<(), crdt_core::id::InvalidId>(())
    /// ```
    CouponCode, "coupon code", normal_code
);

fn normal_code(text: &str) -> String {
    text.trim().to_uppercase()
}

text_id!(
    /// A checkout, as the application names it: unique in the world, and the same when the same checkout is tried again.
    CheckoutId, "checkout id"
);

text_id!(
    /// What a note is about: `cart`, or the text of a line, or whatever the application decides.
    NoteScope, "note scope"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_segment() {
        let code = CouponCode::new("save/10").unwrap();
        assert_eq!(code.segment(), "SAVE%2f10");
        assert_eq!(CouponCode::from_segment(&code.segment()), Some(code));
        for segment in ["save10", " SAVE10", "", "A/B"] {
            assert_eq!(CouponCode::from_segment(segment), None, "{segment:?}");
        }
    }

    #[test]
    fn the_cart_ranks_before_every_other_list() {
        let mut lists = [ListName::saved(), ListName::new("a").unwrap(), ListName::cart()];
        lists.sort_by(|left, right| left.rank().cmp(&right.rank()));
        assert_eq!(lists.map(|list| list.to_string()), ["cart", "a", "saved"]);
    }
}
