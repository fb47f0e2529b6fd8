//! What is not accepted any more, although it has not expired.

use std::collections::BTreeSet;

use super::Claims;

/// Most entries of a list. Tokens expire, so lists stay short.
const ENTRIES_MAX: usize = 100_000;

/// Tokens and subjects that are turned away.
///
/// A list has one entry a line: `jti NAME` for a token, `sub NAME` for everything of a subject. Empty lines, and those that
/// begin with `#`, say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    tokens: BTreeSet<String>,
    subjects: BTreeSet<String>,
}

impl Revoked {
    pub fn parse(text: &str) -> Result<Self, RevokedError> {
        let mut revoked = Self::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (of, name) = line.split_once(' ').ok_or(RevokedError::Line { number })?;
            let entries = match of {
                "jti" => &mut revoked.tokens,
                "sub" => &mut revoked.subjects,
                _ => return Err(RevokedError::Line { number }),
            };
            entries.insert(name.trim().to_owned());
        }
        let entries = revoked.tokens.len() + revoked.subjects.len();
        if entries > ENTRIES_MAX { Err(RevokedError::TooLong { entries }) } else { Ok(revoked) }
    }

    pub(super) fn contains(&self, bearer: &Bearer) -> bool {
        self.subjects.contains(&bearer.subject)
            || bearer.token.as_ref().is_some_and(|token| self.tokens.contains(token))
    }
}

/// Who bears a token, by the names under which it can be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    subject: String,
    token: Option<String>,
}

impl Bearer {
    pub(super) fn of(claims: &Claims) -> Self {
        Self { subject: claims.sub.clone(), token: claims.jti.clone() }
    }
}

/// Why a list can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokedError {
    #[error("line {number} is neither `jti NAME` nor `sub NAME`")]
    Line { number: usize },
    #[error("{entries} entries; at most {ENTRIES_MAX} are accepted")]
    TooLong { entries: usize },
}
