//! Who wins when several values of a field survive.

use std::fmt;
use std::sync::Arc;

use super::value::{Candidate, FieldRole, FieldValue};
use super::view::FieldView;

/// How a field with several surviving values is shown. A pure function of the survivors: all replicas agree.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// The newest of the clients' values, else the newest of the server's.
    ClientWins,
    /// The newest of the server's values, else the newest of the clients'.
    ServerWins,
    /// The newest value.
    #[default]
    LastModifiedWins,
    /// What the function makes of all survivors, which it is given oldest first. See [`Strategy::merge`].
    Merge(Merge),
    /// The newest value, as a conflict, until somebody resolves it.
    PromptUser,
}

/// A function of the application's that makes one value of several.
pub type Merge = Arc<dyn Fn(&[Candidate]) -> FieldValue + Send + Sync>;

impl Strategy {
    /// Shows what `merge` makes of all survivors, which it is given oldest first. It must depend on nothing else, or
    /// replicas will disagree. Values that differ only in who wrote them when are given each.
    ///
    /// ```
    /// use crdt_core::profile::{Candidate, Strategy};
    /// let longest = Strategy::merge(|candidates: &[Candidate]| {
    ///     let length = |candidate: &&Candidate| candidate.value.as_text().map_or(0, str::len);
    ///     candidates.iter().max_by_key(length).expect("never empty").value.clone()
    /// });
    /// # let _: Strategy = longest;
    /// ```
    pub fn merge(merge: impl Fn(&[Candidate]) -> FieldValue + Send + Sync + 'static) -> Self {
        Self::Merge(Arc::new(merge))
    }

    /// What is shown of these survivors, oldest first. `None` when there are none.
    pub(super) fn decide(&self, candidates: &[Candidate]) -> Option<FieldView> {
        let newest = candidates.last()?;
        let newest_of = |role| candidates.iter().rfind(|candidate| candidate.role == role);
        let differing = candidates.iter().any(|candidate| candidate.value != newest.value);
        let winner = match self {
            Self::ClientWins => newest_of(FieldRole::Client).unwrap_or(newest),
            Self::ServerWins => newest_of(FieldRole::Server).unwrap_or(newest),
            Self::LastModifiedWins | Self::Merge(_) | Self::PromptUser => newest,
        };
        let value = match self {
            Self::Merge(merge) if differing => merge(candidates),
            _ => winner.value.clone(),
        };
        Some(FieldView {
            value,
            role: winner.role,
            author: winner.author.clone(),
            at: winner.at,
            conflict: differing && matches!(self, Self::PromptUser),
            candidates: if differing { candidates.to_vec() } else { Vec::new() },
        })
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientWins => "ClientWins",
            Self::ServerWins => "ServerWins",
            Self::LastModifiedWins => "LastModifiedWins",
            Self::Merge(_) => "Merge(..)",
            Self::PromptUser => "PromptUser",
        })
    }
}
