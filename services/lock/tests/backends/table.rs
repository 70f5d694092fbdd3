//! The table of docs/locks.md: the capabilities of each backend, as found by the suite.
//!
//! `UPDATE_LOCKS=1 cargo test -p everywire-lock --features engines --test backends` writes it.

use std::{env, fs, sync::Mutex};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/locks.md");

/// Only one test at a time changes the file.
static FILE_LOCK: Mutex<()> = Mutex::new(());

/// Compares the row of a backend, or writes it.
pub(crate) fn check(backend: &str, cells: &[String]) {
    let row = format!("| {backend} | {} |", cells.join(" | "));
    let _guard = FILE_LOCK.lock().unwrap();
    let text = fs::read_to_string(FILE).unwrap();
    let start = format!("| {backend} |");
    let found =
        text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{FILE} has no row for {backend}"));
    if env::var_os("UPDATE_LOCKS").is_some() {
        fs::write(FILE, text.replace(found, &row)).unwrap();
        return;
    }
    assert_eq!(found, row, "docs/locks.md; UPDATE_LOCKS=1 writes what was found");
}
