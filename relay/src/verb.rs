//! What the binary does, one file a verb. Without one it serves.

mod config;
mod serve;
mod store;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use relay::config::{Config, Settings};

/// A relay that stores and forwards documents without opening them.
///
/// Without any flag it serves this machine only, keeps its data in ./relay-data, and asks nobody who they are. Point any
/// automerge-repo client at the URL it prints.
#[derive(Parser)]
#[command(name = "relay", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Subcommand)]
enum Verb {
    /// Sign a token, for trying a relay out
    Token(token::Sign),
    /// Look at what a relay would do, without doing it
    #[command(subcommand)]
    Config(config::Verb),
    /// Look after stored data: check, count, back up, bring in, pack, erase
    #[command(subcommand)]
    Store(Box<store::Verb>),
}

/// Where a configuration comes from.
#[derive(Clone, Args)]
struct Configuration {
    /// A file (TOML) with any of the settings below; flags and the environment outrank it
    #[arg(long, value_name = "FILE", env = "RELAY_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    match cli.verb {
        None => serve::run(&cli.configuration),
        Some(Verb::Token(token)) => token::run(&token),
        Some(Verb::Config(verb)) => config::run(verb),
        Some(Verb::Store(verb)) => return store::run(*verb),
    }
    .map(|()| ExitCode::SUCCESS)
}

impl Configuration {
    fn resolve(&self) -> Result<Config> {
        let file = self.config.as_deref().map(Settings::read).transpose()?;
        Ok(Config::resolve(self.settings.clone().or(file.unwrap_or_default()))?)
    }
}
