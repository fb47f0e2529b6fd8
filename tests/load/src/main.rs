//! The binary: `load --help`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use pannier_load::figure::{Column, table};
use pannier_load::scenario::{Scenario, Size, soak};
use pannier_load::server::{Cores, Kind, Launch, Server};
use pannier_load::usage::allow_open_files;
use tokio::task::LocalSet;

/// Sockets of both sides of the largest crowd, and files of a server's store.
const OPEN_FILES: u64 = 16_384;

/// Puts load on a relay, or another server of the automerge-repo protocol, and reports what it does to it.
///
/// With two cores or more, the server is given one and the generator another.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// What to measure: `all`, `soak`, or some of the scenarios
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// The relay's binary, to be started for each scenario
    #[arg(long, value_name = "FILE")]
    relay: Option<PathBuf>,

    /// The script of an automerge-repo server, to be measured as well
    #[arg(long, value_name = "FILE")]
    automerge_repo: Option<PathBuf>,

    /// The binary of a samod server, to be measured as well
    #[arg(long, value_name = "FILE")]
    samod: Option<PathBuf>,

    /// A server that runs already, instead of those: ws://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with_all = ["relay", "automerge_repo", "samod"])]
    url: Option<String>,

    /// The process of that server, if it is on this machine
    #[arg(long, value_name = "PID", requires = "url")]
    process: Option<u32>,

    /// Where servers keep their data meanwhile
    #[arg(long, value_name = "DIRECTORY", default_value = "target/load")]
    data: PathBuf,

    /// How often to play each scenario; the median is reported
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    rounds: usize,

    /// How long to soak
    #[arg(long, value_name = "MINUTES", default_value_t = 120)]
    minutes: u64,

    /// Less of everything: to see that it works, or that a change has an effect
    #[arg(long)]
    quick: bool,

    /// Less still
    #[arg(long, conflicts_with = "quick")]
    tiny: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    allow_open_files(OPEN_FILES)?;
    let cores = if options.url.is_some() { Cores::Shared } else { Cores::split()? };
    match cores {
        Cores::Split { server, generator } => {
            println!("servers run on core {server}, the generator on core {generator}");
        }
        Cores::Shared => println!("servers and generator share the cores"),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(play(options, cores)))
}

async fn play(options: &Options, cores: Cores) -> Result<bool> {
    let size = match (options.quick, options.tiny) {
        (_, true) => Size::Tiny,
        (true, _) => Size::Quick,
        _ => Size::Full,
    };
    if options.scenarios == ["soak"] {
        let mut server = start(options, options.kinds()?.first().context("no server is named")?, cores)?;
        let sample = size_of_sample(size);
        let figures = soak::play(&mut server, sample * u32::try_from(options.minutes)?, sample).await?;
        println!("{}", table("soak", &[Column { kind: Kind::Relay, rounds: vec![figures] }]));
        return Ok(true);
    }
    let mut passed = true;
    for scenario in chosen(&options.scenarios)? {
        let mut columns: Vec<_> =
            options.kinds()?.into_iter().map(|kind| Column { kind: kind.0, rounds: Vec::new() }).collect();
        // In turn, so that whatever else the machine does meets all of them alike.
        for _ in 0..options.rounds {
            for (column, kind) in columns.iter_mut().zip(options.kinds()?) {
                if scenario == Scenario::Stored && kind.0 != Kind::Relay {
                    // It would take them longer than anyone waits.
                    continue;
                }
                let mut server = start(options, &kind, cores)?;
                match scenario.play(&mut server, size).await {
                    Ok(figures) => column.rounds.push(figures),
                    Err(error) => {
                        eprintln!("{} with {}: {error:#}", scenario.title(), kind.0);
                        passed &= kind.0 != Kind::Relay;
                    }
                }
            }
        }
        println!("{}", table(scenario.title(), &columns));
    }
    Ok(passed)
}

/// A minute, or what stands for one.
fn size_of_sample(size: Size) -> Duration {
    Duration::from_secs(match size {
        Size::Full => 60,
        Size::Quick => 5,
        Size::Tiny => 1,
    })
}

fn chosen(names: &[String]) -> Result<Vec<Scenario>> {
    if names.is_empty() || names == ["all"] {
        return Ok(Scenario::ALL.to_vec());
    }
    let parse = |name: &String| {
        Scenario::from_str(name, false).map_err(|_| {
            let known = Scenario::value_variants().iter().filter_map(Scenario::to_possible_value);
            let known: Vec<_> = known.map(|scenario| scenario.get_name().to_owned()).collect();
            anyhow::anyhow!("there is no scenario `{name}`: there are {}, all, and soak", known.join(", "))
        })
    };
    names.iter().map(parse).collect()
}

impl Options {
    /// The servers to measure: what each is, and where.
    fn kinds(&self) -> Result<Vec<(Kind, PathBuf)>> {
        let programs = [
            (Kind::Relay, &self.relay),
            (Kind::AutomergeRepo, &self.automerge_repo),
            (Kind::Samod, &self.samod),
        ];
        let named: Vec<_> =
            programs.into_iter().filter_map(|(kind, path)| Some((kind, path.clone()?))).collect();
        match (&self.url, named.is_empty()) {
            (Some(_), _) => Ok(vec![(Kind::Relay, PathBuf::new())]),
            (None, true) => bail!("name a server: --relay, --automerge-repo, --samod or --url"),
            (None, false) => Ok(named),
        }
    }
}

fn start(options: &Options, (kind, program): &(Kind, PathBuf), cores: Cores) -> Result<Server> {
    if let Some(url) = &options.url {
        return Server::at(url, options.process);
    }
    let (program, data) = (program.clone(), options.data.clone());
    Server::start(&Launch { kind: *kind, program, data, cores })
}
