//! The house rules that no compiler checks. Each rule looks at sources and answers with what breaks it.

mod layers;
mod length;
mod pages;
mod purity;
mod roof;
mod unfinished;

use std::fmt;

pub use self::layers::{core_names_only_what_is_below, relay_and_clients_are_strangers};
pub use self::length::lines_bounded;
pub use self::pages::{map_names_all, named_paths_exist};
pub use self::purity::{automerge_at_home, pure_sources_name_no_world};
pub use self::roof::roofs_hold_nothing;
pub use self::unfinished::nothing_unfinished;

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong and what to do instead.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}
