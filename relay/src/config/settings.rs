//! What may be said: each setting under one name in the file, the environment and the flags.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::{ConfigError, Network};

/// Declares the settings once, and how two sources of them are merged.
macro_rules! settings {
    ($($(#[$attribute:meta])* $name:ident: $type:ty,)*) => {
        /// What one source says; `None` is silence.
        #[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Settings {
            $($(#[$attribute])* pub $name: Option<$type>,)*
        }

        impl Settings {
            /// These, and where they are silent, the others.
            #[must_use]
            pub fn or(self, others: Self) -> Self {
                Self { $($name: self.$name.or(others.$name),)* }
            }
        }
    };
}

settings! {
    /// Where to listen. Addresses other than loopback need tokens, or --open-to-everyone [default: 127.0.0.1:3030]
    #[arg(long, value_name = "ADDRESS", env = "RELAY_LISTEN")]
    listen: SocketAddr,

    /// Directory of the data. Created when it does not exist; used by one relay at a time [default: relay-data]
    #[arg(long, value_name = "DIRECTORY", env = "RELAY_DATA")]
    data: PathBuf,

    /// Keep everything in memory and forget it at the end. For trying things out
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "YES", hide_possible_values = true)]
    in_memory: bool,

    /// Memory for pages of the data file, in MiB [default: 64]
    #[arg(long, value_name = "MIB", env = "RELAY_CACHE_MIB")]
    cache_mib: u64,

    /// Most connections at once. Further ones are refused until some have gone [default: 20000]
    #[arg(long, value_name = "COUNT", env = "RELAY_CONNECTIONS_MAX")]
    connections_max: usize,

    /// Hubs that share the documents, each on a core of its own [default: half of the cores]
    #[arg(long, value_name = "COUNT", env = "RELAY_SHARDS")]
    shards: NonZeroU16,

    /// Let anyone who can reach the address read and write every document
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "YES", hide_possible_values = true)]
    open_to_everyone: bool,

    /// Let web pages from here connect, such as `https://shop.example`; `*` for all. May be repeated [default: with tokens all,
    /// without those of this machine]
    #[arg(long, value_name = "ORIGIN", env = "RELAY_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<String>,

    /// Speak TLS with the certificate in this file (PEM, with those that vouch for it); read again when it changes
    #[arg(long, value_name = "FILE", env = "RELAY_TLS_CERTIFICATE", help_heading = "Network")]
    tls_certificate: PathBuf,

    /// The private key of --tls-certificate (PEM)
    #[arg(long, value_name = "FILE", env = "RELAY_TLS_KEY", help_heading = "Network")]
    tls_key: PathBuf,

    /// Believe what proxies with this address, or in this network, say of who asks (X-Forwarded-For). May be repeated
    #[arg(long, value_name = "NETWORK", env = "RELAY_TRUSTED_PROXY", value_delimiter = ',', help_heading = "Network")]
    trusted_proxy: Vec<Network>,

    /// Most requests in a second from one address, over a while; more are answered with 429. This machine's are not counted
    /// [default: 200]
    #[arg(long, value_name = "COUNT", env = "RELAY_ADDRESS_REQUESTS", help_heading = "Limits")]
    address_requests: NonZeroU32,

    /// As --address-requests, from one subject; programs that read everything are not counted [default: 100]
    #[arg(long, value_name = "COUNT", env = "RELAY_SUBJECT_REQUESTS", help_heading = "Limits")]
    subject_requests: NonZeroU32,

    /// As --address-requests, from all of one tenant [default: 5000]
    #[arg(long, value_name = "COUNT", env = "RELAY_TENANT_REQUESTS", help_heading = "Limits")]
    tenant_requests: NonZeroU32,

    /// Most frames in a second from one connection, over a while; who sends more is heard more slowly [default: 2000]
    #[arg(long, value_name = "COUNT", env = "RELAY_CONNECTION_FRAMES", help_heading = "Limits")]
    connection_frames: NonZeroU32,

    /// Most MiB in a second from one connection, over a while [default: 16]
    #[arg(long, value_name = "MIB", env = "RELAY_CONNECTION_MIB", help_heading = "Limits")]
    connection_mib: NonZeroU32,

    /// Most frames in a second from all connections of one subject, over a while [default: 10000]
    #[arg(long, value_name = "COUNT", env = "RELAY_SUBJECT_FRAMES", help_heading = "Limits")]
    subject_frames: NonZeroU32,

    /// Most connections of one subject [default: 100]
    #[arg(long, value_name = "COUNT", env = "RELAY_SUBJECT_CONNECTIONS_MAX", help_heading = "Limits")]
    subject_connections_max: usize,

    /// Most frames in a second from all connections of one tenant, over a while [default: 100000]
    #[arg(long, value_name = "COUNT", env = "RELAY_TENANT_FRAMES", help_heading = "Limits")]
    tenant_frames: NonZeroU32,

    /// Most MiB of one tenant's documents [default: 65536]
    #[arg(long, value_name = "MIB", env = "RELAY_TENANT_MIB_MAX", help_heading = "Limits")]
    tenant_mib_max: u64,

    /// Most MiB of one document [default: 256]
    #[arg(long, value_name = "MIB", env = "RELAY_DOCUMENT_MIB_MAX", help_heading = "Limits")]
    document_mib_max: u64,

    /// Most documents that one connection follows [default: 10000]
    #[arg(long, value_name = "COUNT", env = "RELAY_CONNECTION_DOCUMENTS_MAX", help_heading = "Limits")]
    connection_documents_max: usize,

    /// Most MiB of memory for packing documents, which is done one at a time; those that take more are served as they are
    /// [default: 1024]
    #[arg(long, value_name = "MIB", env = "RELAY_PACK_MEMORY_MIB", help_heading = "Limits")]
    pack_memory_mib: u64,

    /// Let in who bears a token signed (HS256) with the secret in this file, which `relay token` can sign as well
    #[arg(long, value_name = "FILE", env = "RELAY_TOKEN_SECRET", help_heading = "Tokens")]
    token_secret: PathBuf,

    /// As --token-secret, for tokens signed with the private half of this public key (PEM: RSA, elliptic curve, Ed25519)
    #[arg(long, value_name = "FILE", env = "RELAY_TOKEN_KEY", help_heading = "Tokens")]
    token_key: PathBuf,

    /// As --token-key, for a JSON Web Key Set
    #[arg(long, value_name = "FILE", env = "RELAY_TOKEN_JWKS", help_heading = "Tokens")]
    token_jwks: PathBuf,

    /// Who has to have issued a token (iss)
    #[arg(long, value_name = "NAME", env = "RELAY_TOKEN_ISSUER", help_heading = "Tokens")]
    token_issuer: String,

    /// For whom a token has to be meant (aud)
    #[arg(long, value_name = "NAME", env = "RELAY_TOKEN_AUDIENCE", help_heading = "Tokens")]
    token_audience: String,

    /// Tokens and subjects to turn away: `jti NAME` or `sub NAME`, one a line
    #[arg(long, value_name = "FILE", env = "RELAY_TOKEN_REVOKED", help_heading = "Tokens")]
    token_revoked: PathBuf,

    /// Whose documents a token is about when it names no tenant [default: main]
    #[arg(long, value_name = "NAME", env = "RELAY_TENANT", help_heading = "Tokens")]
    tenant: String,

    /// How much to log: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "RELAY_LOG", help_heading = "Logs")]
    log: LogLevel,

    /// How to log: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "RELAY_LOG_FORMAT", help_heading = "Logs")]
    log_format: LogFormat,
}

impl Settings {
    /// What a file says: TOML, the flags' names without the dashes in front.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { path: name.clone(), why: error.to_string() })?;
        toml::from_str(&text).map_err(|error| ConfigError::Malformed { path: name, why: error.to_string() })
    }

    /// Whether anything is said that only matters where tokens are checked.
    pub(super) fn names_token_rules(&self) -> bool {
        self.token_issuer.is_some() || self.token_audience.is_some() || self.token_revoked.is_some()
    }
}

/// How much to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogLevel(pub tracing::Level);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is none of error, warn, info, debug, trace"))
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}
