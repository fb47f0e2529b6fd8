//! The ledger: a document's facts, parsed once and kept by what they are about.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Batch;
use super::key::Key;
use super::line::Line;
use super::name::{CheckoutId, CouponCode, ListName, NoteScope};
use super::order::{Frozen, OrderFacts, content_hash};
use crate::canonical;
use crate::document::Stored;
use crate::id::{ChangeHash, Dot};
use crate::inert::InertReason;
use crate::limits::{NOTE_BYTES_MAX, QUANTITY_MAX};

/// Every readable fact of a cart. What can't be read is left out here and told by `Cart::inert`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) lines: BTreeMap<Line, LineFacts>,
    pub(super) coupons: BTreeMap<CouponCode, BTreeSet<Dot>>,
    pub(super) notes: BTreeMap<NoteScope, BTreeSet<String>>,
    pub(super) orders: BTreeMap<CheckoutId, OrderFacts>,
    /// As they were stored: whether they are proven depends on whom one trusts.
    pub(super) refusals: BTreeMap<Dot, Vec<String>>,
    pub(super) undone: BTreeSet<ChangeHash>,
}

/// What is known of one line, by dot.
pub(super) type LineFacts = BTreeMap<Dot, DotFacts>;

/// What is known of one dot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DotFacts {
    pub(super) batch: Option<Batch>,
    /// At most this many of its units remain.
    pub(super) cap: Option<u32>,
    /// Where it has been moved to.
    pub(super) place: Option<ListName>,
}

impl DotFacts {
    fn is_empty(&self) -> bool {
        self.batch.is_none() && self.cap.is_none() && self.place.is_none()
    }
}

impl Ledger {
    /// Replaces what is known of `key` by what these surviving values say.
    pub(super) fn read(&mut self, key: &Key, values: &[Stored]) {
        match key {
            Key::Kind => {}
            Key::Batch(line, dot) => {
                let batch = Batch::largest(readable(values, Batch::read));
                self.edit_dot(line, dot, |facts| facts.batch = batch);
            }
            Key::Cap(line, dot) => {
                let cap = readable(values, read_cap).into_iter().min();
                self.edit_dot(line, dot, |facts| facts.cap = cap);
            }
            Key::Place(line, dot) => {
                let places = readable(values, read_place).into_iter();
                let place = places.min_by(|left, right| left.rank().cmp(&right.rank()));
                self.edit_dot(line, dot, |facts| facts.place = place);
            }
            Key::Coupon(code, dot) => {
                let dots = self.coupons.entry(code.clone()).or_default();
                if readable(values, read_presence).is_empty() {
                    dots.remove(dot);
                } else {
                    dots.insert(dot.clone());
                }
                self.coupons.retain(|_, dots| !dots.is_empty());
            }
            Key::Note(scope) => {
                let notes = readable(values, read_note).into_iter().collect();
                keep(&mut self.notes, scope, notes, BTreeSet::is_empty);
            }
            Key::Checkout(id) => self.edit_order(id, |order| order.contents = read_contents(values)),
            Key::Verdict(id, verdict) => {
                let texts = texts(values);
                self.edit_order(id, |order| keep(&mut order.verdicts, verdict, texts, Vec::is_empty));
            }
            Key::Refusal(dot) => keep(&mut self.refusals, dot, texts(values), Vec::is_empty),
            Key::Undone(hash) if values.is_empty() => {
                self.undone.remove(hash);
            }
            Key::Undone(hash) => {
                self.undone.insert(*hash);
            }
        }
    }

    fn edit_dot(&mut self, line: &Line, dot: &Dot, edit: impl FnOnce(&mut DotFacts)) {
        if !self.lines.contains_key(line) {
            self.lines.insert(line.clone(), LineFacts::new());
        }
        let dots = self.lines.get_mut(line).expect("there or just inserted");
        let facts = dots.entry(dot.clone()).or_default();
        edit(facts);
        if facts.is_empty() {
            dots.remove(dot);
        }
        if dots.is_empty() {
            self.lines.remove(line);
        }
    }

    fn edit_order(&mut self, id: &CheckoutId, edit: impl FnOnce(&mut OrderFacts)) {
        let order = self.orders.entry(id.clone()).or_default();
        edit(order);
        if *order == OrderFacts::default() {
            self.orders.remove(id);
        }
    }
}

/// Says why each value under `key` that a fold can't read is inert. Signatures are judged elsewhere.
pub(super) fn unreadable(key: &Key, values: &[Stored]) -> Vec<InertReason> {
    fn reasons<T>(values: &[Stored], read: impl Fn(&str) -> Result<T, InertReason>) -> Vec<InertReason> {
        let outcomes = values.iter().map(|value| value.as_text().ok_or(InertReason::Foreign).and_then(&read));
        outcomes.filter_map(Result::err).collect()
    }
    match key {
        Key::Kind | Key::Undone(_) => vec![],
        Key::Batch(..) => reasons(values, Batch::read),
        Key::Cap(..) => reasons(values, read_cap),
        Key::Place(..) => reasons(values, read_place),
        Key::Coupon(..) => reasons(values, read_presence),
        Key::Note(..) => reasons(values, read_note),
        Key::Checkout(_) => reasons(values, Frozen::read),
        Key::Verdict(..) | Key::Refusal(_) => reasons(values, |_| Ok(())),
    }
}

fn keep<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: V, is_empty: impl Fn(&V) -> bool) {
    if is_empty(&value) {
        map.remove(key);
    } else {
        map.insert(key.clone(), value);
    }
}

fn texts(values: &[Stored]) -> Vec<String> {
    values.iter().filter_map(Stored::as_text).map(str::to_owned).collect()
}

fn readable<T>(values: &[Stored], read: impl Fn(&str) -> Result<T, InertReason>) -> Vec<T> {
    values.iter().filter_map(Stored::as_text).filter_map(|text| read(text).ok()).collect()
}

fn read_cap(text: &str) -> Result<u32, InertReason> {
    let cap: u32 = canonical::from_text(text)?;
    if cap > QUANTITY_MAX {
        return Err(InertReason::OutOfBounds { what: "cap", value: cap.to_string() });
    }
    Ok(cap)
}

fn read_place(text: &str) -> Result<ListName, InertReason> {
    Ok(canonical::from_text(text)?)
}

fn read_presence(text: &str) -> Result<(), InertReason> {
    let _: BTreeMap<String, serde_json::Value> = canonical::from_text(text)?;
    Ok(())
}

fn read_note(text: &str) -> Result<String, InertReason> {
    let note: String = canonical::from_text(text)?;
    if note.len() > NOTE_BYTES_MAX {
        return Err(InertReason::OutOfBounds { what: "note", value: format!("{} bytes", note.len()) });
    }
    Ok(note)
}

fn read_contents(values: &[Stored]) -> Vec<(String, Frozen)> {
    let mut texts: Vec<&str> = values.iter().filter_map(Stored::as_text).collect();
    texts.sort_unstable();
    texts.dedup();
    let contents = texts.into_iter().filter_map(|text| Some((content_hash(text), Frozen::read(text).ok()?)));
    contents.collect()
}
