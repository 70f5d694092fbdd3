//! What the whole program logs.

use std::{
    io::{self, Write},
    sync::{Mutex, Once, PoisonError},
};

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps warnings from now on.
pub(crate) fn begin() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let format = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false).without_time();
        format.with_target(false).with_writer(|| Log).init();
    });
}

/// The warnings that say `what`, such as an address.
pub(crate) fn lines(what: &str) -> Vec<String> {
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&written);
    text.lines().filter(|line| line.contains(what)).map(|line| line.trim().to_owned()).collect()
}
