//! How the C library gives memory back to the system.

use std::{env, os::unix::process::CommandExt, process::Command};

/// From which size on glibc gives a buffer back as soon as it is free. Left to itself it raises the size to that of the
/// longest buffer so far, and what peers send would stay in the process long after they have gone. Other C libraries
/// ignore the variable. An allocator in the program would need no second start, but mimalloc still held 173 MB a minute after
/// large messages.
const BUFFERS: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Lets long buffers go back to the system when they are free. glibc reads its variable before `main`, so unless it is set
/// already the program starts itself once more, as the same process.
pub(crate) fn give_back() {
    if env::var_os(BUFFERS.0).is_some() {
        return;
    }
    let mut arguments = env::args_os();
    if let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) {
        // It returns only if it fails, and then this process serves as well, with more memory.
        let _ = Command::new(program).arg0(name).args(arguments).env(BUFFERS.0, BUFFERS.1).exec();
    }
}
