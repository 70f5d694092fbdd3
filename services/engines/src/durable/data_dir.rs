//! A directory with a small redb database: one row per mark, by name.
//!
//! A file that each write replaces by a rename would be simpler. But it takes 6 ms in place of 2 ms where it was measured, and it
//! needs a free file descriptor, which a server under attack may not have.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError, create_dir_all},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use everywire_core::{Result, RpcError};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition};

use super::HighWater;

const FILE: &str = "everywire.redb";
const LOCK: &str = "everywire.lock";
const MARKS: TableDefinition<&str, u64> = TableDefinition::new("high_water");
/// Small, because there is hardly anything to cache.
const CACHE_BYTES: usize = 1 << 20;

/// The directory that stores the marks, used by one process at a time.
///
/// After a disk error, redb rejects all work until the database is opened again. So it is closed then, and the next write opens
/// it. This repeats no number: the directory stays locked, so no other process draws numbers meanwhile; a mark takes effect only
/// after its write has succeeded; and every write contains all marks, so that no mark on disk is lower than one in effect, no
/// matter what the failed write left behind or which file is there now.
#[derive(Debug, Clone)]
pub struct DataDir {
    file: PathBuf,
    store: Arc<Mutex<Store>>,
}

#[derive(Debug)]
struct Store {
    /// `None` after an error.
    database: Option<Database>,
    /// The marks on disk after the last successful write, or at the start.
    marks: Marks,
    /// Locked as long as the process uses the directory.
    _lock: File,
}

type Marks = BTreeMap<&'static str, u64>;

impl DataDir {
    /// Opens the directory, and creates it if it is missing. It blocks, and it checks the whole file.
    ///
    /// # Errors
    /// `UNAVAILABLE` if another process uses it, `DATA_LOSS` if the file is damaged, `FAILED_PRECONDITION` if it can't be read or
    /// written. The message begins with the path.
    pub fn open(directory: &Path) -> Result<Self> {
        create_dir_all(directory).map_err(|error| unusable(directory, error))?;
        let file = directory.join(FILE);
        let lock = lock(&directory.join(LOCK), &file)?;
        let database = builder().create(&file).map_err(|error| open_error(&file, error))?;
        // An unwritable file fails the start, and not the first call.
        commit(&database, &Marks::new()).and_then(|()| Ok(sync(directory)?)).map_err(|error| unusable(&file, error))?;
        let store = Store { database: Some(database), marks: Marks::new(), _lock: lock };
        Ok(Self { file, store: Arc::new(Mutex::new(store)) })
    }

    /// The database file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The mark called `name`, raised in steps of `block`. Only one per name may exist at a time.
    pub fn high_water(&self, name: &'static str, block: u64) -> Result<HighWater> {
        let last = self.store().read(&self.file, name).map_err(|error| unusable(&self.file, error))?;
        let dir = self.clone();
        Ok(HighWater::stored(last, block, move |mark| dir.write(name, mark)))
    }

    /// Writes a mark. Logs only the begin and the end of a lasting failure.
    fn write(&self, name: &'static str, mark: u64) -> Result<()> {
        let (mut store, file) = (self.store(), self.file.display());
        let was_open = store.database.is_some();
        match store.write(&self.file, name, mark) {
            Ok(()) if was_open => Ok(()),
            Ok(()) => {
                tracing::warn!(%file, "marks can be written again");
                Ok(())
            }
            Err(error) => {
                if was_open {
                    tracing::error!(%file, %error, "a mark can't be written: calls that need a higher one fail until it can");
                }
                Err(RpcError::unavailable("the server can't write to its data directory; its log says why"))
            }
        }
    }

    /// Ignores poisoning: a panic in the database leaves it closed, as an error does.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn read(&mut self, file: &Path, name: &'static str) -> Result<u64, redb::Error> {
        let database = self.take(file)?;
        let last = database.begin_read()?.open_table(MARKS)?.get(name)?.map_or(0, |mark| mark.value());
        self.database = Some(database);
        self.marks.insert(name, last);
        Ok(last)
    }

    /// Returns when all marks are on disk.
    fn write(&mut self, file: &Path, name: &'static str, mark: u64) -> Result<(), redb::Error> {
        let mut marks = self.marks.clone();
        marks.insert(name, mark);
        let database = self.take(file)?;
        commit(&database, &marks)?;
        self.database = Some(database);
        self.marks = marks;
        Ok(())
    }

    /// Takes the database out of the store, and opens it if it is closed. The caller puts it back on success. It does not create a
    /// missing file: marks in a new file would be lost when a disk that was unmounted is back.
    fn take(&mut self, file: &Path) -> Result<Database, DatabaseError> {
        self.database.take().map_or_else(|| builder().open(file), Ok)
    }
}

/// Returns when the marks are on disk: redb's commits are durable by default.
fn commit(database: &Database, marks: &Marks) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(MARKS)?;
        for (name, mark) in marks {
            table.insert(name, mark)?;
        }
    }
    Ok(transaction.commit()?)
}

/// Checks the file when it is opened: redb otherwise trusts it, and may panic on a damaged one.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Locks a separate file, because the database's is not always open.
fn lock(path: &Path, database: &Path) -> Result<File> {
    let lock = File::create(path).map_err(|error| unusable(path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(open_error(database, DatabaseError::DatabaseAlreadyOpen)),
        Err(TryLockError::Error(error)) => Err(unusable(path, error)),
    }
}

/// Makes the file's name, and not only its content, survive a power failure.
fn sync(directory: &Path) -> io::Result<()> {
    let parent = directory.canonicalize()?.parent().map(Path::to_owned);
    parent.iter().map(PathBuf::as_path).chain([directory]).try_for_each(|directory| File::open(directory)?.sync_all())
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> RpcError {
    RpcError::failed_precondition(format!("{}: {error}", path.display()))
}

fn open_error(file: &Path, error: DatabaseError) -> RpcError {
    let path = file.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            RpcError::unavailable(format!("{path}: another process uses it; each server needs a directory of its own"))
        }
        DatabaseError::Storage(StorageError::Corrupted(reason)) => damaged(file, reason),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            damaged(file, error)
        }
        error => unusable(file, error),
    }
}

fn damaged(file: &Path, reason: impl std::fmt::Display) -> RpcError {
    let path = file.display();
    RpcError::data_loss(format!(
        "{path}: damaged, or no file of everywire: {reason}; without it, or with an old copy, tokens and ids may repeat"
    ))
}
