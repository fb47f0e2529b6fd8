//! Whether files have changed since they were last looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Files, and when they had last been written, as far as can be told.
#[derive(Debug)]
pub(super) struct Modified {
    paths: Vec<PathBuf>,
    seen: Mutex<Vec<Option<SystemTime>>>,
}

impl Modified {
    /// Files as they are now: look at them before reading them, so that no change is missed.
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let paths: Vec<_> = paths.into_iter().map(Path::to_owned).collect();
        let seen = Mutex::new(times(&paths));
        Self { paths, seen }
    }

    /// Whether any of them is another one than the last time.
    pub(super) fn has_changed(&self) -> bool {
        let now = times(&self.paths);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = *seen != now;
        *seen = now;
        has_changed
    }
}

fn times(paths: &[PathBuf]) -> Vec<Option<SystemTime>> {
    paths.iter().map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok()).collect()
}
