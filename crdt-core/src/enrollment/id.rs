//! What facts, grants and payments are called. A name is an identity: whatever is repeated under it is the same fact.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::authority::PublicKey;
use crate::id::{CourseId, InvalidId, escape_segment, text_id, unescape_segment, unhex};
use crate::money::Money;

/// Root keys of facts start so.
pub(super) const PREFIX: &str = "f/";

/// Separates the parts of a fact's name; escaped inside of them.
const RESERVED: &str = "/.";

text_id!(
    /// A payment, as its provider names it. Every state of it is told under this name.
    PaymentId, "payment id"
);
text_id!(
    /// What makes a command of an authority happen once: the idempotency key it came with. A command that is retried,
    /// or sent to two devices, with one nonce is one fact.
    Nonce, "nonce"
);
text_id!(
    /// The primary key of a row in the tables that were there before.
    RowId, "row id"
);

/// One round of requesting a course: asking again after a refusal, a cancellation or a revocation is the next epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(u32);

impl Epoch {
    /// The first time a course is asked for.
    pub const FIRST: Self = Self(1);

    /// The epoch with this number, counted from one.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number, counted from one.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The epoch after this one, if there can be one.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Epoch {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let plain = !text.starts_with(['+', '0']);
        let number = if plain { text.parse().ok() } else { None };
        number.and_then(Self::new).ok_or_else(|| InvalidId::new("epoch", text, "is not a number from 1"))
    }
}

/// Who authored a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Author {
    /// The student, or whoever may write the student's document.
    Student,
    /// The holder of this key, proven by a signature.
    Key(PublicKey),
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Student => f.write_str("student"),
            Self::Key(key) => key.fmt(f),
        }
    }
}

impl FromStr for Author {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == "student" { Ok(Self::Student) } else { text.parse().map(Self::Key) }
    }
}

impl Serialize for Author {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a provider has said about a payment. States only ever advance: a later one told earlier stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PaymentState {
    Pending,
    Failed,
    Completed,
    Refunded,
}

impl PaymentState {
    /// The state, and how much money it is about.
    ///
    /// ```
    /// use crdt_core::enrollment::PaymentState;
    /// use crdt_core::money::Money;
    /// let told = PaymentState::Completed.of(Money::new(4900, "EUR".parse()?)?);
    /// assert_eq!(told.amount.map(|amount| amount.to_string()).as_deref(), Some("4900 EUR"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn of(self, amount: Money) -> PaymentTold {
        PaymentTold { state: self, amount: Some(amount) }
    }

    /// The state as one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Completed => "completed",
            Self::Refunded => "refunded",
        }
    }
}

impl fmt::Display for PaymentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PaymentState {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let all = [Self::Pending, Self::Failed, Self::Completed, Self::Refunded];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| InvalidId::new("payment state", text, "is not one of ours"))
    }
}

/// What a provider says about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentTold {
    /// What the payment has come to.
    pub state: PaymentState,
    /// How much was asked for, paid or paid back, where the provider says so.
    pub amount: Option<Money>,
}

impl From<PaymentState> for PaymentTold {
    fn from(state: PaymentState) -> Self {
        Self { state, amount: None }
    }
}

/// The tables that enrollments lived in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LegacyTable {
    /// The source of truth: who is enrolled.
    Enrollments,
    /// Requests for approval.
    AccessRequests,
    Payments,
    StudentProgress,
}

impl LegacyTable {
    /// Every table, the source of truth first.
    pub const ALL: [Self; 4] =
        [Self::Enrollments, Self::AccessRequests, Self::Payments, Self::StudentProgress];

    /// The table's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrollments => "enrollments",
            Self::AccessRequests => "accessRequests",
            Self::Payments => "payments",
            Self::StudentProgress => "studentProgress",
        }
    }
}

impl fmt::Display for LegacyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LegacyTable {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let found = Self::ALL.into_iter().find(|table| table.as_str() == text);
        found.ok_or_else(|| InvalidId::new("table", text, "is not one of the legacy tables"))
    }
}

/// One state of one legacy row: the row, and a hash of what it said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegacyId {
    pub table: LegacyTable,
    pub row: RowId,
    pub(super) hash: Box<str>,
}

/// Names one fact about a student and a course. Its text is the last segment of the fact's root key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FactId {
    /// The student asks for the course.
    Request(Epoch),
    /// The student takes the request back.
    Cancel(Epoch),
    /// An authority decides on a request.
    Decision { epoch: Epoch, by: PublicKey, nonce: Nonce },
    /// An admin or owner opens the course to the student.
    AdminGrant { by: PublicKey, nonce: Nonce },
    /// The course is everybody's.
    DefaultGrant,
    /// The student enters an open course.
    OpenGrant(Epoch),
    /// Grants are ended.
    Revoke { by: Author, nonce: Nonce },
    /// A payment has reached a state.
    Payment { payment: PaymentId, state: PaymentState },
    /// The student has completed the course.
    Completed,
    /// A legacy row said something.
    Legacy(LegacyId),
}

impl FactId {
    /// The root key that the fact stands under.
    pub fn root_key(&self, course: &CourseId) -> String {
        format!("{PREFIX}{}/{self}", course.segment())
    }
}

/// Takes a root key apart. `None` for keys that no fact of ours has.
pub(super) fn parse_key(key: &str) -> Option<(CourseId, FactId)> {
    let (course, id) = key.strip_prefix(PREFIX)?.split_once('/')?;
    Some((CourseId::from_segment(course)?, id.parse().ok()?))
}

impl fmt::Display for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(epoch) => write!(f, "rq.{epoch}"),
            Self::Cancel(epoch) => write!(f, "cx.{epoch}"),
            Self::Decision { epoch, by, nonce } => write!(f, "dc.{epoch}.{by}.{}", part(nonce.as_str())),
            Self::AdminGrant { by, nonce } => write!(f, "gr.admin.{by}.{}", part(nonce.as_str())),
            Self::DefaultGrant => f.write_str("gr.default"),
            Self::OpenGrant(epoch) => write!(f, "gr.open.{epoch}"),
            Self::Revoke { by, nonce } => write!(f, "rv.{by}.{}", part(nonce.as_str())),
            Self::Payment { payment, state } => write!(f, "pm.{}.{state}", part(payment.as_str())),
            Self::Completed => f.write_str("cp"),
            Self::Legacy(LegacyId { table, row, hash }) => {
                write!(f, "lg.{table}.{}.{hash}", part(row.as_str()))
            }
        }
    }
}

impl FromStr for FactId {
    type Err = InvalidId;

    /// Accepts only the spelling that `Display` writes: a fact has one key.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let unknown = || InvalidId::new("fact id", text, "is not one that this version knows");
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(unknown);
        let id = match next()? {
            "rq" => Self::Request(next()?.parse()?),
            "cx" => Self::Cancel(next()?.parse()?),
            "dc" => Self::Decision {
                epoch: next()?.parse()?,
                by: next()?.parse()?,
                nonce: Nonce::new(whole(next()?)?)?,
            },
            "gr" => match next()? {
                "admin" => Self::AdminGrant { by: next()?.parse()?, nonce: Nonce::new(whole(next()?)?)? },
                "default" => Self::DefaultGrant,
                "open" => Self::OpenGrant(next()?.parse()?),
                _ => return Err(unknown()),
            },
            "rv" => Self::Revoke { by: next()?.parse()?, nonce: Nonce::new(whole(next()?)?)? },
            "pm" => Self::Payment { payment: PaymentId::new(whole(next()?)?)?, state: next()?.parse()? },
            "cp" => Self::Completed,
            "lg" => Self::Legacy(LegacyId {
                table: next()?.parse()?,
                row: RowId::new(whole(next()?)?)?,
                hash: next().and_then(|hash| {
                    let plain = !hash.is_empty() && hash.len() <= 64 && unhex(hash).is_some();
                    if plain { Ok(hash.into()) } else { Err(unknown()) }
                })?,
            }),
            _ => return Err(unknown()),
        };
        if parts.next().is_some() { Err(unknown()) } else { Ok(id) }
    }
}

fn part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    escape_segment(text, RESERVED, &mut part);
    part
}

fn whole(part: &str) -> Result<String, InvalidId> {
    unescape_segment(part, RESERVED)
        .ok_or_else(|| InvalidId::new("fact id", part, "has a part in another spelling than ours"))
}

/// What opens a course to a student, and what a revocation names. Its text is that of the fact behind it, except that
/// an approval is named by its epoch alone (`dc.1`): however many authorities approve one request, it is one approval.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GrantId {
    /// The request of this epoch was approved.
    Approval(Epoch),
    Admin {
        by: PublicKey,
        nonce: Nonce,
    },
    Default,
    Open(Epoch),
    /// This payment was completed.
    Payment(PaymentId),
    /// A legacy row says that the student was enrolled.
    Legacy(LegacyId),
}

impl GrantId {
    /// What kind of grant it is.
    pub const fn source(&self) -> GrantSource {
        match self {
            Self::Approval(_) => GrantSource::Approval,
            Self::Admin { .. } => GrantSource::Admin,
            Self::Default => GrantSource::Default,
            Self::Open(_) => GrantSource::Open,
            Self::Payment(_) => GrantSource::Payment,
            Self::Legacy(_) => GrantSource::Legacy,
        }
    }
}

/// The kinds of grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum GrantSource {
    Approval,
    Admin,
    Default,
    Open,
    Payment,
    Legacy,
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval(epoch) => write!(f, "dc.{epoch}"),
            Self::Admin { by, nonce } => FactId::AdminGrant { by: *by, nonce: nonce.clone() }.fmt(f),
            Self::Default => FactId::DefaultGrant.fmt(f),
            Self::Open(epoch) => FactId::OpenGrant(*epoch).fmt(f),
            Self::Payment(payment) => write!(f, "pm.{}", part(payment.as_str())),
            Self::Legacy(legacy) => FactId::Legacy(legacy.clone()).fmt(f),
        }
    }
}

impl FromStr for GrantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if let Some(epoch) = text.strip_prefix("dc.") {
            return epoch.parse().map(Self::Approval);
        }
        if let Some(payment) = text.strip_prefix("pm.") {
            let plain = !payment.contains('.');
            let payment = if plain { whole(payment)? } else { String::new() };
            return PaymentId::new(payment).map(Self::Payment);
        }
        match text.parse()? {
            FactId::AdminGrant { by, nonce } => Ok(Self::Admin { by, nonce }),
            FactId::DefaultGrant => Ok(Self::Default),
            FactId::OpenGrant(epoch) => Ok(Self::Open(epoch)),
            FactId::Legacy(legacy) => Ok(Self::Legacy(legacy)),
            _ => Err(InvalidId::new("grant id", text, "is not a grant")),
        }
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(FactId, GrantId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_has_one_key() {
        let by = PublicKey::from_bytes([7; 32]);
        let nonce = || Nonce::new("retry/7.a%").unwrap();
        let payment = PaymentId::new("pi_1.2/3").unwrap();
        let legacy =
            LegacyId { table: LegacyTable::Enrollments, row: RowId::new("a.b").unwrap(), hash: "0f".into() };
        let ids = [
            FactId::Request(Epoch::FIRST),
            FactId::Cancel(Epoch(12)),
            FactId::Decision { epoch: Epoch(2), by, nonce: nonce() },
            FactId::AdminGrant { by, nonce: nonce() },
            FactId::DefaultGrant,
            FactId::OpenGrant(Epoch(3)),
            FactId::Revoke { by: Author::Student, nonce: nonce() },
            FactId::Revoke { by: Author::Key(by), nonce: nonce() },
            FactId::Payment { payment: payment.clone(), state: PaymentState::Refunded },
            FactId::Completed,
            FactId::Legacy(legacy.clone()),
        ];
        let course = CourseId::new("rust/101").unwrap();
        for id in ids {
            let key = id.root_key(&course);
            assert_eq!(parse_key(&key), Some((course.clone(), id)), "{key}");
        }
        let grants = [
            GrantId::Approval(Epoch::FIRST),
            GrantId::Admin { by, nonce: nonce() },
            GrantId::Default,
            GrantId::Open(Epoch(2)),
            GrantId::Payment(payment),
            GrantId::Legacy(legacy),
        ];
        for grant in grants {
            assert_eq!(grant.to_string().parse(), Ok(grant));
        }
    }

    #[test]
    fn other_spellings_are_other_keys() {
        for text in [
            "rq.0",
            "rq.01",
            "rq.+1",
            "rq.1.",
            "rq",
            "rq.",
            "rq.4294967296",
            "cp.1",
            "gr.default.1",
            "dc.1",
            "dc.1.short.n",
            "pm.a.done",
            "pm..completed",
            "rv.student.",
            "rv.Student.x",
            "lg.other.1.0f",
            "lg.payments.1.",
            "lg.payments.1.xy",
            "",
        ] {
            assert!(text.parse::<FactId>().is_err(), "{text}");
        }
        for text in ["rq.1", "cp", "pm.a.completed", "pm.", "dc.", "dc.0"] {
            assert!(text.parse::<GrantId>().is_err(), "{text}");
        }
        for key in ["f/", "f/a", "f//rq.1", "f/a/b/rq.1", "g/a/rq.1", "f/a%2F/rq.1"] {
            assert_eq!(parse_key(key), None, "{key}");
        }
    }
}
