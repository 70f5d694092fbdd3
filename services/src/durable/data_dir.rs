//! A directory with one small database (redb) in it: a name and its mark per row.

use std::{
    fs::{File, create_dir_all},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition};
use rpc_core::{Result, RpcError};

use super::HighWater;

const FILE: &str = "everywire.redb";
const MARKS: TableDefinition<&str, u64> = TableDefinition::new("high_water");
/// There is hardly anything to cache.
const CACHE_BYTES: usize = 1 << 20;

/// Where the marks are kept. One process has it at a time.
#[derive(Debug, Clone)]
pub struct DataDir {
    file: PathBuf,
    database: Arc<Database>,
}

impl DataDir {
    /// Opens the directory and makes what is missing of it. It blocks, and it checks the whole file.
    ///
    /// `UNAVAILABLE` if another process has it, `DATA_LOSS` if the file is damaged, `FAILED_PRECONDITION` if it can't be read or
    /// written. The message begins with the path.
    pub fn open(directory: &Path) -> Result<Self> {
        create_dir_all(directory).map_err(|error| unusable(directory, error))?;
        let file = directory.join(FILE);
        let database = open(&file).map_err(|error| refused(&file, error))?;
        let dir = Self { file, database: Arc::new(database) };
        // What can't be written is found out now and not by the first call.
        dir.try_write(None).and_then(|()| Ok(sync(directory)?)).map_err(|error| unusable(&dir.file, error))?;
        Ok(dir)
    }

    /// The file that keeps the marks.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The mark called `name`, which is raised in steps of `block`. There may be one at a time for each name.
    pub fn high_water(&self, name: &'static str, block: u64) -> Result<HighWater> {
        let last = self.read(name).map_err(|error| unusable(&self.file, error))?;
        let dir = self.clone();
        Ok(HighWater::stored(last, block, move |mark| dir.write(name, mark)))
    }

    fn read(&self, name: &str) -> Result<u64, redb::Error> {
        let table = self.database.begin_read()?.open_table(MARKS)?;
        Ok(table.get(name)?.map_or(0, |mark| mark.value()))
    }

    /// After an error of the disk redb refuses all work until it is opened again, and so do the callers of this.
    fn write(&self, name: &str, mark: u64) -> Result<()> {
        self.try_write(Some((name, mark))).map_err(|error| {
            tracing::error!(file = %self.file.display(), %error, "a mark can't be written; what needs a higher one is refused until a restart");
            RpcError::unavailable("the server can't write to its data directory; its log says why")
        })
    }

    /// Returns when the row is on disk: redb's commits are durable unless they are told otherwise.
    fn try_write(&self, row: Option<(&str, u64)>) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(MARKS)?;
            if let Some((name, mark)) = row {
                table.insert(name, mark)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

fn open(file: &Path) -> Result<Database, DatabaseError> {
    // Without the check redb trusts the file and may panic on a damaged one.
    Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create(file)
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

    use rpc_core::Code;
    use tempfile::TempDir;

    use super::{super::life, *};

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

    #[cfg(unix)]
    #[test]
    fn a_read_only_file_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let home = temporary();
        drop(DataDir::open(home.path()).unwrap());
        let file = home.path().join(FILE);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        if File::options().write(true).open(&file).is_ok() {
            return; // The tests run as root, for whom no file is read-only.
        }
        let error = DataDir::open(home.path()).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains("Permission denied"), "{error}");
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
