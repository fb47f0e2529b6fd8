//! Documents on disk, in [sled](::sled).
//!
//! Two things are arranged around sled 0.34. Its flush does not reach the disk when the file has just grown, so the file
//! is synchronised once more after it. And values that don't fit its pages go to files that it does not synchronise, so
//! large values never reach it: they are files of our own, written before the commit that names them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::records::{Batch, Failure, RecordStore, Records, Visit};
use super::{OpenError, Store};

/// Larger values become files. A leaf page has to fit one segment (512 KiB) even while it waits to be split, and may hold
/// several dozen values then.
const INLINE_BYTES_MAX: usize = 4 * 1024;

/// First byte of values that are here, and of values that are in a file.
const INLINE: u8 = 0;
const IN_FILE: u8 = 1;

/// Keys of our own begin with a byte that no record's key begins with. They list the files in use.
const FILES: &[u8] = &[0];

/// Opens stores in directories.
#[derive(Clone, Debug)]
pub struct Sled {
    /// The directory, created when it does not exist.
    pub path: PathBuf,
    /// Memory for pages of the file. What is read more often than it fits is read from disk again.
    pub cache_bytes: u64,
}

impl Sled {
    /// The store in this directory. Only one process can have it open.
    pub fn open(&self) -> Result<Box<dyn Store>, OpenError> {
        let path = self.path.display().to_string();
        let unavailable = |why: String| OpenError::Unavailable { path: path.clone(), why };
        fs::create_dir_all(&self.path).map_err(|error| unavailable(error.to_string()))?;
        let lock = self.lock()?;
        let records = SledRecords::open(self, lock).map_err(|failure| unavailable(failure.why))?;
        Ok(Box::new(RecordStore::open(records, &path)?))
    }

    /// Whether there is a store in this directory.
    pub fn exists(&self) -> bool {
        self.path.join("sled").is_dir()
    }

    /// Locks the directory, and notes in the locked file who has done so.
    fn lock(&self) -> Result<File, OpenError> {
        let path = self.path.display().to_string();
        let unavailable =
            |error: io::Error| OpenError::Unavailable { path: path.clone(), why: error.to_string() };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(self.path.join("lock")).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.take(200).read_to_string(&mut holder).ok();
                let holder = Some(holder.trim()).filter(|holder| !holder.is_empty());
                return Err(OpenError::InUse {
                    path,
                    holder: holder.unwrap_or("another process").to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
        // Whoever is turned away is told; a disk that is full is no reason to turn anyone away.
        file.set_len(0).and_then(|()| writeln!(file, "process {}", std::process::id())).ok();
        Ok(file)
    }
}

pub(super) struct SledRecords {
    database: ::sled::Db,
    /// The file that sled writes: synchronised after each of its flushes.
    file: File,
    large: PathBuf,
    /// Where the next large value goes. Numbers are not used again.
    next_file: u64,
    /// Held until the store is closed.
    _lock: File,
}

impl SledRecords {
    fn open(options: &Sled, lock: File) -> Result<Self, Failure> {
        let large = options.path.join("large");
        fs::create_dir_all(&large)?;
        let database = ::sled::Config::new()
            .path(options.path.join("sled"))
            .cache_capacity(options.cache_bytes)
            .open()?;
        let file = File::open(options.path.join("sled").join("db"))?;
        for directory in [options.path.join("sled").as_path(), &options.path] {
            File::open(directory)?.sync_all()?;
        }
        let mut records = Self { database, file, large, next_file: 0, _lock: lock };
        records.sweep()?;
        Ok(records)
    }

    /// Removes files that no commit names: a crash came between writing and committing, or committing and removing.
    fn sweep(&mut self) -> Result<(), Failure> {
        for entry in fs::read_dir(&self.large)? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let Some(number) = number else {
                let why = format!("{} is not a file of this store", path.display());
                return Err(Failure { why });
            };
            self.next_file = self.next_file.max(number + 1);
            if self.database.get(file_key(number))?.is_none() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn file_path(&self, number: u64) -> PathBuf {
        self.large.join(number.to_string())
    }

    /// The value that a stored one stands for. A lost file reads as nothing, which no sealed record is: the damage is
    /// this record's, not the store's.
    fn resolve(&self, stored: &[u8]) -> Result<Vec<u8>, Failure> {
        if let Some(number) = file_number(stored) {
            return match fs::read(self.file_path(number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                result => Ok(result?),
            };
        }
        Ok(stored.strip_prefix(&[INLINE]).unwrap_or_default().to_vec())
    }

    fn write_file(&mut self, value: &[u8]) -> Result<u64, Failure> {
        let number = self.next_file;
        self.next_file += 1;
        let mut file = File::create_new(self.file_path(number))?;
        file.write_all(value)?;
        file.sync_all()?;
        Ok(number)
    }
}

impl Records for SledRecords {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.database.get(key)?.map(|stored| self.resolve(&stored)).transpose()
    }

    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), Failure> {
        for item in self.database.range(from..) {
            let (key, stored) = item?;
            if key.starts_with(FILES) {
                continue;
            }
            if !key.starts_with(prefix) || visit(&key, &self.resolve(&stored)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Failure> {
        let mut writes = ::sled::Batch::default();
        let mut replaced = Vec::new();
        let mut wrote_file = false;
        for (key, value) in batch {
            let before = self.database.get(&key)?;
            if let Some(number) = before.as_deref().and_then(file_number) {
                writes.remove(file_key(number));
                replaced.push(number);
            }
            match value {
                None => writes.remove(key),
                Some(value) if value.len() <= INLINE_BYTES_MAX => {
                    let mut stored = Vec::with_capacity(1 + value.len());
                    stored.push(INLINE);
                    stored.extend_from_slice(&value);
                    writes.insert(key, stored);
                }
                Some(value) => {
                    let number = self.write_file(&value)?;
                    wrote_file = true;
                    writes.insert(file_key(number), &[]);
                    let mut stored = vec![IN_FILE];
                    stored.extend_from_slice(&number.to_be_bytes());
                    writes.insert(key, stored);
                }
            }
        }
        if wrote_file {
            File::open(&self.large)?.sync_all()?;
        }
        self.database.apply_batch(writes)?;
        self.database.flush()?;
        self.file.sync_data()?;
        for number in replaced {
            remove_if_present(&self.file_path(number))?;
        }
        Ok(())
    }
}

fn file_key(number: u64) -> Vec<u8> {
    [FILES, &number.to_be_bytes()].concat()
}

/// The file that holds the value, when one does.
fn file_number(stored: &[u8]) -> Option<u64> {
    let number = stored.strip_prefix(&[IN_FILE])?;
    number.try_into().ok().map(u64::from_be_bytes)
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { why: error.to_string() }
    }
}

impl From<::sled::Error> for Failure {
    fn from(error: ::sled::Error) -> Self {
        Self { why: error.to_string() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A directory that goes when its test does.
    pub(in super::super) struct Directory(tempfile::TempDir);

    impl Directory {
        pub(in super::super) fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        pub(in super::super) fn options(&self) -> Sled {
            Sled { path: self.0.path().to_owned(), cache_bytes: 1024 * 1024 }
        }

        pub(in super::super) fn records(&self) -> SledRecords {
            let options = self.options();
            SledRecords::open(&options, options.lock().unwrap()).unwrap()
        }

        fn files(&self, directory: &str) -> Vec<String> {
            let entries = fs::read_dir(self.0.path().join(directory)).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn put(key: &[u8], size: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        (key.to_vec(), Some(vec![7; size]))
    }

    #[test]
    fn large_values_are_files_that_go_with_their_keys() {
        let directory = Directory::new();
        let mut records = directory.records();
        records.commit(Batch::from([put(b"a", 20_000), put(b"b", 30_000), put(b"c", 5)])).unwrap();
        assert_eq!(directory.files("large"), ["0", "1"]);
        assert_eq!(records.get(b"b").unwrap().unwrap().len(), 30_000);
        records.commit(Batch::from([put(b"a", 40_000), put(b"b", 3), (b"c".to_vec(), None)])).unwrap();
        assert_eq!(directory.files("large"), ["2"]);
        assert_eq!(records.get(b"a").unwrap().unwrap().len(), 40_000);
        assert_eq!(records.get(b"b").unwrap().unwrap().len(), 3);
    }

    #[test]
    fn files_that_no_commit_names_are_swept() {
        let directory = Directory::new();
        let mut records = directory.records();
        records.commit(Batch::from([put(b"a", 20_000)])).unwrap();
        fs::write(records.file_path(7), b"left by a crash").unwrap();
        drop(records);
        let mut records = directory.records();
        assert_eq!(directory.files("large"), ["0"]);
        records.commit(Batch::from([put(b"b", 20_000)])).unwrap();
        assert_eq!(directory.files("large"), ["0", "8"]);
    }

    #[test]
    fn nothing_goes_to_files_that_sled_does_not_synchronise() {
        let directory = Directory::new();
        let mut records = directory.records();
        for round in 0..20u8 {
            let batch = (0..100u8).map(|index| put(&[b'x', round, index], INLINE_BYTES_MAX)).collect();
            records.commit(batch).unwrap();
        }
        assert_eq!(directory.files("sled/blobs"), Vec::<String>::new());
    }

    #[test]
    fn a_second_relay_is_told_who_uses_the_data() {
        let directory = Directory::new();
        let first = directory.options().open().unwrap();
        let Err(error) = directory.options().open() else { panic!("opened twice") };
        let holder = format!("process {}", std::process::id());
        assert!(matches!(&error, OpenError::InUse { holder: it, .. } if *it == holder), "{error}");
        drop(first);
        assert!(directory.options().open().is_ok());
    }
}
