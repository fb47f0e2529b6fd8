//! Names of things on a relay: tenants, subjects, connections, documents of tenants, and places in the store.

use std::fmt;
use std::sync::Arc;

use crdt_core::id::DocumentId;
use serde::{Deserialize, Serialize};

/// Longest name of a tenant or subject. Identity providers stay below 256 bytes, and the names are part of storage keys.
pub const NAME_BYTES_MAX: usize = 255;

/// Declares a newtype for a name that identity providers and operators choose: checked, cheap to clone, ordered.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text: 1 to 255 bytes, no control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
                    return Err(InvalidName { what: $what, text: text.chars().take(64).collect() });
                }
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

name!(
    /// A shop or school. Documents of different tenants never meet, even under equal ids.
    Tenant,
    "tenant"
);
name!(
    /// Who stands behind a connection, as the identity provider names them.
    Subject,
    "subject"
);

/// Why a text is not the name it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not 1 to {NAME_BYTES_MAX} bytes without control characters")]
pub struct InvalidName {
    pub what: &'static str,
    /// The offending text, shortened.
    pub text: String,
}

/// A document of a tenant: what rooms, the store and quotas are keyed by.
///
/// Compared by the document first: ids differ early, while most keys in memory share their tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    pub document: DocumentId,
    pub tenant: Tenant,
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.document)
    }
}

impl fmt::Debug for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentKey({self})")
    }
}

/// One connection, numbered by the driver. Never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The place of one change among those stored of a document, counted from zero and never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// The place of one commit in the history of a whole store. Later commits have larger ones; zero is before all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);
