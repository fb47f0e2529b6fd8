//! A batch: some units of one line that one operation put there, under one dot.

use serde::{Deserialize, Serialize};

use super::name::ListName;
use super::quantity::Quantity;
use crate::canonical;
use crate::id::{ActorId, Dot};
use crate::inert::InertReason;
use crate::limits::{INHERITED_DOTS_MAX, REPLACED_DOTS_MAX};
use crate::money::Money;

/// The value under `q/{line}/{dot}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    #[serde(rename = "k")]
    pub(super) kind: BatchKind,
    #[serde(rename = "n")]
    pub(super) quantity: Quantity,
    #[serde(rename = "l")]
    pub(super) list: ListName,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<Money>,
    /// What a typed quantity replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) on: Vec<Dot>,
    /// The dots that this one stands for, the nearest first. What binds them binds it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) of: Vec<Dot>,
    /// Set when these units were taken away from another dot and given back.
    #[serde(rename = "re", default, skip_serializing_if = "Option::is_none")]
    pub(super) returned: Option<Returned>,
}

/// Whether a person asked for so many more, or for so many altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BatchKind {
    Set,
    Add,
}

/// Units `from`, `from + 1`, ... of another dot, given back by an undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Returned {
    pub(super) dot: Dot,
    pub(super) from: u32,
}

impl Batch {
    /// So many more in `list`.
    pub(super) fn add(quantity: Quantity, list: ListName, price: Option<Money>) -> Self {
        Self { kind: BatchKind::Add, quantity, list, price, on: vec![], of: vec![], returned: None }
    }

    /// So many altogether in `list`.
    pub(super) fn set(quantity: Quantity, list: ListName, price: Option<Money>, on: Vec<Dot>) -> Self {
        Self { kind: BatchKind::Set, quantity, list, price, on, of: vec![], returned: None }
    }

    /// Units taken from `dot`, given back.
    pub(super) fn returned(
        quantity: Quantity,
        list: ListName,
        price: Option<Money>,
        dot: Dot,
        from: u32,
    ) -> Self {
        Self { returned: Some(Returned { dot, from }), ..Self::add(quantity, list, price) }
    }

    /// The batch that takes over from this one, which is under `dot`: everyone makes it alike.
    pub(super) fn stand_in(
        &self,
        dot: &Dot,
        kind: BatchKind,
        quantity: Quantity,
        list: ListName,
    ) -> (Dot, Self) {
        let mut of = vec![dot.clone()];
        of.extend(self.of.iter().take(INHERITED_DOTS_MAX - 1).cloned());
        (stand_in_dot(dot), Self { kind, quantity, list, of, ..self.clone() })
    }

    pub(super) fn is_set(&self) -> bool {
        self.kind == BatchKind::Set
    }

    /// Reads a stored value.
    pub(super) fn read(text: &str) -> Result<Self, InertReason> {
        let batch: Self = canonical::from_text(text)?;
        let most = REPLACED_DOTS_MAX + INHERITED_DOTS_MAX;
        for (what, dots, max) in [("on", &batch.on, most), ("of", &batch.of, INHERITED_DOTS_MAX)] {
            if dots.len() > max {
                return Err(InertReason::OutOfBounds { what, value: format!("{} dots", dots.len()) });
            }
        }
        Ok(batch)
    }

    /// Which of several values under one key counts: the largest, and the same one on every device.
    pub(super) fn largest(values: Vec<Self>) -> Option<Self> {
        values.into_iter().max_by(|left, right| {
            let size = left.quantity.cmp(&right.quantity);
            let place = || right.list.rank().cmp(&left.list.rank());
            size.then_with(place).then_with(|| canonical::to_text(left).cmp(&canonical::to_text(right)))
        })
    }
}

/// The dot under which everyone puts what takes over from `dot`.
pub(super) fn stand_in_dot(dot: &Dot) -> Dot {
    Dot { counter: dot.counter, actor: ActorId::derive(&["cart", "stand-in", &dot.to_string()]) }
}

/// The dot under which everyone gives back these units of `dot`.
pub(super) fn returned_dot(dot: &Dot, from: u32, to: u32) -> Dot {
    let actor = ActorId::derive(&["cart", "returned", &dot.to_string(), &from.to_string(), &to.to_string()]);
    Dot { counter: dot.counter, actor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(n: u64) -> Dot {
        Dot { counter: n, actor: ActorId::from_bytes([1; 16]) }
    }

    #[test]
    fn values_are_small_and_read_back() {
        let batch = Batch::add(Quantity::new(2).unwrap(), ListName::cart(), None);
        assert_eq!(canonical::to_text(&batch), r#"{"k":"add","l":"cart","n":2}"#);
        let set = Batch::set(Quantity::ONE, ListName::saved(), None, vec![dot(3)]);
        for batch in [batch, set] {
            assert_eq!(Batch::read(&canonical::to_text(&batch)), Ok(batch));
        }
    }

    #[test]
    fn absurd_values_are_inert() {
        let many: Vec<_> = (0..100).map(dot).collect();
        let crowded = canonical::to_text(&Batch::set(Quantity::ONE, ListName::cart(), None, many));
        for text in [
            r#"{"k":"add","l":"cart","n":0}"#,
            r#"{"k":"add","l":"cart","n":-3}"#,
            r#"{"k":"add","l":"cart","n":1000001}"#,
            r#"{"k":"add","l":"cart","n":1.5}"#,
            r#"{"k":"add","l":"","n":1}"#,
            r#"{"k":"sub","l":"cart","n":1}"#,
            r#"{"k":"add","l":"cart","n":1,"p":{"currency":"EUR","minor":-1}}"#,
            "5",
            "",
            &crowded,
        ] {
            assert!(Batch::read(text).is_err(), "{text}");
        }
        assert!(Batch::read(r#"{"k":"add","l":"cart","n":1,"newer":true}"#).is_ok());
    }

    #[test]
    fn a_stand_in_is_the_same_everywhere_and_forgets_its_eldest() {
        let (mut at, mut batch) = (dot(5), Batch::add(Quantity::ONE, ListName::cart(), None));
        for _ in 0..20 {
            let (stand_in, next) = batch.stand_in(&at, BatchKind::Add, Quantity::ONE, ListName::saved());
            assert_eq!(stand_in, batch.stand_in(&at, BatchKind::Set, Quantity::ONE, ListName::cart()).0);
            assert_eq!(next.of[0], at);
            (at, batch) = (stand_in, next);
        }
        assert_eq!(batch.of.len(), INHERITED_DOTS_MAX);
        assert!(Batch::read(&canonical::to_text(&batch)).is_ok());
    }
}
