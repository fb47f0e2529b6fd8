//! Plants: known bugs, put into a world from outside, between a machine and its driver. A world that does not find them
//! would not find their like in the machines.

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    /// A relay's disk says that an append is stored before it is.
    AdvertiseBeforeStored,
    /// A relay's disk leaves out the last of several changes.
    LoseChanges,
    /// A relay forgets how far it had come with a peer, which is not told.
    ForgetExchanges,
    /// A relay loses what is held back until its document is loaded.
    LoseHeldBack,
    /// A relay takes everybody for somebody who may read everything.
    ServeAnyone,
    /// A relay tells a peer the same again and again.
    NeverEnd,
    /// A relay bounds nothing.
    BoundNothing,
    /// A relay's disk keeps what it says is erased.
    KeepErased,
    /// A relay's change feed tells of one head where there are several.
    MisstateNews,
    /// A device's disk says that a write is done before it is.
    ForgetUnsynced,
    /// A device's disk forgets which operations wait for a relay.
    ForgetPending,
    /// A device tries a command again under another key.
    RetryUnderFreshKey,
    /// A device tries a command once, and not again.
    RetryNever,
}

impl Plant {
    pub const ALL: [Self; 13] = [
        Self::AdvertiseBeforeStored,
        Self::LoseChanges,
        Self::ForgetExchanges,
        Self::LoseHeldBack,
        Self::ServeAnyone,
        Self::NeverEnd,
        Self::BoundNothing,
        Self::KeepErased,
        Self::MisstateNews,
        Self::ForgetUnsynced,
        Self::ForgetPending,
        Self::RetryUnderFreshKey,
        Self::RetryNever,
    ];
}

impl std::str::FromStr for Plant {
    type Err = UnknownPlant;

    /// Reads the name of a variant.
    fn from_str(text: &str) -> Result<Self, UnknownPlant> {
        let named = Self::ALL.into_iter().find(|plant| format!("{plant:?}") == text);
        named.ok_or_else(|| UnknownPlant { text: text.to_owned() })
    }
}

/// No plant is called that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no plant is called {text}: there are {:?}", Plant::ALL)]
pub struct UnknownPlant {
    pub text: String,
}
