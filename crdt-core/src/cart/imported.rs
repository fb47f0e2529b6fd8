//! Rows of an older shop's cart, as facts of this one.

use super::batch::Batch;
use super::key::Key;
use super::line::Line;
use super::name::ListName;
use super::quantity::Quantity;
use crate::canonical;
use crate::id::Dot;
use crate::money::Money;

/// The root key and text of units that `dot` adds to `list`.
pub(crate) fn fact(
    line: &Line,
    dot: &Dot,
    quantity: Quantity,
    list: ListName,
    price: Option<Money>,
) -> (String, String) {
    let key = Key::Batch(line.clone(), dot.clone()).to_string();
    (key, canonical::to_text(&Batch::add(quantity, list, price)))
}
