//! Orders: what checkouts froze, what was decided about them, and whose units they hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::key::Key;
use super::line::Line;
use super::name::{CheckoutId, CouponCode};
use super::total::Total;
use crate::authority::{AuthorityKey, PublicKey, Role, SignatureCache, Statement, TrustSet};
use crate::canonical;
use crate::id::{Dot, hex};
use crate::inert::InertReason;
use crate::kind::Kind;
use crate::limits::{MONEY_MINOR_MAX, NOTE_BYTES_MAX, QUANTITY_MAX};
use crate::money::{Currency, Money};

/// What was decided about an order. The most decided wins: they are in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Cancelled,
    Rejected,
    Confirmed,
}

impl Verdict {
    pub(super) const ALL: [Self; 3] = [Self::Cancelled, Self::Rejected, Self::Confirmed];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Confirmed => "confirmed",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.word() == word)
    }
}

/// The value under `co/{id}`: the cart as it was when the person asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frozen {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) coupons: BTreeSet<CouponCode>,
    pub(super) lines: BTreeMap<Line, FrozenLine>,
    #[serde(flatten)]
    pub(super) total: FrozenTotal,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrozenLine {
    #[serde(rename = "n")]
    pub(super) quantity: u64,
    /// How many units of which dots. Rivals are all held, so that none of them is left behind in the cart.
    pub(super) units: BTreeMap<Dot, u32>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<Money>,
    #[serde(flatten)]
    pub(super) total: FrozenTotal,
}

/// What it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrozenTotal {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    amounts: BTreeMap<Currency, i64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    unpriced: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(units: &u64) -> bool {
    *units == 0
}

impl FrozenTotal {
    /// Freezes a total, or tells which currency is past counting.
    pub(super) fn freeze(total: &Total) -> Result<Self, Currency> {
        match total.too_large.first() {
            Some(currency) => Err(*currency),
            None => Ok(Self { amounts: total.amounts.clone(), unpriced: total.unpriced }),
        }
    }

    pub(super) fn thaw(&self) -> Total {
        Total { amounts: self.amounts.clone(), unpriced: self.unpriced, ..Total::default() }
    }

    fn check(&self) -> Result<(), InertReason> {
        let unpriced = i64::try_from(self.unpriced).unwrap_or(i64::MAX);
        let mut numbers = self.amounts.values().copied().chain([unpriced]);
        match numbers.find(|number| !(0..=MONEY_MINOR_MAX).contains(number)) {
            Some(number) => Err(InertReason::OutOfBounds { what: "total", value: number.to_string() }),
            None => Ok(()),
        }
    }
}

impl Frozen {
    /// Reads a stored value.
    pub(super) fn read(text: &str) -> Result<Self, InertReason> {
        let frozen: Self = canonical::from_text(text)?;
        frozen.total.check()?;
        for line in frozen.lines.values() {
            line.total.check()?;
            let sum: u64 = line.units.values().map(|units| u64::from(*units)).sum();
            let most = line.units.values().find(|units| **units > QUANTITY_MAX);
            if let Some(units) = most {
                return Err(InertReason::OutOfBounds { what: "units", value: units.to_string() });
            }
            if line.quantity > sum {
                return Err(InertReason::OutOfBounds { what: "n", value: line.quantity.to_string() });
            }
        }
        Ok(frozen)
    }

    fn dots(&self) -> impl Iterator<Item = (&Dot, u32)> {
        self.lines.values().flat_map(|line| line.units.iter().map(|(dot, units)| (dot, *units)))
    }
}

/// The hash of an order's content: what a signed decision speaks of.
pub(super) fn content_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// What the document holds about one order: every readable content by its hash, and every verdict as it was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OrderFacts {
    /// Smallest text first.
    pub(super) contents: Vec<(String, Frozen)>,
    pub(super) verdicts: BTreeMap<Verdict, Vec<String>>,
}

/// The fields that a decision signs.
#[derive(Deserialize)]
struct Signed {
    order: String,
    #[serde(default)]
    reason: String,
}

/// Whether someone in this role may decide about orders and refuse operations.
pub(super) fn may_decide(role: Role) -> bool {
    matches!(role, Role::Admin | Role::Owner | Role::System | Role::Provider)
}

/// The place in which a decision about `subject` stands.
pub(super) fn statement<'a>(subject: &'a str, key: &'a str) -> Statement<'a> {
    Statement { kind: Kind::Cart.as_str(), subject, key }
}

/// Checks that whoever signed may decide.
pub(super) fn check_entitled(by: &PublicKey, trust: &TrustSet) -> Result<(), InertReason> {
    match trust.role(by) {
        None => Err(InertReason::NotTrusted { by: *by }),
        Some(role) if !may_decide(role) => Err(InertReason::NotEntitled { by: *by, role }),
        Some(_) => Ok(()),
    }
}

/// The signed value of a verdict on the order with this content.
pub(super) fn sign_verdict(
    id: &CheckoutId,
    verdict: Verdict,
    order: &str,
    reason: &str,
    key: &AuthorityKey,
) -> String {
    let place = Key::Verdict(id.clone(), verdict).to_string();
    let body =
        if reason.is_empty() { json!({"order": order}) } else { json!({"order": order, "reason": reason}) };
    key.sign(&statement(id.as_str(), &place), &body)
}

/// One order, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// Which of the contents it is.
    pub(super) content: usize,
    pub(super) verdict: Option<Verdict>,
    pub(super) reason: String,
    /// The order that holds units this one asked for.
    pub(super) superseded_by: Option<CheckoutId>,
}

impl Judged {
    /// Whether the order holds its units: nothing speaks against it.
    pub(super) fn is_effective(&self) -> bool {
        self.superseded_by.is_none() && matches!(self.verdict, None | Some(Verdict::Confirmed))
    }
}

/// What is known of a stored verdict: what it decides for which content, and why; or why it counts for nothing.
type Reading = Result<(Option<String>, String), InertReason>;

impl OrderFacts {
    /// Decides which content counts and what became of it. Nothing without a readable content.
    pub(super) fn judge(
        &self,
        id: &CheckoutId,
        trust: &TrustSet,
        seen: &mut SignatureCache,
    ) -> Option<Judged> {
        let hashes: Vec<&str> = self.contents.iter().map(|(hash, _)| hash.as_str()).collect();
        let mut judged = Judged { content: 0, verdict: None, reason: String::new(), superseded_by: None };
        if hashes.is_empty() {
            return None;
        }
        // The most decided first. A confirmation also decides which content the order has.
        for (verdict, texts) in self.verdicts.iter().rev() {
            let readings =
                texts.iter().filter_map(|text| Self::read_verdict(id, *verdict, text, trust, seen).ok());
            let found = readings
                .filter_map(|(order, reason)| match order {
                    None => Some((0, reason)),
                    Some(order) => Some((hashes.iter().position(|hash| *hash == order)?, reason)),
                })
                .filter(|(content, _)| *verdict == Verdict::Confirmed || *content == 0)
                .min();
            if let Some((content, reason)) = found {
                judged = Judged { content, verdict: Some(*verdict), reason, superseded_by: None };
                break;
            }
        }
        Some(judged)
    }

    /// What one stored verdict says. The owner's own cancellation is of whatever content there is.
    pub(super) fn read_verdict(
        id: &CheckoutId,
        verdict: Verdict,
        text: &str,
        trust: &TrustSet,
        seen: &mut SignatureCache,
    ) -> Reading {
        if verdict == Verdict::Cancelled {
            let _: BTreeMap<String, serde_json::Value> = canonical::from_text(text)?;
            return Ok((None, String::new()));
        }
        let key = Key::Verdict(id.clone(), verdict).to_string();
        let proven = statement(id.as_str(), &key).verify(text, seen)?;
        check_entitled(proven.by(), trust)?;
        let signed: Signed = proven.read()?;
        if signed.reason.len() > NOTE_BYTES_MAX {
            return Err(InertReason::OutOfBounds {
                what: "reason",
                value: format!("{} bytes", signed.reason.len()),
            });
        }
        Ok((Some(signed.order), signed.reason))
    }
}

/// All orders, judged together, and the units they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) judged: BTreeMap<CheckoutId, Judged>,
    /// Units held by effective orders.
    pub(super) held: BTreeMap<Dot, u32>,
    /// Units held by confirmed ones: these never come back.
    pub(super) spent: BTreeMap<Dot, u32>,
}

impl Orders {
    /// Judges each order alone, then decides between those that hold the same units: confirmed first, then the smallest
    /// id.
    pub(super) fn judge(
        facts: &BTreeMap<CheckoutId, OrderFacts>,
        trust: &TrustSet,
        seen: &mut SignatureCache,
    ) -> Self {
        let alone = facts.iter().filter_map(|(id, facts)| Some((id.clone(), facts.judge(id, trust, seen)?)));
        let mut orders = Self { judged: alone.collect(), ..Self::default() };
        let mut holders: BTreeMap<&Dot, &CheckoutId> = BTreeMap::new();
        for confirmed in [true, false] {
            for (id, facts) in facts {
                let Some(judged) = orders.judged.get_mut(id) else { continue };
                if !judged.is_effective() || confirmed != (judged.verdict == Some(Verdict::Confirmed)) {
                    continue;
                }
                let (_, frozen) = &facts.contents[judged.content];
                judged.superseded_by = frozen.dots().find_map(|(dot, _)| holders.get(dot)).copied().cloned();
                if judged.superseded_by.is_some() {
                    continue;
                }
                for (dot, units) in frozen.dots() {
                    holders.insert(dot, id);
                    hold(&mut orders.held, dot, units);
                    if confirmed {
                        hold(&mut orders.spent, dot, units);
                    }
                }
            }
        }
        orders
    }
}

/// A hostile order may name a dot more than once.
fn hold(held: &mut BTreeMap<Dot, u32>, dot: &Dot, units: u32) {
    let present = held.entry(dot.clone()).or_default();
    *present = present.saturating_add(units);
}
