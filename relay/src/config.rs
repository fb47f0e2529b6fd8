//! How a relay is told what to do.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;

/// A relay that stores and forwards documents without opening them.
///
/// Without any flag it serves this machine only, keeps its data in ./relay-data, and asks nobody who they are. Point any
/// automerge-repo client at the URL it prints.
#[derive(Clone, Debug, Parser)]
#[command(name = "relay", version)]
pub struct Config {
    /// Where to listen. Other than loopback addresses need --open-to-everyone, as nobody is asked who they are.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3030", env = "RELAY_LISTEN")]
    pub listen: SocketAddr,

    /// Directory of the data. Created when it does not exist; used by one relay at a time.
    #[arg(long, value_name = "DIRECTORY", default_value = "relay-data", env = "RELAY_DATA")]
    pub data: PathBuf,

    /// Keep everything in memory and forget it at the end. For trying things out.
    #[arg(long)]
    pub in_memory: bool,

    /// Memory for pages of the data file, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64, env = "RELAY_CACHE_MIB")]
    pub cache_mib: u64,

    /// Most connections at once. Further ones are refused until some have gone.
    #[arg(long, value_name = "COUNT", default_value_t = 20_000, env = "RELAY_CONNECTIONS_MAX")]
    pub connections_max: usize,

    /// Hubs that share the documents, each on a core of its own. Half of the cores unless said: sockets and the disk need
    /// the others.
    #[arg(long, value_name = "COUNT", default_value_t = half_of_the_cores(), env = "RELAY_SHARDS")]
    pub shards: NonZeroU16,

    /// Let anyone who can reach the address read and write every document.
    #[arg(long)]
    pub open_to_everyone: bool,

    /// How much to log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "RELAY_LOG")]
    pub log: tracing::Level,
}

fn half_of_the_cores() -> NonZeroU16 {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u16::try_from(cores / 2).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}

impl Config {
    /// Refuses what its author can't have meant.
    pub fn check(&self) -> Result<()> {
        if !self.listen.ip().is_loopback() && !self.open_to_everyone {
            bail!(
                "{} can be reached from other machines, and this relay asks nobody who they are: everyone could read and \
                 write every document. Listen on 127.0.0.1, or say --open-to-everyone if that is what you want",
                self.listen
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn config(arguments: &[&str]) -> Config {
        Config::parse_from(std::iter::once("relay").chain(arguments.iter().copied()))
    }

    #[test]
    fn the_flags_make_sense() {
        Config::command().debug_assert();
        assert!(config(&[]).check().is_ok());
        assert!(config(&["--listen", "[::1]:0"]).check().is_ok());
    }

    #[test]
    fn other_machines_are_let_in_only_on_purpose() {
        let error = config(&["--listen", "0.0.0.0:3030"]).check().unwrap_err();
        assert!(error.to_string().contains("--open-to-everyone"), "{error}");
        assert!(config(&["--listen", "0.0.0.0:3030", "--open-to-everyone"]).check().is_ok());
    }
}
