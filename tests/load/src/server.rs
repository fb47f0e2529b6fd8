//! What bears the load: a server as a process of its own, which is started, watched, killed and started again over its data; or
//! a server somewhere, of which less can be said.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;

use crate::usage::{Usage, stored_bytes};

/// How long a server may take to end after it was asked to.
const GOODBYE_TIME: Duration = Duration::from_secs(10);

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Relay,
    AutomergeRepo,
    Samod,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relay => "relay",
            Self::AutomergeRepo => "automerge-repo",
            Self::Samod => "samod",
        })
    }
}

/// How a server is started: a program that prints its `ws://` address once it serves.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kind: Kind,
    /// The program, or for automerge-repo the script.
    pub program: PathBuf,
    /// Where folders for data are made.
    pub data: PathBuf,
    pub cores: Cores,
}

/// Which core is whose.
#[derive(Clone, Copy, Debug)]
pub enum Cores {
    /// There is but one, or nobody cares.
    Shared,
    Split {
        server: usize,
        generator: usize,
    },
}

impl Cores {
    /// Gives servers one core and the generator another, if there are two.
    pub fn split() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (Some(server), Some(generator)) = (cores.next(), cores.next()) else { return Ok(Self::Shared) };
        move_to(generator)?;
        Ok(Self::Split { server, generator })
    }
}

/// Makes this thread, and the processes that it starts from now on, run on this core alone.
fn move_to(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("can't move to core {core}"))
}

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Target {
    url: String,
    address: SocketAddr,
}

impl Target {
    /// The server of a `ws://` URL.
    pub fn new(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("ws://").with_context(|| format!("{url} does not begin with ws://"))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let mut addresses =
            authority.to_socket_addrs().with_context(|| format!("{authority} is no host:port"))?;
        let address = addresses.next().with_context(|| format!("{authority} has no address"))?;
        Ok(Self { url: url.to_owned(), address })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A server under load. Its process is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    target: Target,
    process: Option<u32>,
    own: Option<Own>,
}

/// A server that was started here.
#[derive(Debug)]
struct Own {
    launch: Launch,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts a server that has nothing.
    pub fn start(launch: &Launch) -> Result<Self> {
        std::fs::create_dir_all(&launch.data)?;
        let folder = tempfile::Builder::new().prefix("load-").tempdir_in(&launch.data)?;
        let (child, target) = spawn(launch, folder.path())?;
        let process = Some(child.id());
        Ok(Self { target, process, own: Some(Own { launch: launch.clone(), folder, child }) })
    }

    /// A server that runs already, and its process if that is on this machine.
    pub fn at(url: &str, process: Option<u32>) -> Result<Self> {
        Ok(Self { target: Target::new(url)?, process, own: None })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What it has taken so far; nothing, where its process can't be seen.
    pub fn usage(&self) -> Result<Usage> {
        self.process.map_or_else(|| Ok(Usage::default()), Usage::of)
    }

    /// Where its data is, if it was started here.
    pub fn folder(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.folder.path())
    }

    /// Bytes of its data on disk, as far as they can be seen.
    pub fn stored_bytes(&self) -> u64 {
        self.folder().map_or(0, stored_bytes)
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    pub async fn stop(&mut self) -> Result<()> {
        let own = self.own()?;
        let pid = Pid::from_child(&own.child);
        kill_process(pid, Signal::TERM)?;
        let asked = Instant::now();
        while own.child.try_wait()?.is_none() {
            if asked.elapsed() > GOODBYE_TIME {
                own.child.kill()?;
                own.child.wait()?;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) -> Result<()> {
        let own = self.own()?;
        own.child.kill()?;
        own.child.wait()?;
        Ok(())
    }

    /// Starts it again, over the data that it left; how long that took.
    pub fn start_again(&mut self) -> Result<Duration> {
        let own = self.own()?;
        let began = Instant::now();
        let (child, target) = spawn(&own.launch, own.folder.path())?;
        let took = began.elapsed();
        let process = Some(child.id());
        own.child = child;
        (self.target, self.process) = (target, process);
        Ok(took)
    }

    fn own(&mut self) -> Result<&mut Own> {
        self.own.as_mut().context("this is measured only of a server that can be started again, not of a URL")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(launch: &Launch, folder: &Path) -> Result<(Child, Target)> {
    let (program, arguments): (OsString, Vec<OsString>) = match launch.kind {
        Kind::Relay => {
            let flags =
                ["--listen", "127.0.0.1:0", "--log", "error", "--connections-max", "100000", "--data"];
            let flags = flags.into_iter().map(OsString::from).chain([folder.into()]);
            (launch.program.clone().into(), flags.collect())
        }
        Kind::AutomergeRepo => ("node".into(), vec![launch.program.clone().into(), folder.into()]),
        Kind::Samod => (launch.program.clone().into(), vec![folder.into()]),
    };
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    // What a relay's operator says in the environment is not what is measured.
    let foreign = std::env::vars_os().map(|(name, _)| name);
    for name in foreign.filter(|name| name.to_string_lossy().starts_with("RELAY_")) {
        command.env_remove(name);
    }
    if let Cores::Split { server, .. } = launch.cores {
        move_to(server)?;
    }
    let spawned = command.spawn();
    if let Cores::Split { generator, .. } = launch.cores {
        move_to(generator)?;
    }
    let mut child = spawned.with_context(|| format!("{} does not start", program.display()))?;
    let mut lines = BufReader::new(child.stdout.take().expect("piped above")).lines();
    let url = lines.find_map(|line| {
        let line = line.ok()?;
        Some(line[line.find("ws://")?..].trim().to_owned())
    });
    match url {
        Some(url) => Ok((child, Target::new(&url)?)),
        None => bail!("{} ended with {} before it served", program.display(), child.wait()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_to_connect() {
        let target = Target::new("ws://127.0.0.1:3030/sync?token=x").unwrap();
        assert_eq!(target.address().to_string(), "127.0.0.1:3030");
        for bad in ["http://127.0.0.1:3030", "ws://127.0.0.1", "127.0.0.1:3030"] {
            assert!(Target::new(bad).is_err(), "{bad}");
        }
    }
}
