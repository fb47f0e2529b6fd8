//! What a person sees of a cart. Serialised, it is the same JSON in every language.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::batch::BatchKind;
use super::line::Line;
use super::name::{CheckoutId, CouponCode, ListName, NoteScope};
use super::order::{Frozen, Judged, Verdict};
use super::standing::Standing;
use super::total::{Sum, Total};
use crate::id::Dot;
use crate::money::Money;

/// A cart as it is to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CartView {
    /// Lists that hold something, by name.
    pub lists: BTreeMap<ListName, ListView>,
    /// Coupons applied.
    pub coupons: BTreeSet<CouponCode>,
    /// Notes: more than one for a scope where they were written concurrently, until one is written over them.
    pub notes: BTreeMap<NoteScope, BTreeSet<String>>,
    /// Every checkout that was ever asked for.
    pub orders: BTreeMap<CheckoutId, OrderView>,
    /// What the authority refused, and why, by the dot of the refused fact.
    pub refusals: BTreeMap<Dot, RefusalView>,
}

impl CartView {
    /// The units of `line` in the list `cart`.
    pub fn quantity(&self, line: &Line) -> u64 {
        self.quantity_in(&ListName::cart(), line)
    }

    /// The units of `line` in `list`.
    pub fn quantity_in(&self, list: &ListName, line: &Line) -> u64 {
        self.line(list, line).map_or(0, |line| line.quantity)
    }

    /// What `list` shows of `line`.
    pub fn line(&self, list: &ListName, line: &Line) -> Option<&LineView> {
        self.lists.get(list)?.lines.get(line)
    }

    /// Where `after` shows another quantity, or shows it otherwise.
    pub(super) fn changes_to(&self, after: &Self) -> Vec<LineChange> {
        let lines = |view: &Self| -> BTreeSet<(ListName, Line)> {
            let lists = view.lists.iter();
            lists
                .flat_map(|(name, list)| list.lines.keys().map(|line| (name.clone(), line.clone())))
                .collect()
        };
        let places: BTreeSet<_> = lines(self).union(&lines(after)).cloned().collect();
        let changed =
            places.into_iter().filter(|(list, line)| self.line(list, line) != after.line(list, line));
        let change = |(list, line): (ListName, Line)| {
            let (before, after) = (self.quantity_in(&list, &line), after.quantity_in(&list, &line));
            LineChange { line, list, before, after }
        };
        changed.map(change).collect()
    }

    /// Puts `lines` in the place of what every list shows of `line`. Lists and quantities that changed are returned.
    pub(super) fn replace_line(
        &mut self,
        line: &Line,
        new: &BTreeMap<ListName, LineView>,
    ) -> Vec<LineChange> {
        let mut changes = Vec::new();
        let present = self.lists.iter().filter(|(_, list)| list.lines.contains_key(line));
        let lists: BTreeSet<ListName> = present.map(|(name, _)| name).chain(new.keys()).cloned().collect();
        for list in lists {
            let shown = self.lists.entry(list.clone()).or_default();
            if shown.lines.get(line) == new.get(&list) {
                continue;
            }
            let before = shown.replace_line(line, new.get(&list).cloned());
            let after = new.get(&list).map_or(0, |line| line.quantity);
            if shown.lines.is_empty() {
                self.lists.remove(&list);
            }
            changes.push(LineChange { line: line.clone(), list, before, after });
        }
        changes
    }
}

/// One list of a cart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListView {
    /// Lines with at least one unit.
    pub lines: BTreeMap<Line, LineView>,
    /// What all of it costs.
    pub total: Total,
    #[serde(skip)]
    sum: Sum,
}

impl ListView {
    fn replace_line(&mut self, line: &Line, new: Option<LineView>) -> u64 {
        if let Some(new) = &new {
            self.sum.add_all(&new.sum);
        }
        let old = match new {
            Some(new) => self.lines.insert(line.clone(), new),
            None => self.lines.remove(line),
        };
        if let Some(old) = &old {
            self.sum.take_all(&old.sum);
        }
        self.total = self.sum.total();
        old.map_or(0, |old| old.quantity)
    }
}

/// One line of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LineView {
    /// Units.
    pub quantity: u64,
    /// Quantities typed concurrently, smallest first; the largest counts until someone sets the quantity again. Empty
    /// when nobody disagrees.
    pub conflict: Vec<u32>,
    /// The price of one unit, where all units have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// What all units cost.
    pub total: Total,
    #[serde(skip)]
    sum: Sum,
}

impl LineView {
    /// What each list shows of a line whose batches stand like this.
    pub(super) fn of(standings: &[Standing<'_>]) -> BTreeMap<ListName, Self> {
        let mut lists: BTreeMap<&ListName, Vec<&Standing<'_>>> = BTreeMap::new();
        for standing in standings.iter().filter(|standing| standing.counts_in(standing.list)) {
            lists.entry(standing.list).or_default().push(standing);
        }
        lists.into_iter().map(|(list, counting)| (list.clone(), Self::of_list(&counting))).collect()
    }

    /// The units of all adds, and the largest typed quantity.
    fn of_list(counting: &[&Standing<'_>]) -> Self {
        let (sets, adds): (Vec<_>, Vec<_>) =
            counting.iter().copied().partition(|standing| standing.batch.kind == BatchKind::Set);
        let largest = sets.iter().max_by_key(|set| set.left).copied();
        let typed: BTreeSet<u32> = sets.iter().map(|set| set.left).collect();
        let mut line = Self::default();
        let mut prices = BTreeSet::new();
        for standing in adds.into_iter().chain(largest) {
            line.quantity += u64::from(standing.left);
            line.sum.add(standing.left, standing.batch.price);
            prices.insert(standing.batch.price);
        }
        if typed.len() > 1 {
            line.conflict = typed.into_iter().collect();
        }
        if let (Some(price), 1) = (prices.first(), prices.len()) {
            line.price = *price;
        }
        line.total = line.sum.total();
        line
    }
}

/// A change of what is shown of one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineChange {
    pub line: Line,
    pub list: ListName,
    /// Units before.
    pub before: u64,
    /// Units after.
    pub after: u64,
}

/// What has become of a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OrderStatus {
    /// Waits for the authority.
    Pending,
    /// The authority took it.
    Confirmed,
    /// The authority refused it; its units are back in their lists, as reduced since.
    Rejected,
    /// The owner called it off; its units are back, as reduced since.
    Cancelled,
    /// Another order holds units that this one asked for: it asks for nothing.
    Superseded,
}

/// One checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrderView {
    pub status: OrderStatus,
    /// The order that holds units this one asked for. A confirmed order can be superseded too, by another confirmed one:
    /// then something was sold twice, and a person must decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<CheckoutId>,
    /// Why the authority decided as it did, when it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was ordered, as it was frozen.
    pub lines: BTreeMap<Line, OrderLine>,
    /// What it costs, as it was frozen.
    pub total: Total,
    /// The coupons that were applied.
    pub coupons: BTreeSet<CouponCode>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrderLine {
    pub quantity: u64,
    /// The price of one unit, where all had the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    pub total: Total,
}

impl OrderView {
    pub(super) fn of(judged: &Judged, frozen: &Frozen) -> Self {
        let status = match judged.verdict {
            Some(Verdict::Confirmed) => OrderStatus::Confirmed,
            Some(Verdict::Rejected) => OrderStatus::Rejected,
            Some(Verdict::Cancelled) => OrderStatus::Cancelled,
            None if judged.superseded_by.is_some() => OrderStatus::Superseded,
            None => OrderStatus::Pending,
        };
        let lines = frozen.lines.iter().map(|(line, frozen)| {
            let total = frozen.total.thaw();
            (line.clone(), OrderLine { quantity: frozen.quantity, price: frozen.price, total })
        });
        Self {
            status,
            superseded_by: judged.superseded_by.clone(),
            reason: (!judged.reason.is_empty()).then(|| judged.reason.clone()),
            lines: lines.collect(),
            total: frozen.total.thaw(),
            coupons: frozen.coupons.clone(),
        }
    }
}

/// An operation that the authority refused: what it had written counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RefusalView {
    /// The line it was about, if it was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
    /// The coupon it was about, if it was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coupon: Option<CouponCode>,
    /// Why, in the authority's words.
    pub reason: String,
}
