//! A directory with a small file of marks.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, TryLockError, create_dir_all},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use everywire_core::{Result, RpcError};

use super::HighWater;

const FILE: &str = "everywire.marks";
const LOCK: &str = "everywire.lock";
/// What version 0.1 wrote.
const OLD_FILE: &str = "everywire.redb";

/// The first line of the file. Each further line is a name and a mark, and the last one is the checksum of all before it.
const HEADER: &str = "everywire marks 1";
const CHECKSUM: &str = "crc32";

/// The directory that stores the marks, used by one process at a time.
///
/// Each write makes a new file, syncs it, and renames it over the old one, so that a process that is killed, and a power failure,
/// leave one of the two. A failed write repeats no number: the directory stays locked, so no other process draws numbers
/// meanwhile; a mark takes effect only after its write has succeeded; and every write contains all marks, so that no mark on disk
/// is lower than one in effect, whatever the failed write left behind.
#[derive(Debug, Clone)]
pub struct DataDir {
    file: PathBuf,
    store: Arc<Mutex<Store>>,
}

#[derive(Debug)]
struct Store {
    /// The marks on disk after the last successful write, or at the start.
    marks: Marks,
    /// Whether the last write failed.
    is_failing: bool,
    /// Locked as long as the process uses the directory.
    _lock: File,
}

type Marks = BTreeMap<String, u64>;

impl DataDir {
    /// Opens the directory, and creates it if it is missing. It blocks.
    ///
    /// # Errors
    /// `UNAVAILABLE` if another process uses it, `DATA_LOSS` if the file is damaged, `FAILED_PRECONDITION` if it can't be read or
    /// written, or is one of version 0.1. The message begins with the path.
    pub fn open(directory: &Path) -> Result<Self> {
        create_dir_all(directory).map_err(|error| unusable(directory, error))?;
        let file = directory.join(FILE);
        let lock = lock(&directory.join(LOCK), &file)?;
        let marks = read(directory, &file)?;
        // A file that can't be replaced fails the start, and not the first call.
        update(&file, &marks).map_err(|error| unusable(&file, error))?;
        let store = Store { marks, is_failing: false, _lock: lock };
        Ok(Self { file, store: Arc::new(Mutex::new(store)) })
    }

    /// The file of the marks.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The mark called `name`, raised in steps of `block`. Only one per name may exist at a time.
    pub fn high_water(&self, name: &'static str, block: u64) -> HighWater {
        let last = self.store().marks.get(name).copied().unwrap_or_default();
        let dir = self.clone();
        HighWater::stored(last, block, move |mark| dir.write(name, mark))
    }

    /// Returns when the mark is on disk. Logs only the begin and the end of a lasting failure.
    fn write(&self, name: &str, mark: u64) -> Result<()> {
        let (mut store, file) = (self.store(), self.file.display());
        let mut marks = store.marks.clone();
        marks.insert(name.to_owned(), mark);
        if let Err(error) = update(&self.file, &marks) {
            if !std::mem::replace(&mut store.is_failing, true) {
                tracing::error!(%file, %error, "a mark can't be written: calls that need a higher one fail until it can");
            }
            return Err(RpcError::unavailable("the server can't write to its data directory; its log says why"));
        }
        store.marks = marks;
        if std::mem::take(&mut store.is_failing) {
            tracing::warn!(%file, "marks can be written again");
        }
        Ok(())
    }

    /// Ignores poisoning: the marks change only after a write, and at once.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(directory: &Path, file: &Path) -> Result<Marks> {
    let old = directory.join(OLD_FILE);
    match fs::read(file) {
        Ok(bytes) => parse(&bytes).ok_or_else(|| damaged(file)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(file, error)),
        Err(_) if old.exists() => {
            Err(unusable(&old, "written by version 0.1, which alone can read it; use another directory"))
        }
        Err(_) => create(directory, file).map_err(|error| unusable(file, error)),
    }
}

/// Writes the first file of a directory, and makes the directory's own name survive a power failure.
fn create(directory: &Path, file: &Path) -> io::Result<Marks> {
    let marks = Marks::new();
    replace(file, &marks)?;
    directory.canonicalize()?.parent().map_or(Ok(()), sync)?;
    Ok(marks)
}

/// Replaces the file that is there, with a check that it is there: marks in a new file would be lost when a disk that was
/// unmounted is back.
fn update(file: &Path, marks: &Marks) -> io::Result<()> {
    File::options().write(true).open(file)?;
    replace(file, marks)
}

fn replace(file: &Path, marks: &Marks) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut out = File::create(&new)?;
    out.write_all(text(marks).as_bytes())?;
    out.sync_all()?;
    fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), sync)
}

/// Makes the names in a directory survive a power failure.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn text(marks: &Marks) -> String {
    let mut text = format!("{HEADER}\n");
    for (name, mark) in marks {
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "{name} {mark}");
    }
    let checksum = crc32fast::hash(text.as_bytes());
    text + &format!("{CHECKSUM} {checksum:08x}\n")
}

/// `None` unless it is exactly what [`text`] writes.
fn parse(bytes: &[u8]) -> Option<Marks> {
    let found = std::str::from_utf8(bytes).ok()?;
    let mut marks = Marks::new();
    for line in found.lines().skip(1).take_while(|line| !line.starts_with(CHECKSUM)) {
        let (name, mark) = line.rsplit_once(' ')?;
        marks.insert(name.to_owned(), mark.parse().ok()?);
    }
    (text(&marks) == found).then_some(marks)
}

fn lock(path: &Path, file: &Path) -> Result<File> {
    let lock = File::create(path).map_err(|error| unusable(path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let path = file.display();
            let text = format!("{path}: another process uses it; each server needs a directory of its own");
            Err(RpcError::unavailable(text))
        }
        Err(TryLockError::Error(error)) => Err(unusable(path, error)),
    }
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> RpcError {
    RpcError::failed_precondition(format!("{}: {error}", path.display()))
}

fn damaged(file: &Path) -> RpcError {
    let path = file.display();
    RpcError::data_loss(format!(
        "{path}: damaged, or no file of everywire; without it, or with an old copy, tokens and ids may repeat"
    ))
}
