//! The door: who comes in, and with which permit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result};
use axum::http::{HeaderMap, Uri, header};
use crdt_core::time::Timestamp;

use super::clock::wall;
use super::modified::Modified;
use super::tls;
use crate::access::Permit;
use crate::auth::{Bearer, Keys, Revoked, Secret, Tokens, Unauthorized};
use crate::config::{Admission, Config, KeyFile, Origins, TokenFiles};
use crate::id::{ConnectionId, Subject, Tenant};

/// What a browser's WebSocket, which can't send headers, puts before the token among its subprotocols.
const TOKEN_PROTOCOL: &str = "pannier.token.";

/// The subprotocol that is agreed on with whoever offers any.
pub(super) const SYNC_PROTOCOL: &str = "pannier.sync.v1";

/// Whoever decides who comes in.
#[derive(Debug)]
pub struct Door {
    guard: Guard,
    origins: RwLock<Origins>,
}

#[derive(Debug)]
enum Guard {
    /// Everyone, as the same unknown person.
    Nobody,
    Tokens(Box<Checkpoint>),
}

/// Where tokens are looked at.
#[derive(Debug)]
struct Checkpoint {
    files: TokenFiles,
    tokens: RwLock<Arc<Tokens>>,
    read: Modified,
    /// Who is in, so that they can be asked to leave.
    bearers: Mutex<BTreeMap<ConnectionId, Bearer>>,
}

/// Somebody who may come in.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) permit: Permit,
    /// Who they are by their token, if they were asked for one.
    pub(super) bearer: Option<Bearer>,
}

impl Door {
    /// Reads the keys and lists that the configuration names.
    pub fn open(config: &Config) -> Result<Self> {
        let guard = match &config.admission {
            Admission::Everyone => Guard::Nobody,
            Admission::Bearers(files) => Guard::Tokens(Box::new(Checkpoint {
                read: Modified::of(files.paths()),
                tokens: RwLock::new(Arc::new(read_tokens(files)?)),
                files: files.clone(),
                bearers: Mutex::default(),
            })),
        };
        if let Some(files) = &config.tls {
            tls::check(files)?;
        }
        Ok(Self { guard, origins: RwLock::new(config.origins.clone()) })
    }

    /// Whether the page that a browser shows may connect. Other programs name no origin.
    pub(super) fn allows_page(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
        origin.to_str().is_ok_and(|origin| origins.allow(origin))
    }

    /// From now on, pages from these may connect. Those that are connected stay.
    pub(super) fn allow_pages(&self, origins: Origins) {
        *self.origins.write().unwrap_or_else(PoisonError::into_inner) = origins;
    }

    /// What whoever sends this request is permitted, and the name under which that can end.
    pub(super) fn permit(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        now: Timestamp,
    ) -> Result<Entry, Unauthorized> {
        self.entry(token_of(headers, uri), now)
    }

    fn entry(&self, token: Option<&str>, now: Timestamp) -> Result<Entry, Unauthorized> {
        match &self.guard {
            Guard::Nobody => {
                let tenant = Tenant::new("open").expect("it is a name");
                let subject = Subject::new("anyone").expect("it is a name");
                Ok(Entry { permit: Permit::open(tenant, subject), bearer: None })
            }
            Guard::Tokens(checkpoint) => {
                let token = token.ok_or(Unauthorized::Missing)?;
                let tokens = Arc::clone(&checkpoint.tokens.read().unwrap_or_else(PoisonError::into_inner));
                // Who has issued it looks at a wall clock, which can be set back.
                let wall = wall();
                let (mut permit, bearer) = tokens.check(token, wall)?;
                permit.expires = now + permit.expires.since(wall);
                Ok(Entry { permit, bearer: Some(bearer) })
            }
        }
    }

    /// Whether a token that was accepted has not been revoked since.
    pub(super) fn is_welcome(&self, bearer: Option<&Bearer>) -> bool {
        match (&self.guard, bearer) {
            (Guard::Tokens(checkpoint), Some(bearer)) => {
                let tokens = checkpoint.tokens.read().unwrap_or_else(PoisonError::into_inner);
                !tokens.is_revoked(bearer)
            }
            _ => true,
        }
    }

    /// What a connection is permitted from now on, by the new token that it brings. The new one can be revoked, the old one
    /// does not matter any more.
    pub(super) fn renew(
        &self,
        connection: ConnectionId,
        token: &str,
        now: Timestamp,
    ) -> Result<Permit, Unauthorized> {
        let Entry { permit, bearer } = self.entry(Some(token), now)?;
        self.let_in(connection, bearer);
        Ok(permit)
    }

    /// Remembers who is in.
    pub(super) fn let_in(&self, connection: ConnectionId, bearer: Option<Bearer>) {
        if let (Guard::Tokens(checkpoint), Some(bearer)) = (&self.guard, bearer) {
            checkpoint.bearers.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, bearer);
        }
    }

    pub(super) fn let_out(&self, connection: ConnectionId) {
        if let Guard::Tokens(checkpoint) = &self.guard {
            checkpoint.bearers.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
        }
    }

    /// Reads the files again if they have changed or `must` be, and names the connections that have to go. What can't be read
    /// leaves everything as it was.
    pub(super) fn look_again(&self, must: bool) -> Vec<ConnectionId> {
        let Guard::Tokens(checkpoint) = &self.guard else { return Vec::new() };
        let Checkpoint { files, tokens, read, bearers } = &**checkpoint;
        if !read.has_changed() && !must {
            return Vec::new();
        }
        match read_tokens(files) {
            Ok(fresh) => {
                tracing::info!("the keys and lists for tokens have been read again");
                let bearers = bearers.lock().unwrap_or_else(PoisonError::into_inner);
                let revoked = bearers.iter().filter(|(_, bearer)| fresh.is_revoked(bearer));
                let revoked = revoked.map(|(connection, _)| *connection).collect();
                *tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                revoked
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the keys and lists for tokens stay as they were"
                );
                Vec::new()
            }
        }
    }
}

/// Where a request has its token: in a header; where browsers can't send one, in the subprotocol or, never logged, the query.
fn token_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let in_header = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut protocols = protocols.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let query = uri.query().unwrap_or_default();
    in_header
        .or_else(|| protocols.find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PROTOCOL)))
        .or_else(|| query.split('&').find_map(|pair| pair.strip_prefix("token=")))
}

/// The secret in a file. White space around it is not part of it.
pub fn read_secret(path: &Path) -> Result<Secret> {
    let bytes = read(path)?;
    Secret::new(bytes.trim_ascii().to_vec()).with_context(|| path.display().to_string())
}

fn read_tokens(files: &TokenFiles) -> Result<Tokens> {
    let named = |path: &PathBuf| path.display().to_string();
    let keys = match &files.keys {
        KeyFile::Secret(path) => Keys::from_secret(&read_secret(path)?),
        KeyFile::Pem(path) => Keys::from_pem(&read(path)?).with_context(|| named(path))?,
        KeyFile::Jwks(path) => Keys::from_jwks(&read(path)?).with_context(|| named(path))?,
    };
    let tokens = Tokens::new(keys, files.rules.clone());
    let Some(path) = &files.revoked else { return Ok(tokens) };
    let list = String::from_utf8(read(path)?).with_context(|| named(path))?;
    Ok(tokens.with_revoked(Revoked::parse(&list).with_context(|| named(path))?))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(headers: &[(&'static str, &str)], uri: &str) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        token_of(&map, &uri.parse().unwrap()).map(str::to_owned)
    }

    #[test]
    fn a_token_is_found_where_it_can_be() {
        assert_eq!(token(&[], "/"), None);
        assert_eq!(token(&[("authorization", "Basic abc")], "/"), None);
        assert_eq!(token(&[("authorization", "bearer abc")], "/").unwrap(), "abc");
        let offered = "pannier.sync.v1, pannier.token.abc";
        assert_eq!(token(&[("sec-websocket-protocol", offered)], "/").unwrap(), "abc");
        assert_eq!(token(&[], "/sync?since=1&token=abc").unwrap(), "abc");
        assert_eq!(token(&[("authorization", "Bearer abc")], "/?token=def").unwrap(), "abc");
    }
}
