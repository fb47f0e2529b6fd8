//! What a process takes of the machine, as the kernel counts it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Time on a core, of all threads that live.
    pub cpu: Duration,
    /// Bytes of memory that are its own and present.
    pub resident_bytes: u64,
}

impl Usage {
    /// Of a running process.
    pub fn of(process: u32) -> Result<Self> {
        let folder = format!("/proc/{process}");
        read(Path::new(&folder)).with_context(|| format!("process {process} is not there to be looked at"))
    }

    /// Of this process.
    pub fn own() -> Result<Self> {
        Ok(read(Path::new("/proc/self"))?)
    }
}

fn read(folder: &Path) -> io::Result<Usage> {
    let mut nanos = 0;
    for thread in fs::read_dir(folder.join("task"))? {
        // Nanoseconds on a core, nanoseconds waiting for one, turns. A thread may end while it is looked at.
        let Ok(times) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanos += times.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
    }
    let rollup = fs::read_to_string(folder.join("smaps_rollup"))?;
    let resident = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib: u64 = resident
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other("no memory is counted"))?;
    Ok(Usage { cpu: Duration::from_nanos(nanos), resident_bytes: kib << 10 })
}

/// Bytes on disk of everything in a folder.
pub fn stored_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    // What goes while it is counted takes nothing.
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => stored_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Lets this process, and those that it starts, open so many files and sockets.
pub fn allow_open_files(count: u64) -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let maximum = maximum.map(|maximum| maximum.max(count));
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum })
        .with_context(|| format!("{count} open files are needed and not allowed here: raise `ulimit -n`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_are_counted() {
        let before = Usage::own().unwrap();
        let hoard = vec![1_u8; 16 << 20];
        while Usage::own().unwrap().cpu < before.cpu + Duration::from_millis(20) {}
        let after = Usage::own().unwrap();
        assert!(after.resident_bytes >= before.resident_bytes + (12 << 20), "{before:?} {after:?}");
        drop(hoard);
    }

    #[test]
    fn folders_are_counted_with_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let before = stored_bytes(folder.path());
        let file = fs::File::create(folder.path().join("inner/file")).unwrap();
        io::Write::write_all(&mut &file, &vec![7; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        assert!(stored_bytes(folder.path()) >= before + (1 << 20));
    }
}
