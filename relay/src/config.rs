//! How a relay is told what to do: a file, the environment and flags, merged into one [`Config`] that makes sense.
//!
//! [`Settings`] is what each of the three may say; flags outrank the environment, which outranks the file. What nobody
//! says has a default, so that a relay without any configuration serves its own machine.

mod settings;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;

pub use self::settings::{LogFormat, Settings};

use crate::auth::Rules;
use crate::id::{InvalidName, Tenant};

/// Where a relay listens when nobody says.
const LISTEN: &str = "127.0.0.1:3030";

/// What a relay does: everything decided, nothing contradictory.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Directory of the data; in memory without one.
    pub data: Option<PathBuf>,
    /// Bytes of memory for pages of the data file.
    pub cache_bytes: u64,
    pub connections_max: usize,
    pub shards: NonZeroU16,
    pub admission: Admission,
    pub origins: Origins,
    pub log: tracing::Level,
    pub log_format: LogFormat,
}

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Whoever comes, as the same unknown person.
    Everyone,
    /// Who bears a token.
    Bearers(TokenFiles),
}

/// Where everything is that tokens are checked with. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFiles {
    pub keys: KeyFile,
    pub revoked: Option<PathBuf>,
    pub rules: Rules,
}

/// The file of the keys that tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// A secret shared with the identity provider.
    Secret(PathBuf),
    /// One public key.
    Pem(PathBuf),
    /// A set of public keys.
    Jwks(PathBuf),
}

/// Which web pages may connect. Programs other than browsers are not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    Any,
    /// Those of this machine.
    Loopback,
    These(Vec<String>),
}

impl Config {
    /// Decides what was left open, and refuses what its author can't have meant.
    pub fn resolve(settings: Settings) -> Result<Self, ConfigError> {
        let listen = settings.listen.unwrap_or_else(|| LISTEN.parse().expect("it is an address"));
        let is_open = settings.open_to_everyone.unwrap_or(false);
        let admission = Admission::resolve(&settings)?;
        if admission == Admission::Everyone && !listen.ip().is_loopback() && !is_open {
            return Err(ConfigError::OpenByAccident { listen });
        }
        if admission != Admission::Everyone && is_open {
            return Err(ConfigError::OpenAndGuarded);
        }
        let origins = match settings.allow_origin {
            Some(these) if these.iter().any(|origin| origin == "*") => Origins::Any,
            Some(these) => Origins::These(these),
            // A page from anywhere that a browser on this machine shows could speak for its user.
            None if admission == Admission::Everyone => Origins::Loopback,
            // A page has to have the token.
            None => Origins::Any,
        };
        let data = settings.data.unwrap_or_else(|| "relay-data".into());
        Ok(Self {
            listen,
            data: (!settings.in_memory.unwrap_or(false)).then_some(data),
            cache_bytes: settings.cache_mib.unwrap_or(64) << 20,
            connections_max: settings.connections_max.unwrap_or(20_000),
            shards: settings.shards.unwrap_or_else(half_of_the_cores),
            admission,
            origins,
            log: settings.log.map_or(tracing::Level::INFO, |level| level.0),
            log_format: settings.log_format.unwrap_or_default(),
        })
    }
}

impl Admission {
    fn resolve(settings: &Settings) -> Result<Self, ConfigError> {
        let Settings { token_secret, token_key, token_jwks, .. } = settings;
        let keys: Vec<_> = [
            token_secret.clone().map(KeyFile::Secret),
            token_key.clone().map(KeyFile::Pem),
            token_jwks.clone().map(KeyFile::Jwks),
        ]
        .into_iter()
        .flatten()
        .collect();
        let keys = match <[KeyFile; 1]>::try_from(keys) {
            Ok([keys]) => keys,
            Err(several) if several.len() > 1 => return Err(ConfigError::SeveralKeys),
            Err(_) if settings.names_token_rules() => return Err(ConfigError::RulesWithoutKeys),
            Err(_) => return Ok(Self::Everyone),
        };
        let mut rules = Rules {
            issuer: settings.token_issuer.clone(),
            audience: settings.token_audience.clone(),
            ..Rules::default()
        };
        if let Some(tenant) = &settings.tenant {
            rules.tenant = Tenant::new(tenant)?;
        }
        Ok(Self::Bearers(TokenFiles { keys, revoked: settings.token_revoked.clone(), rules }))
    }
}

impl KeyFile {
    pub fn path(&self) -> &PathBuf {
        let (Self::Secret(path) | Self::Pem(path) | Self::Jwks(path)) = self;
        path
    }
}

impl Origins {
    /// Whether a page from `origin` may connect.
    pub fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(these) => these.iter().any(|allowed| allowed == origin),
            Self::Loopback => {
                let host = origin.split_once("://").map_or("", |(_, rest)| rest);
                let host = match host.strip_prefix('[') {
                    Some(rest) => rest.split(']').next().unwrap_or_default(),
                    None => host.split(':').next().unwrap_or_default(),
                };
                matches!(host, "localhost" | "127.0.0.1" | "::1")
            }
        }
    }
}

fn half_of_the_cores() -> NonZeroU16 {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u16::try_from(cores / 2).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}

/// What was decided, a line each: what `relay config check` prints.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listen           {}", self.listen)?;
        match &self.data {
            Some(data) => writeln!(f, "data             {}", data.display())?,
            None => writeln!(f, "data             in memory: forgotten when the relay ends")?,
        }
        match &self.admission {
            Admission::Everyone => writeln!(f, "who is let in    everyone, unasked")?,
            Admission::Bearers(files) => {
                let kind = match &files.keys {
                    KeyFile::Secret(_) => "the secret",
                    KeyFile::Pem(_) => "the public key",
                    KeyFile::Jwks(_) => "a key of the set",
                };
                let path = files.keys.path().display();
                writeln!(f, "who is let in    who bears a token signed with {kind} in {path}")?;
            }
        }
        match &self.origins {
            Origins::Any => writeln!(f, "web pages        from anywhere")?,
            Origins::Loopback => writeln!(f, "web pages        from this machine")?,
            Origins::These(these) => writeln!(f, "web pages        from {}", these.join(", "))?,
        }
        writeln!(f, "connections      at most {}", self.connections_max)?;
        writeln!(f, "cache            {} MiB", self.cache_bytes >> 20)?;
        writeln!(f, "shards           {}", self.shards)?;
        write!(f, "log              {}, {}", self.log, self.log_format)
    }
}

/// Why a configuration is not one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("{path} can't be read: {why}")]
    Unreadable { path: String, why: String },
    #[error("{path}: {why}")]
    Malformed { path: String, why: String },
    #[error(
        "{listen} can be reached from other machines, and this relay asks nobody who they are: everyone could read and \
         write every document. Listen on 127.0.0.1, or check tokens (--token-secret, --token-key or --token-jwks), or say \
         --open-to-everyone if that is what you want"
    )]
    OpenByAccident { listen: SocketAddr },
    #[error(
        "--open-to-everyone lets anyone in, and a key to check tokens with lets in only who has one: choose one"
    )]
    OpenAndGuarded,
    #[error("--token-secret, --token-key and --token-jwks each say what tokens are signed with: choose one")]
    SeveralKeys,
    #[error(
        "something is said about tokens, but not what they are signed with: add --token-secret, --token-key or --token-jwks"
    )]
    RulesWithoutKeys,
    #[error(transparent)]
    Tenant(#[from] InvalidName),
}

#[cfg(test)]
mod tests;
