//! `relay config`: what a relay would do.

use anyhow::Result;
use clap::Subcommand;
use relay::server::Door;

use super::Configuration;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Say what a relay with these flags would do, or what is wrong with them
    Check(Box<Configuration>),
}

pub(super) fn run(verb: Verb) -> Result<()> {
    let Verb::Check(configuration) = verb;
    let config = configuration.resolve()?;
    // Keys and lists are files of their own, which can be wrong as well.
    Door::open(&config)?;
    println!("{config}");
    Ok(())
}
