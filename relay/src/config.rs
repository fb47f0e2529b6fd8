//! How a relay is told what to do: a file, the environment and flags, merged into one [`Config`] that makes sense.
//!
//! [`Settings`] is what each of the three may say; flags outrank the environment, which outranks the file. What nobody
//! says has a default, so that a relay without any configuration serves its own machine.

mod network;
mod settings;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

pub use self::network::Network;
pub use self::settings::{LogFormat, Settings};

use crate::auth::Rules;
use crate::hub::{Limits, Rate};
use crate::id::{InvalidName, Tenant};

/// Where a relay listens when nobody says.
const LISTEN: &str = "127.0.0.1:3030";

/// How far above a sustained rate a burst may go: so many seconds' worth.
const BURST_SECONDS: u64 = 10;

/// Requests from one address, where nobody says. A school behind one address comes back all at once after a restart.
const ADDRESS_REQUESTS: Rate = Rate { per_second: 200, burst: 5_000 };

/// Requests of one subject, and of one tenant, where nobody says.
const SUBJECT_REQUESTS: Rate = Rate { per_second: 100, burst: 1_000 };
const TENANT_REQUESTS: Rate = Rate { per_second: 5_000, burst: 50_000 };

/// What a relay does: everything decided, nothing contradictory.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What connections are made private with.
    pub tls: Option<TlsFiles>,
    /// Whose word counts about who asks.
    pub trusted_proxies: Vec<Network>,
    /// What may come from one address.
    pub requests_per_address: Rate,
    /// What may come from one authenticated subject.
    pub requests_per_subject: Rate,
    /// What may come from all of a tenant.
    pub requests_per_tenant: Rate,
    /// What is granted to connections, subjects, tenants and documents.
    pub limits: Limits,
    /// Bytes of memory that packing a document may take.
    pub pack_memory_max: u64,
    pub log: tracing::Level,
    pub log_format: LogFormat,
}

/// The files of a certificate. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    pub fn paths(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }
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
        let limits = limits(&settings);
        let origins = match settings.allow_origin {
            Some(these) if these.iter().any(|origin| origin == "*") => Origins::Any,
            Some(these) => Origins::These(these),
            // A page from anywhere that a browser on this machine shows could speak for its user.
            None if admission == Admission::Everyone => Origins::Loopback,
            // A page has to have the token.
            None => Origins::Any,
        };
        let tls = match (&settings.tls_certificate, &settings.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })
            }
            (None, None) => None,
            _ => return Err(ConfigError::HalfOfTls),
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
            tls,
            trusted_proxies: settings.trusted_proxy.unwrap_or_default(),
            requests_per_address: settings.address_requests.map_or(ADDRESS_REQUESTS, rate),
            requests_per_subject: settings.subject_requests.map_or(SUBJECT_REQUESTS, rate),
            requests_per_tenant: settings.tenant_requests.map_or(TENANT_REQUESTS, rate),
            limits,
            pack_memory_max: settings.pack_memory_mib.unwrap_or(1024).saturating_mul(1 << 20),
            log: settings.log.map_or(tracing::Level::INFO, |level| level.0),
            log_format: settings.log_format.unwrap_or_default(),
        })
    }
}

/// The hub's bounds, with what was said about them.
fn limits(settings: &Settings) -> Limits {
    let mut limits = Limits::default();
    for (said, limit) in [
        (settings.connection_frames, &mut limits.frames),
        (settings.subject_frames, &mut limits.frames_of_subject),
        (settings.tenant_frames, &mut limits.frames_of_tenant),
    ] {
        *limit = said.map_or(*limit, rate);
    }
    if let Some(mebibytes) = settings.connection_mib {
        // The largest frame has to pass, however slowly.
        limits.bytes.per_second = u64::from(mebibytes.get()) << 20;
    }
    for (said, limit) in [
        (settings.subject_connections_max, &mut limits.connections_per_subject_max),
        (settings.connection_documents_max, &mut limits.documents_per_connection_max),
    ] {
        *limit = said.unwrap_or(*limit);
    }
    for (said, limit) in [
        (settings.tenant_mib_max, &mut limits.tenant_bytes_max),
        (settings.document_mib_max, &mut limits.document_bytes_max),
    ] {
        *limit = said.map_or(*limit, |mebibytes| mebibytes.saturating_mul(1 << 20));
    }
    limits
}

fn rate(per_second: NonZeroU32) -> Rate {
    let per_second = u64::from(per_second.get());
    Rate { per_second, burst: BURST_SECONDS * per_second }
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

impl TokenFiles {
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let keys = Some(self.keys.path().as_path());
        keys.into_iter().chain(self.revoked.as_deref())
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
        match &self.tls {
            Some(files) => writeln!(f, "TLS              with {}", files.certificate.display())?,
            None => {
                writeln!(f, "TLS              none: behind a proxy that speaks it, or on this machine only")?;
            }
        }
        if !self.trusted_proxies.is_empty() {
            let proxies: Vec<_> = self.trusted_proxies.iter().map(ToString::to_string).collect();
            writeln!(f, "proxies          {} say who asks", proxies.join(", "))?;
        }
        writeln!(f, "connections      at most {}", self.connections_max)?;
        self.write_limits(f)?;
        writeln!(f, "cache            {} MiB", self.cache_bytes >> 20)?;
        writeln!(f, "shards           {}", self.shards)?;
        write!(f, "log              {}, {}", self.log, self.log_format)
    }
}

impl Config {
    fn write_limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { frames, bytes, frames_of_subject, frames_of_tenant, .. } = self.limits;
        let [frames, subject, tenant] =
            [frames, frames_of_subject, frames_of_tenant].map(|rate| rate.per_second);
        let requests = [self.requests_per_address, self.requests_per_subject, self.requests_per_tenant];
        let [address, by_subject, by_tenant] = requests.map(|rate| rate.per_second);
        writeln!(f, "an address       {address} requests/s")?;
        writeln!(
            f,
            "a connection     {frames} frames/s, {} MiB/s, {} documents",
            bytes.per_second >> 20,
            self.limits.documents_per_connection_max
        )?;
        let connections = self.limits.connections_per_subject_max;
        writeln!(
            f,
            "a subject        {by_subject} requests/s, {subject} frames/s, {connections} connections"
        )?;
        let mebibytes = self.limits.tenant_bytes_max >> 20;
        writeln!(f, "a tenant         {by_tenant} requests/s, {tenant} frames/s, {mebibytes} MiB")?;
        let (document, memory) = (self.limits.document_bytes_max >> 20, self.pack_memory_max >> 20);
        writeln!(f, "a document       {document} MiB, packed within {memory} MiB of memory")
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
    #[error("TLS needs both --tls-certificate and --tls-key")]
    HalfOfTls,
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
