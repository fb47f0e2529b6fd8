//! The fold: from facts to what is shown, all at once or by what was touched.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::key::Key;
use super::ledger::{Ledger, LineFacts, unreadable};
use super::line::Line;
use super::name::CheckoutId;
use super::order::{OrderFacts, Orders, check_entitled, statement};
use super::standing::{Standing, standings};
use super::view::{CartView, LineChange, LineView, OrderView, RefusalView};
use crate::authority::{SignatureCache, TrustSet};
use crate::document::{Document, Stored};
use crate::id::Dot;
use crate::inert::{InertList, InertReason};
use crate::limits::NOTE_BYTES_MAX;

/// A document's facts with everything that follows from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fold {
    pub(super) ledger: Ledger,
    pub(super) orders: Orders,
    pub(super) view: CartView,
}

/// Which parts of a view have to be looked at again.
#[derive(Default)]
struct Stale {
    lines: BTreeSet<Line>,
    parts: BTreeSet<Part>,
}

/// The parts of a view that are not looked at line by line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Coupons,
    Notes,
    Orders,
    Refusals,
}

impl Stale {
    fn mark(&mut self, key: Key) {
        let part = match key {
            Key::Batch(line, _) | Key::Cap(line, _) | Key::Place(line, _) => {
                self.lines.insert(line);
                return;
            }
            Key::Coupon(..) => Part::Coupons,
            Key::Note(_) => Part::Notes,
            Key::Checkout(_) | Key::Verdict(..) => Part::Orders,
            Key::Refusal(_) => Part::Refusals,
            Key::Kind | Key::Undone(_) => return,
        };
        self.parts.insert(part);
    }
}

impl Fold {
    /// Reads the whole document.
    pub(super) fn of(document: &Document, trust: &TrustSet, seen: &mut SignatureCache) -> Self {
        let mut fold = Self::default();
        for (key, values) in document.scan("") {
            if let Ok(key) = Key::parse(&key) {
                fold.ledger.read(&key, &values);
            }
        }
        let lines = fold.ledger.lines.keys().cloned().collect();
        let parts = BTreeSet::from([Part::Coupons, Part::Notes, Part::Orders, Part::Refusals]);
        fold.renew(Stale { lines, parts }, trust, seen);
        fold
    }

    /// Reads again what is under these keys. Lines that show something else now are returned.
    pub(super) fn refresh(
        &mut self,
        document: &Document,
        keys: &BTreeSet<Box<str>>,
        trust: &TrustSet,
        seen: &mut SignatureCache,
    ) -> Vec<LineChange> {
        let mut stale = Stale::default();
        for key in keys {
            if let Ok(parsed) = Key::parse(key) {
                self.ledger.read(&parsed, &document.values(key));
                stale.mark(parsed);
            }
        }
        self.renew(stale, trust, seen)
    }

    fn renew(&mut self, mut stale: Stale, trust: &TrustSet, seen: &mut SignatureCache) -> Vec<LineChange> {
        let parts = stale.parts.clone();
        if parts.contains(&Part::Refusals) && self.judge_refusals(trust, seen) {
            stale.parts.insert(Part::Coupons);
            stale.lines.extend(self.ledger.lines.keys().cloned());
        }
        if parts.contains(&Part::Orders) && self.judge_orders(trust, seen) {
            stale.lines.extend(self.ledger.lines.keys().cloned());
        }
        if stale.parts.contains(&Part::Coupons) {
            let refusals = &self.view.refusals;
            let coupons = self.ledger.coupons.iter();
            let applied = coupons.filter(|(_, dots)| dots.iter().any(|dot| !refusals.contains_key(dot)));
            self.view.coupons = applied.map(|(code, _)| code.clone()).collect();
        }
        if parts.contains(&Part::Notes) {
            self.view.notes.clone_from(&self.ledger.notes);
        }
        let mut changes = Vec::new();
        for line in stale.lines {
            let shown = LineView::of(&self.standings(&line));
            changes.extend(self.view.replace_line(&line, &shown));
        }
        changes
    }

    /// Whether other operations count as refused now.
    fn judge_refusals(&mut self, trust: &TrustSet, seen: &mut SignatureCache) -> bool {
        let mut refusals = BTreeMap::new();
        for (dot, texts) in &self.ledger.refusals {
            let readings = texts.iter().filter_map(|text| read_refusal(dot, text, trust, seen).ok());
            if let Some(refusal) = readings.min_by(|left, right| left.reason.cmp(&right.reason)) {
                refusals.insert(dot.clone(), refusal);
            }
        }
        let changed = refusals != self.view.refusals;
        self.view.refusals = refusals;
        changed
    }

    /// Whether orders hold other units now.
    fn judge_orders(&mut self, trust: &TrustSet, seen: &mut SignatureCache) -> bool {
        let orders = Orders::judge(&self.ledger.orders, trust, seen);
        let changed = orders.held != self.orders.held;
        self.orders = orders;
        let shown = self.orders.judged.iter().map(|(id, judged)| {
            let (_, frozen) = &self.ledger.orders[id].contents[judged.content];
            (id.clone(), OrderView::of(judged, frozen))
        });
        self.view.orders = shown.collect();
        changed
    }

    /// The hash of the content that counts for this order.
    pub(super) fn order_hash(&self, id: &CheckoutId) -> Option<&str> {
        let judged = self.orders.judged.get(id)?;
        Some(&self.ledger.orders[id].contents[judged.content].0)
    }

    /// How every batch of `line` stands.
    pub(super) fn standings(&self, line: &Line) -> Vec<Standing<'_>> {
        self.ledger.lines.get(line).map_or_else(Vec::new, |facts| self.standings_of(facts))
    }

    /// How every batch of a line stood when these were its facts.
    pub(super) fn standings_of<'a>(&self, facts: &'a LineFacts) -> Vec<Standing<'a>> {
        standings(facts, &self.orders.held, |dot| self.view.refusals.contains_key(dot))
    }

    /// Every value that counts for nothing, with the reason.
    pub(super) fn inert(
        &self,
        document: &Document,
        trust: &TrustSet,
        seen: &mut SignatureCache,
    ) -> InertList {
        let mut list = InertList::default();
        for (text, values) in document.scan("") {
            let reasons = match Key::parse(&text) {
                Ok(key) => {
                    let mut reasons = unreadable(&key, &values);
                    reasons.extend(self.unproven(&key, &values, trust, seen));
                    reasons
                }
                Err(reason) => vec![reason],
            };
            for reason in reasons {
                list.push(&text, reason);
            }
        }
        list
    }

    /// What is wrong with readable values that only count when somebody trusted says so.
    fn unproven(
        &self,
        key: &Key,
        values: &[Stored],
        trust: &TrustSet,
        seen: &mut SignatureCache,
    ) -> Vec<InertReason> {
        let texts = values.iter().filter_map(Stored::as_text);
        match key {
            Key::Refusal(dot) => {
                texts.filter_map(|text| read_refusal(dot, text, trust, seen).err()).collect()
            }
            Key::Verdict(id, verdict) => {
                let content = self.order_hash(id);
                let another = InertReason::Premature { why: "it decides about another content of the order" };
                let check = |text| match OrderFacts::read_verdict(id, *verdict, text, trust, seen) {
                    Ok((Some(order), _)) if content != Some(order.as_str()) => Some(another.clone()),
                    Ok(_) => None,
                    Err(reason) => Some(reason),
                };
                texts.filter_map(check).collect()
            }
            Key::Checkout(id) => {
                let readable = self.ledger.orders.get(id).map_or(0, |order| order.contents.len());
                let reason = InertReason::NotAllowed { why: "another order has this id" };
                vec![reason; readable.saturating_sub(1)]
            }
            _ => vec![],
        }
    }
}

/// The fields that a refusal signs.
#[derive(Deserialize)]
struct SignedRefusal {
    fact: String,
    reason: String,
}

fn read_refusal(
    dot: &Dot,
    text: &str,
    trust: &TrustSet,
    seen: &mut SignatureCache,
) -> Result<RefusalView, InertReason> {
    let proven = statement(&dot.to_string(), &Key::Refusal(dot.clone()).to_string()).verify(text, seen)?;
    check_entitled(proven.by(), trust)?;
    let signed: SignedRefusal = proven.read()?;
    if signed.reason.len() > NOTE_BYTES_MAX {
        return Err(InertReason::OutOfBounds {
            what: "reason",
            value: format!("{} bytes", signed.reason.len()),
        });
    }
    let refused = Key::parse(&signed.fact)?;
    let another = InertReason::Unreadable("it refuses a fact with another dot".to_owned());
    if refused.refusable_dot() != Some(dot) {
        return Err(another);
    }
    let (line, coupon) = match refused {
        Key::Batch(line, _) => (Some(line), None),
        Key::Coupon(code, _) => (None, Some(code)),
        _ => return Err(another),
    };
    Ok(RefusalView { line, coupon, reason: signed.reason })
}

/// What the lines of a document said of themselves at some moment.
pub(super) fn past_line(past: &crate::document::Past<'_>, line: &Line) -> LineFacts {
    let mut ledger = Ledger::default();
    let prefixes = ["q", "cap", "at"].map(|kind| format!("{kind}/{line}/"));
    for (key, values) in prefixes.iter().flat_map(|prefix| past.scan(prefix)) {
        if let Ok(key) = Key::parse(&key) {
            ledger.read(&key, &values);
        }
    }
    BTreeMap::remove(&mut ledger.lines, line).unwrap_or_default()
}
