//! A disk of its own for a test: small, so that it can be filled, and one that can be made read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that tests which need a disk of their own are to be left out, where nobody may mount one.
const WITHOUT: &str = "PANNIER_TEST_WITHOUT_MOUNTS";

/// A mounted disk in memory. It goes when dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts a disk of so many MiB at `folder`. `None` if whoever runs the tests has said that they can't have one.
    ///
    /// # Panics
    /// If it can't be mounted, with what to do about it.
    pub fn mount(folder: &Path, mebibytes: u32) -> Option<Self> {
        if std::env::var_os(WITHOUT).is_some() {
            eprintln!("LEFT OUT: this test needs a disk of its own, and {WITHOUT} is set");
            return None;
        }
        let options = format!("size={mebibytes}m,mode=0777");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", text(folder)]);
        if let Err(why) = mounted {
            panic!(
                "this test fills a small disk of its own, and none can be mounted here: {why}\nRun it as root on Linux, or set \
                 {WITHOUT}=1 to leave such tests out"
            );
        }
        Some(Self { folder: folder.to_owned() })
    }

    /// Takes all space but so many KiB.
    ///
    /// # Panics
    /// If there is not that much.
    pub fn fill(&self, kibibytes_left: u64) {
        let output = Command::new("df")
            .args(["--output=avail", "-k", text(&self.folder)])
            .output()
            .expect("there is df");
        let output = String::from_utf8(output.stdout).expect("df writes numbers");
        let available: u64 =
            output.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("df writes one");
        let bytes = 1024 * available.checked_sub(kibibytes_left).expect("there is as much space");
        fs::write(self.filler(), vec![7; usize::try_from(bytes).expect("the disk is small")])
            .expect("there is space");
    }

    /// Gives the space back.
    pub fn clear(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    /// Refuses all writing from now on.
    ///
    /// # Panics
    /// If somebody has a file open for writing.
    pub fn freeze(&self) {
        run("mount", &["-o", "remount,ro", text(&self.folder)]).expect("nobody writes");
    }

    pub fn thaw(&self) {
        run("mount", &["-o", "remount,rw", text(&self.folder)]).expect("it is mounted");
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process that is about to end may still be in it.
        run("umount", &["-l", text(&self.folder)]).ok();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("folders of tests are UTF-8")
}
