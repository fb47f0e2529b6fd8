//! One value of a field: what was written, by whom, in which role, and when.

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::speaks_for_server;
use crate::authority::{AuthorityKey, PublicKey, SignatureCache, Statement, TrustSet};
use crate::canonical;
use crate::document::Stored;
use crate::id::{ActorId, InvalidId, StudentId};
use crate::inert::InertReason;
use crate::kind::Kind;
use crate::limits::FIELD_BYTES_MAX;
use crate::time::Timestamp;

/// What a field holds: any JSON without floats, within bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FieldValue(Value);

impl FieldValue {
    /// Checks the value: no floats, not too long.
    pub fn new(value: Value) -> Result<Self, InvalidValue> {
        if !canonical::is_canonical(&value) {
            return Err(InvalidValue::Float);
        }
        let bytes = canonical::to_text(&value).len();
        if bytes > FIELD_BYTES_MAX {
            return Err(InvalidValue::TooLong { bytes });
        }
        Ok(Self(value))
    }

    /// A text, unless it is too long.
    pub fn text(text: impl Into<String>) -> Result<Self, InvalidValue> {
        Self::new(Value::String(text.into()))
    }

    /// The JSON.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        self.0.as_str()
    }
}

/// Why a value can't be held by a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidValue {
    #[error("fields hold no floats; use an integer of a smaller unit")]
    Float,
    #[error("the value is {bytes} bytes long; at most {FIELD_BYTES_MAX} are accepted")]
    TooLong { bytes: usize },
}

/// In which role a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldRole {
    /// On one of the student's devices.
    Client,
    /// By the application's back end, or somebody who administers it.
    Server,
}

/// Who wrote a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldAuthor {
    /// A device, by the name it writes changes in.
    Device(ActorId),
    /// The holder of a key.
    Key(PublicKey),
}

impl Serialize for FieldAuthor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Device(actor) => actor.serialize(serializer),
            Self::Key(key) => key.serialize(serializer),
        }
    }
}

/// One value of a field that survives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub value: FieldValue,
    pub role: FieldRole,
    pub author: FieldAuthor,
    /// When it was written, as the author's clock says.
    pub at: Timestamp,
}

/// The stored text of a value.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(default)]
    at: Timestamp,
    by: String,
    role: FieldRole,
    #[serde(deserialize_with = "present")]
    value: Option<Value>,
}

/// Tells a value that is null from one that is missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Candidate {
    /// Older before newer; equally old ones by role, author and content, so that all replicas order them alike.
    pub(super) fn by_age(&self, other: &Self) -> Ordering {
        let content = |candidate: &Self| canonical::to_text(&candidate.value);
        (self.at, self.role, &self.author)
            .cmp(&(other.at, other.role, &other.author))
            .then_with(|| content(self).cmp(&content(other)))
    }

    /// The text to store, for a client.
    pub(super) fn to_text(&self) -> String {
        let FieldAuthor::Device(actor) = &self.author else { unreachable!("keys sign") };
        let value = Some(self.value.0.clone());
        canonical::to_text(&Body { at: self.at, by: actor.to_string(), role: self.role, value })
    }

    /// The text to store under `root_key`, for the server.
    pub(super) fn to_signed_text(&self, student: &StudentId, root_key: &str, key: &AuthorityKey) -> String {
        let body = serde_json::json!({"at": self.at, "role": self.role, "value": self.value});
        key.sign(&statement(student, root_key), &body)
    }
}

fn statement<'a>(student: &'a StudentId, key: &'a str) -> Statement<'a> {
    Statement { kind: Kind::Profile.as_str(), subject: student.as_str(), key }
}

/// Tells values that count from everything else that may stand under a key.
pub(super) struct Reader<'a> {
    pub(super) student: &'a StudentId,
    pub(super) trust: &'a TrustSet,
    pub(super) seen: &'a mut SignatureCache,
}

impl Reader<'_> {
    /// Reads one value found under `key`.
    pub(super) fn read(&mut self, key: &str, stored: &Stored) -> Result<Candidate, InertReason> {
        let text = stored.as_text().ok_or(InertReason::Foreign)?;
        let body: Body = canonical::from_text(text)?;
        let author = match body.role {
            FieldRole::Client => FieldAuthor::Device(body.by.parse().map_err(InertReason::from)?),
            FieldRole::Server => FieldAuthor::Key(self.server(key, text, &body)?),
        };
        let value = FieldValue::new(body.value.unwrap_or_default())
            .map_err(|why| InertReason::Unreadable(why.to_string()))?;
        Ok(Candidate { value, role: body.role, author, at: body.at })
    }

    /// The key that speaks for the server, if it does. Whoever only claims to be the server counts for nothing.
    fn server(&mut self, key: &str, text: &str, body: &Body) -> Result<PublicKey, InertReason> {
        let by: PublicKey = body.by.parse().map_err(|why: InvalidId| InertReason::from(why))?;
        let role = self.trust.role(&by).ok_or(InertReason::NotTrusted { by })?;
        if !speaks_for_server(role) {
            return Err(InertReason::NotEntitled { by, role });
        }
        statement(self.student, key).check(text, self.seen)?;
        Ok(by)
    }
}
