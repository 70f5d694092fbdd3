//! A directory with one small database (redb) in it: a name and its mark per row.

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
/// There is hardly anything to cache.
const CACHE_BYTES: usize = 1 << 20;

/// Where the marks are kept. One process has it at a time.
///
/// After an error of the disk redb refuses all work until the database is opened again, so it is closed then, and the next
/// write opens it. That repeats no number: the directory stays locked, so nobody else draws numbers in between; a mark is
/// in force only when its write has ended well; and every write has all marks in it, so that whatever the failed one left
/// behind, and whatever file is there now, no mark on disk is lower than one in force.
#[derive(Debug, Clone)]
pub struct DataDir {
    file: PathBuf,
    store: Arc<Mutex<Store>>,
}

#[derive(Debug)]
struct Store {
    /// None after an error.
    database: Option<Database>,
    /// What the last good write, or the start, left on disk.
    marks: Marks,
    /// Held as long as the process has the directory.
    _lock: File,
}

type Marks = BTreeMap<&'static str, u64>;

impl DataDir {
    /// Opens the directory and makes what is missing of it. It blocks, and it checks the whole file.
    ///
    /// `UNAVAILABLE` if another process has it, `DATA_LOSS` if the file is damaged, `FAILED_PRECONDITION` if it can't be read or
    /// written. The message begins with the path.
    pub fn open(directory: &Path) -> Result<Self> {
        create_dir_all(directory).map_err(|error| unusable(directory, error))?;
        let file = directory.join(FILE);
        let lock = lock(&directory.join(LOCK), &file)?;
        let database = builder().create(&file).map_err(|error| refused(&file, error))?;
        // What can't be written is found out now and not by the first call.
        commit(&database, &Marks::new()).and_then(|()| Ok(sync(directory)?)).map_err(|error| unusable(&file, error))?;
        let store = Store { database: Some(database), marks: Marks::new(), _lock: lock };
        Ok(Self { file, store: Arc::new(Mutex::new(store)) })
    }

    /// The file that keeps the marks.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The mark called `name`, which is raised in steps of `block`. There may be one at a time for each name.
    pub fn high_water(&self, name: &'static str, block: u64) -> Result<HighWater> {
        let last = self.store().read(&self.file, name).map_err(|error| unusable(&self.file, error))?;
        let dir = self.clone();
        Ok(HighWater::stored(last, block, move |mark| dir.write(name, mark)))
    }

    /// Of a failure that lasts only the beginning and the end are logged.
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

    /// A panic in the database leaves it closed, as an error does.
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

    /// The database, to be put back if all goes well. It has to be where it was: another one, made in its place while a disk
    /// is away, would be forgotten when the disk is back.
    fn take(&mut self, file: &Path) -> Result<Database, DatabaseError> {
        self.database.take().map_or_else(|| builder().open(file), Ok)
    }
}

/// Returns when the marks are on disk: redb's commits are durable unless they are told otherwise.
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

/// Without the check redb trusts the file and may panic on a damaged one.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Locks a file of its own, as the database's is not always open.
fn lock(path: &Path, database: &Path) -> Result<File> {
    let lock = File::create(path).map_err(|error| unusable(path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(refused(database, DatabaseError::DatabaseAlreadyOpen)),
        Err(TryLockError::Error(error)) => Err(unusable(path, error)),
    }
}

/// Makes the file's name, and not only its content, outlive a loss of power.
fn sync(directory: &Path) -> io::Result<()> {
    let parent = directory.canonicalize()?.parent().map(Path::to_owned);
    parent.iter().map(PathBuf::as_path).chain([directory]).try_for_each(|directory| File::open(directory)?.sync_all())
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> RpcError {
    RpcError::failed_precondition(format!("{}: {error}", path.display()))
}

fn refused(file: &Path, error: DatabaseError) -> RpcError {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use everywire_core::Code;
    use everywire_testing::life;
    use tempfile::TempDir;

    use super::*;

    fn temporary() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    async fn raise(dir: &DataDir, value: u64) {
        dir.high_water("tokens", 10).unwrap().cover(value).await.unwrap();
    }

    #[test]
    fn marks_outlive_their_process() {
        let home = temporary();
        let below = home.path().join("made/on/demand");
        for (before, raised_by) in [(0, 1), (11, 12), (22, 30)] {
            life(async {
                let dir = DataDir::open(&below).unwrap();
                assert_eq!(dir.high_water("tokens", 10).unwrap().last_before(), before);
                assert_eq!(dir.high_water("other", 10).unwrap().last_before(), 0, "after {before}");
                raise(&dir, raised_by).await;
            });
        }
    }

    #[test]
    fn one_process_has_it_at_a_time() {
        let home = temporary();
        let dir = DataDir::open(home.path()).unwrap();
        let error = DataDir::open(home.path()).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        let expected = format!("{}: another process uses it; each server", dir.file().display());
        assert!(error.message().starts_with(&expected), "{error}");
        drop(dir);
        DataDir::open(home.path()).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let home = temporary();
        let at = |name: &str| home.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir_all(at("folder").join(FILE)).unwrap();
        for name in ["garbage", "short", "text"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("garbage").join(FILE), vec![0xa5; 100_000]).unwrap();
        fs::write(at("short").join(FILE), b"redb").unwrap();
        fs::write(at("text").join(FILE), "last_token = 17\n".repeat(1_000)).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("file", Code::FailedPrecondition, "File exists"),
            ("file/below", Code::FailedPrecondition, "Not a directory"),
            ("folder", Code::FailedPrecondition, "Is a directory"),
            ("garbage", Code::DataLoss, "damaged, or no file of everywire"),
            ("short", Code::DataLoss, "damaged, or no file of everywire"),
            ("text", Code::DataLoss, "damaged, or no file of everywire"),
        ];
        for (name, code, expected) in cases {
            let error = DataDir::open(&at(name)).unwrap_err();
            assert_eq!(error.code(), code, "{name}: {error}");
            let path = at(name).display().to_string();
            assert!(error.message().starts_with(&path) && error.message().contains(expected), "{name}: {error}");
        }
    }

    /// Runs a test of this file again, without the right of root to write to every file.
    #[cfg(unix)]
    fn as_anybody(test: &str) {
        let mut again = std::process::Command::new("setpriv");
        again.args(["--bounding-set=-dac_override", "--inh-caps=-dac_override"]).arg(std::env::current_exe().unwrap());
        let output = again.args(["--exact", test]).output().expect("setpriv, of util-linux");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_file_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let home = temporary();
        drop(DataDir::open(home.path()).unwrap());
        let file = home.path().join(FILE);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        if File::options().write(true).open(&file).is_ok() {
            return as_anybody("durable::data_dir::tests::a_read_only_file_is_refused");
        }
        let error = DataDir::open(home.path()).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains("Permission denied"), "{error}");
    }

    /// What an error of the disk leaves behind.
    fn close(dir: &DataDir) {
        dir.store().database = None;
    }

    #[test]
    fn after_an_error_it_is_opened_again_and_nothing_is_forgotten() {
        let home = temporary();
        let aside = home.path().join("aside");
        life(async {
            let dir = DataDir::open(home.path()).unwrap();
            let (tokens, ids) = (dir.high_water("tokens", 10).unwrap(), dir.high_water("ids", 10).unwrap());
            tokens.cover(7).await.unwrap();
            fs::rename(dir.file(), &aside).unwrap();
            close(&dir);
            for _ in 0..2 {
                let error = ids.cover(1).await.unwrap_err();
                assert_eq!(error.code(), Code::Unavailable);
                assert_eq!(error.message(), "the server can't write to its data directory; its log says why");
            }
            assert!(tokens.covers(12) && !dir.file().exists(), "the mark in force stays, and no other file is begun");
            let error = DataDir::open(home.path()).unwrap_err();
            assert!(error.message().contains("another process uses it"), "also while the file is closed: {error}");
            fs::rename(&aside, dir.file()).unwrap();
            ids.cover(1).await.unwrap();

            // An older copy comes in its place.
            tokens.cover(30).await.unwrap();
            close(&dir);
            drop(builder().create(&aside).unwrap());
            fs::rename(&aside, dir.file()).unwrap();
            ids.cover(20).await.unwrap();
        });
        let dir = DataDir::open(home.path()).unwrap();
        let last = ["tokens", "ids"].map(|name| dir.high_water(name, 10).unwrap().last_before());
        assert_eq!(last, [40, 30]);
    }

    /// Whatever happened to the file, the answer is the old mark or an error, never a panic or a lower mark.
    #[test]
    fn damage_is_found() {
        let home = temporary();
        let file = life(async {
            let dir = DataDir::open(home.path()).unwrap();
            raise(&dir, 77).await;
            dir.file().to_owned()
        });
        let whole = fs::read(&file).unwrap();
        const STEPS: usize = 60;
        let mut refusals = 0;
        for step in 0..STEPS {
            let mut damaged = whole.clone();
            match step % 2 {
                0 => damaged[step * whole.len() / STEPS..][..64].iter_mut().for_each(|byte| *byte ^= 0x5a),
                _ => damaged.truncate(step * whole.len() / STEPS),
            }
            fs::write(&file, &damaged).unwrap();
            match DataDir::open(home.path()) {
                Ok(dir) => assert_eq!(dir.high_water("tokens", 10).unwrap().last_before(), 87, "step {step}"),
                Err(error) => {
                    refusals += 1;
                    assert!(error.message().starts_with(&*file.to_string_lossy()), "step {step}: {error}");
                }
            }
        }
        assert!(refusals > STEPS / 2, "{refusals}");
    }
}
