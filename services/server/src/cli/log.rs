//! Standard error, for the log and for messages.

use std::{
    fmt::Display,
    io::{self, Write, stderr},
    sync::{
        LazyLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Writes to standard error from a thread of its own, so that a reader that doesn't read, such as a full pipe, stops no server.
/// Text that can't be written is lost: when the disk is full, the reader is gone, or [`LINES`] wait for it.
pub(crate) struct Log;

/// How many lines may wait to be written.
const LINES: usize = 1_024;

/// How long the end of the program waits for its last lines to be written.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The pause between two looks at a queue that is full.
const FLUSH_PAUSE: Duration = Duration::from_millis(5);

enum Job {
    Write(Vec<u8>),
    /// Confirms that everything before it has been written.
    Flush(SyncSender<()>),
}

/// `None` if there is no thread.
static WRITER: LazyLock<Option<SyncSender<Job>>> = LazyLock::new(|| {
    let (sender, jobs) = sync_channel(LINES);
    thread::Builder::new().name("log".to_owned()).spawn(|| write(jobs)).ok().map(|_| sender)
});

fn write(jobs: Receiver<Job>) {
    for job in jobs {
        match job {
            Job::Write(text) => drop(stderr().write_all(&text)),
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(writer) = &*WRITER {
            let _ = writer.try_send(Job::Write(bytes.to_vec()));
        }
        Ok(bytes.len())
    }

    /// Waits until all text is written, but not for longer than [`FLUSH_TIME`].
    fn flush(&mut self) -> io::Result<()> {
        let Some(writer) = &*WRITER else { return Ok(()) };
        let ((done, flushed), end) = (sync_channel(1), Instant::now() + FLUSH_TIME);
        while writer.try_send(Job::Flush(done.clone())).is_err() && Instant::now() < end {
            thread::sleep(FLUSH_PAUSE);
        }
        let _ = flushed.recv_timeout(end.saturating_duration_since(Instant::now()));
        Ok(())
    }
}

/// Writes a line to standard error.
pub(crate) fn say(text: impl Display) {
    // `Log` never fails.
    let _ = Log.write_all(format!("{text}\n").as_bytes());
}
