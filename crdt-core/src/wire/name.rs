//! The texts that peers call themselves and each other by.
//!
//! Each name has an owned form, cheap to clone, for whoever keeps it, and a borrowed form, which is what frames hold.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::id::InvalidId;
use crate::limits::NAME_BYTES_MAX;

macro_rules! name {
    ($(#[$owned_doc:meta])* $owned:ident, $(#[$borrowed_doc:meta])* $borrowed:ident, $what:literal) => {
        $(#[$owned_doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $owned(Arc<str>);

        $(#[$borrowed_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $borrowed<'a>(&'a str);

        impl $owned {
            /// Takes any text of 1 to 256 bytes.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                $borrowed::new(text).map(|name| name.to_owned())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The form that frames hold.
            pub fn borrowed(&self) -> $borrowed<'_> {
                $borrowed(&self.0)
            }
        }

        impl<'a> $borrowed<'a> {
            /// Takes any text of 1 to 256 bytes.
            pub fn new(text: &'a str) -> Result<Self, InvalidId> {
                if text.is_empty() {
                    return Err(InvalidId::new($what, text, "is empty"));
                }
                if text.len() > NAME_BYTES_MAX {
                    return Err(InvalidId::new($what, text, "is longer than 256 bytes"));
                }
                Ok(Self(text))
            }

            pub fn as_str(self) -> &'a str {
                self.0
            }

            /// A copy to keep.
            pub fn to_owned(self) -> $owned {
                $owned(self.0.into())
            }
        }

        /// So that maps keyed by the owned form can be asked with a borrowed text. Both order and compare as texts do.
        impl Borrow<str> for $owned {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $borrowed<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }

        impl fmt::Debug for $borrowed<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name! {
    /// What one peer calls itself on the wire: any text. Proves nothing by itself; a relay binds it to a subject.
    PeerId,
    /// A [`PeerId`] inside a frame.
    PeerRef, "peer id"
}

name! {
    /// One run of one peer, such as a tab between two reloads: counters of ephemeral messages and presence rise within it.
    SessionId,
    /// A [`SessionId`] inside a frame.
    SessionRef, "session id"
}

name! {
    /// A store that outlives its peers' connections; peers with one storage share what they have.
    StorageId,
    /// A [`StorageId`] inside a frame.
    StorageRef, "storage id"
}

name! {
    /// A device, as its application calls it, over all its tabs and sessions.
    DeviceId,
    /// A [`DeviceId`] inside a frame.
    DeviceRef, "device id"
}
