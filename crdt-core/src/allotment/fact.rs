//! The facts of an allotment: where each stands, what it says, whose word it takes, and how rival values combine.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::holder::HolderId;
use super::units::{NotUnits, Units};
use super::{MintId, PoolId, ReservationId};
use crate::authority::{Proven, PublicKey, Role, SignatureCache, Statement, TrustSet, Unproven};
use crate::canonical;
use crate::document::Stored;
use crate::id::Dot;
use crate::inert::InertReason;
use crate::kind::Kind;
use crate::limits::{KEY_BYTES_MAX, OP_COUNTER_MAX};

/// Where a fact stands: its root key, read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Mint(MintId),
    Transfer(HolderId, Dot),
    Use(HolderId, ReservationId),
    Release(HolderId, ReservationId),
    Want(HolderId, ReservationId),
    Close(HolderId, Dot),
}

impl Place {
    /// Reads a key. `None` for a key of no fact of ours.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let mut segments = key.split('/');
        let [kind, first] = [segments.next()?, segments.next()?];
        let second = segments.next();
        if segments.next().is_some() || (kind == "m") != second.is_none() {
            return None;
        }
        let second = second.unwrap_or_default();
        let holder = || HolderId::from_segment(first);
        Some(match kind {
            "m" => Self::Mint(MintId::from_segment(first)?),
            "t" => Self::Transfer(holder()?, second.parse().ok()?),
            "u" => Self::Use(holder()?, ReservationId::from_segment(second)?),
            "v" => Self::Release(holder()?, ReservationId::from_segment(second)?),
            "w" => Self::Want(holder()?, ReservationId::from_segment(second)?),
            "k" => Self::Close(holder()?, second.parse().ok()?),
            _ => return None,
        })
    }

    fn author(&self) -> Author {
        match self {
            Self::Mint(_) | Self::Close(..) => Author::Authority,
            Self::Transfer(holder, _)
            | Self::Use(holder, _)
            | Self::Release(holder, _)
            | Self::Want(holder, _) => {
                if holder.is_authority() {
                    Author::Authority
                } else {
                    holder.key().map_or(Author::Anyone, Author::Key)
                }
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mint(id) => write!(f, "m/{}", id.segment()),
            Self::Transfer(from, dot) => write!(f, "t/{}/{dot}", from.segment()),
            Self::Use(holder, id) => write!(f, "u/{}/{}", holder.segment(), id.segment()),
            Self::Release(holder, id) => write!(f, "v/{}/{}", holder.segment(), id.segment()),
            Self::Want(holder, id) => write!(f, "w/{}/{}", holder.segment(), id.segment()),
            Self::Close(holder, dot) => write!(f, "k/{}/{dot}", holder.segment()),
        }
    }
}

/// Whose word a fact takes.
enum Author {
    Authority,
    Key(PublicKey),
    Anyone,
}

/// What a fact says, once it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Mint(Granted),
    Transfer(Moved),
    Use(Spent),
    Release,
    Want(Spent),
    Close(Kept),
}

/// Rights that come into being.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Granted {
    pub(super) units: Units,
    pub(super) to: HolderId,
}

/// Rights that change hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) to: HolderId,
    pub(super) units: Units,
    pub(super) at: u64,
}

/// Rights spent, or wanted. `at` exceeds every counter its author had seen: larger is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) units: Units,
    pub(super) at: u64,
}

/// What a lease had spent when the authority closed it.
pub(super) type Kept = BTreeMap<ReservationId, Units>;

/// The stored forms. `n` is read wide so that an absurd number is told as such.
#[derive(Serialize, Deserialize)]
pub(super) struct MintBody {
    pub(super) n: i64,
    pub(super) to: HolderId,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TransferBody {
    pub(super) at: u64,
    pub(super) n: i64,
    pub(super) to: HolderId,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SpentBody {
    pub(super) at: u64,
    pub(super) n: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CloseBody {
    pub(super) keep: Kept,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReleaseBody {}

/// Whom the facts of one pool are judged by.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) pool: PoolId,
    pub(super) trust: TrustSet,
    pub(super) seen: SignatureCache,
}

impl Judge {
    /// The statement that a fact under `key` of this pool signs.
    pub(super) fn statement<'a>(&'a self, key: &'a str) -> Statement<'a> {
        Statement { kind: Kind::Allotment.as_str(), subject: self.pool.as_str(), key }
    }

    /// Whether the application trusts this key to mint.
    pub(super) fn is_authority(&self, key: &PublicKey) -> bool {
        self.trust.role(key).is_some_and(may_mint)
    }

    /// What the surviving values of a key come to. What counts for nothing is told to `inert`.
    pub(super) fn judge(
        &mut self,
        key: &str,
        values: &[Stored],
        mut inert: impl FnMut(InertReason),
    ) -> Option<(Place, Fact)> {
        if values.is_empty() || key.starts_with("@/") {
            return None;
        }
        if key.len() > KEY_BYTES_MAX {
            inert(InertReason::KeyTooLong { bytes: key.len() });
            return None;
        }
        let Some(place) = Place::parse(key) else {
            inert(InertReason::UnknownKey);
            return None;
        };
        let mut fact: Option<Fact> = None;
        for value in values {
            let read = value.as_text().ok_or(InertReason::Foreign);
            match read.and_then(|text| self.read(&place, key, text)) {
                Ok(read) => fact = Some(fact.map_or(read.clone(), |fact| fact.combine(read))),
                Err(reason) => inert(reason),
            }
        }
        fact.map(|fact| (place, fact))
    }

    pub(super) fn read(&mut self, place: &Place, key: &str, text: &str) -> Result<Fact, InertReason> {
        match place {
            Place::Mint(_) => {
                let MintBody { n, to } = self.body(place, key, text)?;
                Ok(Fact::Mint(Granted { to, units: units(n)? }))
            }
            Place::Transfer(from, _) => {
                let TransferBody { at, n, to } = self.body(place, key, text)?;
                if *from == to {
                    return Err(InertReason::NotAllowed { why: "nobody gives to oneself" });
                }
                if from.is_lease() && !to.is_authority() {
                    return Err(InertReason::NotAllowed { why: "a lease gives back to the authority only" });
                }
                Ok(Fact::Transfer(Moved { to, units: units(n)?, at: counter(at)? }))
            }
            Place::Use(..) => {
                let SpentBody { at, n } = self.body(place, key, text)?;
                Ok(Fact::Use(Spent { units: units(n)?, at: counter(at)? }))
            }
            Place::Want(..) => {
                let SpentBody { at, n } = self.body(place, key, text)?;
                Ok(Fact::Want(Spent { units: units(n)?, at: counter(at)? }))
            }
            Place::Release(holder, _) => {
                if self.signed_by_authority(key, text).is_ok() {
                    return Ok(Fact::Release);
                }
                if holder.is_lease() {
                    return Err(InertReason::NotAllowed { why: "a lease may not release" });
                }
                self.body::<ReleaseBody>(place, key, text).map(|_| Fact::Release)
            }
            Place::Close(holder, _) => {
                if !holder.is_lease() {
                    return Err(InertReason::NotAllowed { why: "only a lease can be closed" });
                }
                let CloseBody { keep } = self.body(place, key, text)?;
                Ok(Fact::Close(keep))
            }
        }
    }

    /// The fields of a fact whose author may write it.
    fn body<T: DeserializeOwned>(&mut self, place: &Place, key: &str, text: &str) -> Result<T, InertReason> {
        match place.author() {
            Author::Anyone => Ok(canonical::from_text(text)?),
            Author::Authority => Ok(self.signed_by_authority(key, text)?.read()?),
            Author::Key(wanted) => {
                let proven = self.proven(key, text)?;
                if *proven.by() != wanted {
                    return Err(InertReason::Misplaced { by: *proven.by() });
                }
                Ok(proven.read()?)
            }
        }
    }

    fn signed_by_authority(&mut self, key: &str, text: &str) -> Result<Proven, InertReason> {
        let proven = self.proven(key, text)?;
        let by = *proven.by();
        match self.trust.role(&by) {
            Some(role) if may_mint(role) => Ok(proven),
            Some(role) => Err(InertReason::NotEntitled { by, role }),
            None => Err(InertReason::NotTrusted { by }),
        }
    }

    fn proven(&mut self, key: &str, text: &str) -> Result<Proven, Unproven> {
        let statement = Statement { kind: Kind::Allotment.as_str(), subject: self.pool.as_str(), key };
        statement.verify(text, &mut self.seen)
    }
}

/// Who decides how many there are: the application's back end, and those who decide for the whole shop or school.
fn may_mint(role: Role) -> bool {
    matches!(role, Role::System | Role::Admin | Role::Owner)
}

fn units(n: i64) -> Result<Units, InertReason> {
    Units::try_from(n)
        .map_err(|NotUnits { number }| InertReason::OutOfBounds { what: "n", value: number.to_string() })
}

fn counter(at: u64) -> Result<u64, InertReason> {
    if at > OP_COUNTER_MAX {
        return Err(InertReason::OutOfBounds { what: "at", value: at.to_string() });
    }
    Ok(at)
}

impl Fact {
    /// What two values of one key come to, in whatever order they are met.
    ///
    /// An honest author writes a key once, so rival values are somebody's mistake or malice, and the rule is what hurts
    /// others least: the authority granted the smaller; who spent or gave, spent or gave the larger, so that nothing
    /// can be taken back by writing it again; what any authority kept is kept.
    pub(super) fn combine(self, other: Self) -> Self {
        match (self, other) {
            (Self::Mint(one), Self::Mint(other)) => Self::Mint(one.min(other)),
            (Self::Transfer(one), Self::Transfer(other)) => Self::Transfer(one.larger(other)),
            (Self::Use(one), Self::Use(other)) => Self::Use(one.larger(other)),
            (Self::Want(one), Self::Want(other)) => Self::Want(one.larger(other)),
            (Self::Close(mut one), Self::Close(other)) => {
                for (reservation, units) in other {
                    let kept = one.entry(reservation).or_insert(units);
                    *kept = units.max(*kept);
                }
                Self::Close(one)
            }
            (Self::Release, Self::Release) => Self::Release,
            _ => unreachable!("facts of one key are of one sort"),
        }
    }
}

impl Fact {
    /// What was spent or is wanted.
    pub(super) fn into_spent(self) -> Option<Spent> {
        match self {
            Self::Use(spent) | Self::Want(spent) => Some(spent),
            _ => None,
        }
    }
}

impl Moved {
    fn larger(self, other: Self) -> Self {
        use std::cmp::Reverse;
        let rank = |moved: &Self| (moved.units, Reverse(moved.to.clone()), Reverse(moved.at));
        if rank(&self) >= rank(&other) { self } else { other }
    }
}

impl Spent {
    fn larger(self, other: Self) -> Self {
        use std::cmp::Reverse;
        let rank = |spent: &Self| (spent.units, Reverse(spent.at));
        if rank(&self) >= rank(&other) { self } else { other }
    }
}
