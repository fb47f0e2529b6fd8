//! From the facts about one course to where the student stands: pure, and the same on every device.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Content, Decision, Fact, RevokeReason, Verdict};
use super::id::{
    Author, Epoch, FactId, GrantId, GrantSource, LegacyId, LegacyTable, PaymentId, PaymentState,
};
use super::status::Status;
use super::view::{CourseView, DecisionView, Flag, FlagKind, GrantView, PaymentView};
use crate::money::Money;
use crate::time::Timestamp;

/// Every fact about one course that counts: under each id, all values that concurrent authors left.
pub(super) type Facts = BTreeMap<FactId, Vec<Fact>>;

/// A folded course, and the stretch of time for which it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) view: CourseView,
    pub(super) premature: Vec<FactId>,
    /// Where the next request would go, and what it would find there.
    pub(super) round: Round,
    /// From this moment on...
    pub(super) from: Timestamp,
    /// ...and before this one, time changes nothing.
    pub(super) until: Timestamp,
}

/// The current round of requesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) epoch: Epoch,
    pub(super) stage: Stage,
}

/// How far a round of requesting has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has asked.
    Unasked,
    /// Nobody has decided.
    Waiting,
    /// Approved, or entered as an open course.
    Running,
    /// Rejected, until somebody decides again.
    Refused,
    /// Taken back by the student, or all that it gave has been ended. Nothing is left to decide.
    Gone,
}

impl Round {
    /// The round of a course that nobody has asked for.
    pub(super) const UNASKED: Self = Self { epoch: Epoch::FIRST, stage: Stage::Unasked };

    /// Whether it has come to an end: the next request is the next epoch.
    pub(super) fn is_over(self) -> bool {
        matches!(self.stage, Stage::Refused | Stage::Gone)
    }
}

pub(super) fn fold(facts: &Facts, now: Timestamp) -> Folded {
    let sorted = Sorted::new(facts);
    let round = sorted.current_round();
    let outcome = sorted.outcome(round.epoch);
    let mut grants = Grants::new(&sorted, now);
    grants.weigh_all(round, &outcome);
    let completed_at = facts.get(&FactId::Completed).and_then(|facts| facts.iter().map(|fact| fact.at).min());

    let mut view = CourseView {
        epoch: (round.stage != Stage::Unasked).then_some(round.epoch),
        requested_at: sorted.requests.get(&round.epoch).copied(),
        payments: sorted.payments.iter().map(|(id, payment)| ((*id).clone(), payment.clone())).collect(),
        completed_at: completed_at.or(sorted.legacy_completed()),
        facts: facts.len(),
        ..CourseView::default()
    };
    view.status = status(&sorted, &grants, round, &outcome, view.completed_at.is_some());
    view.flags = flags(&sorted, &grants, round, &outcome);
    view.decision = outcome.view();
    view.grants = grants.live;
    let premature = facts.keys().filter(|id| epoch_of(id).is_some_and(|epoch| epoch > round.epoch));
    Folded { view, premature: premature.cloned().collect(), round, from: grants.from, until: grants.until }
}

fn epoch_of(id: &FactId) -> Option<Epoch> {
    match id {
        FactId::Request(epoch)
        | FactId::Cancel(epoch)
        | FactId::Decision { epoch, .. }
        | FactId::OpenGrant(epoch) => Some(*epoch),
        _ => None,
    }
}

/// The facts by what they are about.
struct Sorted<'a> {
    requests: BTreeMap<Epoch, Timestamp>,
    cancels: BTreeSet<Epoch>,
    decisions: BTreeMap<Epoch, Vec<(&'a FactId, &'a Decision)>>,
    /// Approval and payment grants are not in here: they follow from decisions and payments.
    given: BTreeMap<GrantId, (Author, Option<Timestamp>)>,
    revoked: BTreeMap<&'a GrantId, BTreeSet<RevokeReason>>,
    payments: BTreeMap<&'a PaymentId, PaymentView>,
    /// The most advanced state of which an amount was said, and the amount.
    amounts: BTreeMap<&'a PaymentId, (PaymentState, Money)>,
    completed_payments: BTreeMap<&'a PaymentId, Author>,
    legacy: BTreeMap<&'a LegacyId, LegacyRow>,
}

#[derive(Clone, Copy)]
struct LegacyRow {
    at: Timestamp,
    by: Author,
    status: Option<Status>,
}

impl<'a> Sorted<'a> {
    fn new(facts: &'a Facts) -> Self {
        let mut sorted = Self {
            requests: BTreeMap::new(),
            cancels: BTreeSet::new(),
            decisions: BTreeMap::new(),
            given: BTreeMap::new(),
            revoked: BTreeMap::new(),
            payments: BTreeMap::new(),
            amounts: BTreeMap::new(),
            completed_payments: BTreeMap::new(),
            legacy: BTreeMap::new(),
        };
        for (id, values) in facts {
            for fact in values {
                sorted.take(id, fact);
            }
        }
        sorted.drop_outdated_rows();
        sorted
    }

    fn take(&mut self, id: &'a FactId, fact: &'a Fact) {
        match (id, &fact.content) {
            (FactId::Request(epoch), _) => {
                let at = self.requests.entry(*epoch).or_insert(fact.at);
                *at = fact.at.min(*at);
            }
            (FactId::Cancel(epoch), _) => {
                self.cancels.insert(*epoch);
            }
            (FactId::Decision { epoch, .. }, Content::Decision(decision)) => {
                self.decisions.entry(*epoch).or_default().push((id, decision));
            }
            (FactId::AdminGrant { by, nonce }, Content::Grant { expires }) => {
                self.give(GrantId::Admin { by: *by, nonce: nonce.clone() }, fact.by, *expires);
            }
            (FactId::DefaultGrant, Content::Grant { expires }) => {
                self.give(GrantId::Default, fact.by, *expires);
            }
            (FactId::OpenGrant(epoch), Content::Grant { expires }) => {
                self.give(GrantId::Open(*epoch), fact.by, *expires);
            }
            (FactId::Revoke { .. }, Content::Revoke { why, grants }) => {
                for grant in grants {
                    self.revoked.entry(grant).or_default().insert(*why);
                }
            }
            (FactId::Payment { payment, state }, Content::Payment { amount }) => {
                self.take_payment(payment, *state, *amount, fact);
            }
            (FactId::Legacy(legacy), Content::Legacy { status, .. }) => {
                let row = LegacyRow { at: fact.at, by: fact.by, status: *status };
                self.legacy.insert(legacy, row);
            }
            _ => {}
        }
    }

    /// Of several values of one grant, the one that lasts longest counts.
    fn give(&mut self, grant: GrantId, by: Author, expires: Option<Timestamp>) {
        let lasting = |expires: Option<Timestamp>| expires.unwrap_or(Timestamp::MAX);
        let given = self.given.entry(grant).or_insert((by, expires));
        if lasting(expires) > lasting(given.1) {
            *given = (by, expires);
        }
    }

    /// The most advanced state counts, in whatever order the states were told.
    fn take_payment(
        &mut self,
        payment: &'a PaymentId,
        state: PaymentState,
        amount: Option<Money>,
        fact: &Fact,
    ) {
        if state == PaymentState::Completed {
            self.completed_payments.insert(payment, fact.by);
        }
        let at = fact.at;
        let told = self.payments.entry(payment).or_insert(PaymentView { state, amount: None, at });
        if state > told.state || (state == told.state && at < told.at) {
            (told.state, told.at) = (state, at);
        }
        if let Some(amount) = amount {
            let said = self.amounts.entry(payment).or_insert((state, amount));
            *said = (state, amount).max(*said);
            told.amount = Some(said.1);
        }
    }

    /// Of several states of one legacy row, the latest counts: the row itself says when it was last changed. States of
    /// one moment all count.
    fn drop_outdated_rows(&mut self) {
        let mut latest: BTreeMap<_, Timestamp> = BTreeMap::new();
        for (id, row) in &self.legacy {
            let at = latest.entry((id.table, &id.row)).or_default();
            *at = row.at.max(*at);
        }
        self.legacy.retain(|id, row| latest[&(id.table, &id.row)] == row.at);
    }

    fn rows(&self, table: LegacyTable) -> impl Iterator<Item = (&'a LegacyId, LegacyRow)> {
        self.legacy.iter().filter(move |(id, _)| id.table == table).map(|(id, row)| (*id, *row))
    }

    fn legacy_completed(&self) -> Option<Timestamp> {
        let rows = self.rows(LegacyTable::Enrollments);
        rows.filter(|(_, row)| row.status == Some(Status::Completed)).map(|(_, row)| row.at).min()
    }

    /// What the legacy rows say of somebody without access, where nothing newer says more. Enrollments are the source
    /// of truth; requests speak for courses that have no such row.
    fn legacy_status(&self) -> Option<Status> {
        let said = |table| self.rows(table).filter_map(|(_, row)| row.status).min();
        let status = said(LegacyTable::Enrollments).or_else(|| said(LegacyTable::AccessRequests));
        status.filter(|status| !status.has_access())
    }

    /// The first epoch that has not come to an end. Later ones are premature: they count for nothing yet.
    fn current_round(&self) -> Round {
        let mut epoch = Epoch::FIRST;
        loop {
            let round = Round { epoch, stage: self.stage(epoch) };
            match epoch.next() {
                Some(next) if round.is_over() && self.stage(next) != Stage::Unasked => epoch = next,
                _ => return round,
            }
        }
    }

    fn stage(&self, epoch: Epoch) -> Stage {
        if !self.is_opened(epoch) {
            return Stage::Unasked;
        }
        if self.cancels.contains(&epoch) || self.is_revoked(epoch) {
            return Stage::Gone;
        }
        match self.outcome(epoch).verdict {
            Some(Verdict::Reject) => Stage::Refused,
            None if self.is_asked(epoch) => Stage::Waiting,
            Some(Verdict::Approve) | None => Stage::Running,
        }
    }

    fn is_opened(&self, epoch: Epoch) -> bool {
        self.is_asked(epoch) || self.given.contains_key(&GrantId::Open(epoch))
    }

    /// Somebody asked; or an authority decided, which attests that somebody had.
    fn is_asked(&self, epoch: Epoch) -> bool {
        self.requests.contains_key(&epoch)
            || self.decisions.contains_key(&epoch)
            || (epoch == Epoch::FIRST && self.legacy_status() == Some(Status::Pending))
    }

    /// Whether all that the epoch gave, or could still give, has been ended.
    fn is_revoked(&self, epoch: Epoch) -> bool {
        let (approval, open) = (GrantId::Approval(epoch), GrantId::Open(epoch));
        let ended = |grant| self.revoked.contains_key(grant);
        (!self.is_asked(epoch) || ended(&approval)) && (!self.given.contains_key(&open) || ended(&open))
    }

    /// A decision drops out when one of at least its rank had seen it. Of those left the highest rank decides, and
    /// equals that disagree deny.
    fn outcome(&self, epoch: Epoch) -> Outcome<'a> {
        let Some(decisions) = self.decisions.get(&epoch) else { return Outcome::default() };
        let superseded = |id: &FactId, rank: u8| {
            decisions.iter().any(|(other, by)| *other != id && by.rank >= rank && by.over.contains(id))
        };
        let mut left: Vec<_> =
            decisions.iter().filter(|(id, decision)| !superseded(id, decision.rank)).copied().collect();
        if left.is_empty() {
            // Only dishonest authorities can each claim to have seen the other first. Nobody is superseded then.
            left.clone_from(decisions);
        }
        let highest = left.iter().map(|(_, decision)| decision.rank).max();
        left.retain(|(_, decision)| Some(decision.rank) == highest);
        let tied = left.iter().any(|(_, decision)| decision.verdict != left[0].1.verdict);
        let verdict = if tied { Verdict::Reject } else { left[0].1.verdict };
        let mut standing: Vec<_> = left.into_iter().map(|(id, _)| id).collect();
        standing.dedup();
        Outcome { verdict: Some(verdict), tied, standing }
    }
}

#[derive(Default)]
struct Outcome<'a> {
    /// `None` while nobody has decided.
    verdict: Option<Verdict>,
    tied: bool,
    standing: Vec<&'a FactId>,
}

impl Outcome<'_> {
    fn view(&self) -> Option<DecisionView> {
        let standing = self.standing.iter().copied().cloned().collect();
        self.verdict.map(|verdict| DecisionView { verdict, standing })
    }
}

/// The grants that open the course now, and how the others ended.
struct Grants<'s, 'a> {
    sorted: &'s Sorted<'a>,
    now: Timestamp,
    live: Vec<GrantView>,
    live_payments: Vec<&'a PaymentId>,
    /// Unenrolled, expired or refunded: whatever happened to a grant that was there once.
    ended: BTreeSet<Status>,
    from: Timestamp,
    until: Timestamp,
}

impl<'s, 'a> Grants<'s, 'a> {
    fn new(sorted: &'s Sorted<'a>, now: Timestamp) -> Self {
        Self {
            sorted,
            now,
            live: Vec::new(),
            live_payments: Vec::new(),
            ended: BTreeSet::new(),
            from: Timestamp::ZERO,
            until: Timestamp::MAX,
        }
    }

    fn weigh_all(&mut self, round: Round, outcome: &Outcome<'_>) {
        let sorted = self.sorted;
        if outcome.verdict == Some(Verdict::Approve) && !sorted.cancels.contains(&round.epoch) {
            self.weigh(GrantId::Approval(round.epoch), None, None);
        }
        for (grant, (by, expires)) in &sorted.given {
            if !matches!(grant, GrantId::Open(epoch) if *epoch > round.epoch) {
                self.weigh(grant.clone(), Some(*by), *expires);
            }
        }
        for (payment, by) in &sorted.completed_payments {
            let refunded = sorted.payments[payment].state == PaymentState::Refunded;
            if !refunded && self.weigh(GrantId::Payment((*payment).clone()), Some(*by), None) {
                self.live_payments.push(payment);
            }
        }
        if sorted.payments.values().any(|payment| payment.state == PaymentState::Refunded) {
            self.ended.insert(Status::Refunded);
        }
        for (id, row) in sorted.rows(LegacyTable::Enrollments) {
            if row.status.is_some_and(Status::has_access) {
                self.weigh(GrantId::Legacy(id.clone()), Some(row.by), None);
            }
        }
        // A request that was pending when everything was ended gave nothing, and was ended all the same.
        if let Some(reasons) = sorted.revoked.get(&GrantId::Approval(round.epoch)) {
            self.end(reasons);
        }
    }

    /// Whether the grant is live.
    fn weigh(&mut self, grant: GrantId, by: Option<Author>, expires: Option<Timestamp>) -> bool {
        if let Some(reasons) = self.sorted.revoked.get(&grant) {
            self.end(reasons);
            return false;
        }
        if let Some(expires) = expires {
            if expires <= self.now {
                self.from = expires.max(self.from);
                self.ended.insert(Status::Expired);
                return false;
            }
            self.until = expires.min(self.until);
        }
        self.live.push(GrantView { source: grant.source(), grant, by, expires });
        true
    }

    fn end(&mut self, reasons: &BTreeSet<RevokeReason>) {
        self.ended.extend(reasons.iter().map(|reason| match reason {
            RevokeReason::Withdraw | RevokeReason::Unenroll => Status::Unenrolled,
            RevokeReason::Expired => Status::Expired,
        }));
    }

    fn has_live(&self, source: GrantSource) -> bool {
        self.live.iter().any(|grant| grant.source == source)
    }
}

fn status(
    sorted: &Sorted<'_>,
    grants: &Grants<'_, '_>,
    round: Round,
    outcome: &Outcome<'_>,
    completed: bool,
) -> Status {
    if !grants.live.is_empty() {
        return if completed { Status::Completed } else { Status::Active };
    }
    let of_request = if is_cancelled(sorted, round) {
        Some(Status::Cancelled)
    } else if outcome.verdict == Some(Verdict::Reject) {
        Some(Status::Rejected)
    } else {
        (round.stage == Stage::Waiting).then_some(Status::Pending)
    };
    let of_legacy = || sorted.legacy_status().filter(|_| round.stage == Stage::Unasked);
    of_request.or(grants.ended.first().copied()).or_else(of_legacy).unwrap_or_default()
}

/// A cancellation of what nobody asked for cancels nothing.
fn is_cancelled(sorted: &Sorted<'_>, round: Round) -> bool {
    round.stage == Stage::Gone && sorted.cancels.contains(&round.epoch)
}

fn flags(sorted: &Sorted<'_>, grants: &Grants<'_, '_>, round: Round, outcome: &Outcome<'_>) -> Vec<Flag> {
    let mut flags = Vec::new();
    let standing = || outcome.standing.iter().copied().cloned();
    let completed =
        |payment: &PaymentId| FactId::Payment { payment: payment.clone(), state: PaymentState::Completed };
    let cancelled = is_cancelled(sorted, round);
    let rejected = outcome.verdict == Some(Verdict::Reject);
    if outcome.tied && !cancelled && !sorted.is_revoked(round.epoch) {
        flags.push(FlagKind::DecisionConflict.flag(standing().collect()));
    }
    if cancelled && outcome.verdict == Some(Verdict::Approve) {
        let facts = standing().chain([FactId::Cancel(round.epoch)]).collect();
        flags.push(FlagKind::ApprovedAfterCancel.flag(facts));
    }
    // An admin's grant is the decision that these two ask for.
    if !grants.has_live(GrantSource::Admin) && !grants.live_payments.is_empty() {
        let paid = grants.live_payments.iter().map(|payment| completed(payment));
        if cancelled {
            let facts = paid.chain([FactId::Cancel(round.epoch)]).collect();
            flags.push(FlagKind::PaidAfterCancel.flag(facts));
        } else if rejected {
            flags.push(FlagKind::PaidButRejected.flag(paid.chain(standing()).collect()));
        }
    }
    let owed: Vec<_> = sorted.completed_payments.keys().filter(|payment| is_owed(sorted, payment)).collect();
    if !owed.is_empty() {
        flags.push(FlagKind::RefundDue.flag(owed.into_iter().map(|payment| completed(payment)).collect()));
    }
    if grants.live_payments.len() > 1 {
        let facts = grants.live_payments.iter().map(|payment| completed(payment)).collect();
        flags.push(FlagKind::DuplicatePayment.flag(facts));
    }
    flags
}

/// Paid, not paid back, and ended before its time.
fn is_owed(sorted: &Sorted<'_>, payment: &PaymentId) -> bool {
    let refunded = sorted.payments[payment].state == PaymentState::Refunded;
    let reasons = sorted.revoked.get(&GrantId::Payment(payment.clone()));
    !refunded && reasons.is_some_and(|reasons| !reasons.contains(&RevokeReason::Expired))
}
