//! Data directories that survive restarts, disk errors and damage.

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
fn marks_survive_their_process() {
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
fn a_read_only_file_is_rejected() {
    use std::os::unix::fs::PermissionsExt;

    let home = temporary();
    drop(DataDir::open(home.path()).unwrap());
    let file = home.path().join(FILE);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    if File::options().write(true).open(&file).is_ok() {
        return as_anybody("durable::data_dir::tests::a_read_only_file_is_rejected");
    }
    let error = DataDir::open(home.path()).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("Permission denied"), "{error}");
}

/// Leaves the store as a disk error does.
fn close(dir: &DataDir) {
    dir.store().database = None;
}

#[test]
fn after_an_error_it_is_opened_again_and_nothing_is_forgotten() {
    let home = temporary();
    let moved = home.path().join("moved");
    life(async {
        let dir = DataDir::open(home.path()).unwrap();
        let (tokens, ids) = (dir.high_water("tokens", 10).unwrap(), dir.high_water("ids", 10).unwrap());
        tokens.cover(7).await.unwrap();
        fs::rename(dir.file(), &moved).unwrap();
        close(&dir);
        for _ in 0..2 {
            let error = ids.cover(1).await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
            assert_eq!(error.message(), "the server can't write to its data directory; its log says why");
        }
        assert!(tokens.covers(12) && !dir.file().exists(), "the mark in force stays, and no other file is begun");
        let error = DataDir::open(home.path()).unwrap_err();
        assert!(error.message().contains("another process uses it"), "also while the file is closed: {error}");
        fs::rename(&moved, dir.file()).unwrap();
        ids.cover(1).await.unwrap();

        // An older copy comes in its place.
        tokens.cover(30).await.unwrap();
        close(&dir);
        drop(builder().create(&moved).unwrap());
        fs::rename(&moved, dir.file()).unwrap();
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
    let mut errors = 0;
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
                errors += 1;
                assert!(error.message().starts_with(&*file.to_string_lossy()), "step {step}: {error}");
            }
        }
    }
    assert!(errors > STEPS / 2, "{errors}");
}
