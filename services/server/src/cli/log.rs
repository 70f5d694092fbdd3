//! Standard error, for the log and for messages.

use std::{
    fmt::Display,
    io::{self, Write, stderr},
};

/// Writes to standard error. Text that it can't take, such as when its disk is full or its reader is gone, is lost: the server
/// goes on without it.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line to standard error.
pub(crate) fn say(text: impl Display) {
    // `Log` never fails.
    let _ = Log.write_all(format!("{text}\n").as_bytes());
}
